"""Products of int16 activations: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, BATCH_MATMUL."""

from __future__ import annotations

import math

import numpy as np

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    constant_of,
    expect_shape,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.conv import MAX_TERMS, padding, weight_scales
from edgekit.ops.wide_base import (
    check_wide,
    int16_range,
    int16_scale,
    wide_multiplier,
    wide_rows,
)

CONV_PARAMS = (
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
    "pad_top",
    "pad_left",
    "y_min",
    "y_max",
)


def _lower_conv(builder: Builder, node: Node, kernel: str) -> None:
    x, w, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    depthwise = kernel == "depthwise_conv_2d_s16"
    axis = 3 if depthwise else 0
    if len(x.shape) != 4 or len(w.shape) != 4:
        raise FormatError(f"{where(node)}: input or weights have not 4 dimensions")
    channels = w.shape[axis]
    fits = w.shape[0] == 1 and channels % x.shape[3] == 0 if depthwise else w.shape[3] == x.shape[3]
    if not fits:
        raise FormatError(
            f"{where(node)}: weight {list(w.shape)} does not fit input {list(x.shape)}"
        )
    if math.prod(w.shape) // channels > MAX_TERMS:
        raise unsupported(node, f"a window of {math.prod(w.shape) // channels} terms is too large")
    mode = str(node.attrs["padding"])
    stride = (attr_int(node, "stride_h"), attr_int(node, "stride_w"))
    dilation = (attr_int(node, "dilation_h"), attr_int(node, "dilation_w"))
    if not all(1 <= value <= 4096 for value in (*stride, *dilation)):
        raise FormatError(f"{where(node)}: stride {stride} or dilation {dilation} is out of range")
    height, top = padding(mode, x.shape[1], w.shape[1], stride[0], dilation[0])
    width, left = padding(mode, x.shape[2], w.shape[2], stride[1], dilation[1])
    expect_shape(node, y, (x.shape[0], height, width, channels))
    rows = wide_rows(builder, node, weight_scales(node, w, axis), bits=15)
    low, high = int16_range(node, str(node.attrs["activation"]), int16_scale(node, y))
    builder.emit(
        kernel,
        node,
        inputs=(
            node.inputs[0],
            builder.constant(w.name, constant_of(node, w)),
            builder.constant(f"{w.name} requant", rows),
        ),
        outputs=node.outputs,
        attrs={
            "stride_h": stride[0],
            "stride_w": stride[1],
            "dilation_h": dilation[0],
            "dilation_w": dilation[1],
            "pad_top": top,
            "pad_left": left,
            "y_min": low,
            "y_max": high,
        },
    )


def lower_conv_2d(builder: Builder, node: Node) -> None:
    """CONV_2D: weights [M, KH, KW, C], scales per M."""
    _lower_conv(builder, node, "conv_2d_s16")


def lower_depthwise_conv_2d(builder: Builder, node: Node) -> None:
    """DEPTHWISE_CONV_2D: weights [1, KH, KW, C * D], scales per output channel."""
    _lower_conv(builder, node, "depthwise_conv_2d_s16")


