"""Plan the arena: where each activation and each kernel's scratch lies while the model runs."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.graph import Graph
from edgekit.passes.place import STEPS, Search, layout_of
from edgekit.passes.storage import (
    ALIGN,
    Lives,
    Storage,
    kernel_of,
    live_bytes,
    scratch_bytes,
)

__all__ = ["ALIGN", "Plan", "plan_memory", "scratch_bytes"]

TRIES = 8
"""How many nodes that work in place a plan is tried without."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things lie in the arena.

    Attributes:
        arena_bytes: Size of the arena, exact.
        offsets: Offset per tensor; -1 for constants.
        scratch: Offset of each node's scratch, 0 if it needs none.
        live_bytes: Least bytes that any plan holds while each node runs, scratch included; no plan
            for this order of nodes has an arena smaller than the largest.
    """

    arena_bytes: int
    offsets: tuple[int, ...]
    scratch: tuple[int, ...]
    live_bytes: tuple[int, ...]


def plan_memory(graph: Graph) -> Plan:
    """Place activations and scratch, in the order of the nodes.

    Views lie where their data is: copies, slices, and what a concatenation joins. Outputs lie on
    inputs that die where a kernel works in place, or overlap them as far as it reads ahead of what
    it writes. The rest is first fit in several orders and a local search of bounded length, always
    with the same result.

    Source: Pisarchyk, Lee: Efficient memory management for deep neural net inference, arXiv
    2001.03288, section 4, for the first orders.
    """
    lives, live = Lives.of(graph), live_bytes(graph)
    bound = max(live, default=0)
    best = _plan(graph, lives, live, STEPS)
    if best.arena_bytes > bound:
        best = min(best, _plan(graph, lives, live, STEPS // 4, parts=False), key=_size)
    # An output that lies on an input also lies where the input had to be: try without.
    kept: frozenset[int] = frozenset()
    for position in _in_place(graph)[:TRIES]:
        if best.arena_bytes > bound:
            tried = _plan(graph, lives, live, STEPS // 4, kept_apart=kept | {position})
            if tried.arena_bytes < best.arena_bytes:
                best, kept = tried, kept | {position}
    return best


def _size(plan: Plan) -> int:
    return plan.arena_bytes


def _in_place(graph: Graph) -> list[int]:
    """Return the positions of nodes that may work in place, those of large tensors first."""
    found = [
        (-graph.tensors[node.outputs[0]].nbytes, position)
        for position, node in enumerate(graph.nodes)
        if kernel_of(node).in_place and node.op != "copy"
    ]
    return [position for _, position in sorted(found)]


def _plan(
    graph: Graph,
    lives: Lives,
    live: tuple[int, ...],
    steps: int,
    *,
    parts: bool = True,
    kept_apart: frozenset[int] = frozenset(),
) -> Plan:
    """Place what joined tensors leave to choose, looking for so many steps."""
    storage = Storage(graph, parts=parts)
    storage.join_in_place(graph, lives, kept_apart)
    layout = layout_of(graph, storage, lives)
    arena, places = Search(layout, max(live, default=0), steps).run()
    return Plan(
        arena_bytes=arena,
        offsets=tuple(
            -1 if block < 0 else places[block] + start
            for block, start in zip(layout.number, storage.start, strict=True)
        ),
        scratch=tuple(0 if block < 0 else places[block] for block in layout.scratch),
        live_bytes=live,
    )
