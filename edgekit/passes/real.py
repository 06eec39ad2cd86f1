"""What source operators compute in real numbers: the float model that a quantized file stands for.

Weights are dequantized, activations are not rounded. This is what accuracy is measured against,
with and without fusion, and what the table of a chain of functions is made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UnsupportedError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops import LOWERINGS
from edgekit.ops.base import Builder
from edgekit.ops.fixed import Rounding
from edgekit.ops.real import BINARY, CLAMPS, UNARY
from edgekit.passes.fold import RULES

Real = NDArray[np.float64]
Array = NDArray[Any]
Operation = Callable[[Node, Sequence[Array], Tensor], Array]


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


def stored_of(tensor: Tensor, real: Real) -> NDArray[np.int8]:
    """Return the int8 nearest to real values, ties away from zero, saturated."""
    assert tensor.quant is not None
    scaled = real / tensor.quant.scale
    rounded = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)
    whole = np.clip(rounded + tensor.quant.zero_point, -128, 127)
    return np.asarray(whole.astype(np.int8))


def run_real(graph: Graph, x: Real, *, limited: bool = False) -> Array:
    """Compute the graph's output from its input, one sample of real values.

    Args:
        x: Values of the input, of its shape.
        limited: Bound every int8 tensor to what it can hold, as rounding would.

    Raises:
        UnsupportedError: If an operator has no real counterpart here.
    """
    values: dict[int, Array] = {graph.inputs[0]: x}
    for node in graph.nodes:
        if node.op not in REAL and node.op not in _LAYOUT:
            raise UnsupportedError(
                f"node '{node.name}': {node.op} is not computed in real numbers",
                node=node.name,
                op=node.op,
            )
        if node.op in _LAYOUT:
            _lay_out(graph, node, values)
            continue
        y = graph.tensor(node.outputs[0])
        inputs = [_value(graph, values, index) for index in node.inputs if index >= 0]
        with np.errstate(all="ignore"):
            result = _clamped(node, REAL[node.op](node, inputs, y))
        if limited and y.quant is not None and y.dtype is DType.INT8:
            low, high = (y.quant.scale * (v - y.quant.zero_point) for v in (-128, 127))
            result = np.clip(result, low, high)
        values[node.outputs[0]] = result.reshape(y.shape)
    return _value(graph, values, graph.outputs[0])


def _value(graph: Graph, values: Mapping[int, Array], index: int) -> Array:
    tensor = graph.tensor(index)
    if index not in values and tensor.data is not None:
        return real_of(tensor, tensor.data)
    return values[index]


def _clamped(node: Node, value: Array) -> Array:
    return np.clip(value, *CLAMPS[str(node.attrs.get("activation", "NONE"))])


_LAYOUT = tuple(
    op
    for op, source in LOWERINGS.items()
    if set(source.kernels)
    <= {"copy", "transpose", "concatenation", "pad", "strided_slice", "remap", "gather"}
)
"""Operators that only move elements: their kernels move real ones as well."""


def _lay_out(graph: Graph, node: Node, values: dict[int, Array]) -> None:
    builder = Builder(graph, Rounding.SINGLE, list(graph.tensors))
    LOWERINGS[node.op].lower(builder, node)
    for made in builder.nodes:
        tensors = [builder.tensors[index] for index in made.inputs]
        data = [
            values[index]
            if index in values
            else tensor.data
            if made.op in ("remap", "gather") and position and tensor.data is not None
            else _constant(tensor)
            for position, (index, tensor) in enumerate(zip(made.inputs, tensors, strict=True))
        ]
        y = builder.tensors[made.outputs[0]]
        if made.op == "copy":
            result = data[0]
        elif made.op == "pad":
            result = _pad(made, data[0], y)
        else:
            result = RULES[made.op](made, tensors, data, y)
        values[made.outputs[0]] = result.reshape(y.shape)


def _constant(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return real_of(tensor, tensor.data)


def _pad(node: Node, x: Array, y: Tensor) -> Array:
    """Pad with what the stored value of the padding means."""
    value, before = node.attrs["value"], node.attrs["before"]
    assert isinstance(value, int)
    assert isinstance(before, tuple)
    out = np.full(y.shape, real_of(y, np.array(value)))
    out[tuple(slice(b, b + n) for b, n in zip(before, x.shape, strict=False))] = x
    return out


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
