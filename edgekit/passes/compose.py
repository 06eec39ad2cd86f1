"""Compose elementwise functions of one tensor into one table, and clamps into what writes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.passes.drop import drop_unused
from edgekit.passes.fold import RULES
from edgekit.passes.ranges import zero_point
from edgekit.passes.uses import Uses

ELEMENTWISE = (
    "lut",
    "add",
    "mul",
    "div",
    "maximum",
    "squared_difference",
    "prelu",
    "compare",
    "select",
)
"""Kernels whose every output depends on one element of each input."""

Table = NDArray[np.int8]

_STORED = np.arange(-128, 128).astype(np.int8)


@dataclass(frozen=True, slots=True)
class _Function:
    """A tensor as a function of another one, element by element."""

    root: int
    table: Table


def compose_tables(graph: Graph) -> Graph:
    """Replace kernels that compute a function of one tensor by one table of 256 values.

    x * sigmoid(x) is a function of x. Constants of one value may take part. A table behind a table
    that others read as well stays: nothing would be saved.
    """
    uses = Uses(graph)
    functions: dict[int, _Function] = {}
    tensors = list(graph.tensors)
    nodes: list[Node] = []
    for node in graph.nodes:
        sources = _sources(graph, node)
        deep = _function(graph, node, {i: functions.get(i, _Function(i, _STORED)) for i in sources})
        found = _function(graph, node, {i: _Function(i, _STORED) for i in sources})
        if deep is not None:
            functions[node.outputs[0]] = deep
        if found is None or all(uses.only_reader(index, node) for index in sources):
            found = deep
        if found is None or (node.op == "lut" and found.root == node.inputs[0]):
            nodes.append(node)
            continue
        tensors.append(Tensor(f"{node.name} table", (256,), DType.INT8, None, found.table))
        nodes.append(replace(node, op="lut", inputs=(found.root, len(tensors) - 1), attrs={}))
    return drop_unused(replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)))


def _sources(graph: Graph, node: Node) -> tuple[int, ...]:
    """Return what an elementwise kernel computes from; nothing if it is no such kernel."""
    if node.op not in ELEMENTWISE or len(node.outputs) != 1:
        return ()
    y = graph.tensor(node.outputs[0])
    operands = node.inputs[:1] if node.op == "lut" else node.inputs
    sources = tuple(i for i in dict.fromkeys(operands) if graph.tensor(i).data is None)
    for index in (*sources, node.outputs[0]):
        x = graph.tensor(index)
        if x.dtype is not DType.INT8 or x.elements != y.elements:
            return ()
    return sources


def _function(graph: Graph, node: Node, sources: dict[int, _Function]) -> _Function | None:
    """Return a node as a function of the one root of its sources, None if there are several."""
    roots = {function.root for function in sources.values()}
    if len(roots) != 1:
        return None
    table = _evaluate(graph, node, sources)
    return None if table is None else _Function(roots.pop(), table)


def _evaluate(graph: Graph, node: Node, sources: dict[int, _Function]) -> Table | None:
    """Compute a node on all 256 values of the root."""
    x, data = [], []
    for position, index in enumerate(node.inputs):
        tensor = graph.tensor(index)
        if index in sources:
            values = sources[index].table
        elif tensor.data is not None and (node.op, position) == ("lut", 1):
            values = tensor.data
        elif tensor.data is not None and tensor.data.size == 1:
            values = tensor.data.reshape(1)
        else:
            return None
        x.append(replace(tensor, shape=values.shape, data=values))
        data.append(values)
    y = replace(graph.tensor(node.outputs[0]), shape=(256,))
    return np.asarray(RULES[node.op](node, x, data, y)).astype(np.int8)


def fold_clamps(graph: Graph, keep: frozenset[str]) -> Graph:
    """Let a kernel clamp by itself where a table behind it does nothing else."""
    uses = Uses(graph)
    removed: dict[int, Node] = {}
    for node in graph.nodes:
        writer = uses.writers.get(node.inputs[0]) if node.op == "lut" else None
        if writer is None or "y_min" not in writer.attrs or writer.name in keep:
            continue
        x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
        table = graph.tensor(node.inputs[1]).data
        low, high = writer.attrs["y_min"], writer.attrs["y_max"]
        assert isinstance(low, int)
        assert isinstance(high, int)
        if table is None or x.shape != y.shape or zero_point(x) != zero_point(y):
            continue
        if not uses.only_reader(node.inputs[0], node) or id(writer) in removed:
            continue
        stored = np.arange(low, high + 1)
        least, most = int(table[low + 128]), int(table[high + 128])
        if low <= least <= most <= high and np.array_equal(
            table[low + 128 : high + 129], stored.clip(least, most)
        ):
            attrs = {**writer.attrs, "y_min": least, "y_max": most}
            removed[id(writer)] = replace(writer, outputs=node.outputs, attrs=attrs)
            removed[id(node)] = node
    if not removed:
        return graph
    nodes = [
        removed.get(id(node), node)
        for node in graph.nodes
        if not (node.op == "lut" and id(node) in removed)
    ]
    return drop_unused(replace(graph, nodes=tuple(nodes)))
