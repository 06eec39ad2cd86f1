"""Kernels packed for MVE, as portable C: equal to what they are packed from, also overlapped."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.errors import FormatError
from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops import kernel, ordered
from edgekit.ops.conv import padding
from edgekit.passes.pack import pack, unpack
from edgekit.passes.plan import Plan, plan_memory
from edgekit.runtime import Runner

SEEDS = 150


def requant(rng: np.random.Generator, outputs: int, terms: int) -> npt.NDArray[np.int32]:
    """Return biases, multipliers and shifts such that about half of the outputs do not saturate."""
    rows = np.empty((outputs, 3), np.int64)
    rows[:, 0] = rng.integers(-2000, 2001, outputs) * int(np.sqrt(terms) + 1)
    rows[:, 1] = rng.choice([2**30, 2**31 - 1, int(rng.integers(2**30, 2**31)), 0], outputs)
    rows[:, 2] = -int(np.log2(terms + 1) / 2) - 6 + rng.integers(-3, 2, outputs)
    if rng.random() < 0.2:
        rows[int(rng.integers(outputs)), 0] = rng.choice([2**31 - 1, -(2**31), 2**30])
        rows[int(rng.integers(outputs)), 2] = rng.choice([-31, -1])
    return rows.astype(np.int32)


def single(
    op: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    constants: tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]],
    zeros: tuple[int, int],
    attrs: dict[str, Attr],
) -> Graph:
    """Return a graph of one node."""
    x, y = (
        Tensor(name, shape, DType.INT8, Quant((0.1,), (zero,)))
        for name, shape, zero in zip("xy", shapes, zeros, strict=True)
    )
    w, q = constants
    tensors = (
        x,
        Tensor("w", w.shape, DType.INT8, None, w),
        Tensor("w requant", q.shape, DType.INT32, None, q),
        y,
    )
    return Graph("single", tensors, (Node("node", op, (0, 1, 2), (3,), attrs),), (0,), (3,))


def ends(rng: np.random.Generator) -> tuple[int, dict[str, Attr]]:
    """Return an output's zero point, and its limits."""
    zero = int(rng.choice([-128, -128, 127, 0, 17]))
    low, high = (-128, 127) if rng.random() < 0.7 else sorted(rng.integers(-128, 128, 2).tolist())
    if rng.random() < 0.3:
        low, high = zero, 127
    return zero, {"y_min": low, "y_max": high}


def window(rng: np.random.Generator, depthwise: bool) -> Graph:
    """Return a random convolution."""
    kernel_size = [(1, 1), (3, 3), tuple(int(v) for v in rng.integers(1, 6, 2))]
    if depthwise:
        kernel_size = [(3, 3)]
    kh, kw = kernel_size[int(rng.integers(len(kernel_size)))]
    h, w = (int(v) for v in rng.integers(1, 12, 2))
    c = int(rng.choice([1, 3, 4, 8, 16, 20, 32, 40]))
    sh, sw = (int(v) for v in rng.integers(1, 4, 2)) if rng.random() < 0.4 else (1, 1)
    mode = str(rng.choice(["SAME", "SAME", "VALID"]))
    if mode == "VALID" and (kh > h or kw > w):
        mode = "SAME"
    oh, top = padding(mode, h, kh, sh, 1)
    ow, left = padding(mode, w, kw, sw, 1)
    m = c if depthwise else int(rng.choice([1, 3, 4, 8, 10, 16, 24]))
    n = int(rng.choice([1, 1, 1, 2]))
    zero, attrs = ends(rng)
    attrs |= {"stride_h": sh, "stride_w": sw, "dilation_h": 1, "dilation_w": 1, "rounding": 0}
    attrs |= {"pad_top": top, "pad_left": left}
    shape = (1, kh, kw, m) if depthwise else (m, kh, kw, c)
    terms = prod(shape) // m
    constants = (rng.integers(-127, 128, shape, np.int8), requant(rng, m, terms))
    zeros = (int(rng.choice([-128, 127, 0, 5])), zero)
    op = "depthwise_conv_2d" if depthwise else "conv_2d"
    return single(op, ((n, h, w, c), (n, oh, ow, m)), constants, zeros, attrs)


def dense(rng: np.random.Generator) -> Graph:
    """Return a random dense layer."""
    rows, terms, outputs = (
        int(rng.choice([1, 1, 2, 3, 8])),
        *(int(v) for v in rng.integers(1, 70, 2)),
    )
    zero, attrs = ends(rng)
    q = requant(rng, outputs, terms)
    attrs |= {"rounding": int(rng.integers(2)), "multiplier": 0, "shift": 0}
    if rng.random() < 0.6:
        attrs |= {"multiplier": int(q[0, 1]), "shift": int(q[0, 2])}
        q = np.ascontiguousarray(q[:, :1])
    constants = (rng.integers(-127, 128, (outputs, terms), np.int8), q)
    shapes = ((rows, terms), (rows, outputs))
    return single("fully_connected", shapes, constants, (int(rng.integers(-128, 128)), zero), attrs)


