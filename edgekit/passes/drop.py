"""Drop what nobody reads."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Graph, Node


def drop_dead_nodes(graph: Graph) -> Graph:
    """Remove nodes whose outputs nobody reads; tensors keep their ids."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(index in needed for index in node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(reversed(kept)))


def drop_unused(graph: Graph) -> Graph:
    """Remove nodes whose outputs nobody reads, then tensors that no node names."""
    kept = drop_dead_nodes(graph).nodes
    used = {*graph.inputs, *graph.outputs}
    for node in kept:
        used.update(index for index in (*node.inputs, *node.outputs) if index >= 0)
    order = sorted(used)
    number = {old: new for new, old in enumerate(order)} | {-1: -1}
    return Graph(
        graph.name,
        tuple(graph.tensors[index] for index in order),
        tuple(
            replace(
                node,
                inputs=tuple(number[index] for index in node.inputs),
                outputs=tuple(number[index] for index in node.outputs),
            )
            for node in kept
        ),
        tuple(number[index] for index in graph.inputs),
        tuple(number[index] for index in graph.outputs),
    )
