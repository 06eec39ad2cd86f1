"""Truth values and whole numbers: comparisons, selections, arithmetic of indices.

A truth value is an int8 of 0 or 1 without quantization; an index is an int32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    expect_shape,
    indices,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier

EQUAL, LESS = 0, 1
SMALLER, LARGER = 3, 4

COMPARISONS: dict[str, tuple[int, bool, bool]] = {
    "EQUAL": (EQUAL, False, False),
    "NOT_EQUAL": (EQUAL, True, False),
    "LESS": (LESS, False, False),
    "LESS_EQUAL": (LESS, True, True),
    "GREATER": (LESS, False, True),
    "GREATER_EQUAL": (LESS, True, False),
}
"""Mode, whether the result is negated, whether the operands change places."""

MODES = {
    "ADD": 0,
    "SUB": 1,
    "MUL": 2,
    "MINIMUM": SMALLER,
    "MAXIMUM": LARGER,
    "FLOOR_DIV": 5,
    "FLOOR_MOD": 6,
}
"""Arithmetic of indices. Twin: firmware/kernels/ek_index_binary_s8.c."""


def is_index(tensor: Tensor) -> bool:
    """Return whether a tensor holds whole numbers."""
    return tensor.dtype is DType.INT32


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor is int8 without scale: truth values."""
    return tensor.dtype is DType.INT8 and tensor.quant is None


def expect_same(node: Node, x: Tensor, y: Tensor) -> None:
    """Check that bytes of x may stand in y as they are.

    Raises:
        UnsupportedError: If type or quantization differ.
    """
    if (is_index(x) and is_index(y)) or (is_plain(x) and is_plain(y)):
        return
    if int8_quant(node, x) != int8_quant(node, y):
        raise unsupported(node, f"'{x.name}' and '{y.name}' have different quantization")


def stored(builder: Builder, index: int) -> int:
    """Return the id of an operand; constants that are equal become one."""
    tensor = builder.source.tensor(index)
    if tensor.data is None:
        return index
    return builder.constant(tensor.name, tensor.data, tensor.quant)


def _broadcast(builder: Builder, node: Node, count: int) -> list[int]:
    """Check that the operands broadcast to the output, and return their ids."""
    shapes = [operand(builder, node, i).shape for i in range(count)]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {', '.join(map(str, map(list, shapes)))}") from exc
    expect_shape(node, result(builder, node), shape)
    return [stored(builder, index) for index in node.inputs[:count]]


