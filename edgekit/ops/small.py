"""Packed convolutions and dense layers for small cores: ARMv6-M, Cortex-M3, rv32.

Weights of products become bytes w + 128, interleaved by 4 outputs: [groups, K, 4]. Those of
depthwise layers become [C, KH, KW]; there inputs are read as x + 128, and 128 * sum(w) is taken off
the bias here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node
from edgekit.ops import conv, dense
from edgekit.ops.base import (
    Builder,
    Kernel,
    Packing,
    attr_int,
    check_dense,
    require,
    window_lead,
)

GROUP = 4
PIXELS = 4
CHUNK = 32
BAND = 256

REACH = 2**29
"""Sums stay below, bias included: the assembly computes with what is left of 32 bits."""

TILE_BYTES = 4096
"""A tile of four expanded pixels may always have so many bytes, and more where others need them."""


def product_scratch(terms: int, *, tiled: bool, made: bool) -> int:
    """Return the scratch of a packed product.

    Args:
        made: True if a pixel does not lie in the input as such.

    Twin: firmware/kernels/ek_matmul_small.h, ek_matmul_small_scratch_bytes.
    """
    return 4 * PIXELS * (CHUNK + terms) if tiled else terms * made


def _interleaved(weights: NDArray[Any]) -> NDArray[np.int8]:
    """Turn int8 [M, K] into [groups, K, 4], each + 128, with zero weights behind the last."""
    outputs, terms = weights.shape
    groups = -(-outputs // GROUP)
    whole = np.zeros((groups * GROUP, terms), np.int8)
    whole[:outputs] = weights
    grouped = whole.reshape(groups, GROUP, terms).transpose(0, 2, 1)
    return np.ascontiguousarray(grouped ^ np.int8(-128))


def _straight(packed: NDArray[Any], outputs: int) -> NDArray[np.int8]:
    groups, terms, _ = packed.shape
    whole = (packed ^ np.int8(-128)).transpose(0, 2, 1).reshape(groups * GROUP, terms)
    return np.ascontiguousarray(whole[:outputs])


def _reach(requant: NDArray[Any], weights: NDArray[Any]) -> int:
    """Return the largest sum with bias. Args: weights: int8 [M, K]."""
    products = 128 * np.abs(weights.astype(np.int64)).sum(axis=1)
    return int((np.abs(requant[:, 0].astype(np.int64)) + products).max())


def _shifted(requant: NDArray[Any], weights: NDArray[Any], sign: int) -> NDArray[np.int32]:
    """Return requant with sign * 128 * sum(weights) added to its bias. Args: weights: [M, K]."""
    rows = requant.copy()
    bias = rows[:, 0] + sign * 128 * weights.astype(np.int64).sum(axis=1)
    rows[:, 0] = ((bias + 2**31) % 2**32 - 2**31).astype(np.int32)
    return rows


def _exact(requant: NDArray[Any], node: Node, reach: int) -> bool:
    """True if the kernels finish such sums exactly: no scale shifts left, no sum is too large."""
    scales = requant[:, 1:]
    if requant.shape[1] == 1:
        scales = np.array([[attr_int(node, "multiplier"), attr_int(node, "shift")]])
    return reach < REACH and bool(np.all((scales[:, 0] == 0) | (scales[:, 1] < 0)))


def _data(builder: Builder, node: Node, position: int) -> NDArray[Any]:
    data = builder.source.tensor(node.inputs[position]).data
    assert data is not None
    return data


def _bytes(graph: Graph, node: Node) -> int:
    tensors = [graph.tensor(index) for index in (*node.inputs, *node.outputs) if index >= 0]
    return sum(tensor.elements for tensor in tensors if tensor.data is None)


def _tiled(builder: Builder, node: Node, rows: int, terms: int) -> bool:
    """True if four pixels at a time pay, and cost no memory that the model does not need anyway."""
    graph = builder.source
    room = max(_bytes(graph, other) for other in graph.nodes) - _bytes(graph, node)
    return rows >= PIXELS and 4 * PIXELS * terms <= max(room, TILE_BYTES)


def _emit_product(
    builder: Builder, node: Node, weights: NDArray[Any], op: str, **attrs: int
) -> bool:
    requant = _data(builder, node, 2)
    if not _exact(requant, node, _reach(requant, weights)):
        return False
    y = builder.source.tensor(node.outputs[0])
    outputs, terms = weights.shape
    name = builder.source.tensor(node.inputs[1]).name
    inputs = (node.inputs[0], builder.constant(name, _interleaved(weights)), node.inputs[2])
    tiled = _tiled(builder, node, y.elements // outputs, terms)
    builder.emit(
        op,
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={**node.attrs, **attrs, "tiled": int(tiled)},
    )
    return True


def _pack_conv(builder: Builder, node: Node) -> bool:
    weights = _data(builder, node, 1)
    outputs, height, width, _ = weights.shape
    return _emit_product(
        builder,
        node,
        weights.reshape(outputs, -1),
        "conv_2d_small",
        kernel_h=height,
        kernel_w=width,
    )


def _pack_dense(builder: Builder, node: Node) -> bool:
    return _emit_product(builder, node, _data(builder, node, 1), "fully_connected_small")


def _unpack_product(
    builder: Builder, node: Node, op: str, weights: NDArray[Any], *attrs: str
) -> None:
    """Emit the kernel that was packed; attrs: those that it does not have."""
    name = builder.source.tensor(node.inputs[1]).name
    builder.emit(
        op,
        node,
        inputs=(node.inputs[0], builder.constant(name, weights), node.inputs[2]),
        outputs=node.outputs,
        attrs={name: value for name, value in node.attrs.items() if name not in attrs},
    )


def _unpack_conv(builder: Builder, node: Node) -> None:
    outputs = _data(builder, node, 2).shape[0]
    weights = _straight(_data(builder, node, 1), outputs)
    shape = (outputs, attr_int(node, "kernel_h"), attr_int(node, "kernel_w"), -1)
    _unpack_product(
        builder, node, "conv_2d", weights.reshape(shape), "kernel_h", "kernel_w", "tiled"
    )


def _unpack_dense(builder: Builder, node: Node) -> None:
    weights = _straight(_data(builder, node, 1), _data(builder, node, 2).shape[0])
    _unpack_product(builder, node, "fully_connected", weights, "tiled")


def _pack_depthwise(builder: Builder, node: Node) -> bool:
    x = builder.source.tensor(node.inputs[0])
    weights = _data(builder, node, 1)
    channels = weights.shape[3]
    if channels != x.shape[3]:
        return False
    requant = _data(builder, node, 2)
    packed = np.ascontiguousarray(weights[0].transpose(2, 0, 1))
    flat = packed.reshape(channels, -1)
    if not _exact(requant, node, _reach(requant, flat)):
        return False
    y = builder.source.tensor(node.outputs[0])
    if _plane_scratch(node, packed.shape, y.shape) > max(x.elements, TILE_BYTES):
        return False
    _emit_depthwise(builder, node, "depthwise_conv_2d_small", packed, _shifted(requant, flat, -1))
    return True


def _unpack_depthwise(builder: Builder, node: Node) -> None:
    packed = _data(builder, node, 1)
    rows = _shifted(_data(builder, node, 2), packed.reshape(packed.shape[0], -1), 1)
    weights = np.ascontiguousarray(packed.transpose(1, 2, 0))[None]
    _emit_depthwise(builder, node, "depthwise_conv_2d", weights, rows)


def _emit_depthwise(
    builder: Builder, node: Node, op: str, weights: NDArray[Any], rows: NDArray[np.int32]
) -> None:
    names = [builder.source.tensor(index).name for index in node.inputs]
    inputs = (
        node.inputs[0],
        builder.constant(names[1], weights),
        builder.constant(names[2], rows),
    )
    builder.emit(op, node, inputs=inputs, outputs=node.outputs, attrs=node.attrs)


def _plane_scratch(node: Node, w: tuple[int, ...], y: tuple[int, ...]) -> int:
    lines, line = (
        (y[1 + d] - 1) * attr_int(node, stride) + (w[1 + d] - 1) * attr_int(node, dilation) + 1
        for d, (stride, dilation) in enumerate(
            (("stride_h", "dilation_h"), ("stride_w", "dilation_w"))
        )
    )
    rows = min(max(1, BAND // y[2]), y[1])
    return 4 * w[1] * w[2] + 4 * rows * y[2] + lines * line


def _check_product(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, w, q = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    outputs = q.shape[0]
    require(q.dtype is DType.INT32 and len(q.shape) == 2, node, f"requant has shape {q.shape}")
    require(
        len(w.shape) == 3 and w.shape[0] == -(-outputs // GROUP) and w.shape[2] == GROUP,
        node,
        f"weights {w.shape} are not packed for {outputs} outputs",
    )
    if node.op == "fully_connected_small":
        require(
            x.elements % w.shape[1] == 0 and x.elements // w.shape[1] * outputs == y.elements,
            node,
            f"{x.shape} times {w.shape} is not {y.shape}",
        )
        return
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(y.shape[3] == outputs and x.shape[0] == y.shape[0], node, "output shape")
    terms = attr_int(node, "kernel_h") * attr_int(node, "kernel_w") * x.shape[3]
    require(w.shape[1] == terms, node, "input channels")


def _check_depthwise(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, w, q = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(len(w.shape) == 3 and w.shape[0] == x.shape[3], node, "input channels")
    require(y.shape[3] == x.shape[3] and x.shape[0] == y.shape[0], node, "output shape")
    require(q.shape == (x.shape[3], 3), node, f"requant has shape {q.shape}")


def _macs_product(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements * graph.tensor(node.inputs[1]).shape[1]


def _macs_depthwise(graph: Graph, node: Node) -> int:
    _, height, width = graph.tensor(node.inputs[1]).shape
    return graph.tensor(node.outputs[0]).elements * height * width


def _is_pointwise(graph: Graph, node: Node) -> bool:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    return (
        all(node.attrs[name] == 1 for name in ("kernel_h", "kernel_w", "stride_h", "stride_w"))
        and node.attrs["pad_top"] == node.attrs["pad_left"] == 0
        and x.shape[1:3] == y.shape[1:3]
    )


def _scratch_conv(graph: Graph, node: Node) -> int:
    terms = graph.tensor(node.inputs[1]).shape[1]
    return product_scratch(
        terms, tiled=bool(node.attrs["tiled"]), made=not _is_pointwise(graph, node)
    )


def _scratch_dense(graph: Graph, node: Node) -> int:
    terms = graph.tensor(node.inputs[1]).shape[1]
    return product_scratch(terms, tiled=bool(node.attrs["tiled"]), made=False)


def _scratch_depthwise(graph: Graph, node: Node) -> int:
    w, y = graph.tensor(node.inputs[1]), graph.tensor(node.outputs[0])
    return _plane_scratch(node, w.shape, y.shape)


def _lead_rows(graph: Graph, node: Node) -> int:
    """Of pixels that lie one behind the other: one is written while it is read.

    Twin: firmware/kernels/ek_matmul_small.h, ek_small_rows_lead.
    """
    terms = graph.tensor(node.inputs[1]).shape[1]
    outputs = graph.tensor(node.inputs[2]).shape[0]
    rows = graph.tensor(node.outputs[0]).elements // outputs
    return outputs + max(0, (rows - 1) * (outputs - terms))


def _lead_conv(graph: Graph, node: Node) -> int | None:
    return _lead_rows(graph, node) if _is_pointwise(graph, node) else window_lead(graph, node)


CONV_2D_SMALL = Kernel(
    "conv_2d_small",
    48,
    (*conv.PARAMS, "kernel_h", "kernel_w", "tiled"),
    _check_product,
    _macs_product,
    _scratch_conv,
    lead=_lead_conv,
    family="small",
    packs="conv_2d",
)
FULLY_CONNECTED_SMALL = Kernel(
    "fully_connected_small",
    49,
    (*dense.FULLY_CONNECTED.params, "tiled"),
    _check_product,
    _macs_product,
    _scratch_dense,
    lead=_lead_rows,
    family="small",
    packs="fully_connected",
)
DEPTHWISE_CONV_2D_SMALL = Kernel(
    "depthwise_conv_2d_small",
    50,
    conv.PARAMS,
    _check_depthwise,
    _macs_depthwise,
    _scratch_depthwise,
    in_place=True,
    family="small",
    packs="depthwise_conv_2d",
)

PACKINGS = (
    Packing(CONV_2D_SMALL, _pack_conv, _unpack_conv),
    Packing(FULLY_CONNECTED_SMALL, _pack_dense, _unpack_dense),
    Packing(DEPTHWISE_CONV_2D_SMALL, _pack_depthwise, _unpack_depthwise),
)
