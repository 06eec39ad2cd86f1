"""Images of graphs of kernels without golden vectors, and plans in which tensors overlap."""

from __future__ import annotations

from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.graph import Graph
from edgekit.ops import kernel, ordered
from edgekit.passes.plan import ALIGN, Plan, plan_memory, scratch_bytes


def written(graph: Graph, family: str, plan: Plan | None = None) -> bytes:
    """Return the image of a graph that was packed for a family; None plans it."""
    names = ordered({node.op for node in graph.nodes})
    return write_image(
        meta=ImageMeta("m", "1", "", (), "", "", family, names, False),
        graph=graph,
        plan=plan or plan_memory(graph),
        features=Features(),
        head=None,
        golden=(),
    )


def plan_of(graph: Graph, places: dict[int, int]) -> Plan:
    """Return a plan of one node: its tensors at these offsets, its scratch behind them."""
    ends = [offset + graph.tensors[index].nbytes for index, offset in places.items()]
    end = -(-max(ends) // ALIGN) * ALIGN
    arena = end + -(-scratch_bytes(graph, graph.nodes[0]) // ALIGN) * ALIGN
    offsets = tuple(places.get(index, -1) for index in range(len(graph.tensors)))
    return Plan(arena, offsets, (end,), (arena,))


def overlapped(graph: Graph, *, nearer: int = 0) -> Plan | None:
    """Return a plan of one node whose output begins as few bytes before its input as may be.

    Args:
        nearer: So many bytes fewer than the kernel needs.

    Returns:
        None if the kernel allows no overlap, or needs no more than `nearer`.
    """
    node = graph.nodes[0]
    found = kernel(node.op)
    assert found is not None
    lead = found.lead(graph, node)
    if lead is None or lead <= nearer:
        return None
    return plan_of(graph, {node.inputs[0]: -(-lead // ALIGN) * ALIGN - nearer, node.outputs[0]: 0})
