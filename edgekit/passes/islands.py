"""Turn islands of float32 into tables: elementwise functions of one int8 tensor, exactly.

The converter leaves them where an operator has no int8 kernel: DEQUANTIZE, some float32 operators,
QUANTIZE. What depends on one int8 tensor and on constants of one value has 256 cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops import real
from edgekit.passes.drop import drop_dead_nodes

Array = NDArray[Any]

_STORED = np.arange(-128, 128)


@dataclass(frozen=True, slots=True)
class _Value:
    """What is known of a float32 tensor.

    Attributes:
        root: The int8 tensor or truth values that it is a function of; -1: it is constant.
        values: Its value per byte of the root, [256]; of a constant all elements, any shape.
    """

    root: int
    values: Array


def fold_islands(graph: Graph) -> Graph:
    """Replace what ends an island, a QUANTIZE or a comparison, by a table of its int8 tensor.

    Islands of another kind stay; lowering refuses them.
    """
    if not any(tensor.dtype is DType.FLOAT32 for tensor in graph.tensors):
        return graph
    graph = move_bytes(graph)
    known: dict[int, _Value] = {}
    tensors = list(graph.tensors)
    nodes: list[Node] = []
    for index, tensor in enumerate(graph.tensors):
        if tensor.dtype is DType.FLOAT32 and tensor.data is not None:
            known[index] = _Value(-1, tensor.data)
    for node in graph.nodes:
        value = _evaluate(graph, node, known)
        if value is None:
            nodes.append(node)
            continue
        output = node.outputs[0]
        y = graph.tensor(output)
        if y.dtype is DType.FLOAT32:
            known[output] = value
            # It stays until nobody reads it: an island of another kind may.
            nodes.append(node)
        elif value.root < 0:
            tensors[output] = replace(y, data=np.broadcast_to(value.values, y.shape).copy())
        else:
            table = Tensor(f"{y.name} table", (256,), DType.INT8, None, value.values)
            tensors.append(table)
            nodes.append(Node(node.name, "lut", (value.root, len(tensors) - 1), node.outputs))
    return drop_dead_nodes(replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)))


MOVES = {
    "EXPAND_DIMS": 0,
    "RESHAPE": 0,
    "REVERSE_V2": 0,
    "SLICE": 0,
    "SPLIT": 1,
    "SPLIT_V": 0,
    "SQUEEZE": 0,
    "STRIDED_SLICE": 0,
    "TRANSPOSE": 0,
    "UNPACK": 0,
}
"""Operators that only move what they read, with the position of that input."""


def move_bytes(graph: Graph) -> Graph:
    """Let what moves elements of a dequantized tensor move its bytes, and dequantize behind."""
    from_bytes: dict[int, int] = {}
    tensors = list(graph.tensors)
    nodes: list[Node] = []

    def enter(name: str, stored: int, y: int) -> None:
        nodes.append(Node(name, "DEQUANTIZE", (stored,), (y,)))
        from_bytes[y] = stored

    for node in graph.nodes:
        place = MOVES.get(node.op)
        stored = from_bytes.get(node.inputs[place], -1) if place is not None else -1
        if node.op == "DEQUANTIZE" and _plain(tensors[node.inputs[0]].quant):
            enter(node.name, node.inputs[0], node.outputs[0])
        elif place is None or stored < 0:
            nodes.append(node)
        else:
            first = len(tensors)
            x = tensors[stored]
            tensors += [
                Tensor(f"{tensors[y].name} bytes", tensors[y].shape, x.dtype, x.quant)
                for y in node.outputs
            ]
            inputs = (*node.inputs[:place], stored, *node.inputs[place + 1 :])
            moved = tuple(range(first, len(tensors)))
            nodes.append(replace(node, inputs=inputs, outputs=moved))
            for number, y in zip(moved, node.outputs, strict=True):
                enter(node.name, number, y)
    return drop_dead_nodes(replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)))


def _plain(quant: Quant | None) -> bool:
    return quant is not None and len(quant.scales) == 1


def _evaluate(graph: Graph, node: Node, known: dict[int, _Value]) -> _Value | None:
    """Return what a node computes, None if that is no function of one int8 tensor."""
    y = graph.tensor(node.outputs[0])
    if len(node.outputs) != 1 or not node.inputs or min(node.inputs) < 0:
        return None
    x = graph.tensor(node.inputs[0])
    if node.op in ("DEQUANTIZE", "CAST") and y.dtype is DType.FLOAT32:
        return _enter(node, x)
    if node.op == "QUANTIZE" and y.dtype is DType.INT8 and node.inputs[0] in known:
        if y.quant is None or len(y.quant.scales) != 1 or y.quant.scale <= 0:
            return None
        value = known[node.inputs[0]]
        return _Value(value.root, real.quantize(value.values, y.quant))
    if node.op in real.UNARY and node.inputs[0] in known and x.elements == y.elements:
        value = known[node.inputs[0]]
        return _Value(value.root, _apply(real.UNARY[node.op], [value.values], node, value, y))
    if node.op in real.BINARY and len(node.inputs) == 2:
        return _binary(graph, node, known, y)
    return None


def _enter(node: Node, x: Tensor) -> _Value | None:
    """Return the float32 value of an int8 tensor or of truth values."""
    root = -1 if x.data is not None else node.inputs[0]
    stored = _STORED if x.data is None else x.data
    if node.op == "CAST" and x.dtype is DType.BOOL:
        return _Value(root, (stored != 0).astype(np.float32))
    if node.op == "CAST" and x.dtype in (DType.INT32, DType.INT64) and x.data is not None:
        return _Value(root, stored.astype(np.float32))
    if node.op != "DEQUANTIZE" or x.dtype is not DType.INT8 or x.quant is None:
        return None
    if len(x.quant.scales) != 1:
        return None
    return _Value(root, real.dequantize(stored, x.quant))


def _apply(function: Any, values: list[Array], node: Node, value: _Value, y: Tensor) -> Array:
    with np.errstate(all="ignore"):
        result = np.asarray(function(*values, node.attrs))
    if y.dtype is DType.BOOL:
        result = result.astype(np.bool_ if value.root < 0 else np.int8)
    return result.reshape(y.shape) if value.root < 0 else result


def _binary(graph: Graph, node: Node, known: dict[int, _Value], y: Tensor) -> _Value | None:
    values = [known.get(index) for index in node.inputs]
    a, b = values
    if a is None or b is None or node.attrs.get("activation", "NONE") not in real.CLAMPS:
        return None
    roots = {value.root for value in (a, b)} - {-1}
    if len(roots) > 1:
        return None
    root = roots.pop() if roots else -1
    operands = []
    for index, value in zip(node.inputs, (a, b), strict=True):
        data = value.values
        if root >= 0 and value.root < 0:
            # A constant of one value, of whatever shape.
            if data.size == 0 or not np.all(data == data.flat[0]):
                return None
            data = data.flat[0]
        elif value.root >= 0 and graph.tensor(index).elements != y.elements:
            return None
        operands.append(data)
    return _Value(root, _apply(real.BINARY[node.op], operands, node, _Value(root, operands[0]), y))
