"""Random nodes that kernels for MVE are packed from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops.conv import padding

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A node without its input.

    Attributes:
        y: Shape of the output.
        zero: Zero point of the output.
        weights: As the operator has them.
        requant: int32 [M, 3] or [M, 1].
    """

    op: str
    y: Shape
    zero: int
    weights: npt.NDArray[np.int8]
    requant: npt.NDArray[np.int32]
    attrs: dict[str, Attr]


def requant(rng: np.random.Generator, outputs: int, terms: int) -> npt.NDArray[np.int32]:
    """Return biases, multipliers and shifts such that about half of the outputs do not saturate."""
    rows = np.empty((outputs, 3), np.int64)
    rows[:, 0] = rng.integers(-2000, 2001, outputs) * int(np.sqrt(terms) + 1)
    rows[:, 1] = rng.choice([2**30, 2**31 - 1, int(rng.integers(2**30, 2**31)), 0], outputs)
    rows[:, 2] = -int(np.log2(terms + 1) / 2) - 6 + rng.integers(-3, 2, outputs)
    if rng.random() < 0.2:
        rows[int(rng.integers(outputs)), 0] = rng.choice([2**31 - 1, -(2**31), 2**30])
        rows[int(rng.integers(outputs)), 2] = rng.choice([-31, -1])
    return rows.astype(np.int32)


def ends(rng: np.random.Generator) -> tuple[int, dict[str, Attr]]:
    """Return an output's zero point, and its limits."""
    zero = int(rng.choice([-128, -128, 127, 0, 17]))
    low, high = (-128, 127) if rng.random() < 0.7 else sorted(rng.integers(-128, 128, 2).tolist())
    if rng.random() < 0.3:
        low, high = zero, 127
    return zero, {"y_min": low, "y_max": high}


def window(rng: np.random.Generator, x: Shape, *, depthwise: bool) -> Case:
    """Return a convolution of x [N, H, W, C]."""
    n, h, w, c = x
    sizes = [(1, 1), (3, 3), (int(rng.integers(1, 6)), int(rng.integers(1, 6)))]
    kh, kw = (3, 3) if depthwise else sizes[int(rng.integers(3))]
    sh, sw = (int(v) for v in rng.integers(1, 4, 2)) if rng.random() < 0.4 else (1, 1)
    mode = str(rng.choice(["SAME", "SAME", "VALID"]))
    if kh > h or kw > w:
        mode = "SAME"
    oh, top = padding(mode, h, kh, sh, 1)
    ow, left = padding(mode, w, kw, sw, 1)
    m = c if depthwise else int(rng.choice([1, 3, 4, 8, 10, 16, 24]))
    zero, attrs = ends(rng)
    attrs |= {"stride_h": sh, "stride_w": sw, "dilation_h": 1, "dilation_w": 1, "rounding": 0}
    attrs |= {"pad_top": top, "pad_left": left}
    shape = (1, kh, kw, m) if depthwise else (m, kh, kw, c)
    weights = rng.integers(-127, 128, shape, np.int8)
    op = "depthwise_conv_2d" if depthwise else "conv_2d"
    return Case(op, (n, oh, ow, m), zero, weights, requant(rng, m, prod(shape) // m), attrs)


def dense(rng: np.random.Generator, x: Shape) -> Case:
    """Return a dense layer of rows [.., K]."""
    terms, outputs = x[-1], int(rng.integers(1, 70))
    zero, attrs = ends(rng)
    q = requant(rng, outputs, terms)
    attrs |= {"rounding": int(rng.integers(2)), "multiplier": 0, "shift": 0}
    if rng.random() < 0.6:
        attrs |= {"multiplier": int(q[0, 1]), "shift": int(q[0, 2])}
        q = np.ascontiguousarray(q[:, :1])
    weights = rng.integers(-127, 128, (outputs, terms), np.int8)
    return Case("fully_connected", (prod(x) // terms, outputs), zero, weights, q, attrs)


def image_shape(rng: np.random.Generator) -> Shape:
    """Return a random [N, H, W, C]."""
    sides = (int(v) for v in rng.integers(1, 12, 2))
    return (int(rng.choice([1, 1, 1, 2])), *sides, int(rng.choice([1, 3, 4, 8, 16, 20, 32, 40])))


def joined(rng: np.random.Generator, x: Shape, cases: list[Case]) -> Graph:
    """Return a graph of nodes that read the same input; of several, the outputs one by one."""
    zero = int(rng.choice([-128, 127, 0, 5]))
    tensors = [Tensor("x", x, DType.INT8, Quant((0.1,), (zero,)))]
    nodes: list[Node] = []
    flat: list[int] = []

    def add(name: str, data: npt.NDArray[np.int8] | npt.NDArray[np.int32]) -> int:
        tensors.append(Tensor(name, data.shape, DType(str(data.dtype)), None, data))
        return len(tensors) - 1

    def activation(shape: Shape, zero_point: int) -> int:
        tensors.append(Tensor("y", shape, DType.INT8, Quant((0.1,), (zero_point,))))
        return len(tensors) - 1

    for number, case in enumerate(cases):
        w, q = add(f"w{number}", case.weights), add(f"w{number} requant", case.requant)
        y = activation(case.y, case.zero)
        nodes.append(Node(f"node {number}", case.op, (0, w, q), (y,), case.attrs))
        flat.append(y)
    if len(cases) > 1:
        for number, case in enumerate(cases):
            y = activation((1, prod(case.y)), case.zero)
            nodes.append(Node(f"flat {number}", "copy", (flat[number],), (y,), {}))
            flat[number] = y
        y = activation((1, sum(prod(case.y) for case in cases)), 0)
        nodes.append(Node("join", "concatenation", tuple(flat), (y,), {"axis": 1}))
    return Graph("joined", tuple(tensors), tuple(nodes), (0,), (len(tensors) - 1,))


def inputs(graph: Graph, seed: int) -> npt.NDArray[np.int8]:
    """Return four inputs: random, of extremes, and two constant ones."""
    rng = np.random.default_rng([seed, 41])
    x = rng.integers(-128, 128, (4, *graph.tensors[0].shape), np.int8)
    x[1] = rng.choice(np.array([-128, 127], np.int8), x[1].shape)
    x[2], x[3] = -128, 127
    return x
