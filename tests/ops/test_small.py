"""Kernels packed for small cores, as portable C: equal to what they are packed from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mve_cases import Case, dense, image_shape, inputs, joined, window
from node_images import overlapped, plan_of, written
from op_cases import CASES

from edgekit.errors import FormatError
from edgekit.export.compile import compile_tflite
from edgekit.formats.image_reader import read_image
from edgekit.graph import Attr, Graph
from edgekit.ops import kernel
from edgekit.passes.pack import pack, unpack
from edgekit.passes.plan import Plan, plan_memory
from edgekit.runtime import Runner

SEEDS = 150


def graph_of(seed: int) -> Graph:
    """Return a random node: a dense layer, a depthwise or another convolution."""
    rng = np.random.default_rng([seed, 48])
    if seed % 3 == 0:
        x: tuple[int, ...] = (int(rng.choice([1, 1, 2, 3, 9])), int(rng.integers(1, 70)))
        return joined(rng, x, [dense(rng, x)])
    x = image_shape(rng)
    return joined(rng, x, [window(rng, x, depthwise=seed % 3 == 1)])


def in_place(graph: Graph) -> Plan | None:
    """Return a plan whose output lies exactly on the input, if the kernel allows it."""
    node = graph.nodes[0]
    found = kernel(node.op)
    assert found is not None
    x, y = node.inputs[0], node.outputs[0]
    if not found.in_place or graph.tensors[x].nbytes != graph.tensors[y].nbytes:
        return None
    return plan_of(graph, {x: 0, y: 0})


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(SEEDS))
def test_packed_node_equals_what_it_is_packed_from(seed: int) -> None:
    graph = graph_of(seed)
    packed = pack(graph, "small")
    x = inputs(graph, seed)
    expected = Runner(written(graph, "portable")).run(x)
    for plan in (plan_memory(packed), overlapped(packed), in_place(packed)):
        if plan is not None:
            runner = Runner(written(packed, "small", plan), as_packed=True)
            assert np.array_equal(runner.run(x), expected)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_unpacking_gives_back_what_was_packed(seed: int) -> None:
    graph = graph_of(seed)
    found = unpack(pack(graph, "small"))
    a, b = found.nodes[0], graph.nodes[0]
    assert (a.op, dict(a.attrs)) == (b.op, dict(b.attrs))
    for left, right in zip(a.inputs, b.inputs, strict=True):
        one, two = found.tensors[left], graph.tensors[right]
        assert replace(one, data=None) == replace(two, data=None)
        assert np.array_equal(np.asarray(one.data), np.asarray(two.data))


@pytest.mark.cc
@pytest.mark.parametrize("tiled", [0, 1])
def test_tiles_and_columns_agree(tiled: int) -> None:
    """Which of the two is run is a choice about memory, not about the result."""
    products = 0
    for seed in range(SEEDS // 2):
        graph = graph_of(seed)
        packed = pack(graph, "small")
        node = packed.nodes[0]
        if "tiled" not in node.attrs:
            continue
        other = replace(packed, nodes=(replace(node, attrs={**node.attrs, "tiled": tiled}),))
        x = inputs(graph, seed)
        expected = Runner(written(graph, "portable")).run(x)
        runner = Runner(written(other, "small"), as_packed=True)
        assert np.array_equal(runner.run(x), expected)
        products += 1
    assert products > SEEDS / 6


@pytest.mark.cc
@pytest.mark.parametrize("op", ["conv_2d", "depthwise_conv_2d", "fully_connected"])
def test_packed_model_equals_the_portable_one(op: str) -> None:
    """These windows are dilated too, and of any size."""
    packed = 0
    for seed in range(SEEDS // 3):
        model = CASES[op](np.random.default_rng([seed, 49]))
        plain = compile_tflite(model.to_bytes(), name=op)
        small = compile_tflite(model.to_bytes(), name=op, family="small")
        x = inputs(read_image(plain.image).graph, seed)
        runner = Runner(small.image, as_packed=True)
        assert np.array_equal(runner.run(x), Runner(plain.image).run(x))
        packed += any(name.endswith("_small") for name in small.ops)
    assert packed > SEEDS / 6


@pytest.mark.cc
def test_most_nodes_are_packed_in_every_way() -> None:
    seen: dict[str, int] = {}
    placed = 0
    for seed in range(SEEDS):
        packed = pack(graph_of(seed), "small")
        node = packed.nodes[0]
        name = f"{node.op} {node.attrs.get('tiled', '')}"
        seen[name] = seen.get(name, 0) + 1
        placed += in_place(packed) is not None
    assert placed > SEEDS / 10
    for name in (
        "conv_2d_small 0",
        "conv_2d_small 1",
        "fully_connected_small 0",
        "fully_connected_small 1",
        "depthwise_conv_2d_small ",
    ):
        assert seen[name] >= 5, name


@pytest.mark.cc
def test_input_nearer_than_the_lead_is_refused() -> None:
    refused = 0
    for seed in range(SEEDS):
        graph = pack(graph_of(seed), "small")
        plan = overlapped(graph, nearer=16)
        if plan is None:
            continue
        with pytest.raises(FormatError, match="range"):
            Runner(written(graph, "small", plan), as_packed=True)
        refused += 1
    assert refused > SEEDS / 3


def test_what_is_not_exact_on_small_cores_stays_as_it_is() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (8, 3, 3, 4), np.int8)
    attrs: dict[str, Attr] = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    attrs |= {"pad_top": 1, "pad_left": 1, "y_min": -128, "y_max": 127, "rounding": 0}

    def packed(bias: int, multiplier: int, shift: int) -> bool:
        rows = np.tile(np.array([[bias, multiplier, shift]], np.int32), (8, 1))
        case = Case("conv_2d", (1, 5, 5, 8), 0, weights, rows, attrs)
        graph = joined(rng, (1, 5, 5, 4), [case])
        return pack(graph, "small").nodes[0].op == "conv_2d_small"

    assert packed(5, 2**30, -1)
    assert not packed(5, 2**30, 0)
    assert packed(5, 0, 0)
    assert packed(2**29 - 600_000, 2**30, -1)
    assert not packed(2**29 - 1, 2**30, -1)
    assert not packed(-(2**29) + 1, 2**30, -1)


def test_tile_takes_memory_only_where_it_is_free() -> None:
    """A small model with long windows must still fit the smallest boards."""
    rng = np.random.default_rng(1)
    attrs: dict[str, Attr] = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    attrs |= {"pad_top": 1, "pad_left": 1, "y_min": -128, "y_max": 127, "rounding": 0}

    def tiled(channels: int) -> object:
        weights = rng.integers(-127, 128, (8, 3, 3, channels), np.int8)
        rows = np.tile(np.array([[5, 2**30, -9]], np.int32), (8, 1))
        case = Case("conv_2d", (1, 5, 5, 8), 0, weights, rows, attrs)
        graph = joined(rng, (1, 5, 5, channels), [case])
        return pack(graph, "small").nodes[0].attrs["tiled"]

    assert tiled(16) == 1
    assert tiled(64) == 0
