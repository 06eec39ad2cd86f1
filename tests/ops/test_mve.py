"""Kernels packed for MVE, as portable C: equal to what they are packed from, also overlapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mve_cases import Case, dense, image_shape, inputs, joined, window
from node_images import overlapped, written

from edgekit.errors import FormatError
from edgekit.graph import Attr, Graph
from edgekit.passes.pack import pack, unpack
from edgekit.runtime import Runner

SEEDS = 150


def graph_of(seed: int) -> Graph:
    """Return a graph of one node."""
    rng = np.random.default_rng([seed, 40])
    if seed % 3 == 0:
        x: tuple[int, ...] = (int(rng.choice([1, 1, 2, 3, 8])), int(rng.integers(1, 70)))
        return joined(rng, x, [dense(rng, x)])
    x = image_shape(rng)
    return joined(rng, x, [window(rng, x, depthwise=seed % 3 == 1)])


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(SEEDS))
def test_packed_node_equals_what_it_is_packed_from(seed: int) -> None:
    graph = graph_of(seed)
    packed = pack(graph, "mve")
    x = inputs(graph, seed)
    expected = Runner(written(graph, "portable")).run(x)
    plain = Runner(written(packed, "mve"), as_packed=True)
    assert np.array_equal(plain.run(x), expected)
    plan = overlapped(packed)
    if plan is not None:
        assert np.array_equal(Runner(written(packed, "mve", plan), as_packed=True).run(x), expected)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_unpacking_gives_back_what_was_packed(seed: int) -> None:
    graph = graph_of(seed)
    found = unpack(pack(graph, "mve"))
    a, b = found.nodes[0], graph.nodes[0]
    assert (a.op, dict(a.attrs)) == (b.op, dict(b.attrs))
    for left, right in zip(a.inputs, b.inputs, strict=True):
        one, two = found.tensors[left], graph.tensors[right]
        assert replace(one, data=None) == replace(two, data=None)
        assert np.array_equal(np.asarray(one.data), np.asarray(two.data))


@pytest.mark.cc
def test_most_nodes_are_packed_and_most_outputs_are_no_limit() -> None:
    packed: dict[str, int] = {}
    inner = total = 0
    for seed in range(SEEDS):
        graph = graph_of(seed)
        op = pack(graph, "mve").nodes[0].op
        packed[op] = packed.get(op, 0) + 1
        y = Runner(written(graph, "portable")).run(inputs(graph, seed))
        inner += int(np.count_nonzero(np.abs(y.astype(int) * 2 + 1) < 255))
        total += y.size
    assert inner > total / 4
    assert packed["conv_2d_mve"] > SEEDS / 4
    assert packed["fully_connected_mve"] > SEEDS / 4
    assert packed["depthwise_conv_2d_mve"] > SEEDS / 6


@pytest.mark.cc
def test_input_nearer_than_the_lead_is_refused() -> None:
    refused = 0
    for seed in range(SEEDS):
        graph = pack(graph_of(seed), "mve")
        plan = overlapped(graph, nearer=16)
        if plan is None:
            continue
        with pytest.raises(FormatError, match="range"):
            Runner(written(graph, "mve", plan), as_packed=True)
        refused += 1
    assert refused > SEEDS / 3


def test_what_vector_units_do_not_scale_exactly_stays_as_it_is() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (8, 3, 3, 4), np.int8)
    attrs: dict[str, Attr] = dict.fromkeys(
        ("stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top", "pad_left"), 1
    )
    attrs |= {"y_min": -128, "y_max": 127, "rounding": 0}

    def packed(shift: int, zero: int, **other: int) -> bool:
        rows = np.tile(np.array([[5, 2**30, shift]], np.int32), (8, 1))
        case = Case("conv_2d", (1, 5, 5, 8), zero, weights, rows, attrs | other)
        graph = joined(rng, (1, 5, 5, 4), [case])
        return pack(graph, "mve").nodes[0].op == "conv_2d_mve"

    assert packed(-8, 0)
    assert not packed(1, -128)
    assert packed(0, -128)
    assert not packed(0, 0)
    assert packed(0, 0, y_min=0)
    assert not packed(-8, 0, dilation_h=2)
