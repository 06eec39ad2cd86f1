"""Which values each channel can take: intervals pushed through the integer kernels.

A channel is an index of a tensor's last dimension. Every rule here is monotone or takes all
corners, so an interval holds for every input of the model; one of length 0 is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import attr_int
from edgekit.ops.fixed import INT32_MAX, Rounding

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the largest stored value per channel, [C]."""

    low: Ints
    high: Ints

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which channels have one value."""
        return np.asarray(self.low == self.high)


def channels(tensor: Tensor) -> int:
    """Return how many channels a tensor has."""
    return tensor.shape[-1] if tensor.shape else 1


def ranges(graph: Graph) -> list[Range | None]:
    """Return the range of each int8 tensor that the graph knows, None for others."""
    found: list[Range | None] = [None] * len(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        if tensor.dtype is not DType.INT8:
            continue
        if tensor.data is not None:
            rows = tensor.data.reshape(-1, channels(tensor)).astype(np.int64)
            found[index] = Range(rows.min(axis=0), rows.max(axis=0))
        else:
            found[index] = _full(tensor)
    for node in graph.nodes:
        for index in node.outputs:
            if graph.tensor(index).dtype is DType.INT8:
                known = all(found[i] is not None for i in node.inputs if _is_value(graph, i))
                rule = _RULES.get(node.op, _clamped) if known else _clamped
                found[index] = _inside(rule(graph, node, found), node, graph.tensor(index))
    return found


def _is_value(graph: Graph, index: int) -> bool:
    """Return whether an input is no table of a kernel."""
    return index >= 0 and graph.tensor(index).data is None


def _full(tensor: Tensor) -> Range:
    count = channels(tensor)
    return Range(np.full(count, -128, np.int64), np.full(count, 127, np.int64))


def _inside(value: Range, node: Node, y: Tensor) -> Range:
    """Return a range cut to what the node clamps to."""
    low, high = node.attrs.get("y_min", -128), node.attrs.get("y_max", 127)
    assert isinstance(low, int)
    assert isinstance(high, int)
    return Range(value.low.clip(low, high), value.high.clip(low, high))


def _clamped(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    return _full(graph.tensor(node.outputs[0]))


def _of(found: list[Range | None], index: int) -> Range:
    value = found[index]
    assert value is not None
    return value


def zero_point(tensor: Tensor) -> int:
    """Return the zero point of a tensor, 0 if it has none."""
    return 0 if tensor.quant is None else tensor.quant.zero_point


def multiply_each(value: Ints, multiplier: Any, shift: Any, rounding: int) -> Ints:
    """Return `edgekit.ops.fixed.multiply` of each element."""
    multiplier, shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    if rounding == Rounding.SINGLE:
        total = 31 - shift
        return _wrap((value * multiplier + (np.int64(1) << (total - 1))) >> total)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = (_wrap(value << left) * multiplier + 2**30) >> 31
    high = np.minimum(high, INT32_MAX)
    mask = (np.int64(1) << right) - 1
    return np.asarray((high >> right) + ((high & mask) > (mask >> 1) + (high < 0)))


def _wrap(value: Ints) -> Ints:
    return np.asarray((value + 2**31) % 2**32 - 2**31)


def requantized(
    low: Ints, high: Ints, y: Tensor, *, multiplier: Any, shift: Any, rounding: int
) -> Range:
    """Return what sums between two bounds become; everything if a step might wrap."""
    most = np.maximum(np.abs(low), np.abs(high)) << np.maximum(np.asarray(shift, np.int64), 0)
    safe = most < 2**31 - 256
    bounds = [
        multiply_each(np.where(safe, side, 0), multiplier, shift, rounding) + zero_point(y)
        for side in (low, high)
    ]
    return Range(
        np.where(safe, bounds[0].clip(-128, 127), -128),
        np.where(safe, bounds[1].clip(-128, 127), 127),
    )


def padded_taps(graph: Graph, node: Node) -> NDArray[np.bool_]:
    """Return which taps [KH, KW] of a convolution ever lie outside its input."""
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    y = graph.tensor(node.outputs[0])
    outside = []
    for d, (stride, dilation, pad) in enumerate(
        (("stride_h", "dilation_h", "pad_top"), ("stride_w", "dilation_w", "pad_left")), start=1
    ):
        first = np.arange(w.shape[d]) * attr_int(node, dilation) - attr_int(node, pad)
        last = first + (y.shape[d] - 1) * attr_int(node, stride)
        outside.append((first < 0) | (last >= x.shape[d]))
    return np.asarray(outside[0][:, None] | outside[1][None, :])


def _window(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    x, w, q = (graph.tensor(index) for index in node.inputs)
    assert w.data is not None
    assert q.data is not None
    depthwise = node.op == "depthwise_conv_2d"
    weights = w.data.astype(np.int64)
    if depthwise:
        # [M, KH, KW, 1] with one input channel each.
        weights = weights.transpose(3, 1, 2, 0)
    outside = padded_taps(graph, node)
    zero = zero_point(x)
    value = _of(found, node.inputs[0])
    low = q.data[:, 0].astype(np.int64)
    high = low.copy()
    for where, least, most in (
        (~outside, value.low, value.high),
        (outside, np.minimum(value.low, zero), np.maximum(value.high, zero)),
    ):
        part = weights[:, where, :]
        positive, negative = part.clip(0, None).sum(axis=1), part.clip(None, 0).sum(axis=1)
        if depthwise:
            reads = np.arange(len(weights)) // (len(weights) // x.shape[3])
            least, most = least[reads], most[reads]
            low = low + positive[:, 0] * least + negative[:, 0] * most
            high = high + positive[:, 0] * most + negative[:, 0] * least
        else:
            low = low + positive @ least + negative @ most
            high = high + positive @ most + negative @ least
    return requantized(
        low,
        high,
        graph.tensor(node.outputs[0]),
        multiplier=q.data[:, 1],
        shift=q.data[:, 2],
        rounding=attr_int(node, "rounding"),
    )


def features_of(tensor: Tensor, terms: int) -> Ints | None:
    """Return which channel each of a dense layer's terms reads, None if rows cut across."""
    count = channels(tensor)
    return np.arange(terms) % count if terms % count == 0 else None


