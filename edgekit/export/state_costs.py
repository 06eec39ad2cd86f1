"""What drives the instructions of kernels with a state, of types and of comparisons."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from edgekit.graph import Graph, Node

Features = tuple[float, ...]


def _gru(graph: Graph, node: Node) -> Features:
    x, w_input, w_recurrent = (graph.tensors[i].shape for i in node.inputs[:3])
    features, units = x[-1], w_recurrent[1]
    steps = graph.tensors[node.inputs[0]].elements // features
    del w_input
    late = float(bool(node.attrs["reset_after"]))
    # Rows in fours, then terms in fours, as the kernel with two multiplications per instruction.
    blocks = steps * 3 * (-(-units // 4))
    return (
        float(blocks * (features // 4 + units // 4)),
        float(blocks * (features % 4 + units % 4)),
        float(blocks),
        float(steps * 3 * units * (features + units)),
        float(steps * units),
        late * steps * units,
        float(steps * features),
        float(steps),
        1.0,
    )


def _lstm(graph: Graph, node: Node) -> Features:
    x, w_input, w_recurrent = (graph.tensors[i] for i in node.inputs[:3])
    units, features = w_recurrent.shape[1], w_input.shape[1]
    steps = x.elements // features
    return (
        float(steps * 4 * units * features),
        float(steps * 4 * units * units),
        float(steps * 4 * units),
        float(steps * units),
        float(steps),
        1.0,
    )


def _select(graph: Graph, node: Node) -> Features:
    shape = graph.tensors[node.outputs[0]].shape
    carries = sum(prod(shape[:d]) for d in range(1, len(shape)))
    return float(prod(shape)), float(carries), 1.0


def _elements(graph: Graph, node: Node) -> Features:
    return float(graph.tensors[node.outputs[0]].elements), 1.0


def _cumulate(graph: Graph, node: Node) -> Features:
    shape = graph.tensors[node.inputs[0]].shape
    axis = node.attrs["axis"]
    assert isinstance(axis, int)
    return float(prod(shape)), float(prod(shape) // shape[axis]), 1.0


def _one_hot(graph: Graph, node: Node) -> Features:
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.outputs[0]]
    return float(y.elements), float(x.elements), 1.0


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {
    "gru": _gru,
    "lstm": _lstm,
    "select": _select,
    "widen": _elements,
    "cumulate": _cumulate,
    "one_hot": _one_hot,
}
