"""Choose offsets for blocks so that the arena becomes small: first fit in many orders."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgekit.graph import Graph
from edgekit.passes.storage import Lives, Storage, align, lead_of, scratch_bytes

STEPS = 60_000
"""How many pairs of blocks a search compares at most: some tenths of a second."""

SEED = 20260101


@dataclass(slots=True)
class Block:
    """What is placed as one.

    Attributes:
        bottom: Lowest offset of its pieces, relative to the block's own; 0 or less.
        top: End of its pieces, relative likewise.
        first: First position while which it is in use.
        last: Last such position.
        gaps: By the number of another block, open intervals in which this one's offset minus the
            other's must not lie.
    """

    bottom: int
    top: int
    first: int
    last: int
    gaps: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """Blocks to place, and where tensors and scratch lie in them.

    Attributes:
        blocks: Blocks of tensors, then one per node that needs scratch.
        number: Block of each tensor, -1 for constants.
        scratch: Block of each node's scratch, -1 if it needs none.
    """

    blocks: tuple[Block, ...]
    number: tuple[int, ...]
    scratch: tuple[int, ...]


def layout_of(graph: Graph, storage: Storage, lives: Lives) -> Layout:
    """Return the blocks of a storage with the distances that they must keep."""
    blocks: list[Block] = []
    number = [-1] * len(graph.tensors)
    for members in storage.members:
        if not members:
            continue
        for index in members:
            number[index] = len(blocks)
        blocks.append(
            Block(
                min(storage.start[i] for i in members),
                max(storage.start[i] + storage.size[i] for i in members),
                min(lives.first[i] for i in members),
                max(lives.last[i] for i in members),
            )
        )
    leads: dict[tuple[int, int], int] = {}
    for position, node in enumerate(graph.nodes):
        lead = lead_of(graph, node)
        if lead is not None and lives.last[node.inputs[0]] == position:
            leads[node.inputs[0], node.outputs[0]] = lead
    alive = [index for index, block in enumerate(number) if block >= 0]
    alive.sort(key=lambda index: lives.first[index])
    open_now: list[int] = []
    for b in alive:
        open_now = [a for a in open_now if lives.last[a] >= lives.first[b]]
        for a in open_now:
            if number[a] != number[b]:
                _keep_apart(blocks, number, storage, a, b, leads)
        open_now.append(b)
    scratch = [-1] * len(graph.nodes)
    for position, node in enumerate(graph.nodes):
        size = align(scratch_bytes(graph, node))
        if not size:
            continue
        scratch[position] = len(blocks)
        mine = Block(0, size, position, position)
        blocks.append(mine)
        for a in alive:
            if lives.first[a] <= position <= lives.last[a]:
                other = blocks[number[a]]
                start, stop = storage.start[a], storage.start[a] + storage.size[a]
                mine.gaps.setdefault(number[a], []).append((start - size, stop))
                other.gaps.setdefault(scratch[position], []).append((-stop, size - start))
    return Layout(tuple(blocks), tuple(number), tuple(scratch))


def _keep_apart(
    blocks: list[Block],
    number: list[int],
    storage: Storage,
    a: int,
    b: int,
    leads: dict[tuple[int, int], int],
) -> None:
    """Note which distances of the blocks of tensors a and b would let the two collide."""
    # b may begin in front of a by its own size, or by the lead if it is smaller.
    before = min(storage.size[b], leads.get((a, b), storage.size[b]))
    after = min(storage.size[a], leads.get((b, a), storage.size[a]))
    shift = storage.start[a] - storage.start[b]
    low, high = shift - before, shift + after
    if low < high:
        blocks[number[b]].gaps.setdefault(number[a], []).append((low, high))
        blocks[number[a]].gaps.setdefault(number[b], []).append((-high, -low))


class Search:
    """Places the blocks of a layout in many orders, within a number of steps."""

    def __init__(self, layout: Layout, bound: int, steps: int) -> None:
        self.blocks = layout.blocks
        self.bound = bound
        self.steps = steps
        self.best = 0
        self.offsets: list[int] = []

    def run(self) -> tuple[int, list[int]]:
        """Return the size of the arena and the offset of each block."""
        numbers = range(len(self.blocks))
        orders = [sorted(numbers, key=key) for key in self._keys()]
        candidates = [(order, turned) for order in orders for turned in (False, True)]
        found: list[tuple[int, int]] = []
        for order, turned in candidates:
            found.append((self._try(order, turned), len(found)))
        chosen = candidates[min(found)[1]]
        self._improve(list(chosen[0]), chosen[1])
        return self.best, self.offsets

    def _keys(self) -> tuple[Callable[[int], tuple[int, ...]], ...]:
        b = self.blocks

        def size(i: int) -> int:
            return b[i].top - b[i].bottom

        return (
            lambda i: (-size(i), b[i].first, b[i].last),
            lambda i: (-size(i) * (b[i].last - b[i].first + 1), b[i].first),
            lambda i: (b[i].first, -size(i), b[i].last),
            lambda i: (-(b[i].last - b[i].first), -size(i), b[i].first),
            lambda i: (-b[i].last, -b[i].first, -size(i)),
        )

    def _try(self, order: Sequence[int], turned: bool) -> int:
        """Place all in this order; keep the result if it is the best so far."""
        offsets = [0] * len(self.blocks)
        placed = [False] * len(self.blocks)
        for i in order:
            offsets[i] = self._fit(i, offsets, placed, turned)
            placed[i] = True
        low = min((o + b.bottom for o, b in zip(offsets, self.blocks, strict=True)), default=0)
        offsets = [offset - low for offset in offsets]
        size = max((o + b.top for o, b in zip(offsets, self.blocks, strict=True)), default=0)
        if not self.offsets or size < self.best:
            self.best, self.offsets = size, offsets
        return size

    def _fit(self, i: int, offsets: list[int], placed: list[bool], turned: bool) -> int:
        """Return the lowest offset that is free, or seen from above the highest below 0."""
        block = self.blocks[i]
        gaps = []
        for j, intervals in block.gaps.items():
            if placed[j]:
                gaps += [(low + offsets[j], high + offsets[j]) for low, high in intervals]
        self.steps -= len(block.gaps)
        if turned:
            at = -block.top
            for low, high in sorted(gaps, key=lambda gap: -gap[1]):
                if low < at < high:
                    at = low
            return at
        at = -block.bottom
        for low, high in sorted(gaps):
            if low < at < high:
                at = high
        return at

    def _improve(self, order: list[int], turned: bool) -> None:
        """Move single blocks to other places of the order while steps last and it may help."""
        rng = random.Random(SEED)
        size = self.best
        while self.steps > 0 and self.best > self.bound and len(order) > 2:
            changed = list(order)
            for _ in range(rng.choice((1, 1, 2, 3))):
                block = changed.pop(rng.randrange(len(changed)))
                changed.insert(rng.randrange(len(changed) + 1), block)
            flipped = turned != (rng.random() < 0.1)
            fresh = self._try(changed, flipped)
            if fresh <= size:
                order, turned, size = changed, flipped, fresh
