"""Storage of activations: which tensors lie at fixed places of one block, and what lives when."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edgekit.errors import GraphError
from edgekit.graph import Graph, Node
from edgekit.ops import kernel
from edgekit.ops.base import Kernel

ALIGN = 16


def align(size: int) -> int:
    """Return a size rounded up to what offsets in the arena are multiples of."""
    return -(-size // ALIGN) * ALIGN


def kernel_of(node: Node) -> Kernel:
    """Return the kernel of a node.

    Raises:
        GraphError: If it has none.
    """
    found = kernel(node.op)
    if found is None:
        raise GraphError(f"node '{node.name}': '{node.op}' is not a kernel")
    return found


@dataclass(frozen=True, slots=True)
class Lives:
    """When tensors are in use, as positions of nodes.

    Attributes:
        first: Position of the node that writes a tensor; -1 for inputs of the graph and constants.
        last: Last position that reads it; the number of nodes for outputs of the graph.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]

    @staticmethod
    def of(graph: Graph) -> Lives:
        """Return the lives of a graph's tensors in the order of its nodes."""
        first = [-1] * len(graph.tensors)
        last = [-1] * len(graph.tensors)
        for position, node in enumerate(graph.nodes):
            for index in node.inputs:
                if index >= 0:
                    last[index] = position
            for index in node.outputs:
                first[index] = last[index] = position
        for index in (*graph.inputs[1:], *graph.outputs):  # variables live on
            last[index] = len(graph.nodes)
        return Lives(tuple(first), tuple(last))

    def meet(self, a: int, b: int) -> bool:
        """Say whether two tensors are in use at one time."""
        return self.first[a] <= self.last[b] and self.first[b] <= self.last[a]


class Storage:
    """Blocks of tensors: those of one block lie at fixed distances, whatever the block's offset.

    Attributes:
        block: Block of each tensor, -1 for constants.
        start: Offset of each tensor in its block; negative ones may occur.
        size: Bytes of each tensor, rounded up.
        members: Tensors of each block; empty where it was joined to another.
    """

    __slots__ = ("block", "members", "size", "start")

    def __init__(self, graph: Graph, *, parts: bool = True) -> None:
        """Give every activation its own block, then join views: tensors that need no copying.

        Args:
            parts: False joins only views of whole tensors, no slices and concatenations.
        """
        self.block = [-1] * len(graph.tensors)
        self.start = [0] * len(graph.tensors)
        self.size = [align(tensor.nbytes) for tensor in graph.tensors]
        self.members: list[list[int]] = []
        for index, tensor in enumerate(graph.tensors):
            if tensor.data is None:
                self.block[index] = len(self.members)
                self.members.append([index])
        for node in graph.nodes:
            places = kernel_of(node).views(graph, node)
            if not parts and not kernel_of(node).in_place:
                continue
            for number, distance in enumerate(places):
                if distance is not None and distance % ALIGN == 0:
                    self._join_view(node, number, places)

    def overlap(self, a: int, b: int, distance: int = 0) -> bool:
        """Say whether tensors overlap where b's block lies `distance` behind a's."""
        gap = self.start[b] + distance - self.start[a]
        return -self.size[b] < gap < self.size[a]

    def join(self, a: int, b: int, distance: int) -> None:
        """Join tensor b's block to tensor a's; b begins `distance` bytes behind a."""
        keep, gone = self.block[a], self.block[b]
        shift = self.start[a] + distance - self.start[b]
        for index in self.members[gone]:
            self.block[index] = keep
            self.start[index] += shift
        self.members[keep] += self.members[gone]
        self.members[gone] = []

    def _join_view(self, node: Node, number: int, places: tuple[int | None, ...]) -> None:
        """Let an input lie at its place in the first output, if nothing forbids it.

        Each byte of a block of views has one value for good. So two blocks may share only bytes
        that are known to be equal: those of both source and target. Other inputs must not come to
        lie in the output, except at their own places.
        """
        source, target, distance = node.inputs[number], node.outputs[0], places[number]
        a, b = self.block[target], self.block[source]
        if distance is None or a < 0 or b < 0 or a == b:
            return
        shift = self.start[target] + distance - self.start[source]
        for other, place in zip(node.inputs, places, strict=True):
            if self.block[other] in (a, b):
                at = self.start[other] + shift * (self.block[other] == b) - self.start[target]
                if at != place and -self.size[other] < at < self.size[target]:
                    return
        low = max(self.start[target], self.start[source] + shift)
        high = min(
            self.start[target] + self.size[target], self.start[source] + shift + self.size[source]
        )
        for u in self.members[a]:
            for v in self.members[b]:
                begin = max(self.start[u], self.start[v] + shift)
                end = min(self.start[u] + self.size[u], self.start[v] + shift + self.size[v])
                if begin < end and not (low <= begin and end <= high):
                    return
        self.join(target, source, distance)

    def join_in_place(self, graph: Graph, lives: Lives, kept_apart: Collection[int] = ()) -> None:
        """Lay outputs on inputs that die, where the kernel works in place.

        Args:
            kept_apart: Positions of nodes that this leaves out.
        """
        for position, node in enumerate(graph.nodes):
            if position in kept_apart or not kernel_of(node).in_place:
                continue
            for target in node.outputs:
                for source in node.inputs:
                    if self._may_lie_on(graph, lives, node, source, target):
                        self.join(source, target, 0)
                        break

    def _may_lie_on(self, graph: Graph, lives: Lives, node: Node, source: int, target: int) -> bool:
        if source < 0 or self.block[source] < 0 or self.block[source] == self.block[target]:
            return False
        if graph.tensors[source].nbytes < graph.tensors[target].nbytes:
            return False
        shift = self.start[source] - self.start[target]
        for u in self.members[self.block[source]]:
            for v in self.members[self.block[target]]:
                if not self.overlap(u, v, shift) or not lives.meet(u, v):
                    continue
                same = (self.start[u], self.size[u]) == (self.start[source], self.size[source])
                dies = lives.last[u] == lives.first[target]
                if not (v == target and u in node.inputs and same and dies):
                    return False
        return True


