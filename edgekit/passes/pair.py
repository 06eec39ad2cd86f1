"""Run a depthwise convolution and the pointwise one behind it as one kernel, where that saves RAM.

The outputs are the same bytes. The one kernel is portable C, so on cores with packed kernels it is
slower than the two: it is taken for memory alone, and only in the places that the arena is large
for.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Graph, Node
from edgekit.ops.pair import DEPTHWISE_POINTWISE, pair_of
from edgekit.passes.drop import drop_unused
from edgekit.passes.lower import verify_kernels
from edgekit.passes.patch import arena_of
from edgekit.passes.schedule import schedule
from edgekit.passes.storage import live_bytes
from edgekit.passes.uses import Uses


def pair(graph: Graph) -> Graph:
    """Return the graph with the fewest pairs joined that bring its peak of live bytes down.

    Joined are those pairs that need more than the peak of the graph with every pair joined. Where
    that peak is not lower, the graph itself is returned.

    Args:
        graph: Of kernels, not packed.
    """
    found = pairs_of(graph)
    if not found:
        return graph
    peak = max(live_bytes(joined(graph, found)))
    alive = dict(zip((node.outputs[0] for node in graph.nodes), live_bytes(graph), strict=True))
    if peak >= max(alive.values()):
        return graph
    wanted = [node for node in found if max(alive[i] for i in _written(graph, node)) > peak]
    return joined(graph, wanted)


def pair_if_smaller(graph: Graph, family: str) -> tuple[Graph, str]:
    """Return the graph in an order of the least peak, with pairs joined if its arena gets smaller.

    Args:
        graph: Of kernels, not packed.
        family: Kernel family that it will be packed for.

    Returns:
        The graph, and one sentence about what was done.
    """
    plain, paired = schedule(graph), schedule(pair(graph))
    count = joined_pairs(paired) - joined_pairs(plain)
    before, after = (arena_of(whole, family) for whole in (plain, paired))
    if not count or after >= before:
        return plain, "no pair of a depthwise and a pointwise layer makes the arena smaller"
    layers = "1 depthwise layer runs" if count == 1 else f"{count} depthwise layers run"
    text = f"{layers} with the pointwise one behind: arena {after:,} instead of {before:,} bytes"
    return paired, text


def pairs_of(graph: Graph) -> list[Node]:
    """Return one node for each depthwise layer that only a pointwise one reads."""
    uses = Uses(graph)
    found = []
    for second in graph.nodes:
        first = uses.writers.get(second.inputs[0]) if second.op == "conv_2d" else None
        if first is not None and uses.only_reader(second.inputs[0], second):
            node = pair_of(graph, first, second)
            if node is not None:
                found.append(node)
    return found


def joined(graph: Graph, pairs: list[Node]) -> Graph:
    """Return the graph with some of its pairs joined; the outputs are equal.

    Args:
        pairs: Of `pairs_of`.
    """
    new = {node.outputs[0]: node for node in pairs}
    nodes = tuple(new.get(node.outputs[0], node) for node in graph.nodes)
    return verify_kernels(drop_unused(replace(graph, nodes=nodes)))


def joined_pairs(graph: Graph) -> int:
    """Count the pairs that run as one kernel."""
    return len(_together(graph))


def joined_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of the pairs that run as one kernel."""
    return sum(DEPTHWISE_POINTWISE.macs(graph, node) for node in _together(graph))


def _together(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op == DEPTHWISE_POINTWISE.name]


def _written(graph: Graph, pair: Node) -> tuple[int, int]:
    """Return the outputs of the two layers that a pair stands for."""
    (second,) = (node for node in graph.nodes if node.outputs == pair.outputs)
    return second.inputs[0], second.outputs[0]
