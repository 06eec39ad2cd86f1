"""Dense nets of many clients at once: every matrix product is batched over the clients.

Parameters are one float32 vector per client, layer by layer, weights `[out, in]` row by row, then
biases: the order in which they travel. One step on one sample at a time is what a device does.

Twin: firmware/learn/ek_train.c (softmax head; agrees within float32 rounding)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.errors import ConfigError

Float32Array = npt.NDArray[np.float32]
Layer = tuple[Float32Array, Float32Array]

ACTIVATIONS = ("tanh", "relu")
LOSSES = ("softmax", "mse")


@dataclass(frozen=True, slots=True)
class DenseNet:
    """Fully connected layers; the last one is linear, before the softmax if there is one.

    Attributes:
        sizes: Inputs, hidden layers, outputs; `(h, k)` is a head.
        activation: Of the hidden layers.
        loss: "softmax" with labels, or "mse" with target vectors (the mean over outputs).
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    loss: str = "softmax"

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ConfigError(f"net of sizes {list(self.sizes)}, expected inputs and outputs")
        for what, value, known in (
            ("activation", self.activation, ACTIVATIONS),
            ("loss", self.loss, LOSSES),
        ):
            if value not in known:
                raise ConfigError(f"{what} '{value}' is unknown, known are {', '.join(known)}")

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Parameters of each layer."""
        return tuple(out * (into + 1) for into, out in itertools.pairwise(self.sizes))

    @property
    def size(self) -> int:
        """All parameters, P."""
        return sum(self.layer_sizes)

    def start(self, rng: np.random.Generator) -> Float32Array:
        """Return weights of N(0, 1 / inputs) and biases of 0, `[P]`."""
        parts = []
        for into, out in itertools.pairwise(self.sizes):
            parts += [rng.normal(size=out * into) / np.sqrt(into), np.zeros(out)]
        return np.concatenate(parts).astype(np.float32)

    def layers(self, values: Float32Array) -> list[Layer]:
        """Return views of weights `[C, out, in]` and biases `[C, out]` of `values`, `[C, P]`."""
        found, at = [], 0
        for into, out in itertools.pairwise(self.sizes):
            weights = values[:, at : at + out * into].reshape(len(values), out, into)
            at += out * into
            found.append((weights, values[:, at : at + out]))
            at += out
        return found

    def outputs(self, values: Float32Array, x: Float32Array) -> Float32Array:
        """Return the outputs before the softmax, `[C, B, out]`, for inputs `[C, B, in]`."""
        return self._forward(self.layers(values), x)[-1]

    def sgd(
        self,
        values: Float32Array,
        x: Float32Array,
        targets: npt.NDArray[np.generic],
        *,
        rate: float,
        decay: float = 0.0,
        mu: float = 0.0,
        base: Float32Array | None = None,
        layers: slice = slice(None),
    ) -> Float32Array:
        """Take one step of each client on its batch, in place; return the losses before, `[C]`.

        Args:
            values: `[C, P]`, changed.
            x: `[C, B, in]`.
            targets: Labels `[C, B]`, or vectors `[C, B, out]`.
            decay: L2 decay of the weights; biases do not decay.
            mu: Proximal term of FedProx towards `base`, `[P]`.
            layers: Which layers learn.
        """
        views = self.layers(values)
        acts = self._forward(views, x)
        losses, delta = self._error(acts[-1], targets)
        old = values - base if mu and base is not None else None
        moving = range(len(views))[layers]
        for index in reversed(range(moving.start, len(views))):
            weights, bias = views[index]
            back = delta @ weights if index > moving.start else None
            if index in moving:
                step = _outer(delta, acts[index])
                if decay:
                    step += np.float32(decay) * weights
                weights -= np.float32(rate) * step
                bias -= np.float32(rate) * delta.sum(axis=1)
            if back is not None:
                delta = back * self._slope(acts[index])
        if old is not None:
            values -= np.float32(rate * mu) * old
        return losses

    def _forward(self, views: Sequence[Layer], x: Float32Array) -> list[Float32Array]:
        acts = [x]
        for index, (weights, bias) in enumerate(views):
            z = acts[-1] @ weights.transpose(0, 2, 1) + bias[:, None, :]
            if index < len(views) - 1:
                z = np.tanh(z) if self.activation == "tanh" else np.maximum(z, 0)
            acts.append(z)
        return acts

    def _slope(self, act: Float32Array) -> Float32Array:
        one = np.float32(1)
        return one - act * act if self.activation == "tanh" else (act > 0).astype(np.float32)

    def _error(
        self, out: Float32Array, targets: npt.NDArray[np.generic]
    ) -> tuple[Float32Array, Float32Array]:
        """Return the mean loss of each client, and its slope at the outputs."""
        batch = np.float32(out.shape[1])
        if self.loss == "mse":
            off = out - targets.astype(np.float32)
            return (off * off).mean(axis=(1, 2)), off * (np.float32(2) / (batch * out.shape[2]))
        shifted = out - out.max(axis=2, keepdims=True)
        grown = np.exp(shifted)
        total = grown.sum(axis=2, keepdims=True)
        labels = targets.astype(np.intp)[:, :, None]
        losses = np.log(total)[:, :, 0] - np.take_along_axis(shifted, labels, 2)[:, :, 0]
        delta = grown / total
        np.put_along_axis(delta, labels, np.take_along_axis(delta, labels, 2) - 1, 2)
        return losses.mean(axis=1), delta / batch


def _outer(delta: Float32Array, act: Float32Array) -> Float32Array:
    """Return the sum over the batch of delta x act, `[C, out, in]`."""
    across = delta.transpose(0, 2, 1)
    product: Float32Array = across * act if act.shape[1] == 1 else across @ act
    return product
