"""Chains as converters leave them, in several spellings, for the patterns of fusion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from litert_models import Model, T
from op_makers import Random, scale, zero

from edgekit.graph import DType, Graph, Node, Quant, Tensor

Chain = Callable[[Random], Model]


class Writer:
    """A model that is written line by line; every activation gets a scale that suits it."""

    def __init__(self, rng: Random, shape: tuple[int, ...]) -> None:
        self.rng, self.model, self.shape = rng, Model(), shape
        self.x = self.model.add(T(shape, [0.05], [int(rng.integers(-30, 30))]))
        self.model.inputs = [self.x]

    def apply(
        self,
        op: str,
        inputs: list[int],
        *,
        step: float = 0.05,
        zero_point: int = 0,
        shape: tuple[int, ...] | None = None,
        dtype: str = "int8",
        **options: object,
    ) -> int:
        if shape is None:
            shape = np.broadcast_shapes(*(tuple(self.model.tensors[i].shape) for i in inputs))
        quant = ([step], [zero_point]) if dtype == "int8" else ((), ())
        y = self.model.add(T(shape, *quant, dtype=dtype))
        self.model.op(op, inputs, [y], **options)
        return y

    def constant(self, real: np.ndarray | float) -> int:
        values = np.atleast_1d(np.asarray(real, np.float64))
        step = max(float(np.abs(values).max()) / 127, 1e-9)
        data = np.rint(values / step).astype(np.int8)
        shape = () if np.ndim(real) == 0 else values.shape
        return self.model.add(T(shape, [step], [0], data=data.reshape(shape)))

    def mean(self, x: int, step: float, zero_point: int = 0) -> int:
        axis = self.model.add(T((1,), data=np.array([-1], np.int32), dtype="int32"))
        shape = (*self.shape[:-1], 1)
        y = self.model.add(T(shape, [step], [zero_point]))
        self.model.op("MEAN", [x, axis], [y], keepDims=True)
        return y

    def island(self, op: str, x: int, step: float, zero_point: int = 0) -> int:
        shape = tuple(self.model.tensors[x].shape)
        real = self.apply("DEQUANTIZE", [x], dtype="float32", shape=shape)
        done = self.apply(op, [real], dtype="float32", shape=shape)
        return self.apply("QUANTIZE", [done], step=step, zero_point=zero_point, shape=shape)

    def done(self, y: int) -> Model:
        self.model.outputs = [y]
        return self.model


def _start(rng: Random) -> tuple[Writer, np.ndarray, np.ndarray]:
    count = int(rng.integers(3, 40))
    writer = Writer(rng, (1, int(rng.integers(1, 6)), count))
    return writer, rng.uniform(0.5, 1.5, count), rng.normal(0, 0.4, count)


def keras_layer_norm(rng: Random) -> Model:
    """x * (r g) + (-m * (r g) + b), the minus in float."""
    w, gamma, beta = _start(rng)
    m = w.mean(w.x, 0.02)
    negative = w.island("NEG", m, 0.02)
    squares = w.apply("SQUARED_DIFFERENCE", [w.x, m], step=0.1, zero_point=-128)
    variance = w.mean(squares, 0.05, -128)
    root = w.apply(
        "RSQRT", [w.apply("ADD", [variance, w.constant(1e-3)], step=0.05, zero_point=-128)]
    )
    scaled = w.apply("MUL", [root, w.constant(gamma)], step=0.02, zero_point=-128)
    moved = w.apply("MUL", [negative, scaled], step=0.02)
    moved = w.apply("ADD", [moved, w.constant(beta)], step=0.02)
    product = w.apply("MUL", [w.x, scaled], step=0.04)
    return w.done(w.apply("ADD", [product, moved], step=0.04, zero_point=3))


def centred_layer_norm(rng: Random) -> Model:
    """(x - m) / sqrt(mean((x - m)^2) + e) * g + b."""
    w, gamma, beta = _start(rng)
    difference = w.apply("SUB", [w.x, w.mean(w.x, 0.02)], step=0.05)
    squares = w.apply("MUL", [difference, difference], step=0.1, zero_point=-128)
    inside = w.apply("ADD", [w.constant(1e-3), w.mean(squares, 0.05, -128)], step=0.05)
    normal = w.apply("DIV", [difference, w.apply("SQRT", [inside])], step=0.03)
    scaled = w.apply("MUL", [w.constant(gamma), normal], step=0.04)
    return w.done(w.apply("ADD", [scaled, w.constant(beta)], step=0.04))


def keras_rms_norm(rng: Random) -> Model:
    """x * r * g, the square in float."""
    w, gamma, _ = _start(rng)
    squares = w.island("SQUARE", w.x, 0.1, -128)
    inside = w.apply("ADD", [w.mean(squares, 0.05, -128), w.constant(1e-3)], step=0.05)
    normal = w.apply("MUL", [w.x, w.apply("RSQRT", [inside])], step=0.03)
    return w.done(w.apply("MUL", [normal, w.constant(gamma)], step=0.04))


def plain_rms_norm(rng: Random) -> Model:
    """x * r with a square by MUL, no gamma."""
    w, _, _ = _start(rng)
    squares = w.apply("MUL", [w.x, w.x], step=0.1, zero_point=-128)
    inside = w.apply("ADD", [w.mean(squares, 0.05, -128), w.constant(1e-3)], step=0.05)
    return w.done(w.apply("MUL", [w.x, w.apply("RSQRT", [inside])], step=0.03, zero_point=-5))


def silu(rng: Random) -> Model:
    w, _, _ = _start(rng)
    gate = w.apply("LOGISTIC", [w.x], step=1 / 256, zero_point=-128)
    return w.done(w.apply("MUL", [w.x, gate], step=0.03, zero_point=-100))


def split_gelu(rng: Random) -> Model:
    """0.5 x (1 + tanh(c (x + d x^3)))."""
    w, _, _ = _start(rng)
    square = w.apply("MUL", [w.x, w.x], step=0.2, zero_point=-128)
    cube = w.apply(
        "MUL", [square, w.apply("MUL", [w.x, w.constant(0.044715)], step=0.003)], step=0.1
    )
    inner = w.apply(
        "MUL", [w.apply("ADD", [w.x, cube], step=0.15), w.constant(0.79788456)], step=0.1
    )
    gate = w.apply("ADD", [w.constant(1.0), w.apply("TANH", [inner], step=1 / 128)], step=0.016)
    half = w.apply("MUL", [w.x, w.constant(0.5)], step=0.03)
    return w.done(w.apply("MUL", [half, gate], step=0.05, zero_point=-90))


def _heads(w: Writer, x: int, sizes: tuple[int, int, int], order: list[int]) -> int:
    """Split [1, L, H D] into heads and put them in an order."""
    rows, heads, depth = sizes
    dims = w.model.add(T((4,), data=np.array([1, rows, heads, depth], np.int32), dtype="int32"))
    quant = (w.model.tensors[x].scales, w.model.tensors[x].zeros)
    split = w.model.add(T((1, rows, heads, depth), *quant))
    w.model.op("RESHAPE", [x, dims], [split])
    shape = tuple((1, rows, heads, depth)[axis] for axis in order)
    moved = w.model.add(T(shape, *quant))
    axes = w.model.add(T((4,), data=np.array(order, np.int32), dtype="int32"))
    w.model.op("TRANSPOSE", [split, axes], [moved])
    return moved


def _joined(w: Writer, x: int, sizes: tuple[int, int, int]) -> int:
    """The reverse."""
    rows, heads, depth = sizes
    quant = (w.model.tensors[x].scales, w.model.tensors[x].zeros)
    moved = w.model.add(T((1, rows, heads, depth), *quant))
    axes = w.model.add(T((4,), data=np.array([0, 2, 1, 3], np.int32), dtype="int32"))
    w.model.op("TRANSPOSE", [x, axes], [moved])
    y = w.model.add(T((1, rows, heads * depth), *quant))
    dims = w.model.add(T((3,), data=np.array([1, rows, heads * depth], np.int32), dtype="int32"))
    w.model.op("RESHAPE", [moved, dims], [y])
    return y


def keras_attention(rng: Random) -> Model:
    """Heads of slices of one input, scale on the scores, heads joined again."""
    rows, heads, depth = int(rng.integers(1, 11)), int(rng.integers(1, 4)), int(rng.integers(2, 9))
    w = Writer(rng, (1, rows, heads * depth))
    parts = [w.apply("MUL", [w.x, w.constant(rng.uniform(0.5, 1, heads * depth))]) for _ in "qkv"]
    sizes = (rows, heads, depth)
    q, v = (_heads(w, parts[i], sizes, [0, 2, 1, 3]) for i in (0, 2))
    k = _heads(w, parts[1], sizes, [0, 2, 3, 1])
    maps = (1, heads, rows, rows)
    scores = w.apply("BATCH_MATMUL", [q, k], step=0.2, shape=maps)
    scaled = w.apply("MUL", [scores, w.constant(depth**-0.5)], step=0.1)
    weights = w.apply("SOFTMAX", [scaled], step=1 / 256, zero_point=-128, beta=1.0)
    mixed = w.apply("BATCH_MATMUL", [weights, v], step=0.03, shape=(1, heads, rows, depth))
    return w.done(_joined(w, mixed, sizes))


def biased_attention(rng: Random) -> Model:
    """One head, keys as they lie, a row of bias for each row of scores."""
    rows, depth = int(rng.integers(2, 14)), int(rng.integers(2, 12))
    w = Writer(rng, (1, rows, depth))
    q = w.apply("MUL", [w.x, w.constant(0.7)], zero_point=4)
    scores = w.apply("BATCH_MATMUL", [q, w.x], step=0.1, shape=(1, rows, rows), adjY=True)
    bias = w.constant(rng.normal(0, 2, (rows, rows)))
    added = w.apply("ADD", [bias, scores], step=0.1)
    weights = w.apply("SOFTMAX", [added], step=1 / 256, zero_point=-128, beta=1.0)
    return w.done(
        w.apply("BATCH_MATMUL", [weights, w.x], step=0.03, zero_point=-9, shape=(1, rows, depth))
    )


NORMS: dict[str, Chain] = {
    chain.__name__: chain
    for chain in (keras_layer_norm, centred_layer_norm, keras_rms_norm, plain_rms_norm)
}
ATTENTIONS: dict[str, Chain] = {
    chain.__name__: chain for chain in (keras_attention, biased_attention)
}
TABLES: dict[str, Chain] = {chain.__name__: chain for chain in (silu, split_gelu)}


def norm_graph(rng: Random, *, centred: bool, count: int, rows: int) -> Graph:
    """A graph of one fused normalization with random and extreme parameters."""
    spread = 10 ** rng.uniform(-2, 2)
    gamma = (rng.normal(0, spread, count)).astype(np.float32)
    beta = (rng.normal(0, 10 ** rng.uniform(-2, 2), count)).astype(np.float32)
    quant = Quant((scale(rng),), (zero(rng),))
    y = Quant((scale(rng, -7, 0) * (1 + spread),), (zero(rng),))
    tensors = (
        Tensor("x", (1, rows, count), quant=quant),
        Tensor("gamma", (count,), DType.FLOAT32, None, gamma),
        Tensor("beta", (count,), DType.FLOAT32, None, beta),
        Tensor("y", (1, rows, count), quant=y),
    )
    epsilon = float(rng.choice([0.0, 1e-12, 1e-6, 1e-3, 10.0]))
    node = Node("norm", "NORM", (0, 1, 2), (3,), {"centred": centred, "epsilon": epsilon})
    return Graph("norm", tensors, (node,), (0,), (3,))


def attention_graph(rng: Random, *, rows: int, keys: int, depth: int, biased: bool) -> Graph:
    """A graph of one fused attention of a tensor with constants, on views of several orders."""
    heads, width = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    across = bool(rng.random() < 0.5)

    def strides(name: str, count: int, last: int) -> dict[str, int]:
        if across:
            return {f"{name}_head": last, f"{name}_row": heads * last}
        return {f"{name}_head": count * last, f"{name}_row": last}

    attrs: dict[str, int | float] = {
        "heads": heads,
        "rows": rows,
        "keys": keys,
        "depth": depth,
        "width": width,
        **strides("q", rows, depth),
        **strides("k", keys, depth),
        **strides("v", keys, width),
        **strides("y", rows, width),
        "bias_head": 0,
        "bias_row": keys,
        "bias_key": 1,
        "score": float(10 ** rng.uniform(-2, 0.5)),
        "bias": float(rng.choice([1e-3, 1.0, 1e9])) if biased else 0.0,
    }
    edge = rng.random() < 0.3

    def data(*shape: int) -> np.ndarray:
        if edge:
            return rng.choice(np.array([-128, 127], np.int8), shape)
        return rng.integers(-128, 128, shape, np.int8)

    quants = [Quant((scale(rng, -6, -3),), (zero(rng),)) for _ in range(4)]
    tensors = [
        Tensor("x", (1, heads * rows * depth), quant=quants[0]),
        Tensor("k", (heads * keys, depth), quant=quants[1], data=data(heads * keys, depth)),
        Tensor("v", (heads * keys, width), quant=quants[2], data=data(heads * keys, width)),
        Tensor("y", (1, heads * rows * width), quant=Quant(quants[2].scales, (zero(rng),))),
    ]
    if biased:
        tensors.append(Tensor("bias", (rows, keys), quant=quants[3], data=data(rows, keys)))
    node = Node("attend", "ATTENTION", (0, 1, 2, 4 if biased else -1), (3,), attrs)
    return Graph("attend", tuple(tensors), (node,), (0,), (3,))
