"""Training with the rounding of the int8 file: near to the file, resumable, and off by default."""

import dataclasses
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sentence_models import KINDS, SMALL, random_sentences

from edgekit.data.text import TextSource
from edgekit.errors import ConfigError
from edgekit.models import find_family, make_config
from edgekit.models.saved import unpack_arrays
from edgekit.quantize.interpreter import make_interpreter
from edgekit.train.launch import run_text_jobs
from edgekit.train.text_jobs import TextJob


@cache
def _sentences():
    return random_sentences(make_config("embbert", SMALL), 32, 24)


@cache
def _network(kind):
    """Return a network that knows the scales of its file, and the file."""
    from edgekit.models.text_aware import AwareNetwork
    from edgekit.quantize.embbert import quantize_embbert
    from edgekit.train.aware import file_scales

    config = make_config("embbert", {**SMALL, **KINDS[kind]})
    network = AwareNetwork(find_family("embbert").build(config, seed=1), config, pooled=True)
    network.set_scales(file_scales(network.model, config, _sentences()))
    return network, quantize_embbert(network.model, config, _sentences()).data


def _answers(data, ids):
    interpreter = make_interpreter(data)
    first, last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    stored = []
    for row in ids:
        interpreter.set_tensor(first["index"], row[None])
        interpreter.invoke()
        stored.append(interpreter.get_tensor(last["index"])[0].copy())
    scale, zero = last["quantization"]
    return (np.stack(stored).astype(np.float32) - zero) * scale


@pytest.mark.train
@pytest.mark.parametrize("kind", KINDS)
def test_network_answers_as_the_int8_file_does(kind):
    network, data = _network(kind)
    wanted = _answers(data, _sentences())
    aware = np.mean(np.square(np.asarray(network(_sentences())[0]) - wanted))
    plain = np.mean(np.square(np.asarray(network.model(_sentences(), training=False)) - wanted))
    # Last bits of LiteRT's integers grow in attention with random weights, which dampen nothing;
    # the mean alone is as near to float as those.
    assert aware < plain * (0.9 if network.config.attention else 0.35)


@pytest.mark.train
@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient(kind):
    import tensorflow as tf

    network, _ = _network(kind)
    variables = [v.value for v in network.model.trainable_variables]
    with tf.GradientTape() as tape:
        logits, pooled = network(tf.constant(_sentences()), training=True)
        loss = tf.reduce_sum(logits[:, 0]) + tf.reduce_sum(pooled)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all(), variable.name
        assert np.any(values != 0), variable.name


def _table(folder):
    rng, colours = np.random.default_rng(0), ("red", "green", "blue", "yellow")
    rows = []
    for i in range(120):
        words = rng.choice(["car", "house", "bird", "tree", "shoe"], int(rng.integers(1, 6)))
        text = " ".join([*words.tolist(), colours[i % 4]])
        rows.append(json.dumps({"text": text, "label": colours[i % 4]}) + "\n")
    (folder / "train.jsonl").write_text("".join(rows))


@pytest.mark.train
def test_killed_run_equals_a_straight_one_and_is_another_than_without(tmp_path):
    _table(tmp_path)
    sizes = {"hidden": 16, "reduced": 8, "layers": 1, "kernel": 3, "attention": False, "length": 8}
    job = TextJob(
        "straight", tmp_path / "straight", TextSource(tmp_path / "train.jsonl", share=0.2),
        sizes=sizes, epochs=4, batch=16, rate=2e-2, grams=500, quantize_aware=0.6,
    )  # fmt: skip
    cut = dataclasses.replace(job, name="cut", run=tmp_path / "cut", checkpoint_s=0.0)
    plain = dataclasses.replace(job, name="plain", run=tmp_path / "plain", quantize_aware=0.0)
    epochs = []

    def stop(event):
        epochs.extend([event["epoch"]] if event["event"] == "epoch" else [])
        # The rounding begins in the second epoch; this is behind its ranges and before new ones.
        if event["event"] == "step" and (len(epochs), event["step"]) == (1, 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_text_jobs([cut], stop)
    assert unpack_arrays(cut.run / "checkpoint.npz")[0]["scales"]
    results = run_text_jobs([job, cut, plain])
    weights = [unpack_arrays(result.model)[1] for result in results]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not np.array_equal(weights[0][name], weights[2][name]) for name in weights[0])
    losses = [result.losses for result in results]
    assert losses[0] == losses[1]
    assert losses[0][0] == losses[2][0]
    assert losses[0][1:] != losses[2][1:]
    # Of 24 rows, after 20 steps; one class in four.
    assert results[0].test["accuracy"] >= 0.75


def test_job_survives_json_and_is_another_with_the_rounding():
    job = TextJob("a", Path("r"), TextSource(Path("t.csv")))
    aware = dataclasses.replace(job, quantize_aware=0.25)
    assert aware.hash() != job.hash()
    assert TextJob.from_json(aware.to_json()) == aware


def test_other_families_and_patience_are_refused():
    source = TextSource(Path("t.csv"))
    with pytest.raises(ConfigError, match=r"family 'bert' cannot be trained so, only embbert"):
        TextJob("a", Path("r"), source, family="bert", quantize_aware=0.5)
    with pytest.raises(ConfigError, match=r"'patience' = 3 may stop before them"):
        TextJob("a", Path("r"), source, patience=3, quantize_aware=0.5)
