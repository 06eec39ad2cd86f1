"""Find the steps that `keras.layers.GRU(unroll=True)` leaves, and put one operator in their place.

One step in the middle tells weights and biases; that all steps together are a GRU with these is
then proven in real numbers, so that it does not matter what a converter folded in the first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError
from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops.gru import MAX_UNITS
from edgekit.ops.real import real_of
from edgekit.passes.algebra import single_int8
from edgekit.passes.evaluate import run_real

Array = NDArray[np.float64]
Writers = Mapping[int, Node]
MOVES = ("RESHAPE", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "SLICE", "QUANTIZE", "DEQUANTIZE")
NEAR = 0.03
"""Of a state in [-1, 1]: what a converter rounds in the constants of the first step."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a fully-connected layer: weights int8 [N, K] with a scale each, bias real."""

    x: int
    weights: NDArray[np.int8]
    scales: NDArray[np.float64]
    bias: Array

    def real(self) -> Array:
        return np.asarray(self.weights * self.scales[:, None])


@dataclass(frozen=True, slots=True)
class Step:
    """What one step reads and has: rows of the input and of the state, of each gate."""

    x: int
    h: int
    inputs: tuple[Rows, ...]
    states: tuple[Rows, ...]
    reset_after: bool


def last_states(graph: Graph) -> list[int]:
    """Return tensors that may be what a layer gives: its states together, or the last one."""
    writers = {index: node for node in graph.nodes for index in node.outputs}
    mixed = {node.outputs[0]: _mixed(writers, node.outputs[0]) for node in graph.nodes}
    before = {found[1] for found in mixed.values() if found is not None}
    last = [index for index, found in mixed.items() if found is not None and index not in before]
    joined = [
        node.outputs[0]
        for node in graph.nodes
        if node.op in ("PACK", "CONCATENATION") and set(node.inputs).intersection(last)
    ]
    return joined + last


def find_gru(graph: Graph, writers: Writers, end: int) -> tuple[Node, tuple[Tensor, ...]] | None:
    """Return the GRU node that can stand for all that leads to a state, and its constants.

    Args:
        graph: With the chain.
        writers: Node of each tensor.
        end: Last state, or all states one after the other.
    """
    states = _states(graph, writers, end)
    step = _step(graph, writers, states[-1]) if len(states) > 1 else None
    if step is None or len(step.states[0].bias) > MAX_UNITS:
        return None
    order = _order(graph, writers, states)
    if order is None:
        return None
    source, backwards = order
    x = graph.tensor(source)
    if len(states) != x.elements // x.shape[-1] or not single_int8(graph, source):
        return None
    if not _proven(graph, writers, (source, end), step, backwards=backwards):
        return None
    first = len(graph.tensors)
    made = [_joined(f"weights of {name}", parts) for name, parts in _groups(step)]
    for name, parts in _groups(step):
        bias = np.concatenate([part.bias for part in parts]).astype(np.float32)
        made.append(Tensor(f"bias of {name}", bias.shape, DType.FLOAT32, None, bias))
    name = writers[end].name
    ids = tuple(range(first, first + len(made)))
    attrs = {"reset_after": step.reset_after, "backwards": backwards}
    return Node(name, "GRU", (source, *ids), (end,), attrs), tuple(made)


def _groups(step: Step) -> tuple[tuple[str, tuple[Rows, ...]], ...]:
    return ("input", step.inputs), ("state", step.states)


def _joined(name: str, parts: tuple[Rows, ...]) -> Tensor:
    data = np.concatenate([part.weights for part in parts])
    scales = tuple(float(scale) for part in parts for scale in part.scales)
    quant = Quant(scales, (0,) * len(scales))
    return Tensor(name, data.shape, DType.INT8, quant, data)


