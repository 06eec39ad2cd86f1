"""Join kernels that only move bytes: views, transposes, slices, concatenations."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Attr, DType, Graph, Node
from edgekit.ops.base import attr_int
from edgekit.ops.layout import MAX_INPUTS
from edgekit.passes.drop import drop_unused
from edgekit.passes.uses import Uses, with_inputs


def join_moves(graph: Graph) -> Graph:
    """Apply each rule once to every node; what nobody reads any more is dropped."""
    uses = Uses(graph)
    nodes = []
    redirected: dict[int, int] = {}
    for node in graph.nodes:
        new = node
        if node.op == "copy":
            new = _view(graph, node, uses)
        elif node.op == "transpose":
            new = _transpose(graph, node, uses)
        elif node.op == "batch_matmul":
            new = _matmul(graph, node, uses)
        elif node.op == "strided_slice":
            new = _slice(graph, node, uses)
        elif node.op == "concatenation":
            new = _concatenation(graph, node, uses)
        if new.op == "copy" and not uses.is_output(new.outputs[0]):
            x, y = graph.tensor(new.inputs[0]), graph.tensor(new.outputs[0])
            if x.shape == y.shape and x.dtype is y.dtype and x.data is None:
                redirected[new.outputs[0]] = new.inputs[0]
        nodes.append(new)
    if not redirected and all(a is b for a, b in zip(nodes, graph.nodes, strict=True)):
        return graph
    return drop_unused(with_inputs(replace(graph, nodes=tuple(nodes)), redirected))


def _ints(node: Node, name: str, count: int) -> tuple[int, ...]:
    value = node.attrs[name]
    assert isinstance(value, tuple)
    return value[:count]


def _view(graph: Graph, node: Node, uses: Uses) -> Node:
    """View what a view views."""
    before = uses.writers.get(node.inputs[0])
    if before is not None and before.op == "copy" and graph.tensor(before.inputs[0]).data is None:
        return replace(node, inputs=before.inputs)
    return node


def _transpose(graph: Graph, node: Node, uses: Uses) -> Node:
    """Turn two transposes into one, and one that leaves the bytes in order into a view."""
    before = uses.writers.get(node.inputs[0])
    rank = len(graph.tensor(node.inputs[0]).shape)
    perm = _ints(node, "perm", rank)
    if before is not None and before.op == "transpose":
        inner = _ints(before, "perm", rank)
        perm = tuple(inner[axis] for axis in perm)
        node = replace(node, inputs=before.inputs, attrs={"perm": perm})
    x = graph.tensor(node.inputs[0])
    order = [axis for axis in perm if x.shape[axis] != 1]
    if order == sorted(order) and x.data is None:
        return replace(node, op="copy", attrs={})
    return node


def _matmul(graph: Graph, node: Node, uses: Uses) -> Node:
    """Let a product read an operand the other way round instead of transposing it."""
    for position, side in enumerate(("adj_x", "adj_y")):
        before = uses.writers.get(node.inputs[position])
        if before is None or before.op != "transpose":
            continue
        rank = len(graph.tensor(before.inputs[0]).shape)
        perm = _ints(before, "perm", rank)
        if rank < 2 or perm != (*range(rank - 2), rank - 1, rank - 2):
            continue
        inputs = list(node.inputs)
        inputs[position] = before.inputs[0]
        attrs: dict[str, Attr] = {**node.attrs, side: 1 - attr_int(node, side)}
        node = replace(node, inputs=tuple(inputs), attrs=attrs)
    return node


def _slice(graph: Graph, node: Node, uses: Uses) -> Node:
    """Cut from what a slice was cut from, or from the one part of a concatenation that it needs.

    A slice of everything is a view.
    """
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    rank = len(x.shape)
    begin, stride = _ints(node, "begin", rank), _ints(node, "stride", rank)
    if x.shape == y.shape and stride == (1,) * rank:
        return replace(node, op="copy", attrs={}) if x.data is None else node
    before = uses.writers.get(node.inputs[0])
    if before is not None and before.op == "strided_slice":
        first, step = _ints(before, "begin", rank), _ints(before, "stride", rank)
        attrs: dict[str, Attr] = {
            "begin": tuple(f + s * b for f, s, b in zip(first, step, begin, strict=True)),
            "stride": tuple(s * t for s, t in zip(step, stride, strict=True)),
        }
        return replace(node, inputs=before.inputs, attrs=attrs)
    if before is not None and before.op == "concatenation":
        axis = attr_int(before, "axis")
        ends = sorted((begin[axis], begin[axis] + (y.shape[axis] - 1) * stride[axis]))
        start = 0
        for index in before.inputs:
            size = graph.tensor(index).shape[axis]
            if start <= ends[0] and ends[1] < start + size and graph.tensor(index).data is None:
                moved = tuple(b - start if d == axis else b for d, b in enumerate(begin))
                return replace(node, inputs=(index,), attrs={**node.attrs, "begin": moved})
            start += size
    return node


def _concatenation(graph: Graph, node: Node, uses: Uses) -> Node:
    """Join the parts of parts; one part is a view."""
    inputs: list[int] = []
    for index in node.inputs:
        before = uses.writers.get(index)
        inner = (
            before is not None
            and before.op == "concatenation"
            and before.attrs["axis"] == node.attrs["axis"]
            and uses.only_reader(index, node)
            and node.inputs.count(index) == 1
        )
        inputs.extend(before.inputs if inner and before is not None else (index,))
    if len(inputs) > MAX_INPUTS:
        return node
    if len(inputs) == 1 and graph.tensor(inputs[0]).data is None:
        return replace(node, op="copy", inputs=tuple(inputs), attrs={})
    return node if len(inputs) == len(node.inputs) else replace(node, inputs=tuple(inputs))


def fold_index_wrap(graph: Graph) -> Graph:
    """Let a gather count negative indices from the end by itself.

    Keras leaves `where(i < 0, i + n, i)` in front of every embedding.
    """
    uses = Uses(graph)
    nodes = []
    for node in graph.nodes:
        if node.op == "gather":
            node = _wrapped(graph, node, uses)
        nodes.append(node)
    return drop_unused(replace(graph, nodes=tuple(nodes)))


def _wrapped(graph: Graph, node: Node, uses: Uses) -> Node:
    picked = uses.writers.get(node.inputs[1])
    if picked is None or picked.op != "select" or attr_int(node, "wrap"):
        return node
    condition, moved = (uses.writers.get(index) for index in picked.inputs[:2])
    index = picked.inputs[2]
    if condition is None or moved is None or graph.tensor(index).dtype is not DType.INT32:
        return node
    x = graph.tensor(node.inputs[0])
    rows = x.shape[attr_int(node, "axis")]
    less = {"mode": 1, "negate": 0}
    if condition.op != "compare" or any(condition.attrs[k] != v for k, v in less.items()):
        return node
    if moved.op != "index_binary" or moved.attrs["mode"] != 0:
        return node
    if condition.inputs[0] != index or not _holds(graph, condition.inputs[1], 0):
        return node
    sides = moved.inputs if moved.inputs[0] == index else moved.inputs[::-1]
    if sides[0] != index or not _holds(graph, sides[1], rows):
        return node
    attrs: dict[str, Attr] = {**node.attrs, "wrap": 1}
    return replace(node, inputs=(node.inputs[0], index), attrs=attrs)


def _holds(graph: Graph, index: int, value: int) -> bool:
    data = graph.tensor(index).data
    return data is not None and data.size == 1 and int(data.reshape(-1)[0]) == value