def graph_of(seed: int) -> Graph:
    rng = np.random.default_rng([seed, 40])
    return dense(rng) if seed % 3 == 0 else window(rng, seed % 3 == 1)


def image_of(graph: Graph, plan: Plan) -> bytes:
    names = ordered({node.op for node in graph.nodes})
    meta = ImageMeta("single", "1", "", (), "", "", "mve", names, False)
    return write_image(meta=meta, graph=graph, plan=plan, features=Features(), head=None, golden=())


def overlapped(graph: Graph, *, nearer: int = 0) -> Plan | None:
    """Return a plan whose output begins no more than the lead before the input."""
    node = graph.nodes[0]
    found = kernel(node.op)
    assert found is not None
    lead = found.lead(graph, node)
    if lead is None:
        return None
    at = -(-lead // 16) * 16 - nearer
    x, y = node.inputs[0], node.outputs[0]
    end = max(at + graph.tensors[x].nbytes, graph.tensors[y].nbytes)
    end = -(-end // 16) * 16
    scratch = found.scratch(graph, node)
    offsets = [-1] * len(graph.tensors)
    offsets[x], offsets[y] = at, 0
    arena = end + -(-scratch // 16) * 16
    return Plan(arena, tuple(offsets), (end,), (arena,))


def inputs(graph: Graph, seed: int) -> npt.NDArray[np.int8]:
    rng = np.random.default_rng([seed, 41])
    x = rng.integers(-128, 128, (4, *graph.tensors[graph.inputs[0]].shape), np.int8)
    x[1] = rng.choice(np.array([-128, 127], np.int8), x[1].shape)
    x[2], x[3] = -128, 127
    return x


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(SEEDS))
def test_packed_node_equals_what_it_is_packed_from(seed: int) -> None:
    graph = graph_of(seed)
    packed = pack(graph, "mve")
    x = inputs(graph, seed)
    expected = Runner(image_of(graph, plan_memory(graph))).run(x)
    plain = Runner(image_of(packed, plan_memory(packed)), as_packed=True)
    assert np.array_equal(plain.run(x), expected)
    plan = overlapped(packed)
    if plan is not None:
        assert np.array_equal(Runner(image_of(packed, plan), as_packed=True).run(x), expected)
    assert pack_differences(unpack(packed), graph) == []


def pack_differences(found: Graph, expected: Graph) -> list[str]:
    """Return what packing and unpacking changed."""
    a, b = found.nodes[0], expected.nodes[0]
    names = [] if (a.op, dict(a.attrs)) == (b.op, dict(b.attrs)) else ["node"]
    for left, right in zip(a.inputs, b.inputs, strict=True):
        one, two = found.tensors[left], expected.tensors[right]
        if replace(one, data=None) != replace(two, data=None) or not np.array_equal(
            np.asarray(one.data), np.asarray(two.data)
        ):
            names.append(two.name)
    return names


def test_most_nodes_are_packed_and_most_outputs_are_no_limit() -> None:
    packed: dict[str, int] = {}
    inner = total = 0
    for seed in range(SEEDS):
        graph = graph_of(seed)
        op = pack(graph, "mve").nodes[0].op
        packed[op] = packed.get(op, 0) + 1
        y = Runner(image_of(graph, plan_memory(graph))).run(inputs(graph, seed))
        inner += int(np.count_nonzero(np.abs(y.astype(int) * 2 + 1) < 255))
        total += y.size
    assert inner > total / 4
    assert packed["conv_2d_mve"] > SEEDS / 4
    assert packed["fully_connected_mve"] > SEEDS / 4


@pytest.mark.cc
def test_input_nearer_than_the_lead_is_refused() -> None:
    refused = 0
    for seed in range(SEEDS):
        graph = pack(graph_of(seed), "mve")
        plan = overlapped(graph, nearer=16)
        lead_matters = plan is not None and plan.offsets[graph.inputs[0]] >= 0
        if plan is None or not lead_matters:
            continue
        with pytest.raises(FormatError, match="range"):
            Runner(image_of(graph, plan), as_packed=True)
        refused += 1
    assert refused > SEEDS / 3


def test_what_vector_units_do_not_scale_exactly_stays_as_it_is() -> None:
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (8, 3, 3, 4), np.int8)
    attrs: dict[str, Attr] = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    attrs |= {"pad_top": 1, "pad_left": 1, "y_min": -128, "y_max": 127, "rounding": 0}

    def packed(shift: int, zero: int, **other: int) -> bool:
        rows = np.tile(np.array([[5, 2**30, shift]], np.int32), (8, 1))
        shapes = ((1, 5, 5, 4), (1, 5, 5, 8))
        graph = single("conv_2d", shapes, (weights, rows), (0, zero), attrs | other)
        return pack(graph, "mve").nodes[0].op == "conv_2d_mve"

    assert packed(-8, 0)
    assert not packed(1, -128)
    assert packed(0, -128)
    assert not packed(0, 0)
    assert packed(0, 0, y_min=0)
    assert not packed(-8, 0, dilation_h=2)
