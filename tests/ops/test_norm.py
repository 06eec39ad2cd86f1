"""The kernel of our own normalization: C equals NumPy, and both are near the real thing."""

from __future__ import annotations

import numpy as np
import pytest
from fused_models import norm_graph

from edgekit.errors import UnsupportedError
from edgekit.formats.image_reader import read_image
from edgekit.graph import Graph
from edgekit.ops.norm import inverse_root, layer_norm, row_format
from edgekit.ops.real import real_of
from edgekit.passes.lower import lower
from edgekit.runtime import Runner
from tools.calibrate import image_of

COUNTS = (1, 2, 3, 4, 5, 7, 16, 33, 63, 64, 65, 128, 255, 1024)


def inputs(rng: np.random.Generator, graph: Graph) -> np.ndarray:
    """Rows of noise, of few values, of extremes, of one value."""
    x = rng.integers(-128, 128, (6, *graph.tensors[0].shape), np.int8)
    x[1] = rng.integers(-1, 2, x[1].shape)
    x[2].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[2].size)
    x[3] = rng.integers(-128, 128)
    x[4] = x[4] == 0
    x[5] = -128
    x[5].flat[0] = 127
    return x


def defined(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Run the definition with the parameters of a lowered graph."""
    (node,) = graph.nodes
    source, rows = (graph.tensor(index) for index in node.inputs)
    words = {name: value for name, value in node.attrs.items() if isinstance(value, int)}
    assert source.quant is not None
    assert rows.data is not None
    return layer_norm(
        x,
        rows.data,
        zero_point=source.quant.zero_point,
        centred=bool(words["centred"]),
        epsilon=(words["eps_high"] << 31) + words["eps_low"],
        fraction=words["fraction"],
        y_min=words["y_min"],
        y_max=words["y_max"],
    )


@pytest.mark.cc
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("count", COUNTS)
def test_c_equals_numpy(count: int, centred: bool) -> None:
    rng = np.random.default_rng([count, centred])
    done = 0
    for _ in range(12):
        graph = norm_graph(rng, centred=centred, count=count, rows=int(rng.integers(1, 5)))
        try:
            image = image_of(graph)
        except UnsupportedError:
            continue
        done += 1
        x = inputs(rng, graph)
        expected = defined(read_image(image).graph, x)
        assert np.array_equal(Runner(image).run(x).reshape(expected.shape), expected)
    assert done > 6


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("count", [2, 5, 64, 300, 2048])
def test_result_is_the_nearest_integer(count: int, centred: bool) -> None:
    """Against float64, rounded: equal but for what lies within a hair of a tie."""
    rng = np.random.default_rng([count, centred, 9])
    for _ in range(6):
        graph = norm_graph(rng, centred=centred, count=count, rows=8)
        source, gamma, beta, y = graph.tensors
        x = rng.integers(-128, 128, source.shape, np.int8)
        x[0, 1] = rng.integers(3, 5, count)
        try:
            got = defined(lower(graph), x)
        except UnsupportedError:
            continue
        real = real_of(source, x)
        moved = real - real.mean(-1, keepdims=True) if centred else real
        epsilon = graph.nodes[0].attrs["epsilon"]
        assert isinstance(epsilon, float)
        root = np.sqrt((moved**2).mean(-1, keepdims=True) + epsilon)
        assert gamma.data is not None
        assert beta.data is not None
        assert y.quant is not None
        normal = np.divide(moved, root, out=np.zeros_like(moved), where=root > 0)
        exact = (normal * gamma.data + beta.data) / y.quant.scale + y.quant.zero_point
        limited = np.clip(exact, -128, 127)
        assert np.abs(got - limited).max() <= 0.5 + NEAR_TIE


NEAR_TIE = 2e-3
"""In steps of the output: 24 bits of the root, and as many of gamma as its range leaves."""


def test_inverse_root_is_precise() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate(
        [np.arange(1, 5000), 2 ** rng.uniform(0, 62, 20000), [2**62 - 1, 2**56]]
    ).astype(np.uint64)
    root, pairs = inverse_root(values)
    m = values.astype(np.float64) * 4.0**pairs / 2.0**64
    assert m.min() >= 0.25
    assert m.max() < 1
    error = root / (2.0**31 / (2 * np.sqrt(m))) - 1
    assert np.abs(error).max() <= 2.0**-24


def test_row_format_leaves_room() -> None:
    """No number of a row leaves 31 bits, whatever its length."""
    for count in range(1, 65537):
        whole, room = row_format(count)
        assert room >= 0
        assert 255 * count << room < 2**31
        assert count < 4**whole