def lower_fully_connected(builder: Builder, node: Node) -> None:
    """FULLY_CONNECTED: weights [M, K], one scale or one per M."""
    x, w, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    if len(w.shape) != 2:
        raise FormatError(f"{where(node)}: weights have {len(w.shape)} dimensions, expected 2")
    if node.attrs["weights_format"] != 0:
        raise unsupported(node, "shuffled weights are not supported")
    outputs, terms = w.shape
    if x.elements % terms or (node.attrs["keep_num_dims"] and x.shape[-1] != terms):
        raise FormatError(
            f"{where(node)}: weights {list(w.shape)} do not fit input {list(x.shape)}"
        )
    if terms > MAX_TERMS:
        raise unsupported(node, f"{terms} input features, at most {MAX_TERMS} fit")
    if node.attrs["keep_num_dims"]:
        expect_shape(node, y, (*x.shape[:-1], outputs))
    elif y.elements != x.elements // terms * outputs or y.shape[-1] != outputs:
        expect_shape(node, y, (x.elements // terms, outputs))
    rows = wide_rows(builder, node, weight_scales(node, w, 0), bits=31)
    low, high = int16_range(node, str(node.attrs["activation"]), int16_scale(node, y))
    builder.emit(
        "fully_connected_s16",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(w.name, constant_of(node, w)),
            builder.constant(f"{w.name} requant", rows),
        ),
        outputs=node.outputs,
        attrs={"y_min": low, "y_max": high},
    )


def lower_batch_matmul(builder: Builder, node: Node) -> None:
    """BATCH_MATMUL of two int16 tensors; batch dimensions broadcast, either may be transposed."""
    a, b, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    rank = max(len(a.shape), len(b.shape))
    if min(len(a.shape), len(b.shape)) < 2:
        raise FormatError(f"{where(node)}: operands need at least 2 dimensions")
    adj_x, adj_y = bool(node.attrs["adj_x"]), bool(node.attrs["adj_y"])
    shape_a = (1,) * (rank - len(a.shape)) + a.shape
    shape_b = (1,) * (rank - len(b.shape)) + b.shape
    rows, terms = (shape_a[-1], shape_a[-2]) if adj_x else (shape_a[-2], shape_a[-1])
    terms_b, columns = (shape_b[-1], shape_b[-2]) if adj_y else (shape_b[-2], shape_b[-1])
    try:
        batch = np.broadcast_shapes(shape_a[:-2], shape_b[:-2])
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {list(a.shape)} and {list(b.shape)}") from exc
    if terms != terms_b:
        raise FormatError(f"{where(node)}: {terms} columns times {terms_b} rows")
    if terms > MAX_TERMS // 2:
        raise unsupported(node, f"{terms} terms, at most {MAX_TERMS // 2} fit")
    expect_shape(node, y, (*batch, rows, columns))
    y_scale = int16_scale(node, y)
    real = int16_scale(node, a) * int16_scale(node, b) / y_scale
    multiplier, shift = wide_multiplier(node, real)
    inputs = []
    for index, tensor, shape in ((node.inputs[0], a, shape_a), (node.inputs[1], b, shape_b)):
        if tensor.data is not None:
            index = builder.constant(tensor.name, tensor.data.reshape(shape), tensor.quant)
        elif tensor.shape != shape:
            view = builder.activation(f"{tensor.name} view", shape, tensor.quant, tensor.dtype)
            builder.emit("copy", node, inputs=(index,), outputs=(view,), suffix=" view")
            index = view
        inputs.append(index)
    low, high = int16_range(node, "NONE", y_scale)
    builder.emit(
        "batch_matmul_s16",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "adj_x": int(adj_x),
            "adj_y": int(adj_y),
            "multiplier": multiplier,
            "shift": shift,
            "y_min": low,
            "y_max": high,
        },
    )


def _check_conv(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 3)
    x, w, q = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(w.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    depthwise = node.op == "depthwise_conv_2d_s16"
    channels = w.shape[3] if depthwise else w.shape[0]
    require(y.shape[3] == channels and x.shape[0] == y.shape[0], node, "output shape")
    require(q.shape == (channels, 4), node, f"requant has shape {q.shape}")
    if depthwise:
        require(w.shape[0] == 1 and w.shape[3] % x.shape[3] == 0, node, "input channels")
    else:
        require(w.shape[3] == x.shape[3], node, "input channels")


def _check_fully_connected(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 3)
    x, w, q = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(w.shape) == 2, node, "weights have not rank 2")
    require(q.shape == (w.shape[0], 4), node, f"requant has shape {q.shape}")
    require(
        x.elements % w.shape[1] == 0 and x.elements // w.shape[1] * w.shape[0] == y.elements,
        node,
        f"{x.shape} times {w.shape} is not {y.shape}",
    )


def _check_batch_matmul(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 2)
    a, b = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(a.shape) == len(b.shape) == len(y.shape) >= 2, node, "ranks differ")


def _macs_conv(graph: Graph, node: Node) -> int:
    w, y = graph.tensor(node.inputs[1]), graph.tensor(node.outputs[0])
    channels = w.shape[3] if node.op == "depthwise_conv_2d_s16" else w.shape[0]
    return y.elements * (w.elements // channels)


def _macs_fully_connected(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements * graph.tensor(node.inputs[1]).shape[1]


def _terms(graph: Graph, node: Node) -> int:
    a = graph.tensor(node.inputs[0])
    return a.shape[-2] if attr_int(node, "adj_x") else a.shape[-1]


def _scratch_conv(graph: Graph, node: Node) -> int:
    w = graph.tensor(node.inputs[1])
    return 2 * (w.elements // w.shape[0])


CONV_2D_S16 = Kernel("conv_2d_s16", 97, CONV_PARAMS, _check_conv, _macs_conv, _scratch_conv)
DEPTHWISE_CONV_2D_S16 = Kernel("depthwise_conv_2d_s16", 98, CONV_PARAMS, _check_conv, _macs_conv)
FULLY_CONNECTED_S16 = Kernel(
    "fully_connected_s16", 99, ("y_min", "y_max"), _check_fully_connected, _macs_fully_connected
)
BATCH_MATMUL_S16 = Kernel(
    "batch_matmul_s16",
    100,
    ("adj_x", "adj_y", "multiplier", "shift", "y_min", "y_max"),
    _check_batch_matmul,
    lambda graph, node: graph.tensor(node.outputs[0]).elements * _terms(graph, node),
    lambda graph, node: 2 * _terms(graph, node),
)
