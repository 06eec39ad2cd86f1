"""What source operators compute in real numbers, one definition per operator.

`UNARY` and `BINARY` are elementwise functions as LiteRT computes them in float32: what islands
between int8 tensors hold. `REAL` has these and all other operators, for the float model that a
quantized file stands for: `edgekit.passes.evaluate` runs it in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Attr, DType, Node, Quant, Tensor

Real = NDArray[np.float32]
Array = NDArray[Any]
Attrs = Mapping[str, Attr]
Operation = Callable[[Node, Sequence[Array], Tensor], Array]


def dequantize(stored: Array, quant: Quant) -> Real:
    """Return the reals that bytes stand for.

    Source: tensorflow/lite/kernels/internal/reference/dequantize.h: in float64.
    """
    centred = stored.astype(np.int64) - quant.zero_point
    return np.asarray(quant.scale * centred.astype(np.float64)).astype(np.float32)


def quantize(real: Real, quant: Quant) -> NDArray[np.int8]:
    """Return the nearest bytes, ties away from zero, saturated; what is no number becomes zero.

    Source: tensorflow/lite/kernels/internal/reference/quantize.h, AffineQuantize: in float32.
    """
    with np.errstate(over="ignore"):
        ratio = np.nan_to_num((real / np.float32(quant.scale)).astype(np.float64))
    near = np.floor(np.abs(ratio) + 0.5) * np.sign(ratio)
    return np.asarray(np.clip(near + quant.zero_point, -128, 127)).astype(np.int8)


def real_of(tensor: Tensor, stored: Array) -> Array:
    """Return the real values of stored ones; indices and truth values stay as they are."""
    quant = tensor.quant
    if quant is None or not any(quant.scales):
        return stored.astype(np.float64) if tensor.dtype is DType.FLOAT32 else stored
    scales, zeros = np.array(quant.scales, np.float64), np.array(quant.zero_points, np.float64)
    if len(scales) > 1:
        shape = [1] * stored.ndim
        shape[quant.axis] = len(scales)
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    return (stored.astype(np.float64) - zeros) * scales


def stored_of(tensor: Tensor, real: Array) -> NDArray[np.int8]:
    """Return the int8 nearest to real values, ties away from zero, saturated."""
    assert tensor.quant is not None
    scaled = real / tensor.quant.scale
    rounded = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)
    whole = np.clip(rounded + tensor.quant.zero_point, -128, 127)
    return np.asarray(whole.astype(np.int8))


def _each(function: Callable[[float], float]) -> Callable[..., Real]:
    """Compute in float64 and round once: the C library's float32 functions are as exact."""

    def value(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    def apply(x: Real, attrs: Attrs) -> Real:
        flat = [value(float(v)) for v in x.reshape(-1)]
        with np.errstate(over="ignore"):
            return np.array(flat, np.float64).astype(np.float32).reshape(x.shape)

    return apply


def _log(x: float) -> float:
    return -math.inf if x == 0 else math.log(x)


def _round_even(x: float) -> float:
    return float(np.rint(x))


def logistic(x: float) -> float:
    """Return the logistic function of one float32.

    Source: tensorflow/lite/kernels/internal/reference/logistic.h.
    """
    if x > 16.619047164916992188:
        return 1.0
    if x < -9.0:
        return float(np.float32(math.exp(x)))
    return float(np.float32(1) / (np.float32(1) + np.float32(math.exp(-x))))


def _gelu(x: Real, attrs: Attrs) -> Real:
    """Source: tensorflow/lite/kernels/internal/reference/gelu.h."""
    if attrs["approximate"]:
        cube = x + np.float32(0.044715) * x * x * x
        inner = _each(math.tanh)(np.float32(math.sqrt(2 / math.pi)) * cube, {})
        return np.asarray(np.float32(0.5) * x * (np.float32(1) + inner))
    inner = _each(math.erf)(x * np.float32(math.sqrt(0.5)), {})
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + inner))


def _power(a: Real, b: Real, attrs: Attrs) -> Real:
    pairs = np.broadcast(a, b)

    def value(x: float, y: float) -> float:
        try:
            real = x**y if x or y >= 0 else math.inf
        except OverflowError:
            return math.inf
        return math.nan if isinstance(real, complex) else real

    flat = [value(float(x), float(y)) for x, y in pairs]
    with np.errstate(over="ignore"):
        return np.array(flat, np.float64).astype(np.float32).reshape(pairs.shape)


