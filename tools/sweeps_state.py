"""Models of one node with a state, for `tools.calibrate`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor


def grus() -> Iterator[Graph]:
    """Sweep GRU, our own: [steps, 1, features]."""
    rng = np.random.default_rng(6)
    sizes = [(6, 8, 10), (20, 10, 32), (10, 3, 16), (5, 16, 64), (12, 24, 7), (4, 40, 20)]
    sizes += [(8, 9, 33), (30, 1, 8)]
    for number, (steps, features, units) in enumerate(sizes):

        def weights(terms: int, units: int = units) -> Tensor:
            data = rng.integers(-127, 128, (3 * units, terms), np.int8)
            return Tensor("w", data.shape, DType.INT8, Quant((0.01,), (0,)), data)

        bias = Tensor("b", (3 * units,), DType.FLOAT32, None, np.zeros(3 * units, np.float32))
        rows = steps if number % 2 else 1
        tensors = (
            Tensor("x", (steps, 1, features), quant=Quant((0.03,), (3,))),
            weights(features),
            weights(units),
            bias,
            bias,
            Tensor("y", (rows, 1, units), quant=Quant((1 / 128,), (0,))),
        )
        for late in (False, True):
            attrs = {"reset_after": late, "backwards": False}
            node = Node("gru", "GRU", (0, 1, 2, 3, 4), (5,), attrs)
            yield Graph("gru", tensors, (node,), (0,), (5,))


def lstms() -> Iterator[Graph]:
    """Sweep LSTM, as the kernel."""
    rng = np.random.default_rng(5)
    sizes = [(6, 8, 10), (20, 10, 32), (10, 3, 16), (5, 16, 40), (12, 24, 7), (30, 1, 8)]
    sizes += [(3, 50, 20), (16, 12, 24), (8, 4, 3)]
    for steps, features, units in sizes:
        h_quant, c_quant = Quant((1 / 128,), (0,)), Quant((2.0**-12,), (0,))

        def weights(terms: int, units: int = units) -> Tensor:
            data = rng.integers(-127, 128, (4 * units, terms), np.int8)
            return Tensor("w", data.shape, DType.INT8, None, data)

        state = (1, units)
        tensors = (
            Tensor("x", (1, steps, features), DType.INT8, Quant((0.03,), (3,))),
            weights(features),
            weights(units),
            Tensor("b", (4 * units, 2), DType.INT32, None, np.zeros((4 * units, 2), np.int32)),
            Tensor("h", state, DType.INT8, h_quant, np.zeros(state, np.int8)),
            Tensor("c", state, DType.INT16, c_quant, np.zeros(state, np.int16)),
            Tensor("y", (1, steps, units), DType.INT8, h_quant),
            Tensor("h out", state, DType.INT8, h_quant),
            Tensor("c out", state, DType.INT16, c_quant),
        )
        attrs: dict[str, Attr] = {"time_major": 0, "gates": (2**30, 0) * 8, "cell_bits": 3}
        attrs |= {"cell_clip": 0, "y_multiplier": 2**30, "y_shift": -22}
        node = Node("lstm", "lstm", tuple(range(6)), (6, 7, 8), attrs)
        yield Graph("lstm", tensors, (node,), (0,), (6,))
