"""Operators of int16 activations, element by element and over windows.

ADD, SUB, MUL, AVERAGE_POOL_2D, MAX_POOL_2D, MEAN, QUANTIZE, RELU and its like, LEAKY_RELU.
"""

from __future__ import annotations

import math

import numpy as np

from edgekit.errors import FormatError, QuantizationError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops import elementwise, pool, reduce
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.conv import padding
from edgekit.ops.fixed import quantize_multiplier
from edgekit.ops.wide_base import HIGH, LOW, check_wide, int16_range, int16_scale

LEFT_SHIFT = 15
MEAN_TERMS = 65535
POOL_TERMS = 32768


def _operands(builder: Builder, node: Node) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    a, b, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {list(a.shape)} and {list(b.shape)}") from exc
    expect_shape(node, y, shape)
    inputs = []
    for index, tensor in ((node.inputs[0], a), (node.inputs[1], b)):
        if tensor.data is not None:
            index = builder.constant(tensor.name, tensor.data, tensor.quant)
        inputs.append(index)
    return a, b, y, inputs


def _power_of_two(scale: float) -> int | None:
    """Return the logarithm of a scale that is nearly a power of two, else None.

    Source: tensorflow/lite/kernels/kernel_util.cc, CheckedLog2.
    """
    power = float(np.log(np.float32(scale)) * np.float32(1 / math.log(2)))
    return round(power) if abs(power - round(power)) < 1e-3 else None


Scales = list[tuple[int, int]]


def _general(node: Node, a_scale: float, b_scale: float, y_scale: float) -> Scales:
    """Return multiplier and shift of both operands, 15 bits to the left, and of the result."""
    twice = 2 * max(a_scale, b_scale)
    scales = [quantize_multiplier(scale / twice) for scale in (a_scale, b_scale)]
    scales.append(quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y_scale)))
    if scales[2][1] > 0:
        raise QuantizationError(f"{where(node)}: output scale {y_scale} is too small")
    return scales


def _shifts(node: Node, powers: list[int]) -> Scales:
    """Return the same where one operand has the output's scale, the other 2^-n of it.

    Both are on the output's scale before they are added, as one shift rounds them.

    Source: tensorflow/lite/kernels/add.cc, Prepare; internal/reference/add.h, Add of int16.
    """
    shifts = [power - powers[2] for power in powers[:2]]
    if max(shifts) != 0 or min(shifts) < 1 - LEFT_SHIFT:
        raise unsupported(node, f"scales of 2^{powers[0]} and 2^{powers[1]} to 2^{powers[2]}")
    return [(2**30, 1 - LEFT_SHIFT + shift) for shift in shifts] + [(2**30, 1)]


def _lower_sum(builder: Builder, node: Node, sign: int) -> None:
    a, b, y, inputs = _operands(builder, node)
    a_scale, b_scale, y_scale = (int16_scale(node, tensor) for tensor in (a, b, y))
    powers = [_power_of_two(scale) for scale in (a_scale, b_scale, y_scale)]
    if node.attrs["pot_scale_int16"] and None not in powers:
        if a.shape != b.shape:
            raise unsupported(node, "broadcasting beside scales that are powers of two")
        scales = _shifts(node, [power or 0 for power in powers])
    else:
        scales = _general(node, a_scale, b_scale, y_scale)
    (a_multiplier, a_shift), (b_multiplier, b_shift), (y_multiplier, y_shift) = scales
    low, high = int16_range(node, str(node.attrs["activation"]), y_scale)
    builder.emit(
        "add_s16",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "a_multiplier": a_multiplier,
            "a_shift": a_shift,
            "b_multiplier": b_multiplier,
            "b_shift": b_shift,
            "y_multiplier": y_multiplier,
            "y_shift": y_shift,
            "sign": sign,
            "y_min": low,
            "y_max": high,
        },
    )


def lower_add(builder: Builder, node: Node) -> None:
    """ADD."""
    _lower_sum(builder, node, 1)


def lower_sub(builder: Builder, node: Node) -> None:
    """SUB: ADD with the second operand negated."""
    _lower_sum(builder, node, -1)


