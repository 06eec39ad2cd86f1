"""Remove channels that are provably constant or that nobody reads; no output changes.

A channel is dead if every reader does without it: a convolution or dense layer whose weights for it
are 0, or that adds its one value to the bias, or a kernel that works channel by channel and whose
own output channel is dead. What is dead is found as the largest set without a contradiction.

A constant under padding is none at the borders unless it equals the zero point: such a channel
stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import attr_int
from edgekit.passes.drop import drop_unused
from edgekit.passes.ranges import (
    Range,
    channels,
    features_of,
    keeps_channels,
    padded_taps,
    ranges,
    zero_point,
)

Mask = NDArray[np.bool_]

_PAIRS = ("add", "mul", "maximum", "squared_difference", "prelu", "div")
_SINGLES = ("average_pool_2d", "max_pool_2d", "resize_bilinear")
_MOVES = ("transpose", "strided_slice", "remap")


@dataclass(frozen=True, slots=True)
class _Link:
    """A kernel that works channel by channel, seen from one of its inputs.

    Attributes:
        source: The input.
        target: The output.
        reads: Which channel of the source each channel of the target needs, -1: none, [C].
    """

    source: int
    target: int
    reads: NDArray[np.int64]


def remove_dead_channels(graph: Graph, *, keep: frozenset[str] = frozenset()) -> Graph:
    """Return the graph without dead channels.

    Args:
        graph: Of kernels, not packed.
        keep: Names of nodes whose input and output stay as they are: trainable heads.
    """
    state = _State(graph, keep)
    if not any(mask.any() for mask in state.dead.values()):
        return graph
    return drop_unused(_rebuilt(state))


class _State:
    """Which channels are dead: `dead` by tensor id, for tensors that kernels write."""

    def __init__(self, graph: Graph, keep: frozenset[str]) -> None:
        self.graph = graph
        self.found = ranges(graph)
        self.dead: dict[int, Mask] = {}
        self.kept = {
            index
            for node in graph.nodes
            if node.name in keep
            for index in (node.inputs[0], *node.outputs)
        }
        self.links = {node.outputs[0]: _links(graph, node) for node in graph.nodes}
        for node in graph.nodes:
            for index in node.outputs:
                self.dead[index] = np.full(channels(graph.tensor(index)), self._may(node, index))
        while self._shrink():
            pass

    def _may(self, node: Node, index: int) -> bool:
        """Return whether channels of a node's output can be left out at all."""
        if index in self.graph.outputs or index in self.kept:
            return False
        if self.graph.tensor(index).dtype is not DType.INT8 or len(node.outputs) != 1:
            return False
        weighted = node.op in ("conv_2d", "fully_connected")
        return weighted or bool(self.links[index])

    def range(self, index: int) -> Range:
        value = self.found[index]
        assert value is not None
        return value

    def mask(self, index: int) -> Mask:
        """Return what is dead of a tensor; nothing of inputs and constants."""
        nothing = np.zeros(channels(self.graph.tensor(index)), np.bool_)
        return self.dead.get(index, nothing)

    def _shrink(self) -> bool:
        """Let what contradicts a need live; return whether something changed."""
        before = sum(int(mask.sum()) for mask in self.dead.values())
        for node in reversed(self.graph.nodes):
            for index, needed in self._needs(node):
                if index in self.dead:
                    self.dead[index] &= ~needed
        for link in (link for links in self.links.values() for link in links):
            if self.graph.tensor(link.source).data is not None:
                continue
            # What the target drops, its source drops too: shapes stay tied.
            mapped = link.reads >= 0
            source = self.mask(link.source)
            if link.target in self.dead:
                self.dead[link.target][mapped] &= source[link.reads[mapped]]
        for mask in self.dead.values():
            if mask.all():
                mask[0] = False
        return sum(int(mask.sum()) for mask in self.dead.values()) != before

    def _needs(self, node: Node) -> Iterator[tuple[int, Mask]]:
        """Yield which channels of each input a node needs."""
        linked = {link.source: link for link in self.links[node.outputs[0]]}
        for position, index in enumerate(node.inputs):
            if index < 0:
                continue
            tensor = self.graph.tensor(index)
            if tensor.data is not None or tensor.dtype is not DType.INT8:
                continue
            if node.op in ("conv_2d", "fully_connected") and position == 0:
                yield index, self._weighted(node)
            elif index in linked:
                link = linked[index]
                needed = np.zeros(channels(tensor), np.bool_)
                alive = (link.reads >= 0) & ~self.mask(link.target)
                needed[link.reads[alive]] = True
                yield index, needed
            else:
                yield index, np.ones(channels(tensor), np.bool_)

    def _weighted(self, node: Node) -> Mask:
        """Return which input channels a convolution or dense layer needs."""
        x, w = self.graph.tensor(node.inputs[0]), self.graph.tensor(node.inputs[1])
        weights = _by_channel(node, x, w)
        if weights is None:
            return np.ones(channels(x), np.bool_)
        used = weights[~self.mask(node.outputs[0])].any(axis=(0, 1))
        value = self.range(node.inputs[0])
        folds = value.constant.copy()
        if node.op == "conv_2d" and padded_taps(self.graph, node).any():
            folds &= value.low == zero_point(x)
        return np.asarray(used & ~folds)


