"""Put operators of our own in place of chains of source operators, found by what they compute.

The result is nearer to the float model, since nothing is rounded in between, and cheaper; it no
longer equals LiteRT's, so this is done only where it is asked for. Float islands that a converter
leaves inside such a chain disappear with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.graph import DType, Graph, Node, Tensor, verify
from edgekit.ops.norm import MAX_COUNT, rows_of
from edgekit.ops.real import ELEMENTWISE, real_of, stored_of
from edgekit.passes.algebra import MOST_DEPTH, PLAIN, Algebra, Polynomial, single_int8
from edgekit.passes.drop import drop_unused
from edgekit.passes.evaluate import run_real
from edgekit.passes.fuse_attention import find_attention
from edgekit.passes.fuse_gru import find_gru, last_states
from edgekit.passes.fuse_text import find_text
from edgekit.passes.islands import move_bytes

Readers = dict[int, list[Node]]


@dataclass(frozen=True, slots=True)
class Fusion:
    """One place where a chain was replaced.

    Attributes:
        op: What it became: GRU, NORM, TABLE, TEXT or ATTENTION.
        node: Name of the new node.
        replaced: Source operators that it stands for.
    """

    op: str
    node: str
    replaced: tuple[str, ...]


def fuse(graph: Graph) -> tuple[Graph, tuple[Fusion, ...]]:
    """Replace every pattern that is found, and say which."""
    fusions: list[Fusion] = []
    graph = move_bytes(graph)
    for find in PATTERNS:
        graph, found = find(graph)
        fusions += found
    return verify(drop_unused(graph)), tuple(fusions)


def _readers(graph: Graph) -> Readers:
    readers: Readers = {}
    for node in graph.nodes:
        for index in node.inputs:
            readers.setdefault(index, []).append(node)
    return readers


def _writers(graph: Graph) -> dict[int, Node]:
    return {index: node for node in graph.nodes for index in node.outputs}


def _replaced(
    graph: Graph, new: dict[int, Node], constants: Iterable[Tensor]
) -> tuple[Graph, tuple[Node, ...]]:
    """Replace the writers of tensors, drop what nobody reads; return also the nodes gone.

    Tensor ids stay as they are.
    """
    kept: list[Node] = []
    gone: list[Node] = []
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        now = new.get(node.outputs[0], node)
        if now is not node or not needed.intersection(node.outputs):
            gone.append(node)
        if needed.intersection(now.outputs):
            kept.append(now)
            needed.update(now.inputs)
    tensors = (*graph.tensors, *constants)
    return replace(graph, tensors=tensors, nodes=tuple(kept[::-1])), tuple(gone[::-1])


# Normalization


def fuse_norms(graph: Graph) -> tuple[Graph, list[Fusion]]:
    """Replace what ends in x r g - m r g + b or x r g + b, with r = 1 / sqrt(spread + epsilon)."""
    fusions: list[Fusion] = []
    for root in graph.nodes:
        found = _fuse_norm(graph, root) if root.op in ("RSQRT", "SQRT") else None
        if found is not None:
            graph, fusion = found
            fusions.append(fusion)
    return graph, fusions


def _fuse_norm(graph: Graph, root: Node) -> tuple[Graph, Fusion] | None:
    writers, readers = _writers(graph), _readers(graph)
    for x in _candidates(graph, writers, root):
        algebra = Algebra(graph, writers, x)
        new: dict[int, Node] = {}
        constants: list[Tensor] = []
        results = _results(graph, readers, root, algebra)
        for index, (gamma, beta) in results.items():
            if not _used_outside(graph, readers, index, results):
                continue
            made = _norm_node(graph, writers[index], algebra, (gamma, beta), constants)
            if made is None:
                break
            new[index] = made
        else:
            if not new:
                continue
            done, gone = _replaced(graph, new, constants)
            if root in gone:
                name = next(iter(new.values())).name
                return done, Fusion("NORM", name, tuple(node.op for node in gone))
    return None


def _candidates(graph: Graph, writers: dict[int, Node], root: Node) -> list[int]:
    """Return the activations that may be x, the earliest first."""
    depth = {root.inputs[0]: 0}
    queue = [root.inputs[0]]
    for index in queue:
        node = writers.get(index)
        if node is None or depth[index] > MOST_DEPTH or len(queue) > 64:
            continue
        for operand in node.inputs:
            if operand >= 0 and operand not in depth:
                depth[operand] = depth[index] + 1
                queue.append(operand)
    order = {index: number for number, node in enumerate(graph.nodes) for index in node.outputs}
    wide = [i for i in queue if single_int8(graph, i) and graph.tensor(i).shape[-1:] > (1,)]
    return sorted(wide, key=lambda index: order.get(index, -1))


Rows = tuple[NDArray[np.float32], NDArray[np.float32]]


def _results(graph: Graph, readers: Readers, root: Node, algebra: Algebra) -> dict[int, Rows]:
    """Return the tensors behind a root that are the normalized x, with gamma and beta."""
    algebra.of(root.outputs[0])
    if algebra.root is None:
        return {}
    found: dict[int, Rows] = {}
    shape = graph.tensor(algebra.x).shape
    queue = [root.outputs[0]]
    for index in queue:
        for node in readers.get(index, ()):
            y = node.outputs[0]
            value = algebra.of(y) if y not in queue else None
            if value is None or len(queue) > 64:
                continue
            queue.append(y)
            rows = _rows(value, algebra, shape[-1])
            if rows is not None and graph.tensor(y).shape == shape and single_int8(graph, y):
                found[y] = rows
    return found


def _rows(value: Polynomial, algebra: Algebra, count: int) -> Rows | None:
    """Return gamma and beta, [N], of a polynomial that is a normalization; else None."""
    assert algebra.root is not None
    scale, shift = ("r", "x"), ("m", "r")
    wanted = {scale, shift} if algebra.root.centred else {scale}
    if not wanted <= set(value) <= {*wanted, ()}:
        return None
    rows = []
    for key in (scale, shift, ()):
        factor = np.asarray(value.get(key, 0.0), np.float64)
        if factor.size != 1 and (factor.size != count or factor.shape[-1] != count):
            return None
        rows.append(np.broadcast_to(factor.reshape(-1), (count,)))
    gamma, moved, beta = rows
    if algebra.root.centred and not np.allclose(gamma, -moved, rtol=1e-5, atol=0):
        return None
    return gamma.astype(np.float32), beta.astype(np.float32)


def _used_outside(graph: Graph, readers: Readers, index: int, inside: Iterable[int]) -> bool:
    known = set(inside)
    others = any(node.outputs[0] not in known for node in readers.get(index, ()))
    return others or index in graph.outputs


def _norm_node(
    graph: Graph, node: Node, algebra: Algebra, rows: Rows, constants: list[Tensor]
) -> Node | None:
    y = graph.tensor(node.outputs[0]).quant
    x = graph.tensor(algebra.x).quant
    assert y is not None
    assert x is not None
    assert algebra.root is not None
    count = len(rows[0])
    bits = algebra.root.epsilon / x.scale**2 * count**2 * 2**8
    fits = count <= MAX_COUNT and bits < 2**62
    if not fits or rows_of(*rows, y_scale=y.scale, y_zero=y.zero_point) is None:
        return None
    first = len(graph.tensors) + len(constants)
    for name, data in zip(("gamma", "beta"), rows, strict=True):
        constants.append(Tensor(f"{node.name} {name}", (count,), DType.FLOAT32, None, data))
    attrs = {"centred": algebra.root.centred, "epsilon": algebra.root.epsilon}
    return Node(node.name, "NORM", (algebra.x, first, first + 1), node.outputs, attrs)


# Tables


def fuse_tables(graph: Graph) -> tuple[Graph, list[Fusion]]:
    """Replace several functions in a row by one table, where all are of one tensor."""
    readers, writers = _readers(graph), _writers(graph)
    cuts: set[int] = set()
    while True:
        roots = _roots(graph, cuts)
        ends = [y for y, root in roots.items() if _ends(graph, readers, roots, y, root)]
        again = {
            y for y in ends if any(roots.get(n.outputs[0]) == roots[y] for n in readers.get(y, ()))
        }
        if again <= cuts:
            break
        cuts |= again
    new: dict[int, Node] = {}
    constants: list[Tensor] = []
    fusions: list[Fusion] = []
    for y in ends:
        members = _members(writers, y, roots[y])
        several = sum(node.op not in PLAIN for node in members) > 1
        table = _table(graph, members, roots[y], y) if several else None
        if table is None:
            continue
        name = writers[y].name
        new[y] = Node(name, "lut", (roots[y], len(graph.tensors) + len(constants)), (y,))
        constants.append(Tensor(f"{name} table", (256,), DType.INT8, None, table))
        fusions.append(Fusion("TABLE", name, tuple(node.op for node in reversed(members))))
    return _replaced(graph, new, constants)[0], fusions


def _roots(graph: Graph, cuts: set[int]) -> dict[int, int]:
    """Return for each tensor that is a function of one int8 tensor which one, the furthest."""
    roots: dict[int, int] = {}
    for node in graph.nodes:
        if node.op not in ELEMENTWISE:
            continue
        y = graph.tensor(node.outputs[0])
        found = set()
        for index in node.inputs:
            tensor = graph.tensor(index)
            if tensor.data is None or tensor.elements != 1:
                found.add(index if index in cuts else roots.get(index, index))
        root = found.pop() if len(found) == 1 else -1
        if root >= 0 and single_int8(graph, root) and graph.tensor(root).shape == y.shape:
            roots[node.outputs[0]] = root
    return roots


def _ends(graph: Graph, readers: Readers, roots: dict[int, int], y: int, root: int) -> bool:
    """Return whether a function of a tensor is needed by something that is none."""
    outside = any(roots.get(node.outputs[0]) != root for node in readers.get(y, ()))
    return single_int8(graph, y) and (outside or y in graph.outputs)


def _members(writers: dict[int, Node], y: int, root: int) -> list[Node]:
    """Return the nodes between a tensor and its root."""
    found: dict[int, Node] = {}
    queue = [y]
    for index in queue:
        node = writers.get(index)
        if index in found or index == root or node is None:
            continue
        found[index] = node
        queue += node.inputs
    return list(found.values())


def _table(graph: Graph, members: list[Node], root: int, y: int) -> NDArray[np.int8] | None:
    """Compute the functions for every stored value, without rounding in between."""
    inside = {node.outputs[0] for node in members}
    shape = (256,)
    tensors = tuple(
        replace(tensor, shape=shape) if index in inside or index == root else tensor
        for index, tensor in enumerate(graph.tensors)
    )
    nodes = tuple(node for node in graph.nodes if node.outputs[0] in inside)
    part = Graph(graph.name, tensors, nodes, (root,), (y,))
    stored = np.arange(-128, 128).astype(np.int8)
    try:
        values = run_real(part, real_of(graph.tensor(root), stored), limited=True)
    except EdgekitError:
        return None
    return stored_of(graph.tensor(y), values) if np.all(np.isfinite(values)) else None


# Sentences


def fuse_text(graph: Graph) -> tuple[Graph, list[Fusion]]:
    """Replace all between token ids and the pooled row of a sentence, if all of it is known."""
    found = find_text(graph)
    if found is None:
        return graph, []
    done, _, gone = found
    return done, [Fusion("TEXT", "sentence", tuple(node.op for node in gone))]


# Attention


def fuse_attention(graph: Graph) -> tuple[Graph, list[Fusion]]:
    """Replace a softmax between two matrix products, with all that lies between and around."""
    fusions: list[Fusion] = []
    for softmax in graph.nodes:
        if softmax.op != "SOFTMAX":
            continue
        found = find_attention(graph, (_writers(graph), _readers(graph)), softmax)
        if found is None:
            continue
        node, constants = found
        done, gone = _replaced(graph, {node.outputs[0]: node}, constants)
        if softmax in gone:
            graph = done
            fusions.append(Fusion("ATTENTION", node.name, tuple(old.op for old in gone)))
    return graph, fusions


# Recurrence


def fuse_gru(graph: Graph) -> tuple[Graph, list[Fusion]]:
    """Replace the steps of unrolled layers of GRU."""
    fusions: list[Fusion] = []
    for end in last_states(graph):
        writers = _writers(graph)
        found = find_gru(graph, writers, end) if end in writers else None
        if found is None:
            continue
        node, constants = found
        done, gone = _replaced(graph, {end: node}, constants)
        x = graph.tensor(node.inputs[0])
        if sum(old.op == "TANH" for old in gone) == x.elements // x.shape[-1]:
            graph = done
            fusions.append(Fusion("GRU", node.name, tuple(old.op for old in gone)))
    return graph, fusions


PATTERNS: tuple[Callable[[Graph], tuple[Graph, list[Fusion]]], ...] = (
    fuse_gru,
    fuse_norms,
    fuse_tables,
    fuse_text,
    fuse_attention,
)
"""In this order: a normalization has functions of one value inside."""
