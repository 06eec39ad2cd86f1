"""A head that learns on the device, its input statistics and its guard, in NumPy, bit for bit.

Twin: firmware/learn/ek_online.c, firmware/learn/ek_moments.c, firmware/learn/ek_guard.c
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from edgekit.runtime.learn_numbers import Array, Numbers
from edgekit.runtime.learn_twin import NotFiniteError, TwinLayer, TwinNet, TwinRule

Int8Array = npt.NDArray[np.int8]


class Method(IntEnum):
    """How a head avoids to forget. Twin: ek_method."""

    OL = 0
    OL_V2 = 1
    LWF = 2
    CWR = 3


class RowsTakenError(Exception):
    """All K_max rows stand for other labels. Twin: EK_ERR_SPACE."""


class TwinOnline:
    """The head. Arguments are those of `edgekit.runtime.online.OnlineHead`, as numbers.

    Args:
        weights: Numbers [k, h]; copied.
        bias: Numbers [k]; copied.
    """

    def __init__(
        self,
        numbers: Numbers,
        weights: Array,
        bias: Array,
        *,
        scale: float,
        zero_point: int,
        most_classes: int,
        method: Method,
        rule: TwinRule,
        momentum: bool,
        loss: str = "softmax",
        batch: int = 16,
    ) -> None:
        self.numbers = numbers
        self.known, features = weights.shape
        self.most, self.method, self.rule, self.batch = most_classes, method, rule, batch
        self.scale, self.zero_point = numbers.of(scale), zero_point
        self.weights = np.zeros((most_classes, features), weights.dtype)
        self.bias = np.zeros(most_classes, bias.dtype)
        self.weights[: self.known], self.bias[: self.known] = weights, bias
        self.velocity = (
            (np.zeros_like(self.weights), np.zeros_like(self.bias)) if momentum else None
        )
        self.kept = (self.weights.copy(), self.bias.copy())
        self.labels = list(range(self.known))
        self.batches = [1] * self.known + [0] * (most_classes - self.known)
        self.in_batch: set[int] = set()
        self.steps = 0
        self.loss = loss

    def features(self, q: Int8Array) -> Array:
        """Return what the int8 features stand for."""
        return self.numbers.times(q.astype(np.int64) - self.zero_point, self.scale)

    def predict(self, q: Int8Array) -> Array:
        """Return probabilities or values, [classes]."""
        net = self._kept(len(self.labels)) if self.method is Method.CWR else self._net()
        return net.forward(self.features(q))[-1]

    def learn(self, q: Int8Array, label: int) -> Array:
        """Take one step and return the loss before.

        Raises:
            RowsTakenError: If the label is new and all rows are taken.
            NotFiniteError: If the step is refused; a new row is given back.
        """
        classes = len(self.labels)
        if label not in self.labels:
            if classes == self.most:
                raise RowsTakenError
            self.labels.append(label)
        try:
            return self._learn(q, self.labels.index(label))
        except NotFiniteError:
            del self.labels[classes:]
            raise

    def fit(self, q: Int8Array, values: Array) -> Array:
        """Take one step on values and return the loss before."""
        return self._learn(q, values)

    def _net(self) -> TwinNet:
        rows = len(self.labels)
        velocity = None
        if self.velocity is not None:
            velocity = (self.velocity[0][:rows], self.velocity[1][:rows])
        return TwinNet(
            self.numbers,
            [TwinLayer(self.weights[:rows], self.bias[:rows], velocity)],
            self.loss,
        )

    def _kept(self, rows: int) -> TwinNet:
        layer = TwinLayer(self.kept[0][:rows], self.kept[1][:rows])
        return TwinNet(self.numbers, [layer], self.loss)

    def _learn(self, q: Int8Array, target: int | Array) -> Array:
        x, net = self.features(q), self._net()
        outputs = net.forward(x)
        error, loss = net.compare(outputs[-1], target)
        if self.method is Method.LWF:
            error = self._pulled(error, outputs[-1], x)
        first = self.known if self.method is Method.OL_V2 else 0
        net.learn(self.rule, x, outputs, error, first)
        self.steps += 1
        if self.method is Method.CWR:
            assert isinstance(target, int)
            self.in_batch.add(target)
            if self.steps % self.batch == 0:
                self._keep()
        return loss

    def _pulled(self, error: Array, p: Array, x: Array) -> Array:
        n = self.numbers
        weight = n.quotient(100, 100 + self.steps)
        old = np.zeros_like(p)
        old[: self.known] = self._kept(self.known).forward(x)[-1]
        return n.add(n.mul(n.sub(n.one, weight), error), n.mul(weight, n.sub(p, old)))

    def _keep(self) -> None:
        n = self.numbers
        for row in range(len(self.labels)):
            if row in self.in_batch:
                share = n.quotient(1, self.batches[row] + 1)
                for kept, own in zip(self.kept, (self.weights, self.bias), strict=True):
                    kept[row] = n.add(kept[row], n.mul(n.sub(own[row], kept[row]), share))
                self.batches[row] = min(self.batches[row] + 1, 65535)
            self.weights[row], self.bias[row] = self.kept[0][row], self.kept[1][row]
        self.in_batch.clear()


@dataclass(slots=True)
class TwinMoments:
    """Mean and variance of a stream. Twin: ek_moments."""

    numbers: Numbers
    size: int
    warm_up: int = 0
    window: float = 0.0
    count: int = 0
    mean: Array = field(init=False)
    variance: Array = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.size, self.numbers.dtype)
        self.variance = np.zeros(self.size, self.numbers.dtype)

    def add(self, x: Array) -> None:
        """Count a vector in, unless the moments are frozen."""
        n = self.numbers
        if self.warm_up and self.count >= self.warm_up:
            return
        self.count += 1
        share = np.maximum(n.quotient(1, self.count), n.of(self.window))
        off = n.sub(x, self.mean)
        self.mean = n.add(self.mean, n.mul(off, share))
        square = n.mul(off, n.sub(x, self.mean))
        self.variance = n.add(self.variance, n.mul(n.sub(square, self.variance), share))

    def standardize(self, q: Int8Array, *, scale: float, zero_point: int) -> Int8Array:
        """Count an int8 vector in; return its z in the same unit."""
        x = self.numbers.times(q.astype(np.int64) - zero_point, self.numbers.of(scale))
        self.add(x)
        return self.apply(x, scale=scale, zero_point=zero_point)

    def apply(self, x: Array, *, scale: float, zero_point: int) -> Int8Array:
        """Return what the model reads."""
        n = self.numbers
        z = n.sub(x, self.mean)
        if self.count >= 2:
            more = n.one if self.window > 0 else n.quotient(self.count, self.count - 1)
            variance = n.add(n.mul(self.variance, more), n.of(1e-5))
            z = n.div(z, n.sqrt(variance))
        whole = n.nearest(n.div(z, n.of(scale))) + zero_point
        return np.clip(whole, -128, 127).astype(np.int8)


class Verdict(IntEnum):
    """What a guard says. Twin: ek_verdict."""

    GO_ON = 0
    STORE = 1
    GO_BACK = 2


@dataclass(slots=True)
class TwinGuard:
    """Watches the loss. Twin: ek_guard."""

    numbers: Numbers
    smoothing: float = 1 / 64
    factor: float = 2.0
    margin: float = 0.5
    warm_up: int = 200
    store_each: int = 1000
    mean: Array = field(default_factory=lambda: np.zeros(()))
    best: Array = field(default_factory=lambda: np.zeros(()))
    count: int = 0
    since_store: int = 0

    def see(self, loss: Array) -> Verdict:
        """Take the loss of a step."""
        n = self.numbers
        change = n.mul(n.of(self.smoothing), n.sub(loss, self.mean)) if self.count else loss
        self.mean = loss if self.count == 0 else n.add(self.mean, change)
        self.since_store += 1
        if self.count < self.warm_up:
            self.count += 1
            self.best = self.mean
            return Verdict.GO_ON
        self.best = np.minimum(self.mean, self.best)
        if self.mean > n.add(n.mul(n.of(self.factor), self.best), n.of(self.margin)):
            self.count = self.since_store = 0
            return Verdict.GO_BACK
        if self.since_store >= self.store_each:
            self.since_store = 0
            return Verdict.STORE
        return Verdict.GO_ON