CLAMPS: dict[str, tuple[float, float]] = {
    "NONE": (-math.inf, math.inf),
    "RELU": (0, math.inf),
    "RELU6": (0, 6),
    "RELU_N1_TO_1": (-1, 1),
}
"""Fused activations of float32 operators."""


def _clamp(real: Real, attrs: Attrs) -> Real:
    low, high = CLAMPS[str(attrs["activation"])]
    return np.asarray(np.clip(real, np.float32(low), np.float32(high)))


def _inverse_root(x: Real, attrs: Attrs) -> Real:
    return np.asarray(np.float32(1) / np.sqrt(x))


def _alpha(attrs: Attrs) -> np.float32:
    alpha = attrs["alpha"]
    return np.float32(alpha if isinstance(alpha, float) else 0.0)


def _hard_swish(x: Real, attrs: Attrs) -> Real:
    gate = np.minimum(np.float32(6), np.maximum(np.float32(0), x + np.float32(3)))
    return np.asarray(x * gate / np.float32(6))


UNARY: dict[str, Callable[[Real, Attrs], Array]] = {
    "NEG": lambda x, attrs: -x,
    "ABS": lambda x, attrs: np.abs(x),
    "SQUARE": lambda x, attrs: x * x,
    "SIGN": lambda x, attrs: np.sign(x),
    "FLOOR": lambda x, attrs: np.floor(x),
    "CEIL": lambda x, attrs: np.ceil(x),
    "ROUND": _each(_round_even),
    "SQRT": lambda x, attrs: np.sqrt(x),
    "RSQRT": _inverse_root,
    "EXP": _each(math.exp),
    "LOG": _each(_log),
    "SIN": _each(math.sin),
    "COS": _each(math.cos),
    "TANH": _each(math.tanh),
    "LOGISTIC": _each(logistic),
    "ELU": _each(lambda x: math.expm1(x) if x < 0 else x),
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "RELU": lambda x, attrs: np.maximum(x, np.float32(0)),
    "RELU6": lambda x, attrs: np.clip(x, np.float32(0), np.float32(6)),
    "RELU_N1_TO_1": lambda x, attrs: np.clip(x, np.float32(-1), np.float32(1)),
    "LEAKY_RELU": lambda x, attrs: np.where(x > 0, x, x * _alpha(attrs)),
    "RESHAPE": lambda x, attrs: x,
    "SQUEEZE": lambda x, attrs: x,
    "EXPAND_DIMS": lambda x, attrs: x,
}
"""Functions of one float32; reshapes move nothing."""

BINARY: dict[str, Callable[[Real, Real, Attrs], Array]] = {
    "ADD": lambda a, b, attrs: _clamp(a + b, attrs),
    "SUB": lambda a, b, attrs: _clamp(a - b, attrs),
    "MUL": lambda a, b, attrs: _clamp(a * b, attrs),
    "DIV": lambda a, b, attrs: _clamp(a / b, attrs),
    "POW": _power,
    "FLOOR_DIV": lambda a, b, attrs: np.floor(a / b),
    "FLOOR_MOD": lambda a, b, attrs: np.where(
        (np.fmod(a, b) != 0) & ((b < 0) != (np.fmod(a, b) < 0)), np.fmod(a, b) + b, np.fmod(a, b)
    ),
    "MAXIMUM": lambda a, b, attrs: np.maximum(a, b),
    "MINIMUM": lambda a, b, attrs: np.minimum(a, b),
    "SQUARED_DIFFERENCE": lambda a, b, attrs: (a - b) * (a - b),
    "EQUAL": lambda a, b, attrs: a == b,
    "NOT_EQUAL": lambda a, b, attrs: a != b,
    "LESS": lambda a, b, attrs: a < b,
    "LESS_EQUAL": lambda a, b, attrs: a <= b,
    "GREATER": lambda a, b, attrs: a > b,
    "GREATER_EQUAL": lambda a, b, attrs: a >= b,
}
"""Functions of two float32; comparisons give truth values."""

ONLY_REAL = (
    "SQUARE",
    "SIGN",
    "FLOOR",
    "CEIL",
    "ROUND",
    "SIN",
    "COS",
    "POW",
)
"""Operators that LiteRT has for float32 but not for int8."""


