"""The order of nodes: an exact search finds the one with the lowest peak."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from random_graphs import Maker, graphs

from edgekit.errors import GraphError
from edgekit.graph import Graph, verify
from edgekit.passes.plan import plan_memory
from edgekit.passes.schedule import schedule
from edgekit.passes.storage import live_bytes


def peak(graph: Graph) -> int:
    return max(live_bytes(graph))


def possible(graph: Graph) -> list[Graph]:
    """Return the graph in every order in which tensors are written before they are read."""
    found = []
    for nodes in itertools.permutations(graph.nodes):
        try:
            found.append(verify(replace(graph, nodes=nodes)))
        except GraphError:
            continue
    return found


@settings(deadline=None, max_examples=60, derandomize=True)
@given(graphs(most=6))
def test_order_has_the_lowest_peak_of_all(graph: Graph) -> None:
    ordered = verify(schedule(graph))
    assert sorted(n.name for n in ordered.nodes) == sorted(n.name for n in graph.nodes)
    assert peak(ordered) == min(peak(other) for other in possible(graph))
    if peak(ordered) == peak(graph):
        assert ordered is graph


def two_branches() -> Graph:
    """Two wide branches from one input that each shrink before they meet, interleaved badly."""
    make = Maker(64, 8)
    wide = [make.conv(1, 3, 1, 16, depthwise=False) for _ in range(2)]
    narrow = [make.conv(x, 3, 2, 8, depthwise=False) for x in wide]
    total = (1, 64, 1, 8)
    return make.graph(make.add("concatenation", tuple(narrow), total, axis=1))


def test_branches_run_one_after_the_other_where_that_is_smaller() -> None:
    graph = two_branches()
    ordered = schedule(graph)
    assert [node.name for node in ordered.nodes] == ["n0", "n2", "n1", "n3", "n4"]
    assert plan_memory(ordered).arena_bytes < plan_memory(graph).arena_bytes


def test_a_long_chain_keeps_its_order() -> None:
    make = Maker(16, 8)
    x = 1
    for _ in range(150):
        x = make.conv(x, 3, 1, 8, depthwise=False)
    graph = make.graph(x)
    assert schedule(graph) is graph
