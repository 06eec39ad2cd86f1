"""The shape of a convolution as packed products: patches of four output pixels at a time.

Twin: firmware/kernels/ek_patches_dsp.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Graph, Node
from edgekit.ops.base import attr_int
from edgekit.ops.dsp_lanes import (
    Form,
    Sums,
    biases_of,
    even,
    lanes_of,
    pair_biases,
    pair_words,
    shifts_of,
    weights_of,
)

TILE_ROWS = 4


@dataclass(frozen=True, slots=True)
class Patches:
    """A convolution; a dense layer of several rows is one of 1x1 over an image of one line.

    Attributes:
        x: Shape [N, H, W, C].
        y: Shape [N, OH, OW, M].
        kernel: Height and width.
        stride: Down and right.
        dilation: Down and right.
        pad: Top and left.
    """

    x: tuple[int, int, int, int]
    y: tuple[int, int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)

    @property
    def taps(self) -> int:
        """Taps of a run: neighbouring values of a patch that lie side by side in x."""
        return 1 if self.dilation[1] != 1 else self.kernel[1]

    @property
    def run(self) -> int:
        """Values of a run."""
        return self.taps * self.x[3]

    @property
    def whole_run(self) -> int:
        """The same with zeros up to a multiple of 4."""
        return -(-self.run // 4) * 4

    @property
    def terms(self) -> int:
        """Terms of a product, zeros included."""
        return self.kernel[0] * (self.kernel[1] // self.taps) * self.whole_run

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.y[0] * self.y[1] * self.y[2]

    @property
    def pairs(self) -> int:
        """Pairs of output channels, the last perhaps half."""
        return (self.y[3] + 1) // 2

    def inside(self) -> bool:
        """Return whether no patch crosses the border."""
        return all(
            self.pad[i] == 0
            and (self.y[1 + i] - 1) * self.stride[i] + (self.kernel[i] - 1) * self.dilation[i]
            < self.x[1 + i]
            for i in range(2)
        )

    def plain(self) -> bool:
        """Return whether patches are pixels."""
        same = self.x[1:3] == self.y[1:3]
        return self.inside() and self.kernel == (1, 1) and self.stride == (1, 1) and same


def patches_of(graph: Graph, node: Node) -> Patches:
    """Return the shape of a packed convolution."""
    x, y = graph.tensor(node.inputs[0]).shape, graph.tensor(node.outputs[0]).shape

    def both(name: str) -> tuple[int, int]:
        first, second = ("top", "left") if name == "pad" else ("h", "w")
        return attr_int(node, f"{name}_{first}"), attr_int(node, f"{name}_{second}")

    return Patches(
        (x[0], x[1], x[2], x[3]),
        (y[0], y[1], y[2], y[3]),
        both("kernel"),
        both("stride"),
        both("dilation"),
        both("pad"),
    )


def scratch(p: Patches) -> int:
    """Return bytes for four expanded patches, and what borders and ends need."""
    edges = not p.inside() or p.run % 4 != 0
    spills = p.pixels % TILE_ROWS != 0 or p.y[3] % 2 != 0
    size = 2 * TILE_ROWS * p.terms
    return size + edges * (TILE_ROWS + 1) * p.whole_run + spills * TILE_ROWS * 2 * p.pairs


def lead(p: Patches) -> int:
    """Return by how many bytes the output must begin before the input that it overlaps."""
    whole = p.pixels * p.y[3]
    if p.plain():
        before = (p.pixels - 1) // TILE_ROWS * TILE_ROWS
        return min(max(0, before * (p.y[3] - p.x[3])), whole)
    if p.x[0] != 1:
        return whole
    _, out_h, out_w, outputs = p.y
    most = 0
    for row in (min(p.pad[0] // p.stride[0], out_h - 1), out_h - 1):
        first = max(0, row * p.stride[0] - p.pad[0])
        most = max(most, (row + 1) * out_w * outputs - first * p.x[2] * p.x[3])
    return min(most, whole)


def stream_of(sums: Sums, zero: int, form: Form, p: Patches) -> NDArray[np.int32]:
    """Return the words of channels with weights [M, KH * KW * C], pair by pair.

    Twin: firmware/kernels/ek_tile_dsp.h.
    """
    whole = even(sums)
    weights = whole.weights.reshape(len(whole.rows), -1, p.run)
    padded = np.pad(weights, ((0, 0), (0, 0), (0, p.whole_run - p.run)))
    return np.concatenate(
        [
            pair_biases(whole.rows[:, 0], form),
            pair_words(padded.reshape(len(whole.rows), -1), form),
            lanes_of(whole.rows, zero, form).reshape(p.pairs, 6),
        ],
        axis=1,
    ).reshape(-1)


def from_stream(
    stream: NDArray[np.int32], form: Form, p: Patches
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return weights [M, KH * KW * C] and rows [M, 3] of a stream."""
    words = stream.reshape(p.pairs, -1)
    weights = weights_of(words[:, 2:-6], form).reshape(2 * p.pairs, -1, p.whole_run)
    lanes = words[:, -6:].reshape(2 * p.pairs, 3)
    rows = np.stack([biases_of(words[:, :2], form), lanes[:, 0], shifts_of(lanes, form)], axis=1)
    channels = p.y[3]
    flat = np.ascontiguousarray(weights[:channels, :, : p.run]).reshape(channels, -1)
    return flat, rows[:channels].astype(np.int32)
