"""Dense nets that learn one sample at a time, in NumPy: equal to the device in every bit.

Twin: firmware/learn/ek_net.c
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.runtime.learn_numbers import Array, Numbers


class NotFiniteError(ArithmeticError):
    """A step was refused: nothing has changed. Twin: EK_ERR_NOT_FINITE."""


@dataclass(frozen=True, slots=True)
class TwinRule:
    """How a step is made, as numbers. Twin: ek_step_rule."""

    rate: Array
    momentum: Array
    decay: Array
    clip: Array


def twin_rule(
    numbers: Numbers,
    rate: float,
    *,
    momentum: float = 0.0,
    decay: float = 0.0,
    clip: float = 100.0,
) -> TwinRule:
    """Return a rule in a kind of number."""
    return TwinRule(*(numbers.of(value) for value in (rate, momentum, decay, clip)))


@dataclass(slots=True)
class TwinLayer:
    """A layer; its arrays are changed in place.

    Attributes:
        weights: [outputs, inputs].
        bias: [outputs].
        velocity: As weights and bias; None without momentum.
        activation: linear, relu or tanh.
    """

    weights: Array
    bias: Array
    velocity: tuple[Array, Array] | None = None
    activation: str = "linear"


@dataclass(slots=True)
class TwinNet:
    """A net of dense layers.

    Attributes:
        loss: softmax or square.
    """

    numbers: Numbers
    layers: list[TwinLayer]
    loss: str

    def forward(self, x: Array) -> list[Array]:
        """Return the outputs of each layer, of the last probabilities or values.

        Raises:
            NotFiniteError: If a sum is not sound.
        """
        outputs: list[Array] = []
        for layer in self.layers:
            z = self.numbers.total(layer.bias, layer.weights, x)
            if not self.numbers.sound(z):
                raise NotFiniteError
            x = self._activate(layer.activation, self.numbers.narrow(z))
            outputs.append(x)
        if self.loss == "softmax":
            outputs[-1] = self._softmax(outputs[-1])
        return outputs

    def compare(self, y: Array, target: int | Array) -> tuple[Array, Array]:
        """Return the error of the last layer and the loss, for a label or for values."""
        numbers = self.numbers
        if self.loss == "softmax":
            assert isinstance(target, int)
            hot = np.where(np.arange(len(y)) == target, numbers.one, np.zeros_like(numbers.one))
            least = numbers.of(2.0**-24)
            return numbers.sub(y, hot), numbers.log(numbers.inverse(np.maximum(y[target], least)))
        off = numbers.sub(y, np.asarray(target))
        zero = np.zeros_like(numbers.one)
        mean = numbers.wide_mul(numbers.total(zero, off, off), numbers.quotient(1, len(y)))
        return numbers.mul(numbers.quotient(2, len(y)), off), numbers.narrow(mean)

    def learn(
        self,
        rule: TwinRule,
        x: Array,
        outputs: Sequence[Array],
        error: Array,
        first_row: int = 0,
    ) -> None:
        """Change all parameters by the error of the last layer.

        Raises:
            NotFiniteError: If the gradient is not finite.
        """
        numbers = self.numbers
        errors = [error]
        zero = np.zeros_like(numbers.one)
        for layer, before, y in zip(
            self.layers[:0:-1], self.layers[-2::-1], outputs[-2::-1], strict=True
        ):
            sums = numbers.total(zero, layer.weights.T, errors[0])
            slope = self._slope(before.activation, y)
            errors.insert(0, numbers.mul(numbers.narrow(sums), slope))
        inputs = [x, *outputs[:-1]]
        norm = self._norm(inputs, errors, first_row)
        if not np.isfinite(norm):
            raise NotFiniteError
        if norm > rule.clip:
            factor = numbers.div(rule.clip, norm)
            errors = [numbers.mul(each, factor) for each in errors]
        for layer, each, values in zip(self.layers, errors, inputs, strict=True):
            first = first_row if layer is self.layers[-1] else 0
            self._step(layer, rule, each[first:], values, first)

    def step(self, rule: TwinRule, x: Array, target: int | Array) -> Array:
        """Learn one sample and return the loss before.

        Raises:
            NotFiniteError: If the step is refused.
        """
        outputs = self.forward(x)
        error, loss = self.compare(outputs[-1], target)
        self.learn(rule, x, outputs, error)
        return loss

    def _activate(self, activation: str, z: Array) -> Array:
        if activation == "relu":
            return np.where(z > 0, z, np.zeros_like(z))
        return self.numbers.tanh(z) if activation == "tanh" else z

    def _slope(self, activation: str, y: Array) -> Array:
        one = np.broadcast_to(self.numbers.one, y.shape)
        if activation == "relu":
            return np.where(y > 0, one, np.zeros_like(y))
        if activation == "tanh":
            return self.numbers.sub(one, self.numbers.mul(y, y))
        return one

    def _softmax(self, z: Array) -> Array:
        e = self.numbers.exp(self.numbers.sub(z, z.max()))
        ones = np.broadcast_to(self.numbers.one, e.shape)
        return self.numbers.div(e, self.numbers.total(np.zeros_like(self.numbers.one), e, ones))

    def _norm(self, inputs: Sequence[Array], errors: Sequence[Array], first_row: int) -> Array:
        zero = np.zeros_like(self.numbers.one)
        total = zero
        for at, (x, error) in enumerate(zip(inputs, errors, strict=True)):
            rows = error[first_row if at == len(errors) - 1 else 0 :]
            squares = self.numbers.total(zero, x, x) + self.numbers.one
            total = total + self.numbers.wide_mul(self.numbers.total(zero, rows, rows), squares)
        return self.numbers.sqrt(total)

    def _step(self, layer: TwinLayer, rule: TwinRule, error: Array, x: Array, first: int) -> None:
        n = self.numbers
        w, b = layer.weights[first:], layer.bias[first:]
        if layer.velocity is None:
            step = n.mul(rule.rate, error)
            shrink = n.mul(rule.rate, rule.decay)
            w[...] = n.sub(w, n.add(n.mul(step[:, None], x), n.mul(shrink, w)))
            b[...] = n.sub(b, step)
            return
        vw, vb = (part[first:] for part in layer.velocity)
        gradient = n.add(n.mul(error[:, None], x), n.mul(rule.decay, w))
        vw[...] = n.add(n.mul(rule.momentum, vw), gradient)
        w[...] = n.sub(w, n.mul(rule.rate, vw))
        vb[...] = n.add(n.mul(rule.momentum, vb), error)
        b[...] = n.sub(b, n.mul(rule.rate, vb))


def twin_net(
    numbers: Numbers,
    sizes: Sequence[int],
    parameters: Array,
    *,
    hidden: str,
    loss: str,
    momentum: bool = False,
) -> TwinNet:
    """Lay a net on a copy of one vector of parameters: W, b of each layer.

    Args:
        sizes: Of the input, then of each layer.
        parameters: Numbers [P].
    """
    layers = []
    at = 0
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        w = parameters[at : at + inputs * outputs].reshape(outputs, inputs).copy()
        at += w.size
        b = parameters[at : at + outputs].copy()
        at += outputs
        velocity = (np.zeros_like(w), np.zeros_like(b)) if momentum else None
        last = index == len(sizes) - 2
        layers.append(TwinLayer(w, b, velocity, "linear" if last else hidden))
    return TwinNet(numbers, layers, loss)


def flat(net: TwinNet) -> Array:
    """Return the parameters of a net as one vector [P]."""
    parts = [part.reshape(-1) for layer in net.layers for part in (layer.weights, layer.bias)]
    return np.concatenate(parts)
