"""Packed forms of dense kernels for cores with MVE (Helium): four output channels at a time.

A record holds four output channels: for every 16 terms 16 bytes of each channel, then int32 biases,
multipliers and shifts of the four. Terms are padded with zero weights to a multiple of 16, channels
to a multiple of 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    Packing,
    attr_int,
    check_dense,
    require,
    window_lead,
)
from edgekit.ops.conv import CONV_2D, MAX_TERMS
from edgekit.ops.dense import FULLY_CONNECTED
from edgekit.ops.fixed import Rounding

TERMS = 16
CHANNELS = 4
REQUANT_BYTES = 48
BATCH_BYTES, BATCH_MAX = 1024, 16
"""Bytes and number of the pixels that a convolution gathers at a time.
Twin: firmware/kernels/ek_conv_2d_mve_s8.c"""


def steps_of(terms: int) -> int:
    """Return how many times 16 terms are multiplied."""
    return -(-terms // TERMS)


def pack_records(weights: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.int8]:
    """Lay out int8 weights [N, K] and int32 [N, 3] bias, multiplier, shift as records.

    Returns:
        int8 [ceil(N / 4), 4 * K + 48], K rounded up to 16.

    Twin: firmware/kernels/ek_tile_mve.h
    """
    outputs, terms = weights.shape
    quads, steps = -(-outputs // CHANNELS), steps_of(terms)
    whole = np.zeros((quads * CHANNELS, steps * TERMS), np.int8)
    whole[:outputs, :terms] = weights
    requant = np.zeros((quads * CHANNELS, 3), "<i4")
    requant[:outputs] = rows
    blocks = whole.reshape(quads, CHANNELS, steps, TERMS).transpose(0, 2, 1, 3)
    tails = np.ascontiguousarray(requant.reshape(quads, CHANNELS, 3).transpose(0, 2, 1))
    parts = (blocks.reshape(quads, -1), tails.view(np.int8).reshape(quads, REQUANT_BYTES))
    return np.concatenate(parts, axis=1)


def unpack_records(
    records: NDArray[Any], outputs: int, terms: int
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return what `pack_records` laid out."""
    quads, steps = len(records), steps_of(terms)
    blocks = records[:, :-REQUANT_BYTES].reshape(quads, steps, CHANNELS, TERMS)
    whole = blocks.transpose(0, 2, 1, 3).reshape(quads * CHANNELS, steps * TERMS)
    tails = np.ascontiguousarray(records[:, -REQUANT_BYTES:]).view("<i4")
    rows = tails.reshape(quads, 3, CHANNELS).transpose(0, 2, 1).reshape(quads * CHANNELS, 3)
    return (
        np.ascontiguousarray(whole[:outputs, :terms]),
        np.ascontiguousarray(rows[:outputs]).astype(np.int32),
    )


def scales_exactly(node: Node, weights: NDArray[Any], rows: NDArray[Any], zero: int) -> bool:
    """Return whether the vector units' requantisation equals the reference for all inputs.

    They shift to the right only. Without a shift, rounding away from zero and rounding once are not
    exact, and the zero point must be added without overflow.

    Args:
        weights: int8 [N, K].
        rows: int32 [N, 3].
        zero: Zero point of the output.

    Twin: firmware/kernels/ek_tile_mve.h, ek_mve_double and its neighbours.
    """
    used = rows[:, 1] != 0
    if (rows[:, 2] > 0).any():
        return False
    unshifted = used & (rows[:, 2] == 0)
    if not unshifted.any():
        return True
    clamped = node.op != "fully_connected" and attr_int(node, "y_min") >= zero
    if node.attrs["rounding"] != Rounding.DOUBLE or not clamped:
        return False
    reach = np.abs(rows[:, 0].astype(np.int64))
    reach += 128 * np.abs(weights.astype(np.int64)).sum(axis=1)
    return bool((reach[unshifted] < 2**30).all())


