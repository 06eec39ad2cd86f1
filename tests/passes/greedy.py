"""A simple planner to compare with: whole lives, no views, no overlap, the best of four orders."""

from __future__ import annotations

from edgekit.graph import Graph
from edgekit.passes.storage import Lives, align, kernel_of, scratch_bytes


def greedy_arena(graph: Graph) -> int:
    """Return the arena of the best of four first-fit orders.

    Source: Pisarchyk, Lee: Efficient memory management for deep neural net inference, arXiv
    2001.03288, section 4.
    """
    lives = Lives.of(graph)
    buffers: list[list[int]] = []  # size, first, last, offset
    group: dict[int, int] = {}
    members: list[list[int]] = []

    def place(index: int) -> None:
        group[index] = len(buffers)
        members.append([index])
        size = align(graph.tensors[index].nbytes)
        buffers.append([size, lives.first[index], lives.last[index], 0])

    for index in graph.inputs:
        place(index)
    for position, node in enumerate(graph.nodes):
        for index in node.outputs:
            for source in node.inputs if kernel_of(node).in_place else ():
                if source not in group or index in group:
                    continue
                dies = all(lives.last[other] <= position for other in members[group[source]])
                same = graph.tensors[source].nbytes == graph.tensors[index].nbytes
                if same and (node.op == "copy" or dies):
                    group[index] = group[source]
                    members[group[source]].append(index)
                    buffer = buffers[group[source]]
                    buffer[2] = max(buffer[2], lives.last[index])
            if index not in group:
                place(index)
    for position, node in enumerate(graph.nodes):
        size = scratch_bytes(graph, node)
        if size:
            buffers.append([align(size), position, position, 0])
    orders = (
        lambda b: (-b[0], b[1], b[2]),
        lambda b: (-b[0] * (b[2] - b[1] + 1), b[1]),
        lambda b: (b[1], -b[0], b[2]),
        lambda b: (-(b[2] - b[1]), -b[0], b[1]),
    )
    arenas = []
    for order in orders:
        placed: list[list[int]] = []
        for buffer in sorted(buffers, key=order):
            offset = 0
            for other in sorted(placed, key=lambda b: b[3]):
                if other[1] > buffer[2] or buffer[1] > other[2]:
                    continue
                if offset + buffer[0] <= other[3]:
                    break
                offset = max(offset, other[3] + other[0])
            buffer[3] = offset
            placed.append(buffer)
        arenas.append(max(b[3] + b[0] for b in buffers))
    return min(arenas)
