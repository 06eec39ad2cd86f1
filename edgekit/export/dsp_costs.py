"""What the kernels with DSP instructions do how often: features for `costs.py`.

Twins: firmware/kernels/arch/dsp/ek_matmul_s8.c and ek_depthwise_pixel_s8.c
"""

from __future__ import annotations

from math import prod

from edgekit.graph import Graph, Node
from edgekit.ops.base import TILE_LEAST_ROWS, attr_int, tile_rows

Features = tuple[float, ...]


def _shapes(graph: Graph, node: Node) -> list[tuple[int, ...]]:
    return [graph.tensors[index].shape for index in (*node.inputs, *node.outputs)]


def _limited(node: Node) -> float:
    return float((node.attrs["y_min"], node.attrs["y_max"]) != (-128, 127))


def _matmul(rows: int, n: int, k: int, limited: float) -> Features:
    tile = tile_rows(k, rows)
    words, tail = divmod(k, 4)
    if tile == 0 or n == 1:
        groups, rest = divmod(n, 4)
        single = (groups * words, groups * tail, groups, rest * words, rest * tail, n, 1)
        return (*(0.0,) * 8, *(float(rows * value) for value in single))
    over = rows % TILE_LEAST_ROWS > 0
    blocks = rows // TILE_LEAST_ROWS + over
    tiles = -(-(rows // TILE_LEAST_ROWS * TILE_LEAST_ROWS) // tile) + over
    pairs = (n + 1) // 2
    steps = 2 * (words + (tail > 0))
    return (
        float(blocks * pairs * steps),
        float(blocks * pairs * -(-steps // 8)),
        float(blocks * pairs),
        float(tiles * pairs * words),
        float(tiles * pairs),
        float(blocks * words),
        float(blocks + (tail > 0) * (blocks + tiles * pairs)),
        limited * rows * n,
        *(0.0,) * 7,
    )


def fully_connected(graph: Graph, node: Node) -> Features:
    """Return the features of FULLY_CONNECTED."""
    x, w, *_ = _shapes(graph, node)
    return (*_matmul(prod(x) // w[1], w[0], w[1], _limited(node)), 1.0)


def conv_2d(graph: Graph, node: Node) -> Features:
    """Return the features of CONV_2D: the product, and gathered rows."""
    x, w, *_, y = _shapes(graph, node)
    k = prod(w[1:])
    rows = prod(y[:3])
    pads = attr_int(node, "pad_top") + attr_int(node, "pad_left")
    plain = w[1:3] == (1, 1) and pads == 0 and x[1:3] == y[1:3]
    gathered = 0 if plain else rows
    return (
        *_matmul(rows, w[0], k, _limited(node)),
        float(gathered),
        float(gathered * w[1]),
        float(gathered * w[1] * (w[2] * w[3] // 4)),
        1.0,
    )


def depthwise_conv_2d(graph: Graph, node: Node) -> Features:
    """Return the features of DEPTHWISE_CONV_2D: 3x3 windows in assembly, others in C."""
    x, w, *_, y = _shapes(graph, node)
    pixels, taps, channels = prod(y[:3]), w[1] * w[2], w[3]
    fast = w[1:3] == (3, 3) and channels == x[3] >= 4
    groups = -(-channels // 4)
    multiplied = float(channels != x[3])
    slow = float(not fast) - multiplied
    border = pixels - x[0] * _inside(x, w, y, node, 1) * _inside(x, w, y, node, 2)
    return (
        float(fast * pixels * groups),
        float(fast * groups),
        float(fast * pixels * (channels % 4 > 0)),
        fast * _limited(node) * pixels * groups,
        float(pixels),
        float(border),
        float(border * taps),
        float(border * taps * (x[3] // 4)),
        float(border * taps * (x[3] % 4)),
        slow * pixels * (channels // 4) * taps,
        slow * pixels * (channels % 4) * taps,
        slow * pixels * (groups + channels % 4) * w[1],
        multiplied * pixels * channels * taps,
        multiplied * pixels * channels * w[1],
        (slow + multiplied) * pixels * channels,
        1.0,
    )


def _inside(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], node: Node, axis: int
) -> int:
    """Count the outputs along an axis whose windows do not cross the border."""
    name, pad = ("h", "pad_top") if axis == 1 else ("w", "pad_left")
    stride, last = attr_int(node, f"stride_{name}"), attr_int(node, f"dilation_{name}")
    last *= w[axis] - 1
    starts = (i * stride - attr_int(node, pad) for i in range(y[axis]))
    return sum(at >= 0 and at + last < x[axis] for at in starts)


FEATURES = {
    "conv_2d": conv_2d,
    "depthwise_conv_2d": depthwise_conv_2d,
    "fully_connected": fully_connected,
}
