"""Sentence models of our own operators, for `tools.calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor

VOCAB = 100
STATES = Quant((0.03,), (3,))
BRANCH: dict[str, Attr] = {"u_scale": 0.02, "u_zero": 2}
QUERY: dict[str, Attr] = {"q_scale": 0.05, "q_zero": -3, "mix_scale": 0.03, "mix_zero": 1}
MIX: dict[str, Attr] = {"conv_scale": 0.04, "conv_zero": -5, "silu_scale": 0.03, "silu_zero": -80}


@dataclass(frozen=True, slots=True)
class Sizes:
    """One model: embed, norm, attention, convolution, norm, pool.

    Attributes:
        length: Tokens, all of them used.
        channel: One scale per row of a branch's weights, else one for all.
        pool: Mean and max, 0 or 1 each.
    """

    length: int
    reduced: int
    hidden: int
    kernel: int
    expansion: int = 1
    attention: bool = True
    adds: bool = True
    channel: bool = False
    pool: tuple[int, int] = (1, 1)


SWEEP = (
    Sizes(16, 8, 32, 5),
    Sizes(24, 32, 128, 5, attention=False),
    Sizes(64, 16, 48, 3, pool=(1, 0)),
    Sizes(7, 16, 33, 8, expansion=2, pool=(0, 1)),
    Sizes(33, 4, 16, 16, pool=(0, 0), adds=False, channel=True),
    Sizes(12, 64, 96, 1, channel=True),
    Sizes(40, 10, 24, 9, expansion=3, attention=False, adds=False),
    Sizes(21, 24, 80, 7, channel=True, pool=(0, 1)),
    Sizes(128, 5, 12, 4, attention=False, channel=True, pool=(1, 0)),
    Sizes(90, 3, 20, 2),
    Sizes(10, 40, 64, 12, attention=False, pool=(0, 0)),
    Sizes(5, 17, 50, 6, expansion=4, channel=True, pool=(0, 0)),
    Sizes(48, 12, 64, 16, adds=False, pool=(0, 1)),
    Sizes(30, 20, 27, 5, attention=False),
    Sizes(1, 8, 40, 5, pool=(1, 0)),
    Sizes(18, 2, 72, 3, expansion=2, adds=False),
)


def sentences() -> Iterator[Graph]:
    """Sweep TEXT_EMBED, TEXT_NORM, TEXT_ATTEND, TEXT_MIX and TEXT_POOL."""
    for sizes in SWEEP:
        yield _Builder(sizes).graph()


class _Builder:
    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.rng = np.random.default_rng(7)
        self.tensors = [Tensor("ids", (1, sizes.length), DType.INT32)]
        self.nodes: list[Node] = []

    def graph(self) -> Graph:
        """Return the whole model."""
        sizes, d = self.sizes, self.sizes.hidden
        x = self._states()
        count = self._add(Tensor("count", (1,), DType.INT32))
        inputs = [0, self._int8((VOCAB, sizes.reduced)), self._int8((sizes.length, sizes.reduced))]
        inputs += self._dense(d, 2 * sizes.reduced + 1, channel=True)
        self._node("TEXT_EMBED", inputs, [x, count], {"sep": 4, "flag": 127})
        n = self._norm(x, count)
        adds: dict[str, Attr] = {"adds": int(sizes.adds)}
        if sizes.attention:
            y = self._states()
            weights = (*self._dense(d, d), *self._dense(d, d))
            self._node("TEXT_ATTEND", [x, n, count, *weights], [y], {**adds, **QUERY, **BRANCH})
            x = y
        y, wide = self._states(), d * sizes.expansion
        table = self._int8((1, 256))
        kernel = (self._int8((1, 1, sizes.kernel, wide)), self._int32(wide))
        attrs = {"w_scale": 0.02, "w_zero": 2, "left": sizes.kernel // 2, **adds, **MIX}
        inputs = [x, n, count, *kernel, table, *self._dense(d, wide)]
        self._node("TEXT_MIX", inputs, [y], attrs)
        t = self._norm(y, count)
        mean, most = sizes.pool
        pooled = self._add(Tensor("pooled", (1, max(1, mean + most) * d), DType.INT8, STATES))
        self._node("TEXT_POOL", [t, count], [pooled], {"mean": mean, "max": most})
        return Graph("sentence", tuple(self.tensors), tuple(self.nodes), (0,), (pooled,))

    def _norm(self, x: int, count: int) -> int:
        y, d = self._states(), self.sizes.hidden
        ones = self._add(_float("gamma", np.ones(d)))
        zeros = self._add(_float("beta", np.zeros(d)))
        self._node("TEXT_NORM", [x, count, ones, zeros], [y], {"epsilon": 1e-5})
        return y

    def _states(self) -> int:
        return self._add(Tensor("x", (1, self.sizes.length, self.sizes.hidden), quant=STATES))

    def _dense(self, rows: int, terms: int, *, channel: bool = False) -> tuple[int, int]:
        channel = channel or self.sizes.channel
        scales = (0.01,) * (rows - 1) + (0.012 if channel else 0.01,)
        quant = Quant(scales, (0,) * rows, axis=0) if channel else Quant((0.01,), (0,))
        data = self.rng.integers(-127, 128, (rows, terms), np.int8)
        w = self._add(Tensor("w", data.shape, DType.INT8, quant, data))
        return w, self._int32(rows)

    def _int8(self, shape: tuple[int, ...]) -> int:
        data = self.rng.integers(-127, 128, shape, np.int8)
        return self._add(Tensor("c", shape, DType.INT8, Quant((0.02,), (0,)), data))

    def _int32(self, count: int) -> int:
        data = self.rng.integers(-900, 901, count).astype(np.int32)
        return self._add(Tensor("b", data.shape, DType.INT32, None, data))

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _node(self, op: str, inputs: list[int], outputs: list[int], attrs: dict[str, Attr]) -> None:
        self.nodes.append(Node(op.lower(), op, tuple(inputs), tuple(outputs), attrs))


def _float(name: str, data: npt.NDArray[np.float64]) -> Tensor:
    return Tensor(name, data.shape, DType.FLOAT32, None, data.astype(np.float32))
