"""Find a sentence model: from token ids, masked by what is padding, to a pooled row.

It is replaced whole or not at all: the operators that take its place work on as many rows as there
are tokens, so nothing between the ids and the pool may need the rows of padding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from edgekit.graph import Attr, DType, Graph, Node, Tensor

MOVES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
SLOT_ERROR = 0.04
"""By which a weight that is stored as a logarithm in 8 bits may be off."""


class _Other(Exception):
    """What was found is no sentence model of the known form."""


@dataclass(slots=True)
class _Finder:
    graph: Graph
    writers: dict[int, Node]
    ids: int
    nodes: list[Node] = field(default_factory=list)
    extra: list[Tensor] = field(default_factory=list)

    def new(self, tensor: Tensor) -> int:
        self.extra.append(tensor)
        return len(self.graph.tensors) + len(self.extra) - 1

    def data(self, index: int) -> np.ndarray:
        data = self.graph.tensor(index).data
        if data is None:
            raise _Other
        return data

    def constant(self, name: str, data: np.ndarray, like: int) -> int:
        """Add a constant with the quantization of another."""
        quant = self.graph.tensor(like).quant
        return self.new(Tensor(name, tuple(data.shape), DType.INT8, quant, data))

    def writer(self, index: int, *ops: str, skip: tuple[str, ...] = ()) -> Node:
        node = self.writers.get(index)
        while node is not None and node.op in skip:
            node = self.writers.get(node.inputs[0])
        if node is None or node.op not in ops or node.attrs.get("activation", "NONE") != "NONE":
            raise _Other
        return node

    def is_mask(self, index: int) -> bool:
        """Whether a tensor is true where an id is not 0."""
        node = self.writers.get(index)
        if node is None or node.op != "NOT_EQUAL":
            return False
        other = self.graph.tensor(node.inputs[1]).data
        source = node.inputs[0]
        while (move := self.writers.get(source)) is not None and move.op in (*MOVES, "PAD"):
            source = move.inputs[0]
        return source == self.ids and other is not None and not np.any(other)

    def scale(self, index: int, name: str) -> dict[str, Attr]:
        """Return scale and zero point of a tensor that disappears, as attributes."""
        quant = self.graph.tensor(index).quant
        if quant is None or len(quant.scales) != 1:
            raise _Other
        return {f"{name}_scale": float(quant.scale), f"{name}_zero": int(quant.zero_point)}

    def count(self) -> int:
        return self.nodes[0].outputs[1]

    # From the last tokens back to the ids; each appends its nodes after those before it.

    def tokens(self, index: int) -> int:
        """Emit what makes states [1, L, d] and return their tensor."""
        node = self.writer(index, "NORM", "SELECT_V2")
        if node.op == "NORM":
            return self.norm(node)
        if not self.is_mask(node.inputs[0]):
            raise _Other
        inner = self.writer(node.inputs[1], "FULLY_CONNECTED", "ADD")
        if inner.op == "FULLY_CONNECTED":
            before = self.writers.get(inner.inputs[0])
            if before is not None and before.op == "CONCATENATION":
                return self.embed(inner, before, node.outputs[0])
        return self.block(inner, node.outputs[0])

    def norm(self, node: Node) -> int:
        x = self.tokens(node.inputs[0])
        if node.attrs["centred"]:
            raise _Other
        attrs = {"epsilon": node.attrs["epsilon"]}
        inputs = (x, self.count(), *node.inputs[1:3])
        self.nodes.append(Node(node.name, "TEXT_NORM", inputs, node.outputs, attrs))
        return node.outputs[0]

    def embed(self, dense: Node, concat: Node, y: int) -> int:
        if len(concat.inputs) != 3 or len(dense.inputs) < 3:
            raise _Other
        rows, positions, flag = concat.inputs
        gather = self.writer(rows, "GATHER")
        second = self.writer(flag, "GATHER")
        total = self.writer(second.inputs[1], "MINIMUM")
        cumsum = self.writer(total.inputs[0], "CUMSUM")
        cast = self.writer(cumsum.inputs[0], "CAST")
        equal = self.writer(cast.inputs[0], "EQUAL")
        if gather.inputs[1] != self.ids or equal.inputs[0] != self.ids:
            raise _Other
        values = self.data(second.inputs[0]).reshape(-1)
        places = self.data(positions)
        if len(values) != 2 or values[0] != 0 or places.ndim != 3:
            raise _Other
        count = self.new(Tensor("tokens", (1,), DType.INT32))
        attrs: dict[str, Attr] = {
            "sep": int(self.data(equal.inputs[1]).reshape(-1)[0]),
            "flag": int(values[1]),
        }
        inputs = (
            self.ids,
            gather.inputs[0],
            self.constant("positions", places[0], positions),
            *dense.inputs[1:3],
        )
        self.nodes.append(Node("embed", "TEXT_EMBED", inputs, (y, count), attrs))
        return y

    def block(self, top: Node, y: int) -> int:
        """A convolution branch, added to attention, to the input, to both or to neither."""
        first: Node | None = None
        base, mix = -1, top
        if top.op == "ADD":
            base, mix = top.inputs[0], self.writer(top.inputs[1], "FULLY_CONNECTED")
        under = self.writers.get(base)
        source = base
        if under is not None and under.op in ("FULLY_CONNECTED", "ADD"):
            first = under
            source = -1
            if under.op == "ADD":
                source = under.inputs[0]
                first = self.writer(under.inputs[1], "FULLY_CONNECTED")
        n, conv = self._conv(mix)
        norm = self.writer(n, "NORM")
        if source not in (-1, norm.inputs[0]):
            raise _Other
        self.tokens(n)
        if first is not None:
            self._attend(first, n, source, base)
        self._mix(mix, conv, n, base, y)
        return y

    def _conv(self, mix: Node) -> tuple[int, Node]:
        table = self.writer(mix.inputs[0], "lut", skip=MOVES)
        conv = self.writer(table.inputs[0], "DEPTHWISE_CONV_2D")
        index = conv.inputs[0]
        while (move := self.writers.get(index)) is not None and move.op in (*MOVES, "PAD"):
            index = move.inputs[0]
        return index, conv

    def _attend(self, dense: Node, n: int, source: int, y: int) -> None:
        mix = self.writer(dense.inputs[0], "BATCH_MATMUL")
        softmax = self.writer(mix.inputs[0], "SOFTMAX")
        select = self.writer(softmax.inputs[0], "SELECT_V2")
        score = self.writer(select.inputs[1], "BATCH_MATMUL")
        query = self.writer(score.inputs[0], "FULLY_CONNECTED")
        same = mix.inputs[1] == score.inputs[1] == query.inputs[0] == n
        turned = score.attrs["adj_y"] and not mix.attrs["adj_y"] and not score.attrs["adj_x"]
        if not same or not turned or not self.is_mask(select.inputs[0]):
            raise _Other
        if softmax.attrs["beta"] != 1.0 or len(query.inputs) < 3 or len(dense.inputs) < 3:
            raise _Other
        attrs = {
            "adds": int(source >= 0),
            **self.scale(query.outputs[0], "q"),
            **self.scale(mix.outputs[0], "mix"),
            **self.scale(dense.outputs[0], "u"),
        }
        inputs = (source if source >= 0 else n, n, self.count(), *query.inputs[1:3])
        inputs = (*inputs, *dense.inputs[1:3])
        self.nodes.append(Node(dense.name, "TEXT_ATTEND", inputs, (y,), attrs))

    def _mix(self, dense: Node, conv: Node, n: int, base: int, y: int) -> None:
        table = self.writer(dense.inputs[0], "lut", skip=MOVES)
        kernel = self.data(conv.inputs[1])
        plain = all(
            conv.attrs[name] == 1 for name in ("stride_h", "stride_w", "dilation_h", "dilation_w")
        )
        if not plain or kernel.shape[:2] != (1, 1):
            raise _Other
        if len(conv.inputs) < 3 or len(dense.inputs) < 3:
            raise _Other
        size = kernel.shape[2]
        causal = conv.attrs["padding"] == "VALID"
        attrs = {
            "adds": int(base >= 0),
            "left": size - 1 if causal else (size - 1) // 2,
            **self.scale(conv.outputs[0], "conv"),
            **self.scale(table.outputs[0], "silu"),
            **self.scale(dense.outputs[0], "w"),
        }
        inputs = (base if base >= 0 else n, n, self.count(), *conv.inputs[1:3], table.inputs[1])
        inputs = (*inputs, *dense.inputs[1:3])
        self.nodes.append(Node(dense.name, "TEXT_MIX", inputs, (y,), attrs))

    # Pools

    def pooled(self, index: int) -> bool:
        """Try to read a tensor [1, d] or [1, 2 d] as the pool of a sentence."""
        node = self.writers.get(index)
        if node is None:
            return False
        mean, top, x = 0, 0, -1
        try:
            if node.op == "CONCATENATION" and len(node.inputs) == 2:
                mean, top = 1, 1
                x = self._mean(node.inputs[0])
                if x != self._max(self.writer(node.inputs[1], "REDUCE_MAX")):
                    return False
            elif node.op == "REDUCE_MAX":
                top, x = 1, self._max(node)
            elif node.op in MOVES:
                inner = self.writer(node.inputs[0], "BATCH_MATMUL", "GATHER", skip=MOVES)
                if inner.op == "BATCH_MATMUL":
                    mean, x = 1, self._mean(index)
                else:
                    x = inner.inputs[0]
                    if np.any(self.data(inner.inputs[1])) or inner.attrs["axis"] != 1:
                        return False
            else:
                return False
            self.tokens(x)
        except _Other:
            self.nodes.clear()
            self.extra.clear()
            return False
        attrs: dict[str, Attr] = {"mean": mean, "max": top}
        self.nodes.append(Node("pool", "TEXT_POOL", (x, self.count()), (index,), attrs))
        return True

    def _max(self, node: Node) -> int:
        select = self.writer(node.inputs[0], "SELECT_V2")
        if not self.is_mask(select.inputs[0]) or np.any(self.data(select.inputs[2]) != -128):
            raise _Other
        return select.inputs[1]

    def _mean(self, index: int) -> int:
        """A mean of means of groups, each as heavy as the slot of its last token says."""
        full, means = self._weighed(index)
        last = self.writer(full, "REDUCE_MAX", skip=MOVES)
        slots = self._chosen(last.inputs[0])
        weights = np.exp(slots - slots.max())
        even = np.arange(1, len(weights) + 1) / len(weights)
        if len(weights) == 1 or not np.allclose(weights, even, rtol=SLOT_ERROR):
            raise _Other
        level, x = self._weighed(means)
        if np.ptp(self._chosen(level)):
            raise _Other
        while (move := self.writers.get(x)) is not None and move.op in (*MOVES, "PAD"):
            x = move.inputs[0]
        return x

    def _weighed(self, index: int) -> tuple[int, int]:
        """Return what the softmax of a product reads, and what the product weighs by it."""
        product = self.writer(index, "BATCH_MATMUL", skip=MOVES)
        softmax = self.writer(product.inputs[0], "SOFTMAX")
        if product.attrs["adj_y"] or softmax.attrs["beta"] != 1.0:
            raise _Other
        return softmax.inputs[0], product.inputs[1]

    def _chosen(self, index: int) -> np.ndarray:
        """Return the real values that a mask lets through; the others are the least."""
        select = self.writer(index, "SELECT_V2")
        quant = self.graph.tensor(select.inputs[1]).quant
        least = np.all(self.data(select.inputs[2]) == -128)
        if not self.is_mask(select.inputs[0]) or quant is None or not least:
            raise _Other
        return quant.scale * self.data(select.inputs[1]).reshape(-1).astype(np.float64)


def find_text(graph: Graph) -> tuple[Graph, int, tuple[Node, ...]] | None:
    """Return the graph with a sentence model replaced, its pooled tensor and the nodes gone."""
    if len(graph.inputs) != 1:
        return None
    ids = graph.inputs[0]
    tensor = graph.tensor(ids)
    if tensor.dtype is not DType.INT32 or len(tensor.shape) != 2 or tensor.shape[0] != 1:
        return None
    writers = {index: node for node in graph.nodes for index in node.outputs}
    for node in graph.nodes:
        finder = _Finder(graph, writers, ids)
        if not finder.pooled(node.outputs[0]):
            continue
        done = replace(graph, tensors=(*graph.tensors, *finder.extra))
        kept = _behind(graph, node.outputs[0])
        if kept is None:
            continue
        gone = tuple(old for old in graph.nodes if old not in kept)
        return replace(done, nodes=(*finder.nodes, *kept)), node.outputs[0], gone
    return None


def _behind(graph: Graph, pooled: int) -> list[Node] | None:
    """Return the nodes that depend on a tensor; None if an output does not depend on it alone."""
    known = {pooled} | {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    kept = []
    for node in graph.nodes:
        if pooled not in node.outputs and all(i < 0 or i in known for i in node.inputs):
            constant = all(i < 0 or graph.tensor(i).data is not None for i in node.inputs)
            if not constant:
                kept.append(node)
                known.update(node.outputs)
    return kept if known.issuperset(graph.outputs) else None
