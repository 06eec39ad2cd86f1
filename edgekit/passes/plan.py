"""Plan the arena: where each activation and each kernel's scratch lies while the model runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import GraphError
from edgekit.graph import Graph, Node
from edgekit.ops import kernel

ALIGN = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Where things lie in the arena.

    Attributes:
        arena_bytes: Size of the arena, exact.
        offsets: Offset per tensor; -1 for constants.
        scratch: Offset of each node's scratch, 0 if it needs none.
        live_bytes: Bytes in use while each node runs, scratch included.
    """

    arena_bytes: int
    offsets: tuple[int, ...]
    scratch: tuple[int, ...]
    live_bytes: tuple[int, ...]


@dataclass(slots=True)
class _Buffer:
    """A piece of the arena that one or more tensors share.

    Attributes:
        size: Bytes, rounded up to the alignment.
        first: First node while which it is in use; -1 is before the first.
        last: Last such node.
    """

    size: int
    first: int
    last: int
    offset: int = -1


def _align(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def scratch_bytes(graph: Graph, node: Node) -> int:
    """Return the scratch that a node's kernel needs.

    Twin: the `_check` function of each kernel.
    """
    found = kernel(node.op)
    if found is None:
        raise GraphError(f"node '{node.name}': '{node.op}' is not a kernel")
    return found.scratch(graph, node)


def _share(graph: Graph) -> tuple[list[_Buffer], list[int]]:
    """Return the buffers of the activations, and the buffer of each tensor (-1 for constants).

    A copy always shares the buffer of its input: both only read from then on. Another
    kernel that works in place shares it if nobody reads the buffer later.
    """
    last_read = [-1] * len(graph.tensors)
    for position, node in enumerate(graph.nodes):
        for index in node.inputs:
            if index >= 0:
                last_read[index] = position
    for index in graph.outputs:
        last_read[index] = len(graph.nodes)
    group = [-1] * len(graph.tensors)
    members: list[list[int]] = []
    buffers: list[_Buffer] = []

    def place(index: int, position: int) -> None:
        group[index] = len(buffers)
        members.append([index])
        end = max(position, last_read[index])
        buffers.append(_Buffer(_align(graph.tensors[index].nbytes), position, end))

    for index in graph.inputs:
        place(index, -1)
    for position, node in enumerate(graph.nodes):
        found = kernel(node.op)
        for index in node.outputs:
            target = graph.tensors[index]
            joined = False
            for source in node.inputs if found is not None and found.in_place else ():
                if source < 0 or group[source] < 0 or joined:
                    continue
                others = members[group[source]]
                dies = all(last_read[other] <= position for other in others)
                if graph.tensors[source].nbytes == target.nbytes and (node.op == "copy" or dies):
                    group[index] = group[source]
                    others.append(index)
                    buffer = buffers[group[source]]
                    buffer.last = max(buffer.last, position, last_read[index])
                    joined = True
            if not joined:
                place(index, position)
    return buffers, group


def _pack(buffers: list[_Buffer], order: Callable[[_Buffer], tuple[int, ...]]) -> int:
    """Give every buffer the lowest offset that is free while it is in use; return the size."""
    placed: list[_Buffer] = []
    for buffer in sorted(buffers, key=order):
        offset = 0
        for other in sorted(
            (b for b in placed if b.first <= buffer.last and buffer.first <= b.last),
            key=lambda b: b.offset,
        ):
            if offset + buffer.size <= other.offset:
                break
            offset = max(offset, other.offset + other.size)
        buffer.offset = offset
        placed.append(buffer)
    return max((b.offset + b.size for b in buffers), default=0)


_ORDERS: tuple[Callable[[_Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.size, b.first, b.last),
    lambda b: (-b.size * (b.last - b.first + 1), b.first),
    lambda b: (b.first, -b.size, b.last),
    lambda b: (-(b.last - b.first), -b.size, b.first),
)


def plan_memory(graph: Graph) -> Plan:
    """Place activations and scratch greedily, in four orders; the smallest arena wins.

    Source: Pisarchyk, Lee: Efficient memory management for deep neural net inference, arXiv
    2001.03288, section 4.
    """
    buffers, group = _share(graph)
    scratch_of: list[_Buffer | None] = []
    for position, node in enumerate(graph.nodes):
        size = scratch_bytes(graph, node)
        buffer = _Buffer(_align(size), position, position) if size else None
        scratch_of.append(buffer)
    everything = buffers + [b for b in scratch_of if b is not None]
    best = min(_ORDERS, key=lambda order: _pack(everything, order))
    arena = _pack(everything, best)
    live = tuple(
        sum(b.size for b in everything if b.first <= position <= b.last)
        for position in range(len(graph.nodes))
    )
    return Plan(
        arena_bytes=arena,
        offsets=tuple(-1 if g < 0 else buffers[g].offset for g in group),
        scratch=tuple(0 if b is None else b.offset for b in scratch_of),
        live_bytes=live,
    )
