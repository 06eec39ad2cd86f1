"""Who writes and who reads a tensor."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Graph, Node


class Uses:
    """Writers and readers of a graph's tensors.

    Attributes:
        writers: The node that writes a tensor, by tensor id.
    """

    def __init__(self, graph: Graph) -> None:
        self.writers = {index: node for node in graph.nodes for index in node.outputs}
        self._outputs = frozenset(graph.outputs)
        self._readers: dict[int, list[Node]] = {}
        for node in graph.nodes:
            for index in dict.fromkeys(node.inputs):
                self._readers.setdefault(index, []).append(node)

    def readers(self, index: int) -> list[Node]:
        """Return the nodes that read a tensor, each once."""
        return self._readers.get(index, [])

    def is_output(self, index: int) -> bool:
        """Return whether the model gives a tensor to its caller."""
        return index in self._outputs

    def only_reader(self, index: int, node: Node) -> bool:
        """Return whether nobody but a node needs a tensor."""
        return not self.is_output(index) and self.readers(index) == [node]


def with_inputs(graph: Graph, changed: dict[int, int]) -> Graph:
    """Return the graph with inputs of nodes redirected; the outputs of the model stay."""

    def target(index: int) -> int:
        while index in changed:
            index = changed[index]
        return index

    nodes = tuple(replace(n, inputs=tuple(target(i) for i in n.inputs)) for n in graph.nodes)
    return replace(graph, nodes=nodes)
