"""Sentence models with random weights, made without the training framework."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgekit.models import make_config
from edgekit.models.embbert import EmbBertConfig
from edgekit.models.text_baselines import LexicalConfig
from edgekit.quantize.embbert import Traced, quantize_weights
from edgekit.quantize.lexical import quantize_lexical_weights

SMALL: dict[str, object] = {
    "vocab": 64,
    "length": 24,
    "hidden": 16,
    "reduced": 4,
    "layers": 2,
    "kernel": 8,
    "attention": True,
}
PAPER = {"residual": "none", "conv": "causal", "pooling": "cls", "final_norm": False}
KINDS: dict[str, dict[str, object]] = {
    "attention": {},
    # A width that is no power of two: kernels once refused such.
    "paper": {**PAPER, "hidden": 24},
    "no attention": {"attention": False, "layers": 1, "expansion": 2, "kernel": 5},
    "no block": {"layers": 0, "pooling": "max"},
    "mean": {"layers": 1, "residual": "none", "pooling": "mean"},
}


def random_weights(config: EmbBertConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Make the weights of a model by the names that Keras gives them."""
    rng = np.random.default_rng(seed)
    d, r, wide = config.hidden, config.reduced, config.hidden * config.expansion

    def normal(*shape: int, deviation: float = 1.0) -> np.ndarray:
        return rng.normal(0, deviation, shape).astype(np.float32)

    found = {
        "embed/tokens_table": normal(config.vocab, r, deviation=0.3),
        "embed/token_projection": normal(r, d, deviation=r**-0.5),
        "embed/positions_table": normal(config.length, r, deviation=0.05),
        "embed/position_projection": normal(r, d, deviation=r**-0.5),
        "embed/segments_table": normal(3, d, deviation=0.05),
        "tokens/gamma": 1 + normal(d, deviation=0.1),
        "head/kernel": normal(config.pooled, config.classes, deviation=0.1),
        "head/bias": normal(config.classes, deviation=0.1),
    }
    for i in range(config.layers):
        own = {
            "gamma": 1 + normal(d, deviation=0.1),
            "query": normal(d, d, deviation=d**-0.5),
            "query_bias": normal(d, deviation=0.1),
            "output": normal(d, d, deviation=d**-0.5),
            "output_bias": normal(d, deviation=0.1),
            "conv": normal(config.kernel, d, config.expansion, deviation=config.kernel**-0.5),
            "conv_bias": normal(wide, deviation=0.1),
            "mix": normal(wide, d, deviation=wide**-0.5),
            "mix_bias": normal(d, deviation=0.1),
        }
        for branch in ("output", "mix"):
            own |= {f"{branch}_lambda_{part}": normal(d, deviation=0.1) for part in "qk"}
        found |= {f"block{i}/{name}": value for name, value in own.items()}
    return found


def random_sentences(config: EmbBertConfig, count: int, longest: int, seed: int = 1) -> np.ndarray:
    """Make ids [count, longest], each row of another length, some with two texts."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((count, longest), np.int32)
    for number, row in enumerate(ids):
        tokens = longest if number == 0 else int(rng.integers(1, longest + 1))
        row[:tokens] = rng.integers(5, config.vocab, tokens)
        row[0] = 2
        if tokens > 10:
            row[7] = 4
    return ids


@cache
def small_text(kind: str) -> tuple[EmbBertConfig, Traced, np.ndarray]:
    """Make a small model of a kind and sentences for it."""
    config = make_config("embbert", {**SMALL, **KINDS[kind]})
    ids = random_sentences(config, 24, 24)
    return config, quantize_weights(random_weights(config), config, ids), ids


@cache
def small_lexical(length: int = 24) -> tuple[Traced, np.ndarray]:
    """Make a small lexical model and sentences for it, the first as long as the input."""
    config = LexicalConfig(vocab=64, length=length, pairs=96, reduced=4, hidden=16, classes=5)
    rng = np.random.default_rng(2)
    shapes = {
        "embed/tokens_table": (64, 4),
        "embed/pairs_table": (96, 4),
        "hidden/kernel": (8, 16),
        "hidden/bias": (16,),
        "pooled/kernel": (16, 16),
        "pooled/bias": (16,),
        "head/kernel": (16, 5),
        "head/bias": (5,),
    }
    weights = {name: rng.normal(0, 0.3, s).astype(np.float32) for name, s in shapes.items()}
    ids = random_sentences(make_config("embbert", SMALL), 24, length)
    return quantize_lexical_weights(weights, config, ids), ids
