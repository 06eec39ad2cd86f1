"""Rewrite a graph of kernels into a smaller one that computes the same bytes."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.graph import Graph
from edgekit.passes.compose import compose_tables, fold_clamps
from edgekit.passes.dead import remove_dead_channels
from edgekit.passes.lower import fold_copies, verify_kernels
from edgekit.passes.moves import fold_index_wrap, join_moves
from edgekit.passes.pads import fold_pads

ROUNDS = 8
"""Passes open the way for each other; a model that needs more rounds stays as it is then."""

EXACT: tuple[Callable[[Graph, frozenset[str]], Graph], ...] = (
    lambda graph, keep: fold_index_wrap(graph),
    lambda graph, keep: compose_tables(graph),
    fold_clamps,
    lambda graph, keep: fold_pads(graph),
    lambda graph, keep: join_moves(graph),
    lambda graph, keep: fold_copies(graph),
    lambda graph, keep: remove_dead_channels(graph, keep=keep),
)
"""The exact passes, in order."""


def simplify(graph: Graph, *, keep: frozenset[str] = frozenset()) -> Graph:
    """Apply every exact pass until nothing changes; the outputs are equal for every input.

    Args:
        graph: Of kernels, not packed.
        keep: Names of nodes that stay as they are, with their inputs: trainable heads.
    """
    for _ in range(ROUNDS):
        before = graph
        for apply in EXACT:
            graph = verify_kernels(apply(graph, keep))
        if graph == before:
            break
    return graph
