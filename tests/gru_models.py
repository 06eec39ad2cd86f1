"""Unrolled layers of GRU as the converter leaves them, and graphs of the fused one."""

from __future__ import annotations

import numpy as np
from fused_models import Writer
from litert_models import Model, T
from op_makers import Random, scale, zero

from edgekit.graph import DType, Graph, Node, Quant, Tensor


class GruWriter(Writer):
    """Writes the steps of a layer; the first has no state, as the converter folds it."""

    def __init__(self, rng: Random, sizes: tuple[int, int, int], *, reset_after: bool) -> None:
        steps, features, units = sizes
        super().__init__(rng, (steps, 1, features))
        self.units, self.reset_after = units, reset_after
        self.w = [self._weights(units, features) for _ in "zrn"]
        self.u = [self._weights(units, units) for _ in "zrn"]
        self.b = [rng.normal(0, 0.2, units) for _ in "zrn"]
        self.c = [rng.normal(0, 0.2, units) * reset_after for _ in "zrn"]

    def _weights(self, units: int, terms: int) -> int:
        real = self.rng.normal(0, 0.7, (units, terms))
        return self.constant(real)

    def rows(self, x: int, w: int, bias: np.ndarray, step: float) -> int:
        """A fully-connected layer of one gate."""
        tensors = self.model.tensors
        unit = tensors[x].scales[0] * tensors[w].scales[0]
        stored = np.rint(bias / unit).astype(np.int32)
        b = self.model.add(T((self.units,), [unit], [0], data=stored, dtype="int32"))
        shape = (1, self.units)
        return self.apply("FULLY_CONNECTED", [x, w, b], step=step, shape=shape)

    def step(self, x: int, h: int) -> int:
        """z h + (1 - z) tanh(..), with h = -1 in the first step."""
        parts = [self.rows(x, w, b, 0.03) for w, b in zip(self.w, self.b, strict=True)]

        def state(i: int, of: int) -> int:
            return (
                self.rows(of, self.u[i], self.c[i], 0.02) if of >= 0 else self.constant(self.c[i])
            )

        def gate(i: int) -> int:
            summed = self.apply("ADD", [parts[i], state(i, h)], step=0.03)
            return self.apply("LOGISTIC", [summed], step=1 / 256, zero_point=-128)

        z, r = gate(0), gate(1)
        if self.reset_after:
            added = self.apply("MUL", [r, state(2, h)], step=0.02)
        else:
            reset = self.apply("MUL", [r, h], step=1 / 128) if h >= 0 else -1
            added = state(2, reset)
        n = self.apply("TANH", [self.apply("ADD", [parts[2], added], step=0.03)], step=1 / 128)
        rest = self.apply("SUB", [self.constant(1.0), z], step=1 / 128, shape=(1, self.units))
        new = self.apply("MUL", [rest, n], step=1 / 128)
        if h < 0:
            return new
        return self.apply("ADD", [self.apply("MUL", [z, h], step=1 / 128), new], step=1 / 128)


def unrolled_gru(
    rng: Random,
    *,
    reset_after: bool,
    sequences: bool = False,
    backwards: bool = False,
    swapped: bool = False,
) -> Model:
    """A whole layer; `swapped`: two steps read each other's input, so it is no GRU."""
    steps, features, units = (
        int(rng.integers(3, 6)),
        int(rng.integers(2, 9)),
        int(rng.integers(2, 11)),
    )
    w = GruWriter(rng, (steps, features, units), reset_after=reset_after)
    x = w.model.tensors[w.x]
    parts = [w.model.add(T((1, features), x.scales, x.zeros)) for _ in range(steps)]
    w.model.op("UNPACK", [w.x], parts, num=steps, axis=0)
    order = parts[::-1] if backwards else parts
    if swapped:
        order = [order[1], order[0], *order[2:]]
    states = [-1]
    for part in order:
        states.append(w.step(part, states[-1]))
    if not sequences:
        return w.done(states[-1])
    y = w.model.add(T((steps, 1, units), [1 / 128], [0]))
    w.model.op("PACK", states[1:], [y], valuesCount=steps, axis=0)
    return w.done(y)


def gru_graph(rng: Random, *, steps: int, features: int, units: int) -> Graph:
    """A graph of one fused GRU with random and extreme parameters."""
    edge = rng.random() < 0.3

    def weights(terms: int) -> Tensor:
        shape = (3 * units, terms)
        data = rng.integers(-127, 128, shape, np.int8)
        if edge:
            data = rng.choice(np.array([-127, 127], np.int8), shape)
        scales = tuple(float(s) for s in 10 ** rng.uniform(-3, -1.5, 3 * units))
        return Tensor("w", shape, DType.INT8, Quant(scales, (0,) * (3 * units)), data)

    biases = [
        Tensor("b", (3 * units,), DType.FLOAT32, None, rng.normal(0, 0.5, 3 * units).astype("f4"))
        for _ in range(2)
    ]
    rows = int(rng.choice([steps, 1]))
    y = Quant((float(rng.choice([1 / 128, scale(rng, -8, -6)])),), (zero(rng),))
    tensors = (
        Tensor("x", (steps, 1, features), quant=Quant((scale(rng, -6, -4),), (zero(rng),))),
        weights(features),
        weights(units),
        *biases,
        Tensor("y", (rows, 1, units), quant=y),
    )
    attrs = {"reset_after": bool(rng.integers(2)), "backwards": bool(rng.integers(2))}
    node = Node("gru", "GRU", (0, 1, 2, 3, 4), (5,), attrs)
    return Graph("gru", tensors, (node,), (0,), (5,))