def lower_mul(builder: Builder, node: Node) -> None:
    """MUL."""
    a, b, y, inputs = _operands(builder, node)
    y_scale = int16_scale(node, y)
    # Source: tensorflow/lite/kernels/mul.cc, Prepare: in float32.
    product = np.float32(int16_scale(node, a)) * np.float32(int16_scale(node, b))
    multiplier, shift = quantize_multiplier(float(product / np.float32(y_scale)))
    low, high = int16_range(node, str(node.attrs["activation"]), y_scale)
    builder.emit(
        "mul_s16",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={"multiplier": multiplier, "shift": shift, "y_min": low, "y_max": high},
    )


def _lower_pool(builder: Builder, node: Node, kernel: str) -> None:
    x, y = operand(builder, node, 0), result(builder, node)
    if len(x.shape) != 4:
        raise FormatError(f"{where(node)}: input has {len(x.shape)} dimensions, expected 4")
    if int16_scale(node, x) != int16_scale(node, y):
        raise unsupported(node, "input and output have different quantization")
    stride = (attr_int(node, "stride_h"), attr_int(node, "stride_w"))
    window = (attr_int(node, "filter_h"), attr_int(node, "filter_w"))
    if not all(1 <= v <= 4096 for v in (*stride, *window)) or math.prod(window) > POOL_TERMS:
        raise FormatError(f"{where(node)}: stride {stride} or window {window} is out of range")
    mode = str(node.attrs["padding"])
    height, top = padding(mode, x.shape[1], window[0], stride[0], 1)
    width, left = padding(mode, x.shape[2], window[1], stride[1], 1)
    expect_shape(node, y, (x.shape[0], height, width, x.shape[3]))
    low, high = int16_range(node, str(node.attrs["activation"]), int16_scale(node, y))
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
    _lower_pool(builder, node, "average_pool_2d_s16")


def lower_max_pool_2d(builder: Builder, node: Node) -> None:
    """MAX_POOL_2D."""
    _lower_pool(builder, node, "max_pool_2d_s16")


def lower_mean(builder: Builder, node: Node) -> None:
    """MEAN over any dimensions."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = reduce.reduced_axes(builder, node)
    if x.elements > MEAN_TERMS:
        raise unsupported(node, f"{x.elements} elements, at most {MEAN_TERMS} fit")
    count = math.prod(x.shape[axis] for axis in axes)
    multiplier, shift = reduce.mean_multiplier(int16_scale(node, x), int16_scale(node, y), count)
    builder.emit(
        "mean_s16",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={
            "axes": sum(1 << axis for axis in axes),
            "multiplier": multiplier,
            "shift": shift,
        },
    )


def lower_reduce_sum(builder: Builder, node: Node) -> None:
    """SUM over any dimensions: MEAN without its division."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = reduce.reduced_axes(builder, node)
    if x.elements > MEAN_TERMS:
        raise unsupported(node, f"{x.elements} elements, at most {MEAN_TERMS} fit")
    count = math.prod(x.shape[axis] for axis in axes)
    scales = (int16_scale(node, x), int16_scale(node, y))
    multiplier, shift = reduce.sum_multiplier(*scales, count, most=-LOW)
    builder.emit(
        "mean_s16",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={"axes": sum(1 << axis for axis in axes), "multiplier": multiplier, "shift": shift},
    )


def _quant(node: Node, tensor: Tensor) -> tuple[float, int]:
    if tensor.dtype is DType.INT8:
        return int8_quant(node, tensor)
    if tensor.dtype is DType.INT32:
        if tensor.quant is None or len(tensor.quant.scales) != 1 or tensor.quant.zero_point:
            raise unsupported(node, f"'{tensor.name}' is int32 without one scale around 0")
        return tensor.quant.scale, 0
    return int16_scale(node, tensor), 0


def _signed_multiplier(factor: float) -> tuple[int, int]:
    multiplier, shift = quantize_multiplier(abs(factor))
    return multiplier if factor >= 0 else -multiplier, shift


def _emit_rescale(
    builder: Builder, node: Node, above: float, below: float, limits: tuple[int, int]
) -> None:
    """Multiply what lies above and below the zero point by one factor each.

    A factor below 0 turns the sign first.
    """
    x, y = operand(builder, node, 0), result(builder, node)
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    up_multiplier, up_shift = _signed_multiplier(above)
    down_multiplier, down_shift = _signed_multiplier(below)
    builder.emit(
        "rescale_s16",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={
            "x_zero": _quant(node, x)[1],
            "y_zero": _quant(node, y)[1],
            "up_multiplier": up_multiplier,
            "up_shift": up_shift,
            "down_multiplier": down_multiplier,
            "down_shift": down_shift,
            "y_min": limits[0],
            "y_max": limits[1],
        },
    )


