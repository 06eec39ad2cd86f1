"""Functions of int16 by tables: SOFTMAX, LOGISTIC, TANH, EXP."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    expect_shape,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier
from edgekit.ops.wide_base import HIGH, LOW, check_wide, int16_scale

TABLE_STEPS = 512
MAX_DEPTH = 65535
Quantized = tuple[float, int]


def _round(value: float | np.floating[Any]) -> int:
    """Round half away from zero."""
    value = float(value)
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def int16_table(
    x: Quantized,
    y: Quantized,
    function: Callable[[float], float],
    *,
    real: type[np.floating[Any]] = np.float64,
) -> NDArray[np.int16]:
    """Return 513 values of a real function over all int16, each set so that errors halve.

    Args:
        x: Scale and zero point of the input.
        y: Scale and zero point of the output.
        function: Of real numbers.
        real: What LiteRT computes in: float64 for softmax, float32 for functions of its own.

    Source: tensorflow/lite/kernels/internal/common.h, LUTPopulateInt16, and gen_lut.
    """
    low, high = real(x[0]) * real(LOW - x[1]), real(x[0]) * real(HIGH - x[1])
    y_low, y_high = real(y[0]) * real(LOW - y[1]), real(y[0]) * real(HIGH - y[1])
    step = (high - low) / real(TABLE_STEPS)
    half = step / real(2)
    inverse = real(HIGH - LOW + 1) / (y_high - y_low)
    table = np.empty(TABLE_STEPS + 1, np.int16)

    def value(at: np.floating[Any]) -> np.floating[Any]:
        return real(function(float(at))) * inverse

    for i in range(TABLE_STEPS):
        sample = _round(value(low + real(i) * step))
        middle = _round(value(low + real(i) * step + half))
        following = value(low + real(i + 1) * step)
        between = _round((following + real(sample)) / real(2))
        bias = _round((between - middle) / 2)
        table[i] = min(max(sample - bias, LOW), HIGH)
    table[TABLE_STEPS] = min(max(_round(value(high)), LOW), HIGH)
    return table


def _exp(value: float) -> float:
    return math.exp(min(value, 88.0))


def _reciprocal(value: float) -> float:
    return 1 / (1 + value)


SOFTMAX_SPAN = 10.0 / 65535


def lower_softmax(builder: Builder, node: Node) -> None:
    """SOFTMAX int16 to int16.

    Source: tensorflow/lite/kernels/activations.cc, SoftmaxPrepare.
    """
    x, y = operand(builder, node, 0), result(builder, node)
    expect_shape(node, y, x.shape)
    if not x.shape or x.shape[-1] > MAX_DEPTH:
        raise unsupported(node, f"softmax over {x.shape[-1:]} values, at most {MAX_DEPTH} fit")
    if abs(int16_scale(node, y) - 2.0**-15) > 1e-6 * 2.0**-15:
        raise FormatError(f"{where(node)}: output has scale {int16_scale(node, y)}, not 1/32768")
    beta = node.attrs["beta"]
    if not isinstance(beta, float) or not math.isfinite(beta) or beta <= 0:
        raise FormatError(f"{where(node)}: beta is {beta}")
    step = 2 / 65535
    exp = int16_table((SOFTMAX_SPAN, HIGH), (step, 0), _exp)
    over = int16_table((1 / 65535, LOW), (step, 0), _reciprocal)
    multiplier, shift = quantize_multiplier(int16_scale(node, x) * beta / SOFTMAX_SPAN)
    builder.emit(
        "softmax_s16",
        node,
        inputs=(
            node.inputs[0],
            builder.constant("softmax exp", exp),
            builder.constant("softmax reciprocal", over),
        ),
        outputs=node.outputs,
        attrs={"multiplier": multiplier, "shift": shift},
    )


def logistic_table() -> NDArray[np.int32]:
    """Return 65,536 times the logistic function in steps of 1/24, each set so that errors halve.

    Source: tensorflow/lite/kernels/internal/common.h, sigmoid_table_uint16: its numbers follow
    this rule, except for the last.
    """
    halves = 65536 / (1 + np.exp(-np.arange(513) / 48))
    samples, middles, following = halves[0:511:2], halves[1:512:2], halves[2:513:2]
    bias = (samples + following) / 2 - middles
    table = np.floor(samples - bias / 2 + 0.5).astype(np.int32)
    table[255] = 65535
    return table


def _logistic_scale(scale: float) -> tuple[int, int]:
    """Return multiplier and right shift from a scale to 12,288ths.

    Source: tensorflow/lite/kernels/activations.cc, SigmoidPrepare and TanhPrepare.
    """
    fraction, exponent = math.frexp(scale)
    left = 12 + exponent - 1
    if fraction == 0.5 and left in (0, 1):
        return 3 << left, 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        shift += 1
        multiplier *= 2.0
    return int(multiplier), shift


def lower_logistic(builder: Builder, node: Node) -> None:
    """LOGISTIC and TANH, int16 to int16."""
    x, y = operand(builder, node, 0), result(builder, node)
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    if int16_scale(node, y) != 2.0**-15:
        raise FormatError(f"{where(node)}: output has scale {int16_scale(node, y)}, not 1/32768")
    multiplier, shift = _logistic_scale(int16_scale(node, x))
    if not 0 <= multiplier <= HIGH or shift > 30:
        raise unsupported(node, f"input scale {int16_scale(node, x)} is out of range")
    builder.emit(
        "logistic_s16",
        node,
        inputs=(node.inputs[0], builder.constant("logistic table", logistic_table())),
        outputs=node.outputs,
        attrs={"multiplier": multiplier, "shift": shift, "tanh": int(node.op == "TANH")},
    )


def _root(y_scale: float) -> Callable[[float], float]:
    """Return 1 / sqrt(x) in float32; the largest output from 0 down.

    Source: tensorflow/lite/kernels/elementwise.cc, GenericPrepare.
    """
    most = float(np.float32(HIGH) * np.float32(y_scale))

    def value(x: float) -> float:
        return most if x <= 0 else float(np.float32(1) / np.sqrt(np.float32(x)))

    return value


def _logarithm(y_scale: float) -> Callable[[float], float]:
    """Return log(x); the least output from 0 down.

    Source: tensorflow/lite/kernels/elementwise.cc, LogLUTPrepare.
    """
    least = float(np.float32(LOW) * np.float32(y_scale))
    return lambda x: least if x <= 0 else math.log(x)


FUNCTIONS: dict[str, Callable[[float], Callable[[float], float]]] = {
    "EXP": lambda y_scale: _exp,
    "LOG": _logarithm,
    "RSQRT": _root,
}


def lower_function(builder: Builder, node: Node) -> None:
    """EXP, LOG, RSQRT, int16 to int16: a table, interpolated."""
    x, y = operand(builder, node, 0), result(builder, node)
    function = FUNCTIONS[node.op](int16_scale(node, y))
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    table = int16_table(
        (int16_scale(node, x), 0), (int16_scale(node, y), 0), function, real=np.float32
    )
    builder.emit(
        "lut_s16",
        node,
        inputs=(node.inputs[0], builder.constant(f"{node.op.lower()} table", table)),
        outputs=node.outputs,
    )


def _check(graph: Graph, node: Node) -> None:
    check_wide(graph, node, 3 if node.op == "softmax_s16" else 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    size = 256 if node.op == "logistic_s16" else TABLE_STEPS + 1
    for index in node.inputs[1:]:
        require(graph.tensor(index).shape == (size,), node, f"table has not {size} values")
    require(x.elements == y.elements, node, f"output has shape {y.shape}, input {x.shape}")


SOFTMAX_S16 = Kernel("softmax_s16", 106, ("multiplier", "shift"), _check, in_place=True)
LUT_S16 = Kernel("lut_s16", 107, (), _check, in_place=True)
LOGISTIC_S16 = Kernel("logistic_s16", 108, ("multiplier", "shift", "tanh"), _check, in_place=True)
