"""Chains of arithmetic as polynomials: what they compute, however they are written.

A converter, an optimizer and a person write one normalization in many ways. As polynomials in the
input x, its mean m, the mean q of its squares and an inverse root r they are equal:
x * (r g) + (b - m (r g)) and (x - m) * r * g + b both are x r g - m r g + b.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node
from edgekit.ops.real import real_of

Array = NDArray[Any]
Monomial = tuple[str, ...]
Polynomial = dict[Monomial, Array]

MOST_DEPTH = 16
MOST_TERMS = 8
MOST_DEGREE = 4
PLAIN = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True)
class Root:
    """What r stands for: 1 / sqrt(spread + epsilon).

    Attributes:
        centred: The spread is the variance, q - m^2; else the mean square, q.
        factor: The chain's own root is this times r.
    """

    centred: bool
    epsilon: float
    factor: float


def single_int8(graph: Graph, index: int) -> bool:
    """Return whether a tensor is an int8 activation with one scale."""
    tensor = graph.tensor(index)
    one = tensor.quant is not None and len(tensor.quant.scales) == 1 and tensor.quant.scale > 0
    return tensor.dtype is DType.INT8 and tensor.data is None and one


@dataclass(slots=True)
class Algebra:
    """Polynomials of a graph's tensors in one of them, x, and in means along its last dimension."""

    graph: Graph
    writers: dict[int, Node]
    x: int
    root: Root | None = None
    known: dict[int, Polynomial | None] = field(default_factory=dict)

    def of(self, index: int, depth: int = 0) -> Polynomial | None:
        """Return the polynomial of a tensor, None if it is none."""
        if index == self.x:
            return {("x",): np.array(1.0)}
        if index not in self.known:
            self.known[index] = None if depth > MOST_DEPTH else self._made(index, depth)
        return self.known[index]

    def _made(self, index: int, depth: int) -> Polynomial | None:
        tensor = self.graph.tensor(index)
        if tensor.data is not None:
            return {(): real_of(tensor, tensor.data)}
        node = self.writers.get(index)
        if node is None or node.attrs.get("activation", "NONE") != "NONE":
            return None
        if node.op in ("MEAN", "SUM"):
            return self._mean(node, self.of(node.inputs[0], depth + 1))
        if node.op not in _RULES and node.op not in ("RSQRT", "SQRT", "DIV", *PLAIN):
            return None
        inputs = []
        for operand in node.inputs:
            value = self.of(operand, depth + 1) if operand >= 0 else None
            if value is None:
                return None
            inputs.append(value)
        if node.op in PLAIN:
            return inputs[0]
        if node.op in ("RSQRT", "SQRT"):
            return self._root(inputs[0], inverse=node.op == "RSQRT")
        if node.op == "DIV":
            return self._quotient(inputs[0], inputs[1])
        return bounded(_RULES[node.op](*inputs))

    def _mean(self, node: Node, value: Polynomial | None) -> Polynomial | None:
        """The mean of x is m, that of x^2 is q; what is constant along a row moves out."""
        source = self.graph.tensor(node.inputs[0])
        axes = self.graph.tensor(node.inputs[1]).data
        rank = len(source.shape)
        last = axes is not None and axes.size == 1 and int(axes.reshape(-1)[0]) in (-1, rank - 1)
        if value is None or not last or source.shape != self.graph.tensor(self.x).shape:
            return None
        total = source.shape[-1] if node.op == "SUM" else 1
        means: dict[int, Monomial] = {0: (), 1: ("m",), 2: ("q",)}
        out: Polynomial = {}
        for monomial, factor in value.items():
            power = monomial.count("x")
            if power not in means or (factor.ndim and factor.shape[-1] != 1):
                return None
            rest = tuple(atom for atom in monomial if atom != "x")
            key = tuple(sorted((*rest, *means[power])))
            out[key] = out.get(key, np.float64(0)) + factor * total
        return bounded(out)

    def _root(self, value: Polynomial, *, inverse: bool) -> Polynomial | None:
        """Recognize factor^-2 * (spread + epsilon) below a root."""
        if not set(value) <= {("q",), ("m", "m"), ()} or any(v.size != 1 for v in value.values()):
            return None
        q, mm, constant = (float(np.sum(value.get(key, 0))) for key in (("q",), ("m", "m"), ()))
        centred = abs(mm + q) <= 1e-6 * abs(q)
        if q <= 0 or constant < 0 or not (centred or mm == 0):
            return None
        found = Root(centred, constant / q, q**-0.5)
        if self.root not in (None, found):
            return None
        self.root = found
        if inverse:
            return {("r",): np.array(found.factor)}
        return {("s",): np.array(q**0.5)}

    def _quotient(self, a: Polynomial, b: Polynomial) -> Polynomial | None:
        """Divide by a constant, or by the root s = 1 / r."""
        if len(b) != 1 or next(iter(b)) not in ((), ("s",)):
            return None
        ((monomial, divisor),) = b.items()
        if np.any(divisor == 0):
            return None
        atoms: Monomial = ("r",) if monomial else ()
        return bounded(multiply(a, {atoms: 1 / divisor}))


def bounded(value: Polynomial) -> Polynomial | None:
    """Return a polynomial without zero terms, None if it is too large to be of interest."""
    kept = {key: factor for key, factor in value.items() if np.any(factor)}
    if len(kept) > MOST_TERMS or any(len(key) > MOST_DEGREE for key in kept):
        return None
    return kept


def add(a: Polynomial, b: Polynomial, sign: int = 1) -> Polynomial:
    """Return a + sign * b."""
    out = dict(a)
    for key, factor in b.items():
        out[key] = out.get(key, np.float64(0)) + sign * factor
    return out


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """Return a * b."""
    out: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            key = tuple(sorted((*left, *right)))
            out[key] = out.get(key, np.float64(0)) + x * y
    return out


def _square(a: Polynomial) -> Polynomial:
    return multiply(a, a)


_RULES: dict[str, Any] = {
    "ADD": add,
    "SUB": lambda a, b: add(a, b, -1),
    "MUL": multiply,
    "NEG": lambda a: add({}, a, -1),
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": lambda a, b: _square(add(a, b, -1)),
}