def _states(graph: Graph, writers: Writers, end: int) -> list[int]:
    """Return the states that lead to the last, in the order of steps."""
    node = writers.get(end)
    wanted: list[int] | None = None
    if node is not None and node.op in ("PACK", "CONCATENATION"):
        wanted = list(node.inputs)
        end = wanted[-1]
    found = [end]
    while (mixed := _mixed(writers, found[0])) is not None and len(found) < 4096:
        found.insert(0, mixed[1])
    return found if wanted is None or wanted == found else []


def _pair(writers: Writers, index: int, op: str) -> tuple[int, int] | None:
    node = writers.get(index)
    if node is None or node.op != op or node.attrs.get("activation", "NONE") != "NONE":
        return None
    return node.inputs[0], node.inputs[1]


def _mixed(writers: Writers, index: int) -> tuple[int, int, int] | None:
    """Return update gate, state and candidate of z h + (1 - z) n."""
    terms = _pair(writers, index, "ADD")
    for kept, new in (terms, terms[::-1]) if terms else ():
        old, fresh = _pair(writers, kept, "MUL"), _pair(writers, new, "MUL")
        for z, h in (old, old[::-1]) if old and fresh else ():
            assert fresh is not None
            for rest, n in (fresh, fresh[::-1]):
                less = _pair(writers, rest, "SUB")
                if less is not None and less[1] == z and _is(writers, n, "TANH"):
                    return z, h, n
    return None


def _is(writers: Writers, index: int, op: str) -> bool:
    return index in writers and writers[index].op == op


def _step(graph: Graph, writers: Writers, state: int) -> Step | None:
    """Read a step that has a state before it."""
    mixed = _mixed(writers, state)
    if mixed is None:
        return None
    z, h, n = mixed
    update = _gate(graph, writers, z, h)
    found = _pair(writers, writers[n].inputs[0], "ADD")
    for inner, other in (found, found[::-1]) if found else ():
        of_input = _rows(graph, writers, inner)
        product = _pair(writers, other, "MUL")
        late = _rows(graph, writers, other)
        if late is not None:
            product = _pair(writers, late.x, "MUL")
        for r, behind in (product, product[::-1]) if product else ():
            reset = _gate(graph, writers, r, h)
            of_state = late if late is not None and behind == h else None
            if late is None:
                of_state = _rows(graph, writers, behind)
                of_state = of_state if of_state is not None and of_state.x == h else None
            if None not in (update, reset, of_input, of_state):
                assert update is not None
                assert reset is not None
                assert of_input is not None
                assert of_state is not None
                inputs = (update[0], reset[0], of_input)
                states = (update[1], reset[1], of_state)
                if len({part.x for part in inputs}) == 1:
                    return Step(of_input.x, h, inputs, states, late is None)
    return None


def _gate(graph: Graph, writers: Writers, index: int, h: int) -> tuple[Rows, Rows] | None:
    """Return the rows of the input and of the state in logistic(a + b)."""
    if not _is(writers, index, "LOGISTIC"):
        return None
    terms = _pair(writers, writers[index].inputs[0], "ADD")
    parts = [_rows(graph, writers, term) for term in terms or ()]
    for a, b in (parts, parts[::-1]) if parts else ():
        if a is not None and b is not None and b.x == h != a.x:
            return a, b
    return None


def _rows(graph: Graph, writers: Writers, index: int) -> Rows | None:
    """Return the rows of a layer that a tensor is a slice of."""
    moves: list[Node] = []
    end = index
    while index in writers and writers[index].op in MOVES:
        node = writers[index]
        moves.append(node)
        index = node.inputs[1] if node.op == "SPLIT" else node.inputs[0]
    layer = writers.get(index)
    if layer is None or layer.op != "FULLY_CONNECTED" or layer.attrs["activation"] != "NONE":
        return None
    w = graph.tensor(layer.inputs[1])
    if w.data is None or w.dtype is not DType.INT8 or w.quant is None or any(w.quant.zero_points):
        return None
    count = w.shape[0]
    bias = np.zeros(count)
    if len(layer.inputs) > 2 and layer.inputs[2] >= 0:
        stored = graph.tensor(layer.inputs[2])
        if stored.data is None or stored.quant is None:
            return None
        bias = real_of(stored, stored.data).reshape(-1)
    taken = _taken(graph, moves, (index, end), count)
    if taken is None:
        return None
    scales = np.broadcast_to(np.array(w.quant.scales, np.float64), (count,))
    return Rows(layer.inputs[0], w.data[taken], scales[taken], bias[taken])