def _whole(node: Node, name: str) -> int:
    value = node.attrs[name]
    assert isinstance(value, int)
    return value


def _patches(node: Node, x: Array, kernel: tuple[int, int], y: Tensor, fill: float) -> Array:
    """Return the windows of x [N, H, W, C] as [N, OH, OW, KH, KW, C]."""
    strides = _whole(node, "stride_h"), _whole(node, "stride_w")
    dilation = (1, 1)
    if "dilation_h" in node.attrs:
        dilation = _whole(node, "dilation_h"), _whole(node, "dilation_w")
    picked = []
    for axis in (0, 1):
        size, out = x.shape[1 + axis], y.shape[1 + axis]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = max(0, (out - 1) * strides[axis] + reach - size)
        before = total // 2 if node.attrs["padding"] == "SAME" else 0
        width = [(0, 0)] * 4
        width[1 + axis] = (before, max(0, total - before))
        x = np.pad(x, width, constant_values=fill)
        start = np.arange(out)[:, None] * strides[axis]
        picked.append(start + np.arange(kernel[axis]) * dilation[axis])
    rows, columns = picked
    return np.asarray(x[:, rows[:, None, :, None], columns[None, :, None, :], :])


def _conv_2d(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
    x, w = inputs[:2]
    patches = _patches(node, x, (w.shape[1], w.shape[2]), y, 0.0)
    out = np.tensordot(patches, w, axes=([3, 4, 5], [1, 2, 3]))
    return out + inputs[2] if len(inputs) > 2 else out


def _depthwise_conv_2d(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
    x, w = inputs[:2]
    patches = _patches(node, x, (w.shape[1], w.shape[2]), y, 0.0)
    repeated = np.repeat(patches, w.shape[3] // x.shape[3], axis=5)
    out = (repeated * w[0]).sum(axis=(3, 4))
    return np.asarray(out + inputs[2] if len(inputs) > 2 else out)


def _pool(fill: float, reduce: Callable[..., Array]) -> Operation:
    def pool(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
        kernel = _whole(node, "filter_h"), _whole(node, "filter_w")
        return reduce(_patches(node, inputs[0], kernel, y, fill), axis=(3, 4))

    return pool


def _fully_connected(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
    w = inputs[1]
    out = inputs[0].reshape(-1, w.shape[1]) @ w.T
    return np.asarray(out + inputs[2] if len(inputs) > 2 else out)


def _batch_matmul(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
    a, b = inputs
    a = np.swapaxes(a, -1, -2) if node.attrs["adj_x"] else a
    b = np.swapaxes(b, -1, -2) if node.attrs["adj_y"] else b
    return np.asarray(a @ b)


def _reduced(function: Callable[..., Array]) -> Operation:
    def reduce(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
        axes = tuple(int(axis) for axis in np.unique(inputs[1].reshape(-1)))
        return function(inputs[0], axis=axes)

    return reduce


def _softmax(node: Node, inputs: Sequence[Array], y: Tensor) -> Array:
    beta = node.attrs["beta"]
    assert isinstance(beta, float)
    scaled = beta * inputs[0]
    e = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _unary(function: Callable[..., Array]) -> Operation:
    return lambda node, inputs, y: function(inputs[0], node.attrs)


def _binary(function: Callable[..., Array]) -> Operation:
    return lambda node, inputs, y: function(inputs[0], inputs[1], node.attrs)


ELEMENTWISE: dict[str, Operation] = {
    **{op: _unary(function) for op, function in UNARY.items()},
    **{op: _binary(function) for op, function in BINARY.items()},
    "QUANTIZE": lambda node, inputs, y: inputs[0],
    "DEQUANTIZE": lambda node, inputs, y: inputs[0],
}
"""Operators that compute each element from those at the same place."""

REAL: dict[str, Operation] = {
    **ELEMENTWISE,
    "SELECT_V2": lambda node, inputs, y: np.where(*inputs),
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "AVERAGE_POOL_2D": _pool(np.nan, np.nanmean),
    "MAX_POOL_2D": _pool(-np.inf, np.max),
    "MEAN": _reduced(np.mean),
    "SUM": _reduced(np.sum),
    "REDUCE_MAX": _reduced(np.max),
    "REDUCE_MIN": _reduced(np.min),
    "SOFTMAX": _softmax,
}
"""Every operator that is computed in real numbers, besides those that only move elements."""
