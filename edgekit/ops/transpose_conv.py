"""Transposed convolution: TRANSPOSE_CONV."""

from __future__ import annotations

import math

import numpy as np

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    attr_int,
    check_dense,
    constant_of,
    expect_shape,
    indices,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.conv import MAX_TERMS, bias_of, padding, requant_rows, weight_scales
from edgekit.ops.fixed import Rounding


def lower_transpose_conv(builder: Builder, node: Node) -> None:
    """TRANSPOSE_CONV. Its inputs are the output's shape, weights, x and a bias that may miss."""
    sizes = indices(node, operand(builder, node, 0))
    w, x, y = operand(builder, node, 1), operand(builder, node, 2), result(builder, node)
    if len(x.shape) != 4 or len(w.shape) != 4 or w.shape[3] != x.shape[3] or len(sizes) != 4:
        raise FormatError(f"{where(node)}: weights {list(w.shape)}, input {list(x.shape)}")
    data = constant_of(node, w)
    m, kernel_h, kernel_w, _ = w.shape
    if math.prod(w.shape[1:]) > MAX_TERMS:
        raise unsupported(node, f"weights {list(w.shape)} sum too many terms")
    expect_shape(node, y, (x.shape[0], *sizes[1:3], m))
    stride = (attr_int(node, "stride_h"), attr_int(node, "stride_w"))
    if not all(1 <= value <= 4096 for value in stride):
        raise FormatError(f"{where(node)}: stride {stride} is out of range")
    mode = str(node.attrs["padding"])
    height, top = padding(mode, y.shape[1], kernel_h, stride[0], 1)
    width, left = padding(mode, y.shape[2], kernel_w, stride[1], 1)
    if (height, width) != x.shape[1:3]:
        raise FormatError(
            f"{where(node)}: '{x.name}' has shape {list(x.shape)}, expected {height} x {width}"
        )
    scales = weight_scales(node, w, 0)
    # The bias follows x: bias_of looks for it at position 2.
    moved = Node(node.name, node.op, (*node.inputs[1:3], *node.inputs[3:]), node.outputs)
    bias = bias_of(builder, moved, m).astype(np.int32)
    low, high = activation_range(node, str(node.attrs["activation"]), *int8_quant(node, y))
    builder.emit(
        "transpose_conv",
        node,
        inputs=(
            node.inputs[2],
            builder.constant(w.name, data, w.quant),
            builder.constant(f"{w.name} requant", requant_rows(node, bias, x, scales, y)),
        ),
        outputs=node.outputs,
        attrs={
            "stride_h": stride[0],
            "stride_w": stride[1],
            "pad_top": top,
            "pad_left": left,
            "y_min": low,
            "y_max": high,
            "rounding": int(Rounding.DOUBLE),
        },
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, w, rows = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(w.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(w.shape[3] == x.shape[3], node, f"weights have {w.shape[3]} input channels")
    require((x.shape[0], w.shape[0]) == (y.shape[0], y.shape[3]), node, "output shape")
    require(rows.shape == (w.shape[0], 3), node, f"requant has shape {rows.shape}")


def _macs(graph: Graph, node: Node) -> int:
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    return x.elements * w.shape[0] * w.shape[1] * w.shape[2]


TRANSPOSE_CONV = Kernel(
    "transpose_conv",
    22,
    ("stride_h", "stride_w", "pad_top", "pad_left", "y_min", "y_max", "rounding"),
    _check,
    _macs,
)
