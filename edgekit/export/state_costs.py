"""What drives the instructions of kernels with a state, of types and of comparisons."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.graph import Graph, Node

Features = tuple[float, ...]


def _gru(graph: Graph, node: Node) -> Features:
    x, w_input, w_recurrent = (graph.tensors[i].shape for i in node.inputs[:3])
    features, units = x[-1], w_recurrent[1]
    steps = graph.tensors[node.inputs[0]].elements // features
    del w_input
    late = float(bool(node.attrs["reset_after"]))
    # Rows in fours, then terms in fours, as the kernel with two multiplications per instruction.
    blocks = steps * 3 * (-(-units // 4))
    return (
        float(blocks * (features // 4 + units // 4)),
        float(blocks * (features % 4 + units % 4)),
        float(blocks),
        float(steps * 3 * units * (features + units)),
        float(steps * units),
        late * steps * units,
        float(steps * features),
        float(steps),
        1.0,
    )


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {"gru": _gru}
