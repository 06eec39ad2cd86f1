"""From digits to int8 files: the accuracies that the whole product rests on."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from edgekit.data import load_dataset
from edgekit.data.split import partition_by_class
from edgekit.errors import ConfigError, QuantizationError
from edgekit.models.saved import unpack_arrays
from edgekit.quantize.evaluate import evaluate_int8
from edgekit.quantize.interpreter import LiteModel, apply_table, input_table
from edgekit.quantize.runs import quantize_runs
from edgekit.train.jobs import TrainJob
from edgekit.train.launch import run_jobs

pytestmark = pytest.mark.train

MISSING = (7, 8, 9)
ALLOWED_OPS = {
    "ADD",
    "BATCH_MATMUL",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "MEAN",
    "RESHAPE",
    "SOFTMAX",
    "TRANSPOSE",
}


class _Stop(Exception):
    pass


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Version 1, the base without three classes, a useless model, and one that is interrupted."""
    root = tmp_path_factory.mktemp("runs")
    jobs = [
        TrainJob("base", root / "base", leave_out=MISSING),
        TrainJob("v1", root / "v1"),
        TrainJob("noise", root / "noise", epochs=6, shuffle_labels=True),
        TrainJob("short", root / "short", epochs=3),
        TrainJob("cut", root / "cut", epochs=3),
    ]

    def interrupt(event):
        if event["event"] == "epoch" and event["job"] == "cut" and event["epoch"] == 2:
            raise _Stop

    with pytest.raises(_Stop):
        run_jobs(jobs, interrupt)
    events = []
    results = run_jobs(jobs, events.append)
    quantized = quantize_runs([job.run for job in jobs[:3]])
    return {
        "jobs": {job.name: job for job in jobs},
        "results": {result.name: result for result in results},
        "quantized": {job.name: q for job, q in zip(jobs, quantized, strict=False)},
        "events": events,
    }


def test_float_and_int8_accuracy_hold(runs):
    report = runs["quantized"]["v1"].report
    assert report.float_accuracy == runs["results"]["v1"].accuracy
    assert report.float_accuracy >= 0.96
    assert report.int8_accuracy >= 0.95
    assert report.worse <= 8
    assert sum(map(sum, report.confusion)) == 540


def test_base_without_classes_knows_only_the_others(runs):
    assert 0.60 <= runs["quantized"]["base"].report.int8_accuracy <= 0.72


def test_model_of_shuffled_labels_is_useless(runs):
    assert runs["quantized"]["noise"].report.acceptance_accuracy < 0.3


def test_file_has_only_simple_integer_operators(runs):
    model = LiteModel(runs["quantized"]["v1"].tflite.read_bytes())
    assert set(model.ops) == ALLOWED_OPS
    assert model.float_tensors == ()
    assert model.shape == (8, 8, 1)


def test_head_reads_64_features(runs, digits):
    model = LiteModel(runs["quantized"]["v1"].tflite.read_bytes(), keep_all=True)
    table = input_table(model.input, max_value=digits.max_value)
    features, quant = model.hidden(apply_table(table, digits.test.raw[:3]))
    assert features.shape == (3, 64)
    assert quant.scale > 0


def test_interrupted_and_resumed_run_equals_a_straight_one(runs):
    cut, short = runs["jobs"]["cut"].run, runs["jobs"]["short"].run
    (_, one), (_, two) = unpack_arrays(cut / "model.npz"), unpack_arrays(short / "model.npz")
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert runs["results"]["cut"].losses == runs["results"]["short"].losses
    assert {"event": "started", "job": "cut", "epochs": 3, "from": 2} in runs["events"]


def test_whole_runs_are_not_done_again(runs):
    assert runs["results"]["v1"].reused
    assert not runs["results"]["cut"].reused
    (again,) = quantize_runs([runs["jobs"]["v1"].run])
    assert again.reused
    assert again.report == runs["quantized"]["v1"].report


def test_folder_of_another_job_is_refused(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs["jobs"]["short"].run, folder)
    facts = json.loads((folder / "result.json").read_text())
    job = dataclasses.replace(runs["jobs"]["short"], run=folder, seed=9)
    assert facts["job_hash"] != job.hash()
    with pytest.raises(ConfigError, match="holds the run of another configuration"):
        run_jobs([job])


def test_file_that_is_not_the_model_is_refused(runs, digits):
    """The converter's recommended two-argument form makes such files without an error."""
    v1, base = runs["quantized"]["v1"], runs["quantized"]["base"]
    _, answers = unpack_arrays(v1.run / "reference.npz")
    with pytest.raises(QuantizationError, match="differ from the Keras model's"):
        evaluate_int8(base.tflite.read_bytes(), digits, answers["test"], name="mixed up")


def test_federated_heads_learn_the_missing_classes(runs, digits):
    """What devices do in C: plain SGD on int8 features, averaged by sample count."""
    base = runs["quantized"]["base"]
    model = LiteModel(base.tflite.read_bytes(), keep_all=True)
    table = input_table(model.input, max_value=digits.max_value)
    features = {}
    for name in ("train", "test"):
        values, quant = model.hidden(apply_table(table, getattr(digits, name).raw))
        features[name] = quant.to_real(values)
    weights, bias = np.zeros((10, 64), np.float32), np.zeros(10, np.float32)
    _, arrays = unpack_arrays(base.run / "model.npz")
    *_, kernel, offset = (arrays[name] for name in sorted(arrays))
    weights[:7], bias[:7] = kernel.T[:7], offset[:7]

    held = [[0, 1, 2, 7], [3, 4, 5, 8], [0, 6, 7, 9], [1, 2, 3, 8, 9], [4, 5, 6, 7, 8, 9]]
    parts = partition_by_class(digits.train.labels, held, seed=5)

    def accuracy(w, b):
        return np.mean((features["test"] @ w.T + b).argmax(axis=1) == digits.test.labels)

    before = accuracy(weights, bias)
    singles = []
    for _ in range(4):
        local = [
            _sgd(weights, bias, features["train"][p], digits.train.labels[p], rate=0.02)
            for p in parts
        ]
        singles.append(max(accuracy(w, b) for w, b in local))
        shares = np.array([len(part) for part in parts]) / sum(map(len, parts))
        weights = sum(s * w for s, (w, _) in zip(shares, local, strict=True))
        bias = sum(s * b for s, (_, b) in zip(shares, local, strict=True))
    assert before <= 0.72
    assert accuracy(weights, bias) >= 0.87
    assert singles[0] <= accuracy(weights, bias) - 0.1


def _sgd(weights, bias, samples, labels, *, rate):
    weights, bias = weights.astype(np.float32), bias.astype(np.float32)
    for sample, label in zip(samples, labels, strict=True):
        score = weights @ sample + bias
        slope = np.exp(score - score.max())
        slope /= slope.sum()
        slope[label] -= 1
        weights -= np.float32(rate) * np.outer(slope, sample)
        bias -= np.float32(rate) * slope
    return weights, bias