def _by_channel(node: Node, x: Tensor, w: Tensor) -> NDArray[Any] | None:
    """Return weights as [M, taps, C], None if a dense layer's rows cut across channels."""
    assert w.data is not None
    if node.op == "fully_connected" and features_of(x, w.shape[1]) is None:
        return None
    return w.data.reshape(w.shape[0], -1, channels(x))


def _links(graph: Graph, node: Node) -> list[_Link]:
    """Return how a kernel that works channel by channel ties inputs to its output."""
    target = node.outputs[0]
    if not node.inputs or min(node.inputs) < 0:
        return []
    x, y = graph.tensor(node.inputs[0]), graph.tensor(target)
    have, want = channels(x), channels(y)
    same = np.arange(want)
    if y.dtype is not DType.INT8 or x.dtype is not DType.INT8:
        return []
    if node.op == "depthwise_conv_2d":
        return [_Link(node.inputs[0], target, same // (want // have))]
    if node.op in ("copy", "lut"):
        return [_Link(node.inputs[0], target, same % have)] if want % have == 0 else []
    if node.op in _SINGLES or (node.op in _MOVES and keeps_channels(graph, node)):
        return [_Link(node.inputs[0], target, same)]
    if node.op == "pad":
        return [_Link(node.inputs[0], target, same)] if have == want else []
    if node.op == "mean":
        last = attr_int(node, "axes") >> (len(x.shape) - 1) & 1
        return [] if last or have != want else [_Link(node.inputs[0], target, same)]
    if node.op in _PAIRS:
        tied = [i for i in dict.fromkeys(node.inputs) if channels(graph.tensor(i)) == want]
        return [_Link(index, target, same) for index in tied]
    if node.op == "concatenation":
        return _joined(graph, node)
    return []


def _joined(graph: Graph, node: Node) -> list[_Link]:
    y = graph.tensor(node.outputs[0])
    if len(set(node.inputs)) != len(node.inputs):
        return []
    if attr_int(node, "axis") != len(y.shape) - 1:
        return [_Link(index, node.outputs[0], np.arange(channels(y))) for index in node.inputs]
    links, start = [], 0
    for index in node.inputs:
        reads = np.full(channels(y), -1, np.int64)
        count = channels(graph.tensor(index))
        reads[start : start + count] = np.arange(count)
        links.append(_Link(index, node.outputs[0], reads))
        start += count
    return links


def _rebuilt(state: _State) -> Graph:
    graph = state.graph
    tensors = list(graph.tensors)
    for index, dead in state.dead.items():
        if dead.any():
            shape = (*tensors[index].shape[:-1], int((~dead).sum()))
            tensors[index] = replace(tensors[index], shape=shape)

    def constant(old: int, data: NDArray[Any]) -> int:
        data = np.ascontiguousarray(data)
        tensors.append(replace(graph.tensor(old), shape=data.shape, data=data))
        return len(tensors) - 1

    nodes = []
    for node in graph.nodes:
        live = ~state.mask(node.outputs[0])
        inputs = list(node.inputs)
        if node.op in ("conv_2d", "fully_connected"):
            inputs[1:3] = _weights(state, node, live, constant)
        elif node.op == "depthwise_conv_2d" and not live.all():
            w, q = (graph.tensor(index).data for index in node.inputs[1:])
            assert w is not None
            assert q is not None
            inputs[1:] = constant(inputs[1], w[..., live]), constant(inputs[2], q[live])
        elif node.op in _PAIRS and not live.all():
            inputs = [_cut(state, index, live, constant) for index in node.inputs]
        elif node.op == "concatenation" and not live.all():
            inputs = []
            for link in _links(graph, node):
                part = live[link.reads >= 0]
                if part.any():
                    inputs.append(_cut(state, link.source, part, constant))
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, tensors=tuple(tensors), nodes=tuple(nodes))


def _cut(state: _State, index: int, live: Mask, constant: Any) -> int:
    """Cut a constant operand as the output is cut."""
    tensor = state.graph.tensor(index)
    if tensor.data is None or channels(tensor) == 1 != len(live):
        return index
    return int(constant(index, tensor.data[..., live]))


def _weights(state: _State, node: Node, live: Mask, constant: Any) -> tuple[int, int]:
    """Return weights and requant rows without dead rows and columns; constants join the bias."""
    graph = state.graph
    x, w, q = (graph.tensor(index) for index in node.inputs)
    dead = state.mask(node.inputs[0])
    assert w.data is not None
    assert q.data is not None
    weights = _by_channel(node, x, w)
    if weights is None or (live.all() and not dead.any()):
        return node.inputs[1], node.inputs[2]
    value = state.range(node.inputs[0])
    gone = dead & value.constant
    added = weights[:, :, gone].astype(np.int64).sum(axis=1) @ value.low[gone]
    rows = q.data.astype(np.int64)
    rows[:, 0] = (rows[:, 0] + added + 2**31) % 2**32 - 2**31
    kept = weights[live][:, :, ~dead]
    shape = (len(kept), -1) if node.op == "fully_connected" else (len(kept), *w.shape[1:3], -1)
    return (
        constant(node.inputs[1], kept.reshape(shape)),
        constant(node.inputs[2], rows[live].astype(np.int32)),
    )