def _taken(
    graph: Graph, moves: list[Node], ends: tuple[int, int], count: int
) -> NDArray[np.int64] | None:
    """Return which values of a layer's output a chain of slices takes."""
    shape = graph.tensor(ends[0]).shape
    numbers = np.arange(count)
    if not moves or graph.tensor(ends[0]).elements != count:
        return None if moves else numbers
    part = Graph(graph.name, graph.tensors, tuple(moves[::-1]), ends[:1], ends[1:])
    try:
        taken = run_real(part, numbers.astype(np.float64).reshape(shape))
    except EdgekitError:
        return None
    return np.asarray(np.rint(taken.reshape(-1)).astype(np.int64))


def _order(graph: Graph, writers: Writers, states: list[int]) -> tuple[int, bool] | None:
    """Return the tensor with the input of all steps, and whether its last step comes first."""
    steps = [_step(graph, writers, state) for state in states[1:]]
    found = [step.x for step in steps if step is not None]
    node = writers.get(found[0]) if len(found) == len(steps) else None
    if node is None or node.op != "UNPACK" or len(node.outputs) != len(states):
        return None
    for backwards, outputs in ((False, node.outputs), (True, node.outputs[::-1])):
        if list(outputs[1:]) == found:
            return node.inputs[0], backwards
    return None


def _proven(
    graph: Graph, writers: Writers, ends: tuple[int, int], step: Step, *, backwards: bool
) -> bool:
    """Return whether what lies between two tensors is the GRU of a step, in real numbers."""
    nodes = _between(graph, writers, ends)
    source, y = (graph.tensor(index) for index in ends)
    if nodes is None:
        return False
    part = Graph(graph.name, graph.tensors, nodes, ends[:1], ends[1:])
    rng = np.random.default_rng(len(nodes))
    for _ in range(2):
        x = real_of(source, rng.integers(-128, 128, source.shape))
        states = _run(step, x.reshape(-1, x.shape[-1]), backwards=backwards)
        wanted = states if y.elements == states.size else states[-1]
        try:
            got = run_real(part, x)
        except EdgekitError:
            return False
        if got.size != wanted.size or np.abs(got.reshape(wanted.shape) - wanted).max() > NEAR:
            return False
    return True


def _between(graph: Graph, writers: Writers, ends: tuple[int, int]) -> tuple[Node, ...] | None:
    """Return the nodes that a tensor needs, in order; None if they need more than the other."""
    needed: set[int] = {ends[1]}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.intersection(node.outputs):
            continue
        nodes.append(node)
        needed.difference_update(node.outputs)
        for index in node.inputs:
            if index >= 0 and index != ends[0] and graph.tensor(index).data is None:
                if index not in writers:
                    return None
                needed.add(index)
    return tuple(nodes[::-1])


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _run(step: Step, x: Array, *, backwards: bool) -> Array:
    """Run the layer in real numbers: x [T, C] to states [T, U]."""
    inputs = [x[::-1] @ part.real().T + part.bias for part in step.inputs]
    if not backwards:
        inputs = [rows[::-1] for rows in inputs]
    of_state = [(part.real().T, part.bias) for part in step.states]
    h = np.zeros(len(step.states[0].bias))
    states = []
    for update, reset, candidate in zip(*inputs, strict=True):
        (wz, bz), (wr, br), (wn, bn) = of_state
        z, r = _logistic(update + h @ wz + bz), _logistic(reset + h @ wr + br)
        added = r * (h @ wn + bn) if step.reset_after else (r * h) @ wn + bn
        h = z * h + (1 - z) * np.tanh(candidate + added)
        states.append(h)
    return np.array(states)
