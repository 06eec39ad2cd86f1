"""What operators with int16 activations share: quantization, ranges, multipliers of 15 bits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import (
    Builder,
    constant_of,
    operand,
    optional,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier

LOW, HIGH = -32768, 32767
SHIFT_MAX = 14


def int16_scale(node: Node, tensor: Tensor) -> float:
    """Return the scale of an int16 tensor around 0.

    Raises:
        UnsupportedError: If it is of another type, has a zero point or one scale per channel.
        FormatError: If it has no scale, or one that is not positive.
    """
    if tensor.dtype is not DType.INT16:
        raise unsupported(
            node, f"'{tensor.name}' is {tensor.dtype.value} beside int16, which is not supported"
        )
    if tensor.quant is None:
        raise FormatError(f"{where(node)}: '{tensor.name}' has no quantization")
    if len(tensor.quant.scales) != 1:
        raise unsupported(node, f"'{tensor.name}' has one scale per channel, expected one")
    if tensor.quant.scale <= 0:
        raise FormatError(f"{where(node)}: '{tensor.name}' has scale {tensor.quant.scale}")
    if tensor.quant.zero_point != 0:
        raise unsupported(node, f"'{tensor.name}' is int16 with a zero point that is not 0")
    return tensor.quant.scale


def int16_range(node: Node, activation: str, scale: float) -> tuple[int, int]:
    """Return the int16 range of a fused activation.

    Source: tensorflow/lite/kernels/kernel_util.cc, CalculateActivationRangeQuantizedImpl.
    """
    limits = {
        "NONE": (None, None),
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    if activation not in limits:
        raise unsupported(node, f"fused activation {activation} is not supported")
    low, high = limits[activation]

    def quantized(value: float) -> int:
        ratio = float(np.float32(value) / np.float32(scale))
        return math.floor(abs(ratio) + 0.5) * (1 if ratio >= 0 else -1)

    return (
        LOW if low is None else max(LOW, quantized(low)),
        HIGH if high is None else min(HIGH, quantized(high)),
    )


def wide_multiplier(node: Node, real: float, *, bits: int = 15) -> tuple[int, int]:
    """Return a multiplier of 15 or 31 bits and a shift, for 64-bit sums.

    Raises:
        UnsupportedError: If the factor is 2**14 or more.

    Source: tensorflow/lite/kernels/internal/common.cc, MultiplyByQuantizedMultiplier of int64_t.
    """
    multiplier, shift = quantize_multiplier(real)
    if shift > SHIFT_MAX:
        raise unsupported(node, f"scale factor {real} is too large")
    if bits == 15:
        multiplier = min((multiplier + (1 << 15)) >> 16, HIGH)
    return multiplier, shift


def wide_rows(
    builder: Builder, node: Node, scales: tuple[float, ...], *, bits: int
) -> NDArray[np.int32]:
    """Return int32 [M, 4]: low and high word of the bias, multiplier of so many bits, shift.

    Raises:
        UnsupportedError: If a bias is not int64, or does not fit 48 bits.
    """
    x_scale = int16_scale(node, operand(builder, node, 0))
    y_scale = int16_scale(node, result(builder, node))
    bias = np.zeros(len(scales), np.int64)
    given = optional(builder, node, 2)
    if given is not None:
        if given.dtype is not DType.INT64:
            raise unsupported(
                node, f"bias '{given.name}' is {given.dtype.value} beside int16, expected int64"
            )
        bias = constant_of(node, given).reshape(-1).astype(np.int64)
    if bias.size != len(scales):
        raise FormatError(f"{where(node)}: bias has {bias.size} values, expected {len(scales)}")
    if np.any(bias >= 2**47) or np.any(bias < -(2**47)):
        raise unsupported(node, "a bias does not fit 48 bits")
    rows = np.empty((len(scales), 4), np.int32)
    rows[:, :2] = bias.astype("<i8").view("<i4").reshape(-1, 2)
    for channel, scale in enumerate(scales):
        rows[channel, 2:] = wide_multiplier(node, x_scale * scale / y_scale, bits=bits)
    return rows


def check_wide(graph: Graph, node: Node, inputs: int) -> None:
    """Check the number of inputs and that there is one output, both int16."""
    require(len(node.inputs) == inputs, node, f"{len(node.inputs)} inputs, expected {inputs}")
    require(len(node.outputs) == 1, node, f"{len(node.outputs)} outputs, expected 1")
    for index in (*node.inputs[:1], *node.outputs):
        tensor = graph.tensor(index)
        require(tensor.dtype is DType.INT16, node, f"'{tensor.name}' is {tensor.dtype.value}")