_LIMITS = {DType.INT8: (-128, 127), DType.INT16: (LOW, HIGH), DType.INT32: (-(2**31), 2**31 - 1)}


def lower_quantize(builder: Builder, node: Node) -> None:
    """QUANTIZE between int8, int16 and int32.

    Source: tensorflow/lite/kernels/quantize.cc, Prepare: in float64.
    """
    x, y = operand(builder, node, 0), result(builder, node)
    ratio = _quant(node, x)[0] / _quant(node, y)[0]
    _emit_rescale(builder, node, ratio, ratio, _LIMITS[y.dtype])


def lower_relu(builder: Builder, node: Node) -> None:
    """RELU and RELU6.

    Source: tensorflow/lite/kernels/activations.cc, ReluPrepare: in float32.
    """
    x_scale, y_scale = (
        int16_scale(node, tensor) for tensor in (operand(builder, node, 0), result(builder, node))
    )
    ratio = float(np.float32(x_scale) / np.float32(y_scale))
    _emit_rescale(builder, node, ratio, ratio, int16_range(node, node.op, y_scale))


def lower_abs(builder: Builder, node: Node) -> None:
    """ABS.

    Source: tensorflow/lite/kernels/elementwise.cc, SetAbsOutputMultiplier: in float32.
    """
    x_scale, y_scale = (
        int16_scale(node, tensor) for tensor in (operand(builder, node, 0), result(builder, node))
    )
    ratio = float(np.float32(x_scale) / np.float32(y_scale))
    _emit_rescale(builder, node, ratio, -ratio, (LOW, HIGH))


def lower_leaky_relu(builder: Builder, node: Node) -> None:
    """LEAKY_RELU with a slope from 0 up.

    Source: tensorflow/lite/kernels/activations.cc, LeakyReluPrepare: in float32.
    """
    alpha = node.attrs["alpha"]
    if not isinstance(alpha, float) or not math.isfinite(alpha) or alpha < 0:
        raise unsupported(node, f"a slope of {alpha} beside int16 is not supported")
    x_scale, y_scale = (
        np.float32(int16_scale(node, tensor))
        for tensor in (operand(builder, node, 0), result(builder, node))
    )
    below = float(x_scale * np.float32(alpha) / y_scale)
    _emit_rescale(builder, node, float(x_scale / y_scale), below, (LOW, HIGH))


def _check_pair(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 2)
    a, b = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = ()
    require(shape == y.shape, node, f"{a.shape} and {b.shape} are not {y.shape}")


def _check_pool(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require((x.shape[0], x.shape[3]) == (y.shape[0], y.shape[3]), node, "output shape")


def _check_mean(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    kept = math.prod(n for d, n in enumerate(x.shape) if not axes >> d & 1)
    require(y.elements == kept, node, f"output {y.shape} has not {kept} elements")


def _check_rescale(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == len(node.outputs) == 1, node, "one input and output expected")
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(x.elements == y.elements, node, f"{x.shape} becomes {y.shape}")


ADD_S16 = Kernel("add_s16", 101, elementwise.ADD.params, _check_pair, in_place=True)
MUL_S16 = Kernel(
    "mul_s16", 102, elementwise.MUL.params, _check_pair, elementwise.MUL.macs, in_place=True
)
AVERAGE_POOL_2D_S16 = Kernel("average_pool_2d_s16", 103, pool.PARAMS, _check_pool)
MAX_POOL_2D_S16 = Kernel("max_pool_2d_s16", 104, pool.PARAMS, _check_pool)
MEAN_S16 = Kernel("mean_s16", 105, reduce.MEAN.params, _check_mean)
RESCALE_S16 = Kernel(
    "rescale_s16",
    109,
    (
        "x_zero",
        "y_zero",
        "up_multiplier",
        "up_shift",
        "down_multiplier",
        "down_shift",
        "y_min",
        "y_max",
    ),
    _check_rescale,
    in_place=True,
    revision=2,
)