def _fully_connected(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    x, w, q = (graph.tensor(index) for index in node.inputs)
    assert w.data is not None
    assert q.data is not None
    reads = features_of(x, w.shape[1])
    if reads is None:
        return _clamped(graph, node, found)
    value = _of(found, node.inputs[0])
    least, most = value.low[reads], value.high[reads]
    weights = w.data.astype(np.int64)
    positive, negative = weights.clip(0, None), weights.clip(None, 0)
    bias = q.data[:, 0].astype(np.int64)
    each = q.data.shape[1] == 3
    return requantized(
        np.asarray(bias + positive @ least + negative @ most, np.int64),
        np.asarray(bias + positive @ most + negative @ least, np.int64),
        graph.tensor(node.outputs[0]),
        multiplier=q.data[:, 1] if each else attr_int(node, "multiplier"),
        shift=q.data[:, 2] if each else attr_int(node, "shift"),
        rounding=attr_int(node, "rounding"),
    )


def spread(value: Range, source: Tensor, target: Tensor) -> Range:
    """Return the range of the same bytes seen in another shape."""
    have, want = channels(source), channels(target)
    if want % have == 0:
        reads = np.arange(want) % have
        return Range(value.low[reads], value.high[reads])
    if have % want == 0:
        return Range(
            value.low.reshape(-1, want).min(axis=0), value.high.reshape(-1, want).max(axis=0)
        )
    return Range(np.full(want, value.low.min()), np.full(want, value.high.max()))


def _copy(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    if x.dtype is not DType.INT8:
        return _full(y)
    return spread(_of(found, node.inputs[0]), x, y)


def _lut(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    table = graph.tensor(node.inputs[1]).data
    assert table is not None
    value = spread(_of(found, node.inputs[0]), x, y)
    spans = [table[low + 128 : high + 129] for low, high in zip(value.low, value.high, strict=True)]
    return Range(
        np.array([span.min() for span in spans], np.int64),
        np.array([span.max() for span in spans], np.int64),
    )


def _same(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    """Kernels whose every output lies between some inputs of its channel: pools."""
    return _of(found, node.inputs[0])


def _mean(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    if axes >> (len(x.shape) - 1) & 1 or channels(x) != channels(y):
        return _full(y)
    count = x.elements // y.elements
    value = _of(found, node.inputs[0])
    return requantized(
        (value.low - zero_point(x)) * count,
        (value.high - zero_point(x)) * count,
        y,
        multiplier=attr_int(node, "multiplier"),
        shift=attr_int(node, "shift"),
        rounding=Rounding.DOUBLE,
    )


def _pair(graph: Graph, node: Node, found: list[Range | None]) -> tuple[Range, Range]:
    """Return the ranges of two operands, broadcast to the output's channels."""
    count = channels(graph.tensor(node.outputs[0]))
    sides = []
    for index in node.inputs[:2]:
        value = _of(found, index)
        sides.append(Range(np.resize(value.low, count), np.resize(value.high, count)))
    return sides[0], sides[1]


def _add(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    a, b = _pair(graph, node, found)
    if attr_int(node, "sign") < 0:
        zero = 2 * zero_point(graph.tensor(node.inputs[1]))
        b = Range(zero - b.high, zero - b.low)

    def scaled(which: str, position: int, stored: Ints) -> Ints:
        centred = (stored - zero_point(graph.tensor(node.inputs[position]))) << 20
        multiplier, shift = attr_int(node, f"{which}_multiplier"), attr_int(node, f"{which}_shift")
        return multiply_each(centred, multiplier, shift, Rounding.DOUBLE)

    return requantized(
        scaled("a", 0, a.low) + scaled("b", 1, b.low),
        scaled("a", 0, a.high) + scaled("b", 1, b.high),
        graph.tensor(node.outputs[0]),
        multiplier=attr_int(node, "y_multiplier"),
        shift=attr_int(node, "y_shift"),
        rounding=Rounding.DOUBLE,
    )


def _mul(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    a, b = _pair(graph, node, found)
    zeros = [zero_point(graph.tensor(index)) for index in node.inputs]
    corners = np.stack(
        [(p - zeros[0]) * (q - zeros[1]) for p in (a.low, a.high) for q in (b.low, b.high)]
    )
    return requantized(
        corners.min(axis=0),
        corners.max(axis=0),
        graph.tensor(node.outputs[0]),
        multiplier=attr_int(node, "multiplier"),
        shift=attr_int(node, "shift"),
        rounding=Rounding.DOUBLE,
    )


def _maximum(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    a, b = _pair(graph, node, found)
    pick = np.maximum if attr_int(node, "sign") > 0 else np.minimum
    return Range(pick(a.low, b.low), pick(a.high, b.high))


def _concatenation(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    parts = [_of(found, index) for index in node.inputs]
    if attr_int(node, "axis") == len(graph.tensor(node.outputs[0]).shape) - 1:
        return Range(
            np.concatenate([p.low for p in parts]), np.concatenate([p.high for p in parts])
        )
    return Range(
        np.min([p.low for p in parts], axis=0),
        np.max([p.high for p in parts], axis=0),
    )


def _pad(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    value, filler = _of(found, node.inputs[0]), attr_int(node, "value")
    if channels(x) != channels(y):
        return Range(
            np.full(channels(y), min(filler, value.low.min())),
            np.full(channels(y), max(filler, value.high.max())),
        )
    if x.shape == y.shape:
        return value
    return Range(np.minimum(value.low, filler), np.maximum(value.high, filler))


def _any(graph: Graph, node: Node, found: list[Range | None]) -> Range:
    """Kernels that move bytes: channels may mix unless the last dimension stays what it is."""
    value = _of(found, node.inputs[0])
    if keeps_channels(graph, node):
        return value
    count = channels(graph.tensor(node.outputs[0]))
    return Range(np.full(count, value.low.min()), np.full(count, value.high.max()))


def keeps_channels(graph: Graph, node: Node) -> bool:
    """Return whether a kernel that moves bytes leaves each in its channel."""
    x = graph.tensor(node.inputs[0])
    last = len(x.shape) - 1
    if channels(x) != channels(graph.tensor(node.outputs[0])):
        return False
    if node.op == "transpose":
        perm = node.attrs["perm"]
        return isinstance(perm, tuple) and perm[last] == last
    if node.op == "strided_slice":
        begin, stride = node.attrs["begin"], node.attrs["stride"]
        assert isinstance(begin, tuple)
        assert isinstance(stride, tuple)
        return begin[last] == 0 and stride[last] == 1
    return not attr_int(node, "axes") >> last & 1


_RULES: dict[str, Callable[[Graph, Node, list[Range | None]], Range]] = {
    "conv_2d": _window,
    "depthwise_conv_2d": _window,
    "fully_connected": _fully_connected,
    "add": _add,
    "mul": _mul,
    "maximum": _maximum,
    "average_pool_2d": _same,
    "max_pool_2d": _same,
    "mean": _mean,
    "lut": _lut,
    "copy": _copy,
    "concatenation": _concatenation,
    "pad": _pad,
    "transpose": _any,
    "strided_slice": _any,
    "remap": _any,
}
"""How a range passes through a kernel; every other kernel gives what it clamps to."""
