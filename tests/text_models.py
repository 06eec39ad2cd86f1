"""A small classifier of texts, with its tokenizer: what takes text is tried on it."""

from __future__ import annotations

from functools import cache

import numpy as np
from litert_models import Model, T

from edgekit.data.token_table import text_features
from edgekit.data.tokenizer import Tokenizer, train_tokenizer
from edgekit.export.compile import CompiledModel, compile_tflite

LENGTH, WIDTH = 32, 16
LABELS = ("light", "heating", "radio")
ROOMS = ("kitchen", "bedroom", "hall", "garden", "cellar", "bathroom")
COMMANDS = tuple(
    f"Turn {way} the {thing} in the {room}, please!"
    for way in ("on", "off", "up")
    for thing in (*LABELS, "café lamp")
    for room in ROOMS
)


@cache
def small_tokenizer() -> Tokenizer:
    """Return a tokenizer of 80 tokens."""
    return train_tokenizer(COMMANDS, 80)


def bag_of_tokens(vocab: int, length: int = LENGTH, seed: int = 0) -> bytes:
    """Return a `.tflite`: a vector per id, their mean, three logits."""
    rng = np.random.default_rng(seed)
    model = Model()
    ids = model.add(T((1, length), dtype="int32"))
    table = rng.integers(-127, 128, (vocab, WIDTH), dtype=np.int8)
    table[0] = 0
    rows = model.add(T((vocab, WIDTH), [0.02], [0], 0, table))
    picked = model.add(T((1, length, WIDTH), [0.02], [0]))
    mean = model.add(T((1, WIDTH), [0.01], [0]))
    axis = model.add(T((1,), data=np.array([1], np.int32), dtype="int32"))
    weights = rng.integers(-127, 128, (len(LABELS), WIDTH), dtype=np.int8)
    dense = model.add(T(weights.shape, [0.02], [0], 0, weights))
    logits = model.add(T((1, len(LABELS)), [0.05], [-3]))
    model.op("GATHER", [rows, ids], [picked], axis=0)
    model.op("MEAN", [picked, axis], [mean], keepDims=False)
    model.op("FULLY_CONNECTED", [mean, dense], [logits])
    model.inputs, model.outputs, model.token_limit = [ids], [logits], vocab
    return model.to_bytes()


def text_model(family: str = "portable", length: int = LENGTH) -> CompiledModel:
    """Return the image of a classifier with its tokenizer."""
    tokenizer = small_tokenizer()
    return compile_tflite(
        bag_of_tokens(tokenizer.vocab, length),
        name="commands",
        task="text classification",
        labels=LABELS,
        features=text_features(tokenizer),
        family=family,
    )
