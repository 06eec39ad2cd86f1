"""Compute nodes whose inputs are all constant when the model is compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Attr, Node, Tensor
from edgekit.ops.base import Builder
from edgekit.ops.elementwise import quotient
from edgekit.ops.fixed import Rounding, multiply, wrap

Array = NDArray[Any]


MAX_ELEMENTS = 1 << 20
"""A larger result is left to the device: a small file must not become a large model."""


def _ints(node: Node, name: str) -> tuple[int, ...]:
    value = node.attrs[name]
    return value if isinstance(value, tuple) else (_int(value),)


def _int(value: Attr) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _copy(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return np.frombuffer(data[0].tobytes(), y.dtype.value).reshape(y.shape)


def _lut(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return np.asarray(data[1][data[0].astype(np.int32) + 128]).reshape(y.shape)


def _transpose(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return data[0].transpose(_ints(node, "perm"))


def _concatenation(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return np.concatenate(data, axis=_ints(node, "axis")[0])


def _pad(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    out = np.full(y.shape, _ints(node, "value")[0], np.int8)
    begin = _ints(node, "before")
    out[tuple(slice(b, b + n) for b, n in zip(begin, x[0].shape, strict=True))] = data[0]
    return out


def _strided_slice(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    begin, stride = _ints(node, "begin"), _ints(node, "stride")
    picked = [b + s * np.arange(n) for b, s, n in zip(begin, stride, y.shape, strict=True)]
    return np.asarray(data[0][np.ix_(*picked)])


def _remap(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    axes, out, first = _ints(node, "axes")[0], data[0], 0
    for axis, size in enumerate(y.shape):
        if axes >> axis & 1:
            out = np.take(out, data[1][first : first + size], axis=axis)
            first += size
    return out


def _gather(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    rows = data[0].shape[_ints(node, "axis")[0]]
    wrapped = np.where(data[1] < 0, data[1] + rows, data[1]) if node.attrs["wrap"] else data[1]
    return np.take(data[0], wrapped.clip(0, rows - 1), axis=_ints(node, "axis")[0])


def _maximum(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    pick = np.maximum if _ints(node, "sign")[0] > 0 else np.minimum
    return np.asarray(pick(data[0], data[1]))


def _zero(tensor: Tensor) -> int:
    return 0 if tensor.quant is None else tensor.quant.zero_point


def _each(
    node: Node,
    x: Sequence[Tensor],
    data: Sequence[Array],
    y: Tensor,
    function: Callable[[int, int], int],
) -> Array:
    """Compute a function of two centred integers for each element, clamped."""
    low, high = _int(node.attrs.get("y_min", -128)), _int(node.attrs.get("y_max", 127))
    a, b = np.broadcast_arrays(
        data[0].astype(np.int64) - _zero(x[0]), data[1].astype(np.int64) - _zero(x[1])
    )
    values = [function(int(p), int(q)) for p, q in zip(a.flat, b.flat, strict=True)]
    return np.clip(np.array(values, np.int64) + _zero(y), low, high).astype(np.int8)


def _scaled(node: Node, which: str, value: int) -> int:
    name = f"{which}_" if which else ""
    multiplier, shift = _ints(node, f"{name}multiplier")[0], _ints(node, f"{name}shift")[0]
    return multiply(value, multiplier, shift, Rounding.DOUBLE)


def _add(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    sign = _ints(node, "sign")[0]

    def value(a: int, b: int) -> int:
        total = _scaled(node, "a", a << 20) + _scaled(node, "b", (sign * b) << 20)
        return _scaled(node, "y", total)

    return _each(node, x, data, y, value).reshape(y.shape)


def _mul(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return _each(node, x, data, y, lambda a, b: _scaled(node, "", a * b)).reshape(y.shape)


def _div(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    multiplier, shift = _ints(node, "multiplier")[0], _ints(node, "shift")[0]
    return _each(node, x, data, y, lambda a, b: quotient(a, b, multiplier, shift)).reshape(y.shape)


def _squared_difference(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    def value(a: int, b: int) -> int:
        difference = _scaled(node, "a", a << 7) - _scaled(node, "b", b << 7)
        return _scaled(node, "y", wrap(difference * difference))

    return _each(node, x, data, y, value).reshape(y.shape)


def _prelu(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    def value(a: int, b: int) -> int:
        return _scaled(node, "positive", a) if a >= 0 else _scaled(node, "negative", a * b)

    return _each(node, x, data, y, value).reshape(y.shape)


def _select(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return np.broadcast_to(np.where(data[0] != 0, data[1], data[2]), y.shape)


def _index_binary(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    a, b = data[0].astype(np.int64), data[1].astype(np.int64)
    divisor = np.where(b == 0, 1, b)
    values = (
        a + b,
        a - b,
        a * b,
        np.minimum(a, b),
        np.maximum(a, b),
        np.where(b == 0, 0, a // divisor),
        np.where(b == 0, 0, a % divisor),
    )[_ints(node, "mode")[0]]
    return np.broadcast_to(values.astype(np.int32), y.shape)


def _compare(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    sides = [np.asarray(values).astype(np.int64) for values in data]
    if _ints(node, "scaled")[0]:
        for i, which in enumerate("ab"):
            centred = (sides[i] - _zero(x[i])) << 8
            sides[i] = np.vectorize(lambda v, which=which: _scaled(node, which, int(v)))(centred)
    equal = _ints(node, "mode")[0] == 0
    found = sides[0] == sides[1] if equal else sides[0] < sides[1]
    return np.broadcast_to((found ^ bool(_ints(node, "negate")[0])).astype(np.int8), y.shape)


def _widen(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    return data[0].astype(np.int32)


def _cumulate(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    axis = _ints(node, "axis")[0]
    values = np.flip(data[0], axis) if _ints(node, "reverse")[0] else data[0]
    sums = np.cumsum(values, axis=axis, dtype=np.int32)
    if _ints(node, "exclusive")[0]:
        sums -= values
    return np.flip(sums, axis) if _ints(node, "reverse")[0] else sums


def _one_hot(node: Node, x: Sequence[Tensor], data: Sequence[Array], y: Tensor) -> Array:
    axis = _ints(node, "axis")[0]
    places = np.arange(y.shape[axis]).reshape(-1, *(1 for _ in y.shape[axis + 1 :]))
    found = np.expand_dims(data[0], axis) == places
    return np.where(found, _ints(node, "on")[0], _ints(node, "off")[0]).astype(np.int8)


RULES: dict[str, Callable[[Node, Sequence[Tensor], Sequence[Array], Tensor], Array]] = {
    "copy": _copy,
    "lut": _lut,
    "transpose": _transpose,
    "concatenation": _concatenation,
    "pad": _pad,
    "strided_slice": _strided_slice,
    "remap": _remap,
    "gather": _gather,
    "maximum": _maximum,
    "add": _add,
    "mul": _mul,
    "div": _div,
    "squared_difference": _squared_difference,
    "prelu": _prelu,
    "select": _select,
    "index_binary": _index_binary,
    "compare": _compare,
    "widen": _widen,
    "cumulate": _cumulate,
    "one_hot": _one_hot,
}
"""What each kernel computes; kernels without a rule run on the device."""


def fold_constants(builder: Builder, first: int) -> None:
    """Replace nodes from number `first` on by what they compute, where all inputs are constant.

    A result is a constant for the nodes that are lowered later: weights may come out of it. An
    output of the model stays computed: it lies in the arena.
    """
    kept = builder.nodes[:first]
    changed = False
    for node in builder.nodes[first:]:
        inputs = [builder.tensors[index] for index in node.inputs]
        data = [tensor.data for tensor in inputs if tensor.data is not None]
        output = node.outputs[0]
        y = builder.tensors[output]
        known = len(data) == len(inputs) and node.op in RULES and y.elements <= MAX_ELEMENTS
        if not known or output in builder.source.outputs:
            kept.append(node)
            continue
        value = np.ascontiguousarray(RULES[node.op](node, inputs, data, y))
        builder.tensors[output] = replace(y, data=value)
        changed = True
    builder.nodes[:] = kept
    if changed:
        count = len(builder.source.tensors)
        builder.source = replace(builder.source, tensors=tuple(builder.tensors[:count]))
