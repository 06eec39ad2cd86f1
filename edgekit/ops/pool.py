"""Pooling: AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    attr_int,
    check_dense,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
    window_lead,
)
from edgekit.ops.conv import MAX_TERMS, padding

PARAMS = (
    "stride_h",
    "stride_w",
    "filter_h",
    "filter_w",
    "pad_top",
    "pad_left",
    "y_min",
    "y_max",
)


def _lower(builder: Builder, node: Node, kernel: str) -> None:
    x, y = operand(builder, node, 0), result(builder, node)
    if len(x.shape) != 4:
        raise FormatError(f"{where(node)}: input has {len(x.shape)} dimensions, expected 4")
    if int8_quant(node, x) != int8_quant(node, y):
        raise unsupported(node, "input and output have different quantization")
    stride = (attr_int(node, "stride_h"), attr_int(node, "stride_w"))
    window = (attr_int(node, "filter_h"), attr_int(node, "filter_w"))
    if not all(1 <= v <= 4096 for v in (*stride, *window)) or window[0] * window[1] > MAX_TERMS:
        raise FormatError(f"{where(node)}: stride {stride} or window {window} is out of range")
    mode = str(node.attrs["padding"])
    height, top = padding(mode, x.shape[1], window[0], stride[0], 1)
    width, left = padding(mode, x.shape[2], window[1], stride[1], 1)
    expect_shape(node, y, (x.shape[0], height, width, x.shape[3]))
    low, high = activation_range(node, str(node.attrs["activation"]), *int8_quant(node, y))
    builder.emit(
        kernel,
        node,
        inputs=(node.inputs[0],),
        outputs=node.outputs,
        attrs={
            "stride_h": stride[0],
            "stride_w": stride[1],
            "filter_h": window[0],
            "filter_w": window[1],
            "pad_top": top,
            "pad_left": left,
            "y_min": low,
            "y_max": high,
        },
    )


def lower_average_pool_2d(builder: Builder, node: Node) -> None:
    """AVERAGE_POOL_2D."""
    _lower(builder, node, "average_pool_2d")


def lower_max_pool_2d(builder: Builder, node: Node) -> None:
    """MAX_POOL_2D."""
    _lower(builder, node, "max_pool_2d")


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require((x.shape[0], x.shape[3]) == (y.shape[0], y.shape[3]), node, "output shape")


AVERAGE_POOL_2D = Kernel("average_pool_2d", 7, PARAMS, _check, lead=window_lead)
MAX_POOL_2D = Kernel("max_pool_2d", 8, PARAMS, _check, lead=window_lead)
