"""Functions of one int8: each becomes a table of 256 values, as LiteRT's reference has them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops import fixed
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    check_dense,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import Rounding, multiply, quantize_multiplier
from edgekit.ops.real import logistic

Table = NDArray[np.int8]
Quantized = tuple[float, int]


def table(function: Callable[[int], int]) -> Table:
    """Return a function of the stored bytes -128 .. 127, saturated."""
    values = [max(-128, min(127, function(value))) for value in range(-128, 128)]
    return np.array(values, np.int8)


def _round(value: float) -> int:
    """Round half away from zero."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def float_table(x: Quantized, y: Quantized, function: Callable[[float], float]) -> Table:
    """Return the table of a real function, in float32.

    Source: tensorflow/lite/kernels/internal/common.h, LUTPopulate for int8.
    """
    inverse = np.float32(1) / np.float32(y[0])

    def value(stored: int) -> int:
        real = np.float32(x[0]) * np.float32(stored - x[1])
        return _round(float(np.float32(function(float(real))) * inverse)) + y[1]

    return table(value)


def rescale_table(x: Quantized, y: Quantized, ratio: float, low: int, high: int) -> Table:
    """Return the table of x times ratio, clamped to [low, high]."""
    multiplier, shift = quantize_multiplier(ratio)

    def value(stored: int) -> int:
        scaled = y[1] + multiply(stored - x[1], multiplier, shift, Rounding.DOUBLE)
        return max(low, min(high, scaled))

    return table(value)


def _s16(value: int) -> int:
    return max(-32768, min(32767, value))


def _high_mul_16(a: int, b: int) -> int:
    """Gemmlowp's SaturatingRoundingDoublingHighMul of int16."""
    if a == b == -32768:
        return 32767
    product = a * b
    nudge = (1 << 14) if product >= 0 else 1 - (1 << 14)
    total = product + nudge
    return total // (1 << 15) if total >= 0 else -(-total // (1 << 15))


def _hard_swish(x: Quantized, y: Quantized) -> Table:
    """Source: tensorflow/lite/kernels/internal/reference/hard_swish.h, HardSwishPrepare."""
    hires = np.float32(np.float32(1 / 128) * np.float32(x[0]))
    relu_scale = np.float32(np.float32(3) / np.float32(32768))
    y_multiplier, y_shift = quantize_multiplier(float(hires / np.float32(y[0])))
    r_multiplier, r_shift = quantize_multiplier(float(hires / relu_scale))
    y_16 = 32767 if y_multiplier >= 2**31 - (1 << 15) else (y_multiplier + (1 << 15)) >> 16
    r_16 = 32767 if r_multiplier >= 2**31 - (1 << 15) else (r_multiplier + (1 << 15)) >> 16

    def value(stored: int) -> int:
        centred = (stored - x[1]) * 128
        on_output = _high_mul_16(centred, y_16)
        gate = centred
        if r_shift > 0:
            gate = _s16(gate << (r_shift - 1))
        gate = _high_mul_16(gate, r_16)
        if r_shift > 0:
            gate = _s16(gate << 1)
        if r_shift < 0:
            gate = fixed.divide_by_power(gate, -r_shift)
        gate = (gate + 32768) >> 1
        product = gate * on_output
        high = product // 32768 if product >= 0 else -(-product // 32768)
        return fixed.divide_by_power(high, -y_shift) + y[1]

    if y_shift > 0:
        raise FormatError(f"hard_swish: output scale {y[0]} is too small for input scale {x[0]}")
    return table(value)


def _leaky_relu(x: Quantized, y: Quantized, alpha: float) -> Table:
    """Source: tensorflow/lite/kernels/internal/reference/leaky_relu.h, LeakyReluPrepare."""
    x_scale, y_scale = np.float32(x[0]), np.float32(y[0])
    identity = quantize_multiplier(float(x_scale / y_scale))
    sloped = quantize_multiplier(float(x_scale * np.float32(abs(alpha)) / y_scale))
    sign = -1 if alpha < 0 else 1

    def value(stored: int) -> int:
        centred = stored - x[1]
        multiplier, shift = identity if centred >= 0 else sloped
        scaled = multiply(centred, multiplier, shift, Rounding.DOUBLE)
        return y[1] + (scaled if centred >= 0 else sign * scaled)

    return table(value)


def gelu(value: float, approximate: bool) -> float:
    """Gaussian error linear unit of one float32.

    Source: tensorflow/lite/kernels/internal/reference/gelu.h, GeluTransform and
    GeluTransformApproximate.
    """
    if approximate:
        x = np.float32(value)
        cube = x + np.float32(0.044715) * x * x * x
        inner = np.float32(math.sqrt(2 / math.pi)) * cube
        return float(np.float32(0.5) * x * (np.float32(1) + np.tanh(inner)))
    return 0.5 * value * (1 + math.erf(value * math.sqrt(0.5)))


