"""A small convolutional net with its gradients in NumPy, for clients of the bench.

Two convolutions of 5 x 5 with stride 2 (8 and 16 maps, rectified) and one dense layer: 5,994
parameters.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from edgekit.federated.nets import Float32Array

Labels = npt.NDArray[np.integer]
KERNEL, STRIDE = 5, 2
MAPS = (1, 8, 16)
SIDES = (28, 12, 4)
CLASSES = 10


class Parts(NamedTuple):
    """Views into a vector of parameters: kernels `[25 in, out]`, dense weights `[256, 10]`."""

    kernel1: Float32Array
    bias1: Float32Array
    kernel2: Float32Array
    bias2: Float32Array
    dense: Float32Array
    bias3: Float32Array


SHAPES = (
    (KERNEL * KERNEL * MAPS[0], MAPS[1]),
    (MAPS[1],),
    (KERNEL * KERNEL * MAPS[1], MAPS[2]),
    (MAPS[2],),
    (SIDES[2] ** 2 * MAPS[2], CLASSES),
    (CLASSES,),
)
SIZE = sum(int(np.prod(shape)) for shape in SHAPES)


def parts_of(values: Float32Array) -> Parts:
    """Return the views."""
    ends = list(itertools.accumulate(int(np.prod(shape)) for shape in SHAPES))
    pieces = np.split(values, ends[:-1])
    return Parts(*(piece.reshape(shape) for piece, shape in zip(pieces, SHAPES, strict=True)))


def start(rng: np.random.Generator) -> Float32Array:
    """Return weights of N(0, 2 / inputs), biases of 0."""
    pieces = [
        rng.normal(size=shape) * np.sqrt(2 / shape[0]) if len(shape) == 2 else np.zeros(shape)
        for shape in SHAPES
    ]
    return np.concatenate([piece.ravel() for piece in pieces]).astype(np.float32)


def logits(values: Float32Array, x: Float32Array) -> Float32Array:
    """Return `[B, 10]` for images `[B, 28, 28, 1]`."""
    return _forward(parts_of(values), x)[-1]


def accuracy(values: Float32Array, x: Float32Array, y: Labels) -> float:
    """Return the share of right answers."""
    right = 0
    for at in range(0, len(x), 500):
        right += int((logits(values, x[at : at + 500]).argmax(axis=1) == y[at : at + 500]).sum())
    return right / len(x)


def gradient(values: Float32Array, x: Float32Array, y: Labels) -> tuple[float, Float32Array]:
    """Return the mean loss of a batch and its gradient, `[P]`."""
    parts = parts_of(values)
    columns1, maps1, columns2, maps2, out = _forward(parts, x)
    shifted = out - out.max(axis=1, keepdims=True)
    grown = np.exp(shifted)
    share = grown / grown.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = float(-np.log(np.maximum(share[rows, y], 1e-30)).mean())
    delta = share
    delta[rows, y] -= 1
    delta /= len(x)
    flat = maps2.reshape(len(x), -1)
    back = (delta @ parts.dense.T).reshape(-1, MAPS[2]) * (maps2.reshape(-1, MAPS[2]) > 0)
    grown1 = _folded(back @ parts.kernel2.T, len(x)) * (maps1 > 0)
    back1 = grown1.reshape(-1, MAPS[1])
    found = (
        columns1.T @ back1,
        back1.sum(axis=0),
        columns2.T @ back,
        back.sum(axis=0),
        flat.T @ delta,
        delta.sum(axis=0),
    )
    return loss, np.concatenate([piece.ravel() for piece in found]).astype(np.float32)


def _forward(
    parts: Parts, x: Float32Array
) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array, Float32Array]:
    columns1 = _columns(x)
    maps1 = np.maximum(columns1 @ parts.kernel1 + parts.bias1, 0)
    maps1 = maps1.reshape(len(x), SIDES[1], SIDES[1], MAPS[1])
    columns2 = _columns(maps1)
    maps2 = np.maximum(columns2 @ parts.kernel2 + parts.bias2, 0)
    out = maps2.reshape(len(x), -1) @ parts.dense + parts.bias3
    return columns1, maps1, columns2, maps2, out


def _columns(maps: Float32Array) -> Float32Array:
    """Return the windows of `[B, H, W, C]` as rows `[B H' W', 25 C]`, ordered dy, dx, channel."""
    windows = sliding_window_view(maps, (KERNEL, KERNEL), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    rows: Float32Array = windows.transpose(0, 1, 2, 4, 5, 3).reshape(
        -1, KERNEL * KERNEL * maps.shape[3]
    )
    return rows


def _folded(columns: Float32Array, batch: int) -> Float32Array:
    """Add the windows of the second convolution up again: the gradient of its input."""
    side, out = SIDES[2], SIDES[1]
    windows = columns.reshape(batch, side, side, KERNEL, KERNEL, MAPS[1])
    total = np.zeros((batch, out, out, MAPS[1]), np.float32)
    for dy, dx in itertools.product(range(KERNEL), repeat=2):
        total[:, dy : dy + STRIDE * side : STRIDE, dx : dx + STRIDE * side : STRIDE] += windows[
            :, :, :, dy, dx
        ]
    return total
