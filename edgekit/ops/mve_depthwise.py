"""Packed form of DEPTHWISE_CONV_2D for cores with MVE (Helium): 3x3 taps as 4x4, columns first."""

from __future__ import annotations

from typing import Any

import numpy as np

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
from edgekit.ops.conv import DEPTHWISE_CONV_2D
from edgekit.ops.fixed import Rounding
from edgekit.ops.mve import (
    CHANNELS,
    REQUANT_BYTES,
    TERMS,
    pack_records,
    scales_exactly,
    unpack_records,
    zero_of,
)

TAPS, MAX_PAD = 3, 2
COLUMN_BYTES = 64
OUTSIDE_BYTES = 16

_PARAMS = ("stride_h", "stride_w", "pad_top", "pad_left", "y_min", "y_max")


def _pack(builder: Builder, node: Node) -> bool:
    x = builder.source.tensor(node.inputs[0])
    w, q = (builder.source.tensor(index) for index in node.inputs[1:])
    assert w.data is not None
    assert q.data is not None
    channels = w.shape[3]
    if w.shape[1:3] != (TAPS, TAPS) or x.shape[3] != channels or channels % CHANNELS:
        return False
    if any(node.attrs[key] != 1 for key in ("dilation_h", "dilation_w")):
        return False
    if max(attr_int(node, "pad_top"), attr_int(node, "pad_left")) > MAX_PAD:
        return False
    if node.attrs["rounding"] != Rounding.DOUBLE:
        return False
    if not scales_exactly(node, w.data.reshape(-1, channels).T, q.data, zero_of(builder, node)):
        return False
    taps = np.zeros((channels, 4, 4), np.int8)
    taps[:, :TAPS, :TAPS] = w.data[0].transpose(2, 1, 0)
    records = builder.constant(w.name, pack_records(taps.reshape(channels, TERMS), q.data))
    builder.emit(
        "depthwise_conv_2d_mve",
        node,
        inputs=(node.inputs[0], records),
        outputs=node.outputs,
        attrs={key: node.attrs[key] for key in _PARAMS},
    )
    return True


def _unpack(builder: Builder, node: Node) -> None:
    w = builder.source.tensor(node.inputs[1])
    assert w.data is not None
    channels = builder.source.tensor(node.inputs[0]).shape[3]
    flat, rows = unpack_records(w.data, channels, TERMS)
    taps = flat.reshape(channels, 4, 4)[:, :TAPS, :TAPS].transpose(2, 1, 0)
    attrs: dict[str, Any] = {key: node.attrs[key] for key in _PARAMS}
    attrs |= {"dilation_h": 1, "dilation_w": 1, "rounding": int(Rounding.DOUBLE)}
    constants = (
        builder.constant(w.name, np.ascontiguousarray(taps[None])),
        builder.constant(f"{w.name} requant", rows),
    )
    builder.emit(
        "depthwise_conv_2d",
        node,
        inputs=(node.inputs[0], *constants),
        outputs=node.outputs,
        attrs=attrs,
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, w = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(y.shape[3] == x.shape[3] and x.shape[0] == y.shape[0], node, "output shape")
    expected = (x.shape[3] // CHANNELS, CHANNELS * TERMS + REQUANT_BYTES)
    require(w.shape == expected and x.shape[3] % CHANNELS == 0, node, f"records {w.shape}")


def _scratch(graph: Graph, node: Node) -> int:
    width = graph.tensor(node.outputs[0]).shape[2]
    columns = (width - 1) * attr_int(node, "stride_w") + TAPS + 1
    return OUTSIDE_BYTES + COLUMN_BYTES * columns


DEPTHWISE_CONV_2D_MVE = Kernel(
    "depthwise_conv_2d_mve",
    42,
    _PARAMS,
    _check,
    lambda graph, node: graph.tensor(node.outputs[0]).elements * TAPS * TAPS,
    _scratch,
    lead=window_lead,
    family="mve",
    packs=DEPTHWISE_CONV_2D.name,
)

PACKING = Packing(DEPTHWISE_CONV_2D_MVE, _pack, _unpack)
