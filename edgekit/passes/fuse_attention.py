"""Find softmax attention: two matrix products with scale, bias or mask and softmax in between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops.attention import scales_of
from edgekit.ops.real import real_of
from edgekit.passes.algebra import single_int8

Array = NDArray[Any]
Edges = tuple[dict[int, Node], dict[int, list[Node]]]

MASKED = -128
"""What a masked score gets, as a bias of one octave a step or more."""
MOST_STEPS = 12


@dataclass(frozen=True, slots=True)
class View:
    """How a tensor is read: strides in elements for every dimension of another shape."""

    index: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(slots=True)
class Scores:
    """What lies between the first product and the softmax.

    Attributes:
        product: The matrix product.
        factor: Of its result.
        bias: Tensor that is added, -1 for none; or data of a mask.
        bias_factor: Of the bias.
        mask: Truth values; false means that a key is not looked at.
    """

    product: Node
    factor: float
    bias: int
    bias_factor: float
    mask: Array | None


def find_attention(
    graph: Graph, edges: Edges, softmax: Node
) -> tuple[Node, tuple[Tensor, ...]] | None:
    """Return the node that stands for the attention around a softmax, and its new constants."""
    writers, readers = edges
    beta = softmax.attrs["beta"]
    scores = _scores(
        graph, writers, softmax.inputs[0], float(beta) if isinstance(beta, float) else 1
    )
    after = readers.get(softmax.outputs[0], [])
    if scores is None or len(after) != 1 or after[0].op != "BATCH_MATMUL":
        return None
    mix = after[0]
    if mix.inputs[0] != softmax.outputs[0] or mix.attrs["adj_x"]:
        return None
    first = scores.product
    shape = graph.tensor(mix.outputs[0]).shape
    q = _view(graph, writers, first.inputs[0], swap=bool(first.attrs["adj_x"]), shape=shape)
    k = _view(graph, writers, first.inputs[1], swap=not first.attrs["adj_y"], shape=shape)
    v = _view(graph, writers, mix.inputs[1], swap=bool(mix.attrs["adj_y"]), shape=shape)
    y = _written(graph, readers, mix.outputs[0])
    leads = [size for size in shape[:-2] if size > 1]
    if q is None or k is None or v is None or len(leads) > 1:
        return None
    heads = leads[0] if leads else 1
    place = next((i for i, size in enumerate(shape[:-2]) if size > 1), 0)
    attrs: dict[str, int | float] = {
        "heads": heads,
        "rows": q.shape[-2],
        "keys": k.shape[-2],
        "depth": q.shape[-1],
        "width": v.shape[-1],
        "score": scores.factor,
    }
    for name, part in (("q", q), ("k", k), ("v", v), ("y", y)):
        if part.strides[-1] != 1 and part.shape[-1] != 1:
            return None
        attrs[f"{name}_head"] = part.strides[place] if heads > 1 else 0
        attrs[f"{name}_row"] = part.strides[-2]
    added = _bias(graph, scores, (*shape[:-1], k.shape[-2]), place)
    if added is None:
        return None
    bias, constants, strides, factor = added
    attrs |= dict(zip(("bias_head", "bias_row", "bias_key"), strides, strict=True))
    attrs["bias"] = factor
    tensors = (*graph.tensors, *constants)
    if not _fits(tensors, attrs, (q.index, k.index, v.index, y.index)):
        return None
    inputs = (q.index, k.index, v.index, bias)
    return Node(mix.name, "ATTENTION", inputs, (y.index,), attrs), constants


def _fits(
    tensors: tuple[Tensor, ...], attrs: dict[str, int | float], indices: tuple[int, int, int, int]
) -> bool:
    steps = []
    for index in indices:
        quant = tensors[index].quant
        assert quant is not None
        steps.append(quant.scale)
    q, k, v, y = steps
    scales = scales_of(
        int(attrs["depth"]),
        score=float(attrs["score"]) * q * k,
        bias=0.0,
        ratio=v / y,
        keys=int(attrs["keys"]),
    )
    return scales is not None


def _scores(graph: Graph, writers: dict[int, Node], index: int, factor: float) -> Scores | None:
    """Walk from the softmax back to the product."""
    bias, bias_factor, mask = -1, 0.0, None
    for _ in range(MOST_STEPS):
        node = writers.get(index)
        if node is None or node.attrs.get("activation", "NONE") != "NONE":
            return None
        if node.op == "BATCH_MATMUL":
            positive = factor > 0 and math.isfinite(factor)
            return Scores(node, factor, bias, bias_factor, mask) if positive else None
        if node.op == "QUANTIZE":
            index = node.inputs[0]
        elif node.op in ("MUL", "DIV"):
            a, b = _operands(graph, node)
            if b is None or (node.op == "DIV" and (a != node.inputs[0] or b == 0)):
                return None
            factor, index = (factor * b if node.op == "MUL" else factor / b), a
        elif node.op in ("ADD", "SUB") and bias < 0:
            inner = _leads_to_product(graph, writers, node.inputs[0], 0)
            if node.op == "SUB" or not (
                inner or _leads_to_product(graph, writers, node.inputs[1], 0)
            ):
                return None
            index, bias = node.inputs if inner else node.inputs[::-1]
            bias_factor = factor
        elif node.op in ("SELECT", "SELECT_V2") and mask is None:
            chosen = graph.tensor(node.inputs[0]).data
            away = graph.tensor(node.inputs[2])
            if chosen is None or away.data is None or np.any(real_of(away, away.data) > -64):
                return None
            mask, index = chosen.astype(bool), node.inputs[1]
        else:
            return None
    return None


def _leads_to_product(graph: Graph, writers: dict[int, Node], index: int, depth: int) -> bool:
    node = writers.get(index)
    if node is None or depth > MOST_STEPS:
        return False
    if node.op == "BATCH_MATMUL":
        return True
    steps = ("MUL", "DIV", "QUANTIZE")
    return node.op in steps and any(
        _leads_to_product(graph, writers, i, depth + 1) for i in node.inputs
    )


def _operands(graph: Graph, node: Node) -> tuple[int, float | None]:
    """Return the computed operand and the value of the constant one, if that is a single number."""
    for a, b in (node.inputs, node.inputs[::-1]):
        tensor = graph.tensor(b)
        if tensor.data is not None and graph.tensor(a).data is None:
            values = real_of(tensor, tensor.data)
            same = bool(np.all(values == values.flat[0]))
            return a, float(values.flat[0]) if same else None
    return node.inputs[0], None


def _bias(
    graph: Graph, scores: Scores, shape: tuple[int, ...], place: int
) -> tuple[int, tuple[Tensor, ...], tuple[int, int, int], float] | None:
    """Return the tensor to add, new constants, its strides by head, row and key, its factor."""
    constants: tuple[Tensor, ...] = ()
    if scores.mask is not None:
        if scores.bias >= 0:
            return None
        data = np.where(scores.mask, 0, MASKED).astype(np.int8)
        for axis in range(data.ndim):
            first = data.take([0], axis=axis)
            data = first if np.array_equal(np.broadcast_to(first, data.shape), data) else data
        tensor = Tensor("mask", data.shape, DType.INT8, Quant((1.0,), (0,)), data)
        index, factor = len(graph.tensors), 1.0
        constants = (tensor,)
    elif scores.bias >= 0:
        tensor = graph.tensor(scores.bias)
        one = tensor.quant is not None and len(tensor.quant.scales) == 1
        if tensor.dtype is not DType.INT8 or not one:
            return None
        index, factor = scores.bias, scores.bias_factor
    else:
        return -1, (), (0, 0, 0), 0.0
    if len(tensor.shape) > len(shape):
        return None
    whole = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if any(size not in (1, wanted) for size, wanted in zip(whole, shape, strict=True)):
        return None
    strides = [math.prod(whole[i + 1 :]) * (size != 1) for i, size in enumerate(whole)]
    over_heads = strides[place] if len(shape) > 2 else 0
    return index, constants, (over_heads, strides[-2], strides[-1]), factor


def _moved(graph: Graph, node: Node, x: Array) -> Array | None:
    """Return what a node that only moves elements makes of a view; None if it has to copy."""
    y = graph.tensor(node.outputs[0])
    if node.op == "TRANSPOSE":
        order = graph.tensor(node.inputs[1]).data
        return None if order is None else x.transpose([int(axis) for axis in order.reshape(-1)])
    if node.op not in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        return None
    return _reshaped(x, y.shape)


def _reshaped(x: Array, shape: tuple[int, ...]) -> Array | None:
    made = x.reshape(shape)
    return made if np.may_share_memory(made, x) or made.size == 1 else None


def _view(
    graph: Graph, writers: dict[int, Node], index: int, *, swap: bool, shape: tuple[int, ...]
) -> View | None:
    """Return an operand as a view of the tensor that it was moved from, the furthest."""
    chain: list[Node] = []
    at = index
    while (node := writers.get(at)) is not None and len(chain) < MOST_STEPS:
        if node.op not in ("TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
            break
        chain.append(node)
        at = node.inputs[0]
    for start in range(len(chain), -1, -1):
        base = index if start == 0 else chain[start - 1].inputs[0]
        seen: Array | None = np.empty(graph.tensor(base).shape, np.int8)
        for node in reversed(chain[:start]):
            seen = None if seen is None else _moved(graph, node, seen)
        if seen is None or not single_int8(graph, base) or seen.ndim != len(shape):
            continue
        seen = seen.swapaxes(-1, -2) if swap else seen
        last = seen.strides[-1] == 1 or seen.shape[-1] == 1
        if last:
            strides = [s if n > 1 else 0 for s, n in zip(seen.strides, seen.shape, strict=True)]
            return View(base, seen.shape, (*strides[:-1], 1))
    return None


def _written(graph: Graph, readers: dict[int, list[Node]], index: int) -> View:
    """Return the result as a view of the tensor that it is moved to, the furthest."""
    shape = graph.tensor(index).shape
    best = View(index, shape, _strides(np.empty(shape, np.int8)))
    chain: list[Node] = []
    at = index
    while len(chain) < MOST_STEPS:
        after = readers.get(at, [])
        if len(after) != 1 or at in graph.outputs:
            break
        node = after[0]
        if node.op not in ("TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
            break
        chain.append(node)
        at = node.outputs[0]
        back: Array | None = np.empty(graph.tensor(at).shape, np.int8)
        for moved in reversed(chain):
            back = None if back is None else _undone(graph, moved, back)
        if back is not None and _strides(back)[-1] == 1:
            best = View(at, shape, _strides(back))
    return best


def _undone(graph: Graph, node: Node, y: Array) -> Array | None:
    if node.op == "TRANSPOSE":
        order = graph.tensor(node.inputs[1]).data
        return None if order is None else y.transpose(np.argsort(order.reshape(-1)).tolist())
    return _reshaped(y, graph.tensor(node.inputs[0]).shape)


def _strides(x: Array) -> tuple[int, ...]:
    return tuple(
        s if n > 1 else 1 * (i == x.ndim - 1)
        for i, (s, n) in enumerate(zip(x.strides, x.shape, strict=True))
    )
