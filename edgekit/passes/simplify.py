"""Rewrite a graph of kernels into a smaller one that computes the same bytes."""

from __future__ import annotations

from edgekit.graph import Graph
from edgekit.passes.dead import remove_dead_channels
from edgekit.passes.lower import verify_kernels


def simplify(graph: Graph, *, keep: frozenset[str] = frozenset()) -> Graph:
    """Apply every exact pass; the outputs are equal for every input.

    Args:
        graph: Of kernels, not packed.
        keep: Names of nodes that stay as they are, with their inputs: trainable heads.
    """
    return verify_kernels(remove_dead_channels(graph, keep=keep))
