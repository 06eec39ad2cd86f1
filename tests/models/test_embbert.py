"""EmbBERT and the models beside it: sizes, padding, the convolution, other backends of Keras."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tolerance import BACKEND

from edgekit.models import MODELS, find_family, make_config
from edgekit.models.embbert import PRESETS, EmbBertConfig, count_parameters
from edgekit.models.saved import save_model

TEXT = ("embbert", "bert", "embed_conv", "lexical")
SMALL = {"vocab": 64, "length": 24, "hidden": 16, "reduced": 4, "layers": 2, "kernel": 8,
         "attention": True}  # fmt: skip
PAPER = {"residual": "none", "conv": "causal", "pooling": "cls", "final_norm": False}
PAPER_SIZES = {"nano": 65_856, "tiny": 146_048, "embbert": 357_248, "med": 1_834_752,
               "big": 7_306_752}  # fmt: skip


def trained(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def sentence(rng, tokens, length, vocab=64):
    ids = np.zeros((1, length), np.int32)
    ids[0, :tokens] = rng.integers(5, vocab, tokens)
    ids[0, 0] = 2
    return ids


@pytest.mark.parametrize("preset", PAPER_SIZES)
def test_formula_has_the_parameters_of_the_paper(preset):
    assert count_parameters(PRESETS[preset]) == PAPER_SIZES[preset]


def test_preset_is_changed_by_the_other_sizes():
    config = make_config("embbert", {"preset": "nano", "classes": 7, "dropout": 0})
    assert (config.hidden, config.pooling, config.classes, config.dropout) == (64, "cls", 7, 0.0)


@pytest.mark.train
def test_embbert_has_357248_parameters_without_head():
    model = find_family("embbert").build(PRESETS["embbert"], seed=0)
    assert trained(model) - (128 * 2 + 2) == 357_248


@pytest.mark.train
@pytest.mark.parametrize(
    ("family", "sizes", "parameters"),
    [
        ("bert", {}, 288_720),
        ("embed_conv", {}, 262_144 + 8_192 + 2 * 10_240 + 960 + 16 * 320 + 320),
        ("lexical", {}, 2 * 8192 * 20 + 41 * 64 + 65 * 64),
        ("embbert", {"preset": "embbert", "attention": False}, 357_248 - 4 * (2 * 128 * 129 + 256)),
    ],
)
def test_baselines_have_the_parameters_of_their_sizes(family, sizes, parameters):
    model = find_family(family).build(make_config(family, sizes), seed=0)
    head = sum(int(np.prod(v.shape)) for v in model.get_layer("head").trainable_variables)
    norm = 160 if family == "bert" else 0
    assert trained(model) - head == parameters + norm


def sizes_of(family, **more):
    known = find_family(family).config.__slots__
    return {key: value for key, value in {**SMALL, **more}.items() if key in known}


@pytest.mark.train
@pytest.mark.parametrize("more", [{}, PAPER, {"expansion": 2, "pooling": "max"}], ids=str)
@pytest.mark.parametrize("family", TEXT)
def test_padding_does_not_change_the_answer(family, more):
    if family != "embbert" and more:
        more = {}
    model = find_family(family).build(make_config(family, sizes_of(family, **more)), seed=1)
    ids = sentence(np.random.default_rng(0), 9, 24)
    answers = [np.asarray(model(ids[:, :n], training=False)) for n in (9, 10, 16, 24)]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=BACKEND, atol=BACKEND)
    assert np.ptp(answers[0]) > 0


@pytest.mark.train
@pytest.mark.parametrize("more", [{}, {"attention": False}, {"layers": 0}], ids=str)
@pytest.mark.parametrize("family", TEXT)
def test_training_adds_no_variable(family, more):
    if family != "embbert" and more:
        more = {}
    model = find_family(family).build(make_config(family, sizes_of(family, **more)), seed=1)
    before = [v.path for v in model.weights]
    model(sentence(np.random.default_rng(0), 9, 24), training=True)
    assert [v.path for v in model.weights] == before


@pytest.mark.train
@pytest.mark.parametrize("kind", ["causal", "symmetric"])
@pytest.mark.parametrize("length", [5, 32, 33, 70])
def test_convolution_is_its_definition(kind, length):
    from edgekit.models.text_layers import conv_left, convolve_tokens

    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, length, 3)), rng.normal(size=(8, 3, 2))
    left = conv_left(8, kind)
    padded = np.pad(x, ((0, 0), (left, 7 - left), (0, 0)))
    wanted = sum(padded[:, j : j + length, :, None] * kernel[j] for j in range(8))
    y = convolve_tokens(np.float32(x), np.float32(kernel), left=left)
    np.testing.assert_allclose(y, wanted.reshape(2, length, 6), rtol=BACKEND, atol=BACKEND)


@pytest.mark.train
def test_causal_block_sees_only_what_is_before_through_the_convolution():
    config = make_config("embbert", {**SMALL, "attention": False, **PAPER})
    model = find_family("embbert").build(config, seed=0)
    rng = np.random.default_rng(0)
    first, other = sentence(rng, 9, 9), sentence(rng, 9, 9)
    assert np.array_equal(model(first), model(other))


@pytest.mark.train
def test_second_text_has_another_segment():
    model = find_family("embbert").build(make_config("embbert", SMALL), seed=0)
    embed = model.get_layer("embed")
    embed.segments.assign(np.arange(3)[:, None] * np.ones((3, 16)))
    embed.tokens.assign(0 * embed.tokens)
    embed.positions.assign(0 * embed.positions)
    ids = np.int32([[2, 9, 4, 9, 9, 4, 8, 0]])
    x = np.asarray(embed([ids, model.get_layer("mask")(ids)]))
    assert x[0, :, 0].tolist() == [1, 1, 2, 2, 2, 2, 2, 0]


@pytest.mark.train
def test_heads_of_pretraining_share_the_body():
    from edgekit.models.embbert import build_pretraining

    model = find_family("embbert").build(EmbBertConfig(**SMALL), seed=0)
    both = build_pretraining(model, seed=0)
    tokens, following = both(sentence(np.random.default_rng(0), 5, 8))
    assert (tokens.shape, following.shape) == ((1, 8, 64), (1, 2))
    assert trained(both) == trained(model) - (32 * 2 + 2) + 17 * 64 + 17 * 2


OTHER_BACKEND = """
import sys
from pathlib import Path
import keras
import numpy as np
from edgekit.models.saved import load_model
folder = Path(sys.argv[1])
assert keras.backend.backend() == "jax"
ids = np.load(folder / "ids.npy")
model = load_model(folder / "model.npz")
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
np.save(folder / "y.npy", model.predict_on_batch(ids))
first, *_, last = (model.train_on_batch(ids, np.int32([0, 1, 1])) for _ in range(9))
assert float(last) < float(first), (first, last)
"""


@pytest.mark.train
@pytest.mark.jax
def test_model_answers_the_same_and_trains_on_another_backend_of_keras(tmp_path):
    rng = np.random.default_rng(0)
    ids = np.concatenate([sentence(rng, tokens, 24) for tokens in (3, 9, 24)])
    np.save(tmp_path / "ids.npy", ids)
    sizes = {**SMALL, "layers": 1, "dropout": 0.01, "attention_dropout": 0.01}
    model = find_family("embbert").build(make_config("embbert", sizes), seed=1)
    save_model(tmp_path / "model.npz", model, family="embbert", sizes=sizes)
    wanted = np.asarray(model(ids, training=False))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "ignore", "-c", OTHER_BACKEND, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(found, wanted, rtol=BACKEND, atol=BACKEND)


@pytest.mark.train
def test_dropout_keeps_its_share_and_draws_anew():
    from edgekit.models.text_layers import Dropout

    layer = Dropout(0.25, seed=5, name="drop")
    x = np.ones((40, 100), np.float32)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert np.array_equal(layer(x, training=False), x)
    assert set(np.unique(first).tolist()) == {0.0, np.float32(4 / 3)}
    assert 0.23 < np.mean(first == 0) < 0.27
    # Two independent masks agree at 0.25^2 + 0.75^2 of all places.
    assert 0.59 < np.mean(first == second) < 0.66


def test_every_text_family_is_listed():
    assert set(TEXT) < {family.name for family in MODELS}