def scratch_bytes(graph: Graph, node: Node) -> int:
    """Return the scratch that a node's kernel needs.

    Twin: the `_check` function of each kernel.
    """
    return kernel_of(node).scratch(graph, node)


def lead_of(graph: Graph, node: Node) -> int | None:
    """Return the distance by which output 0 must begin before input 0 to overlap it, rounded up."""
    if not node.inputs or node.inputs[0] < 0 or node.inputs.count(node.inputs[0]) > 1:
        return None
    lead = kernel_of(node).lead(graph, node)
    return None if lead is None else align(lead)


def bytes_while(
    graph: Graph, storage: Storage, node: Node, before: Collection[int], after: Collection[int]
) -> int:
    """Return the least bytes of the arena that are in use while a node runs, scratch included.

    Args:
        storage: With views joined, and nothing else.
        before: Activations that are alive when it starts, its inputs among them.
        after: Those that are alive when it has ended, its outputs among them.
    """
    spans: dict[int, list[tuple[int, int]]] = {}
    for index in {*before, *node.outputs}:
        start = storage.start[index]
        spans.setdefault(storage.block[index], []).append((start, start + storage.size[index]))
    total = align(scratch_bytes(graph, node))
    for pieces in spans.values():
        end = min(start for start, _ in pieces)
        for start, stop in sorted(pieces):
            total += max(0, stop - max(start, end))
            end = max(end, stop)
    return total - _saving(graph, storage, node, before, after)


def _saving(
    graph: Graph, storage: Storage, node: Node, before: Collection[int], after: Collection[int]
) -> int:
    """Return the bytes that the first output shares with an input that dies."""
    target, best = node.outputs[0], 0
    lead = lead_of(graph, node)
    in_place = kernel_of(node).in_place
    for number, source in enumerate(node.inputs):
        if source not in before or storage.block[source] == storage.block[target]:
            continue
        touched = [
            index
            for index in before
            if storage.block[index] == storage.block[source] and storage.overlap(index, source)
        ]
        if any(index in after for index in touched):
            continue
        if in_place and graph.tensors[source].nbytes >= graph.tensors[target].nbytes:
            place = (storage.start[source], storage.size[source])
            if all((storage.start[u], storage.size[u]) == place for u in touched):
                best = max(best, storage.size[target])
        if number == 0 and lead is not None and len(touched) == 1:
            best = max(best, min(storage.size[source], storage.size[target] - lead))
    return best


def live_bytes(graph: Graph) -> tuple[int, ...]:
    """Return for each node the least bytes of the arena that any plan holds while it runs.

    The largest is a lower bound of the arena for this order of nodes.
    """
    storage, lives = Storage(graph), Lives.of(graph)
    activations = [i for i, block in enumerate(storage.block) if block >= 0]
    found = []
    for position, node in enumerate(graph.nodes):
        before = {i for i in activations if lives.first[i] < position <= lives.last[i]}
        after = {i for i in activations if lives.first[i] <= position < lives.last[i]}
        found.append(bytes_while(graph, storage, node, before, after))
    return tuple(found)