def _absolute(x: Quantized, y: Quantized) -> Table:
    """Source: tensorflow/lite/kernels/elementwise.cc, AbsEvalQuantized: scales in float32."""
    ratio = float(np.float32(x[0]) / np.float32(y[0]))
    multiplier, shift = quantize_multiplier(ratio)

    def value(stored: int) -> int:
        size = abs(stored - x[1])
        if ratio != 1:
            size = multiply(size, multiplier, shift, Rounding.DOUBLE)
        return size + y[1]

    return table(value)


def _negative(node: Node, x: Quantized, y: Quantized) -> Table:
    """LiteRT negates the stored bytes, -128 stays: right only for equal scales around 0."""
    if x != y or x[1] != 0:
        raise unsupported(node, "NEG needs equal scales and zero points 0")
    return table(lambda stored: -128 if stored == -128 else -stored)


def _inverse_root(x: Quantized, y: Quantized) -> Table:
    """LiteRT refuses values below 0 while running; here they give what 0 gives.

    Source: tensorflow/lite/kernels/elementwise.cc, RsqrtEvalQuantized.
    """
    scale = 1.0 / float(np.sqrt(np.float32(x[0])) * np.float32(y[0]))
    multiplier, shift = quantize_multiplier(scale)
    extra = 20

    def value(stored: int) -> int:
        centred = stored - x[1]
        if centred <= 0:
            return 127
        root, root_shift = fixed.inverse_root(centred)
        data = multiply(1, root, root_shift + extra, Rounding.DOUBLE)
        return multiply(data, multiplier, shift - extra, Rounding.DOUBLE) + y[1]

    return table(value)


def _elu(value: float) -> float:
    return math.expm1(value) if value < 0 else value


def _exp(value: float) -> float:
    return math.exp(min(value, 60.0))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -1e30


def _root(x: Quantized, y: Quantized) -> Table:
    """LiteRT refuses values below 0 while running; here they give what 0 gives. It cuts off.

    Source: experiments with LiteRT 2.3.0.
    """

    def value(stored: int) -> int:
        real = np.float32(x[0]) * np.float32(max(stored - x[1], 0))
        return math.floor(float(np.sqrt(real) / np.float32(y[0]))) + y[1]

    return table(value)


def _table_of(node: Node, x: Quantized, y: Quantized) -> Table:
    if node.op == "ABS":
        return _absolute(x, y)
    if node.op == "NEG":
        return _negative(node, x, y)
    if node.op == "RSQRT":
        return _inverse_root(x, y)
    if node.op == "SQRT":
        return _root(x, y)
    if node.op in _REAL:
        return float_table(x, y, _REAL[node.op])
    if node.op in ("RELU", "RELU6", "RELU_N1_TO_1"):
        # Source: tensorflow/lite/kernels/activations.cc, ReluPrepare: in float32.
        ratio = float(np.float32(x[0]) / np.float32(y[0]))
        return rescale_table(x, y, ratio, *activation_range(node, node.op, *y))
    if node.op == "QUANTIZE":
        # Source: tensorflow/lite/kernels/quantize.cc, Prepare: in float64.
        return rescale_table(x, y, x[0] / y[0], -128, 127)
    if node.op == "HARD_SWISH":
        return _hard_swish(x, y)
    if node.op == "LEAKY_RELU":
        return _leaky_relu(x, y, float(np.float32(_float(node, "alpha"))))
    approximate = bool(node.attrs["approximate"])
    return float_table(x, y, lambda value: gelu(value, approximate))


_REAL: dict[str, Callable[[float], float]] = {
    "EXP": _exp,
    "LOG": _log,
    "ELU": _elu,
    "LOGISTIC": logistic,
    "TANH": math.tanh,
}
"""Functions that LiteRT 2.3.0 tabulates in float32, as experiments show."""


def _float(node: Node, name: str) -> float:
    value = node.attrs[name]
    if not isinstance(value, float) or not math.isfinite(value):
        raise FormatError(f"{where(node)}: {name} is {value}")
    return value


def lower_table(builder: Builder, node: Node) -> None:
    """Every function of one value: its table."""
    x, y = operand(builder, node, 0), result(builder, node)
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    values = _table_of(node, int8_quant(node, x), int8_quant(node, y))
    builder.emit(
        "lut",
        node,
        inputs=(node.inputs[0], builder.constant(f"{node.op.lower()} table", values)),
        outputs=node.outputs,
    )


def lower_real(builder: Builder, node: Node) -> None:
    """What computes float32 outside an island: nothing here does.

    Raises:
        UnsupportedError: Always.
    """
    raise unsupported(
        node,
        "float32 is supported only between DEQUANTIZE and QUANTIZE, "
        "where it depends on one int8 tensor and on constants of one value",
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(graph.tensor(node.inputs[1]).shape == (256,), node, "table has not 256 values")
    require(x.elements == y.elements, node, f"output has shape {y.shape}, input {x.shape}")


LUT = Kernel("lut", 11, (), _check, in_place=True, lead=lambda graph, node: 0)
