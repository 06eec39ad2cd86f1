"""Order nodes so that as little of the arena as possible is in use at any time."""

from __future__ import annotations

import heapq
from dataclasses import replace

from edgekit.graph import Graph
from edgekit.passes.storage import Storage, bytes_while, live_bytes

STEPS = 6000
"""How many times a search lets a node run at most: about half a second. A model that needs more
keeps the order it has."""


def schedule(graph: Graph) -> Graph:
    """Return the graph with its nodes in an order of the least peak.

    The order stays as it is unless another has a lower peak: the most bytes that are in use while a
    node runs. The search is exact: from the set of no finished nodes to that of all, always going
    on from the set that was reached with the lowest peak.
    """
    bound = max(live_bytes(graph), default=0)
    order = _Search(graph, bound).run()
    return graph if order is None else replace(graph, nodes=tuple(graph.nodes[i] for i in order))


class _Search:
    """Looks for an order whose peak is below a bound. Sets of nodes are bits of an integer."""

    def __init__(self, graph: Graph, bound: int) -> None:
        self.graph = graph
        self.bound = bound
        self.storage = Storage(graph)
        self.writer = {index: i for i, n in enumerate(graph.nodes) for index in n.outputs}
        self.readers = {i: 0 for i, block in enumerate(self.storage.block) if block >= 0}
        self.needs = [0] * len(graph.nodes)
        for position, node in enumerate(graph.nodes):
            for index in node.inputs:
                if index in self.readers:
                    self.readers[index] |= 1 << position
                if index in self.writer:
                    self.needs[position] |= 1 << self.writer[index]
        for index in graph.outputs:
            self.readers[index] |= 1 << len(graph.nodes)

    def alive(self, done: int) -> set[int]:
        """Return the activations that are there and still needed after a set of nodes."""
        return {
            index
            for index, readers in self.readers.items()
            if readers & ~done and (index not in self.writer or done >> self.writer[index] & 1)
        }

    def run(self) -> list[int] | None:
        """Return the positions of nodes in a better order; None if there is none or too many."""
        everything = (1 << len(self.graph.nodes)) - 1
        came_from: dict[int, int] = {}
        waiting = [(0, 0, 0, -1)]
        seen: set[int] = set()
        steps = STEPS
        while waiting and steps > 0:
            peak, count, done, last = heapq.heappop(waiting)
            if done in seen:
                continue
            seen.add(done)
            came_from[done] = last
            if done == everything:
                return self._path(came_from, done)
            before = self.alive(done)
            for position, node in enumerate(self.graph.nodes):
                after = done | 1 << position
                if done >> position & 1 or self.needs[position] & ~done or after in seen:
                    continue
                steps -= 1
                size = bytes_while(self.graph, self.storage, node, before, self.alive(after))
                if size < self.bound:
                    heapq.heappush(waiting, (max(peak, size), count - 1, after, position))
        return None

    @staticmethod
    def _path(came_from: dict[int, int], done: int) -> list[int]:
        order = []
        while done:
            order.append(came_from[done])
            done &= ~(1 << order[-1])
        return order[::-1]
