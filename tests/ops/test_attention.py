"""The kernel of our own attention: C equals NumPy, and both are near the real thing."""

from __future__ import annotations

import numpy as np
import pytest
from fused_models import attention_graph

from edgekit.errors import UnsupportedError
from edgekit.formats.image_reader import read_image
from edgekit.graph import Graph
from edgekit.ops.attention import (
    MAX_WEIGHTS,
    Scales,
    attention,
    exp_table,
    reciprocal,
    score_left,
    view,
)
from edgekit.ops.real import real_of
from edgekit.passes.lower import lower
from edgekit.runtime import Runner
from tools.calibrate import image_of


def defined(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Run the definition with the numbers of a lowered graph."""
    (node,) = graph.nodes
    tensors = [graph.tensor(index) for index in (*node.inputs, *node.outputs)]
    number = {name: value for name, value in node.attrs.items() if isinstance(value, int)}
    bias = None if len(node.inputs) < 5 else view(tensors[4].data, node, "bias", number["keys"])
    result = attention(
        view(x, node, "q", number["depth"]),
        view(tensors[1].data, node, "k", number["depth"]),
        view(tensors[2].data, node, "v", number["width"]),
        bias,
        tensors[3].data,
        Scales(
            number["score_left"],
            number["score_multiplier"],
            number["fraction"],
            number["bias_multiplier"],
            number["y_multiplier"],
            number["y_shift"],
        ),
        zeros=tuple(tensors[i].quant.zero_point for i in (0, 2, -1)),
    )
    y = np.empty(tensors[-1].elements, np.int8)
    places = view(np.arange(y.size), node, "y", number["width"])
    y[places] = result
    return y


@pytest.mark.cc
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (3, 5, 2), (4, 16, 16), (9, 7, 33), (6, 300, 5), (2, 3, 1000)]
)
def test_c_equals_numpy(sizes: tuple[int, int, int], biased: bool) -> None:
    rows, keys, depth = sizes
    rng = np.random.default_rng([*sizes, biased])
    done = 0
    for _ in range(14):
        graph = attention_graph(rng, rows=rows, keys=keys, depth=depth, biased=biased)
        try:
            image = image_of(graph)
        except UnsupportedError:
            continue
        done += 1
        x = rng.integers(-128, 128, (4, *graph.tensors[0].shape), np.int8)
        x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
        x[2] = 0
        runner = Runner(image)
        lowered = read_image(image).graph
        for row in x:
            assert np.array_equal(runner.run(row[None]).reshape(-1), defined(lowered, row))
    assert done > 6


def test_result_is_near_the_real_one() -> None:
    """Weights of 15 bits: an error of less than half a step beyond rounding."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        graph = attention_graph(rng, rows=5, keys=40, depth=12, biased=bool(rng.random() < 0.5))
        try:
            lowered = lower(graph)
        except UnsupportedError:
            continue
        node, tensors = graph.nodes[0], graph.tensors
        if node.attrs["bias"] == 1e9:
            continue
        x = rng.integers(-128, 128, tensors[0].shape, np.int8)
        q = view(real_of(tensors[0], x), node, "q", 12)
        k = view(real_of(tensors[1], tensors[1].data), node, "k", 12)
        v = view(real_of(tensors[2], tensors[2].data), node, "v", tensors[2].shape[1])
        scores = node.attrs["score"] * q @ k.swapaxes(1, 2)
        if node.inputs[3] >= 0:
            scores = scores + node.attrs["bias"] * real_of(tensors[4], tensors[4].data)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        exact = weights / weights.sum(axis=2, keepdims=True) @ v
        got = view(defined(lowered, x), node, "y", tensors[2].shape[1])
        quant = tensors[3].quant
        wanted = np.clip(exact / quant.scale + quant.zero_point, -128, 127)
        assert np.abs(got - wanted).max() <= 0.5 + NEAR_TIE


NEAR_TIE = 0.35
"""In steps of the output: a weight is right to 1 / 700 of itself, a value has up to 255 steps."""


def test_reciprocal_is_precise() -> None:
    totals = np.concatenate([np.arange(1024, 9000), [2**23, 2**23 - 1, 2**22 + 1, 2**16 - 1]])
    inverse, left = reciprocal(totals)
    exact = 2.0**62 / (totals * 2.0**left)
    assert np.abs(inverse / exact - 1).max() < 2.0**-28


def test_weights_fit_their_sum() -> None:
    for keys in (1, 2, 255, 256, 257, 1024, 8192):
        table = exp_table(keys)
        assert (int(table.max()) + 1) // 2 * keys <= MAX_WEIGHTS
        assert 2**11 <= table[0] <= 65534


def test_scores_fit_31_bits() -> None:
    for depth in (1, 2, 3, 16, 64, 1000, 32767):
        left = score_left(depth)
        assert depth * 255 * 128 << left < 2**31
