"""What drives the instructions of the layers of a sentence, all tokens of the input used."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.export.portable_costs import matmul
from edgekit.graph import Graph, Node
from edgekit.ops.text import ROW_BLOCK

Features = tuple[float, ...]


def _shape(graph: Graph, index: int) -> tuple[int, ...]:
    return graph.tensors[index].shape


def _product(graph: Graph, weights: int, requant: int, rows: int) -> Features:
    """Count a product, its results apart by whether each row has its own scale."""
    n, k = _shape(graph, weights)
    *sums, results, tiles, pairs, _ = matmul(rows, n, k)
    own = float(_shape(graph, requant)[1] == 3)
    return (*sums, own * results, (1 - own) * results, tiles, pairs)


def _embed(graph: Graph, node: Node) -> Features:
    length, reduced = _shape(graph, node.inputs[2])
    w, requant = node.inputs[3:5]
    *sums, results, _, tiles, pairs = _product(graph, w, requant, length)
    copied = 2.0 * length * reduced
    return (*sums, results, tiles, pairs, copied, float(length), 1.0)


def _norm(graph: Graph, node: Node) -> Features:
    _, rows, width = _shape(graph, node.inputs[0])
    return float(rows * width), float(rows), 1.0


def _attend(graph: Graph, node: Node) -> Features:
    _, keys, width = _shape(graph, node.inputs[1])
    wq, rq, wo, ro = node.inputs[3:7]
    products = zip(_product(graph, wq, rq, keys), _product(graph, wo, ro, keys), strict=True)
    blocks = -(-keys // ROW_BLOCK)
    adds = float(bool(node.attrs["adds"]))
    return (
        *(a + b for a, b in products),
        float(blocks * keys * (width // 4)),
        float(blocks * keys * (width % 4)),
        float(blocks * keys),
        float(keys * keys),
        float(blocks * width),
        (1 + adds) * keys * width,
        float(keys),
        1.0,
    )


def _mix(graph: Graph, node: Node) -> Features:
    _, tokens, width = _shape(graph, node.inputs[1])
    size, wide = _shape(graph, node.inputs[3])
    blocks = -(-tokens // ROW_BLOCK)
    adds = float(bool(node.attrs["adds"]))
    return (
        *_product(graph, node.inputs[6], node.inputs[7], tokens),
        float(blocks * wide * size),
        float(blocks * wide),
        float(tokens * wide),
        adds * tokens * width,
        float(blocks),
        1.0,
    )


def _pool(graph: Graph, node: Node) -> Features:
    _, rows, width = _shape(graph, node.inputs[0])
    mean, most = bool(node.attrs["mean"]), bool(node.attrs["max"])
    read = float((mean or most) * width)
    return read * rows, read, float(mean * width), width - read, 1.0


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {
    "text_embed": _embed,
    "text_norm": _norm,
    "text_attend": _attend,
    "text_mix": _mix,
    "text_pool": _pool,
}
