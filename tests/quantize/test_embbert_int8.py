"""EmbBERT as an int8 file: near the float model, exact padding, equal in the C runtime."""

from functools import cache

import numpy as np
import pytest

from edgekit.errors import QuantizationError
from edgekit.export.compile import compile_tflite
from edgekit.models import find_family, make_config
from edgekit.quantize.interpreter import make_interpreter
from edgekit.runtime import Runner

SMALL = {"vocab": 64, "length": 24, "hidden": 16, "reduced": 4, "layers": 2, "kernel": 8,
         "attention": True}  # fmt: skip
PAPER = {"residual": "none", "conv": "causal", "pooling": "cls", "final_norm": False}
KINDS = {
    "both branches": {},
    "paper": PAPER,
    "no attention": {"attention": False, "layers": 1, "expansion": 2, "kernel": 5},
    "no block": {"layers": 0, "pooling": "max"},
}
LEAST_SQNR = 18.0
"""Decibels of the logits of a model with random weights; trained ones have larger margins."""


@cache
def sentences():
    rng = np.random.default_rng(0)
    ids = np.zeros((32, 24), np.int32)
    for row in ids:
        tokens = rng.integers(3, 25)
        row[:tokens] = rng.integers(5, 64, tokens)
        row[0] = 2
        if tokens > 10:
            row[7] = 4
    return ids


@cache
def made(kind):
    from edgekit.quantize.embbert import quantize_embbert

    config = make_config("embbert", {**SMALL, **KINDS[kind]})
    model = find_family("embbert").build(config, seed=1)
    return np.asarray(model(sentences(), training=False)), quantize_embbert(
        model, config, sentences()
    )


def litert(data, ids):
    interpreter = make_interpreter(data)
    first, last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for row in ids:
        interpreter.set_tensor(first["index"], row[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(last["index"])[0].copy())
    scale, zero = last["quantization"]
    stored = np.stack(answers)
    return stored, (stored.astype(np.float32) - zero) * scale


def sqnr(wanted, found):
    return 10 * np.log10(np.var(wanted) / np.mean(np.square(found - wanted)))


@pytest.mark.train
@pytest.mark.parametrize("kind", KINDS)
def test_file_is_near_the_float_model(kind):
    wanted, traced = made(kind)
    assert sqnr(wanted, litert(traced.data, sentences())[1]) > LEAST_SQNR
    assert sqnr(wanted, traced.reals[-1]) > 30


@pytest.mark.train
@pytest.mark.cc
@pytest.mark.parametrize("kind", KINDS)
def test_runtime_gives_the_bytes_of_litert(kind):
    data = made(kind)[1].data
    runner = Runner(compile_tflite(data, name="text").image)
    raw = sentences().view(np.uint8).reshape(len(sentences()), -1)
    found = np.stack([runner.run_raw(row[None])[0].reshape(-1) for row in raw])
    assert np.array_equal(found, litert(data, sentences())[0])


@pytest.mark.train
def test_no_sentence_is_refused():
    from edgekit.quantize.embbert import quantize_embbert

    config = make_config("embbert", SMALL)
    model = find_family("embbert").build(config, seed=1)
    with pytest.raises(QuantizationError, match="no sentence"):
        quantize_embbert(model, config, np.zeros((4, 24), np.int32))
