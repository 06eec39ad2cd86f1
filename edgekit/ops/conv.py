"""Convolutions: CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    attr_int,
    check_dense,
    constant_of,
    expect_shape,
    int8_quant,
    matmul_scratch,
    operand,
    optional,
    require,
    result,
    rows_lead,
    unsupported,
    where,
    window_lead,
)
from edgekit.ops.fixed import Rounding, quantize_multiplier

PARAMS = (
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
    "pad_top",
    "pad_left",
    "y_min",
    "y_max",
    "rounding",
)

MAX_TERMS = 65536


def padding(mode: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return output size and padding before the first element along one dimension.

    Source: tensorflow/lite/kernels/padding.h, ComputeOutSize and ComputePaddingWithOffset.
    """
    reach = (kernel - 1) * dilation + 1
    if mode == "SAME":
        out = -(-size // stride)
        return out, max(0, (out - 1) * stride + reach - size) // 2
    return max(0, -(-(size - reach + 1) // stride)), 0


def weight_scales(node: Node, w: Tensor, axis: int) -> tuple[float, ...]:
    """Return one scale per output channel of symmetric int8 weights."""
    if w.dtype is not DType.INT8:
        raise unsupported(node, f"weights '{w.name}' are {w.dtype.value}, only int8 is supported")
    if w.quant is None:
        raise FormatError(f"{where(node)}: weights '{w.name}' have no quantization")
    if any(w.quant.zero_points):
        raise unsupported(node, f"weights '{w.name}' have a zero point that is not 0")
    if len(w.quant.scales) == 1:
        return w.quant.scales * w.shape[axis]
    if w.quant.axis != axis:
        raise FormatError(f"{where(node)}: weights '{w.name}' have scales along {w.quant.axis}")
    return w.quant.scales


def bias_of(builder: Builder, node: Node, channels: int) -> NDArray[np.int64]:
    """Return the bias, zeros if there is none."""
    bias = optional(builder, node, 2)
    if bias is None:
        return np.zeros(channels, np.int64)
    data = constant_of(node, bias)
    if bias.dtype is not DType.INT32:
        raise unsupported(node, f"bias '{bias.name}' is {bias.dtype.value}, expected int32")
    if data.size != channels:
        raise FormatError(f"{where(node)}: bias has {data.size} values, expected {channels}")
    return data.reshape(-1).astype(np.int64)


def fold_offset(
    bias: NDArray[np.int64], weight_sums: NDArray[np.int64], zero: int
) -> NDArray[np.int32]:
    """Return bias - zero * sum of weights, wrapped to int32: kernels multiply x as it is stored."""
    folded = (bias - zero * weight_sums + 2**31) % 2**32 - 2**31
    return folded.astype(np.int32)


def requant_rows(
    node: Node, bias: NDArray[np.int32], x: Tensor, scales: tuple[float, ...], y: Tensor
) -> NDArray[np.int32]:
    """Return int32 [M, 3]: bias, multiplier, shift.

    Source: tensorflow/lite/kernels/kernel_util.cc, PopulateConvolutionQuantizationParams.
    """
    x_scale, y_scale = int8_quant(node, x)[0], int8_quant(node, y)[0]
    rows = np.empty((len(scales), 3), np.int32)
    rows[:, 0] = bias
    for channel, scale in enumerate(scales):
        rows[channel, 1:] = quantize_multiplier(x_scale * scale / y_scale)
    return rows


def _lower(builder: Builder, node: Node, depthwise: bool) -> None:
    x, w, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    axis = 3 if depthwise else 0
    if len(x.shape) != 4 or len(w.shape) != 4:
        raise FormatError(f"{where(node)}: input or weights have not 4 dimensions")
    weights: NDArray[Any] = constant_of(node, w)
    scales = weight_scales(node, w, axis)
    _, x_zero = int8_quant(node, x)
    y_scale, y_zero = int8_quant(node, y)
    channels = w.shape[axis]
    if depthwise and (w.shape[0] != 1 or channels % x.shape[3]):
        raise FormatError(
            f"{where(node)}: weight {list(w.shape)} does not fit input {list(x.shape)}"
        )
    if not depthwise and w.shape[3] != x.shape[3]:
        raise unsupported(
            node, f"weight has {w.shape[3]} input channels, input '{x.name}' has {x.shape[3]}"
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
    sums = weights.astype(np.int64).sum(axis=tuple(d for d in range(4) if d != axis))
    rows = requant_rows(
        node, fold_offset(bias_of(builder, node, channels), sums, x_zero), x, scales, y
    )
    if depthwise and x.shape[3] == 1:
        # Every output channel reads the only input channel: this is a convolution, and faster.
        depthwise, weights = False, np.ascontiguousarray(weights.transpose(3, 1, 2, 0))
    low, high = activation_range(node, str(node.attrs["activation"]), y_scale, y_zero)
    builder.emit(
        "depthwise_conv_2d" if depthwise else "conv_2d",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(w.name, weights),
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
            "rounding": int(Rounding.DOUBLE),
        },
    )


def lower_conv_2d(builder: Builder, node: Node) -> None:
    """CONV_2D: weights [M, KH, KW, C], scales per M."""
    _lower(builder, node, depthwise=False)


def lower_depthwise_conv_2d(builder: Builder, node: Node) -> None:
    """DEPTHWISE_CONV_2D: weights [1, KH, KW, C * D], scales per output channel."""
    _lower(builder, node, depthwise=True)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, w, q = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(w.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    channels = w.shape[3] if node.op == "depthwise_conv_2d" else w.shape[0]
    require(y.shape[3] == channels and x.shape[0] == y.shape[0], node, "output shape")
    require(q.shape == (channels, 3), node, f"requant has shape {q.shape}")
    if node.op == "conv_2d":
        require(w.shape[3] == x.shape[3], node, "input channels")
    else:
        require(w.shape[0] == 1 and w.shape[3] % x.shape[3] == 0, node, "input channels")


def _macs(graph: Graph, node: Node) -> int:
    w, y = graph.tensor(node.inputs[1]), graph.tensor(node.outputs[0])
    channels = w.shape[3] if node.op == "depthwise_conv_2d" else w.shape[0]
    return y.elements * (w.elements // channels)


def is_pointwise(graph: Graph, node: Node) -> bool:
    """Return whether each output pixel of a convolution reads the input pixel at its place."""
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    y = graph.tensor(node.outputs[0])
    return (
        w.shape[1:3] == (1, 1)
        and all(node.attrs[name] == 1 for name in ("stride_h", "stride_w"))
        and all(node.attrs[name] == 0 for name in ("pad_top", "pad_left"))
        and x.shape[1:3] == y.shape[1:3]
    )


def _scratch_conv(graph: Graph, node: Node) -> int:
    w = graph.tensor(node.inputs[1])
    return matmul_scratch(w.elements // w.shape[0], gathers=not is_pointwise(graph, node))


def _lead_conv(graph: Graph, node: Node) -> int | None:
    y = graph.tensor(node.outputs[0])
    if not is_pointwise(graph, node):
        return window_lead(graph, node)
    return rows_lead(y.elements // y.shape[3], graph.tensor(node.inputs[0]).shape[3], y.shape[3])


def window_scratch(graph: Graph, node: Node) -> int:
    """Return the scratch of a depthwise window: one patch, if it crosses the border.

    Twin: firmware/kernels/ek_window_s8.c, ek_window_scratch_bytes
    """
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    y = graph.tensor(node.outputs[0])
    inside = True
    for d, (stride, dilation, pad) in enumerate(
        (("stride_h", "dilation_h", "pad_top"), ("stride_w", "dilation_w", "pad_left")), start=1
    ):
        last = (y.shape[d] - 1) * attr_int(node, stride)
        last += (w.shape[d] - 1) * attr_int(node, dilation)
        inside = inside and attr_int(node, pad) == 0 and last < x.shape[d]
    return 0 if inside else w.shape[1] * w.shape[2] * x.shape[3]


CONV_2D = Kernel("conv_2d", 1, PARAMS, _check, _macs, _scratch_conv, revision=2, lead=_lead_conv)
DEPTHWISE_CONV_2D = Kernel(
    "depthwise_conv_2d",
    2,
    PARAMS,
    _check,
    _macs,
    window_scratch,
    revision=2,
    lead=window_lead,
)
