"""Plan the arena: where each activation and each kernel's scratch lies while the model runs."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.graph import Graph
from edgekit.passes.place import STEPS, Search, layout_of
from edgekit.passes.storage import ALIGN, Lives, Storage, live_bytes, scratch_bytes

__all__ = ["ALIGN", "Plan", "plan_memory", "scratch_bytes"]


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
    best: Plan | None = None
    for parts, steps in ((True, STEPS), (False, STEPS // 4)):
        storage = Storage(graph, parts=parts)
        storage.join_in_place(graph, lives)
        layout = layout_of(graph, storage, lives)
        arena, places = Search(layout, bound, steps).run()
        if best is None or arena < best.arena_bytes:
            offsets = tuple(
                -1 if block < 0 else places[block] + start
                for block, start in zip(layout.number, storage.start, strict=True)
            )
            scratch = tuple(0 if block < 0 else places[block] for block in layout.scratch)
            best = Plan(arena, offsets, scratch, live)
        if best.arena_bytes == bound:
            break
    assert best is not None
    return best