def pointwise_need(pixels: int, terms: int, outputs: int) -> tuple[int, int]:
    """Return scratch and lead of products of pixels that lie one behind the other.

    Twin: firmware/kernels/ek_layer_mve.c, ek_pointwise_mve_need.
    """
    scratch = min(pixels, 2) * TERMS * steps_of(terms) if terms % TERMS else 0
    begins = [b for b in (0, pixels // 2 * 2 - 2, pixels - 1) if b >= 0 and b % 2 == 0]
    return scratch, max(0, *(min(b + 2, pixels) * outputs - b * terms for b in begins))


def _constants(builder: Builder, node: Node) -> tuple[str, NDArray[Any], NDArray[Any]]:
    w, q = (builder.source.tensor(index) for index in node.inputs[1:])
    assert w.data is not None
    assert q.data is not None
    return w.name, w.data, q.data


def _emit(
    builder: Builder, node: Node, op: str, constants: Sequence[int], attrs: dict[str, Any]
) -> None:
    builder.emit(op, node, inputs=(node.inputs[0], *constants), outputs=node.outputs, attrs=attrs)


_SHARED = ("stride_h", "stride_w", "pad_top", "pad_left", "y_min", "y_max", "rounding")


def _pack_conv(builder: Builder, node: Node) -> bool:
    name, weights, rows = _constants(builder, node)
    flat = weights.reshape(len(weights), -1)
    zero = zero_of(builder, node)
    if node.attrs["dilation_h"] != 1 or node.attrs["dilation_w"] != 1:
        return False
    if max(weights.shape[1:3]) > 4096 or not scales_exactly(node, flat, rows, zero):
        return False
    attrs: dict[str, Any] = {key: node.attrs[key] for key in _SHARED}
    attrs |= {"kernel_h": weights.shape[1], "kernel_w": weights.shape[2]}
    records = builder.constant(name, pack_records(flat, rows))
    _emit(builder, node, "conv_2d_mve", (records,), attrs)
    return True


def _unpack_conv(builder: Builder, node: Node) -> None:
    w = builder.source.tensor(node.inputs[1])
    assert w.data is not None
    channels = builder.source.tensor(node.inputs[0]).shape[3]
    outputs = builder.source.tensor(node.outputs[0]).shape[3]
    shape = (outputs, attr_int(node, "kernel_h"), attr_int(node, "kernel_w"), channels)
    flat, rows = unpack_records(w.data, outputs, math.prod(shape[1:]))
    attrs: dict[str, Any] = {key: node.attrs[key] for key in _SHARED}
    attrs |= {"dilation_h": 1, "dilation_w": 1}
    constants = (
        builder.constant(w.name, flat.reshape(shape)),
        builder.constant(f"{w.name} requant", rows),
    )
    _emit(builder, node, "conv_2d", constants, attrs)


def _pack_dense(builder: Builder, node: Node) -> bool:
    name, weights, requant = _constants(builder, node)
    rows = requant
    if requant.shape[1] == 1:
        rows = np.empty((len(requant), 3), np.int32)
        rows[:, :1] = requant
        rows[:, 1:] = (attr_int(node, "multiplier"), attr_int(node, "shift"))
    if not scales_exactly(node, weights, rows, zero_of(builder, node)):
        return False
    attrs = dict(node.attrs) | {"terms": weights.shape[1], "columns": requant.shape[1]}
    records = builder.constant(name, pack_records(weights, rows))
    _emit(builder, node, "fully_connected_mve", (records,), attrs)
    return True


def _unpack_dense(builder: Builder, node: Node) -> None:
    w = builder.source.tensor(node.inputs[1])
    assert w.data is not None
    weights, rows = unpack_records(w.data, _outputs(builder.source, node), attr_int(node, "terms"))
    requant = np.ascontiguousarray(rows[:, : attr_int(node, "columns")])
    kept = FULLY_CONNECTED.params
    attrs = {key: node.attrs[key] for key in kept if isinstance(key, str)}
    constants = (
        builder.constant(w.name, weights),
        builder.constant(f"{w.name} requant", requant),
    )
    _emit(builder, node, "fully_connected", constants, attrs)


def zero_of(builder: Builder, node: Node) -> int:
    """Return the zero point of a node's output."""
    quant = builder.source.tensor(node.outputs[0]).quant
    return 0 if quant is None else quant.zero_point


def _terms_of_window(graph: Graph, node: Node) -> int:
    taps = attr_int(node, "kernel_h") * attr_int(node, "kernel_w")
    return taps * graph.tensor(node.inputs[0]).shape[3]


def _check_records(graph: Graph, node: Node, outputs: int, terms: int) -> None:
    w = graph.tensor(node.inputs[1])
    expected = (-(-outputs // CHANNELS), CHANNELS * TERMS * steps_of(terms) + REQUANT_BYTES)
    require(w.shape == expected, node, f"records have shape {w.shape}, expected {expected}")
    require(terms <= MAX_TERMS, node, f"{terms} terms")


def _check_conv(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(x.shape[0] == y.shape[0], node, "output shape")
    _check_records(graph, node, y.shape[3], _terms_of_window(graph, node))


def _outputs(graph: Graph, node: Node) -> int:
    rows = graph.tensor(node.inputs[0]).elements // attr_int(node, "terms")
    return graph.tensor(node.outputs[0]).elements // rows


def _check_dense(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    terms = attr_int(node, "terms")
    require(terms > 0 and x.elements % terms == 0, node, f"{x.shape} is not rows of {terms}")
    require(y.elements % (x.elements // terms) == 0, node, f"{x.shape} does not give {y.shape}")
    _check_records(graph, node, _outputs(graph, node), terms)


def _is_pointwise(graph: Graph, node: Node) -> bool:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    return (
        all(node.attrs[key] == 1 for key in ("stride_h", "stride_w", "kernel_h", "kernel_w"))
        and all(node.attrs[key] == 0 for key in ("pad_top", "pad_left"))
        and x.shape[1:3] == y.shape[1:3]
    )


def _need_conv(graph: Graph, node: Node) -> tuple[int, int | None]:
    terms = _terms_of_window(graph, node)
    if _is_pointwise(graph, node):
        y = graph.tensor(node.outputs[0])
        return pointwise_need(y.elements // y.shape[3], terms, y.shape[3])
    row = TERMS * steps_of(terms)
    batch = min(max(BATCH_BYTES // row // 2 * 2, 2), BATCH_MAX)
    return batch * row, window_lead(graph, node)


def _need_dense(graph: Graph, node: Node) -> tuple[int, int]:
    terms = attr_int(node, "terms")
    rows = graph.tensor(node.inputs[0]).elements // terms
    return pointwise_need(rows, terms, _outputs(graph, node))


CONV_2D_MVE = Kernel(
    "conv_2d_mve",
    40,
    (
        "stride_h",
        "stride_w",
        "kernel_h",
        "kernel_w",
        "pad_top",
        "pad_left",
        "y_min",
        "y_max",
        "rounding",
    ),
    _check_conv,
    lambda graph, node: graph.tensor(node.outputs[0]).elements * _terms_of_window(graph, node),
    lambda graph, node: _need_conv(graph, node)[0],
    lead=lambda graph, node: _need_conv(graph, node)[1],
    family="mve",
    packs=CONV_2D.name,
)
FULLY_CONNECTED_MVE = Kernel(
    "fully_connected_mve",
    41,
    ("terms", "y_min", "y_max", "rounding", "multiplier", "shift", "columns"),
    _check_dense,
    lambda graph, node: graph.tensor(node.outputs[0]).elements * attr_int(node, "terms"),
    lambda graph, node: _need_dense(graph, node)[0],
    lead=lambda graph, node: _need_dense(graph, node)[1],
    family="mve",
    packs=FULLY_CONNECTED.name,
)

PACKINGS = (
    Packing(CONV_2D_MVE, _pack_conv, _unpack_conv),
    Packing(FULLY_CONNECTED_MVE, _pack_dense, _unpack_dense),
)