def lower_index_binary(builder: Builder, node: Node) -> None:
    """ADD, SUB, MUL, MINIMUM, MAXIMUM, FLOOR_DIV, FLOOR_MOD of int32."""
    inputs = _broadcast(builder, node, 2)
    for tensor in (operand(builder, node, 0), operand(builder, node, 1), result(builder, node)):
        if not is_index(tensor):
            raise unsupported(node, f"'{tensor.name}' is {tensor.dtype.value}, expected int32")
    if node.attrs.get("activation", "NONE") != "NONE":
        raise unsupported(node, "an activation of int32 is not supported")
    attrs = {"mode": MODES[node.op]}
    builder.emit("index_binary", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def lower_comparison(builder: Builder, node: Node) -> None:
    """EQUAL and its like, of int32, of truth values, or of int8 with a scale each.

    Source: tensorflow/lite/kernels/comparisons.cc, ComparisonQuantized.
    """
    mode, negate, swap = COMPARISONS[node.op]
    inputs = _broadcast(builder, node, 2)
    tensors = [operand(builder, node, 0), operand(builder, node, 1)]
    attrs = {"mode": mode, "negate": int(negate), "scaled": 0}
    scales = [(0, 0), (0, 0)]
    if not all(map(is_index, tensors)) and not all(map(is_plain, tensors)):
        real = [int8_quant(node, tensor)[0] for tensor in tensors]
        if max(real) >= 1:
            raise unsupported(node, f"scale {max(real)} is not below 1; LiteRT refuses it too")
        scales = [quantize_multiplier(scale) for scale in real]
        attrs["scaled"] = 1
    if swap:
        inputs, scales = inputs[::-1], scales[::-1]
    for which, (multiplier, shift) in zip("ab", scales, strict=True):
        attrs |= {f"{which}_multiplier": multiplier, f"{which}_shift": shift}
    builder.emit("compare", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def _plain_operands(builder: Builder, node: Node, count: int) -> list[int]:
    for position in range(count):
        tensor = operand(builder, node, position)
        if not is_plain(tensor):
            raise FormatError(f"{where(node)}: '{tensor.name}' holds no truth values")
    return _broadcast(builder, node, count)


def lower_logical_and(builder: Builder, node: Node) -> None:
    """LOGICAL_AND: the smaller of two truth values."""
    inputs = _plain_operands(builder, node, 2)
    builder.emit("maximum", node, inputs=inputs, outputs=node.outputs, attrs={"sign": -1})


def lower_logical_or(builder: Builder, node: Node) -> None:
    """LOGICAL_OR: the larger of two truth values."""
    inputs = _plain_operands(builder, node, 2)
    builder.emit("maximum", node, inputs=inputs, outputs=node.outputs, attrs={"sign": 1})


def lower_logical_not(builder: Builder, node: Node) -> None:
    """LOGICAL_NOT: a table."""
    inputs = _plain_operands(builder, node, 1)
    inputs.append(builder.constant("not table", _is_zero()))
    builder.emit("lut", node, inputs=inputs, outputs=node.outputs)


def _is_zero() -> NDArray[np.int8]:
    """Return the table of "is 0"."""
    return np.asarray(np.arange(-128, 128) == 0).astype(np.int8)


def lower_select(builder: Builder, node: Node) -> None:
    """SELECT and SELECT_V2.

    SELECT with a condition of one dimension picks whole rows, as LiteRT has it.
    """
    condition, a, b = (operand(builder, node, i) for i in range(3))
    y = result(builder, node)
    expect_same(node, a, y)
    expect_same(node, b, y)
    if not is_plain(condition):
        raise FormatError(f"{where(node)}: '{condition.name}' holds no truth values")
    inputs = [stored(builder, index) for index in node.inputs[:3]]
    shape = condition.shape
    if node.op == "SELECT" and len(shape) == 1 < len(a.shape):
        shape = (*shape, *(1 for _ in a.shape[1:]))
        if condition.data is not None:
            inputs[0] = builder.constant(condition.name, condition.data.reshape(shape))
        else:
            view = builder.activation(f"{condition.name} view", shape, None)
            builder.emit("copy", node, inputs=inputs[:1], outputs=(view,), suffix=" view")
            inputs[0] = view
    try:
        expect_shape(node, y, np.broadcast_shapes(shape, a.shape, b.shape))
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {shape}, {a.shape} and {b.shape}") from exc
    builder.emit("select", node, inputs=inputs, outputs=node.outputs)


def lower_cast(builder: Builder, node: Node) -> None:
    """CAST between truth values and whole numbers; one to float32 is part of an island."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_shape(node, y, x.shape)
    source = stored(builder, node.inputs[0])
    if (is_index(x) and is_index(y)) or (is_plain(x) and is_plain(y)):
        builder.emit("copy", node, inputs=(source,), outputs=node.outputs)
    elif is_plain(x) and is_index(y):
        builder.emit("widen", node, inputs=(source,), outputs=node.outputs)
    elif is_index(x) and is_plain(y):
        zero = builder.constant("zero", np.zeros((), np.int32))
        attrs = dict.fromkeys(_COMPARE_PARAMS, 0) | {"mode": EQUAL, "negate": 1}
        builder.emit("compare", node, inputs=(source, zero), outputs=node.outputs, attrs=attrs)
    else:
        raise unsupported(node, f"{x.dtype.value} to {y.dtype.value} is not supported")


def lower_cumsum(builder: Builder, node: Node) -> None:
    """CUMSUM of int32."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = indices(node, operand(builder, node, 1))
    if not is_index(x) or not is_index(y):
        raise unsupported(node, f"'{x.name}' is {x.dtype.value}, only int32 is supported")
    rank = len(x.shape)
    if len(axes) != 1 or not -rank <= axes[0] < rank:
        raise FormatError(f"{where(node)}: axis {list(axes)} of {rank} dimensions")
    expect_shape(node, y, x.shape)
    builder.emit(
        "cumulate",
        node,
        inputs=(stored(builder, node.inputs[0]),),
        outputs=node.outputs,
        attrs={
            "axis": axes[0] % rank,
            "exclusive": int(bool(node.attrs["exclusive"])),
            "reverse": int(bool(node.attrs["reverse"])),
        },
    )


def _types(graph: Graph, node: Node, inputs: tuple[DType, ...], output: DType) -> None:
    found = tuple(graph.tensor(index).dtype for index in node.inputs)
    require(found == inputs and len(node.outputs) == 1, node, f"inputs are {found}")
    require(graph.tensor(node.outputs[0]).dtype is output, node, f"output is not {output.value}")


def _check_shapes(graph: Graph, node: Node) -> None:
    shapes = [graph.tensor(index).shape for index in node.inputs]
    y = graph.tensor(node.outputs[0])
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        shape = ()
    require(shape == y.shape, node, f"{shapes} are not {y.shape}")


def _check_index_binary(graph: Graph, node: Node) -> None:
    _types(graph, node, (DType.INT32, DType.INT32), DType.INT32)
    _check_shapes(graph, node)


def _check_compare(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == 2, node, f"{len(node.inputs)} inputs, expected 2")
    _types(graph, node, (graph.tensor(node.inputs[0]).dtype,) * 2, DType.INT8)
    _check_shapes(graph, node)


def _check_select(graph: Graph, node: Node) -> None:
    kind = graph.tensor(node.outputs[0]).dtype
    _types(graph, node, (DType.INT8, kind, kind), kind)
    _check_shapes(graph, node)


def _check_widen(graph: Graph, node: Node) -> None:
    _types(graph, node, (DType.INT8,), DType.INT32)
    _check_shapes(graph, node)


def _check_cumulate(graph: Graph, node: Node) -> None:
    _types(graph, node, (DType.INT32,), DType.INT32)
    _check_shapes(graph, node)
    rank = len(graph.tensor(node.inputs[0]).shape)
    require(0 <= attr_int(node, "axis") < rank, node, "axis is out of range")


_COMPARE_PARAMS = (
    "mode",
    "negate",
    "scaled",
    "a_multiplier",
    "a_shift",
    "b_multiplier",
    "b_shift",
)

INDEX_BINARY = Kernel("index_binary", 80, ("mode",), _check_index_binary, in_place=True)
COMPARE = Kernel("compare", 81, _COMPARE_PARAMS, _check_compare)
SELECT = Kernel("select", 82, (), _check_select, in_place=True)
WIDEN = Kernel("widen", 83, (), _check_widen)
CUMULATE = Kernel("cumulate", 84, ("axis", "exclusive", "reverse"), _check_cumulate, in_place=True)
