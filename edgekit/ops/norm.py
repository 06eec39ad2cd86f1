"""Normalization of rows, an operator of our own: LayerNorm and RMSNorm in one pass.

It stands for what a converter makes of them: a chain of MEAN, SQUARED_DIFFERENCE, RSQRT, MUL and
ADD, each rounded to 8 bits. Here sums are exact and only the result is rounded.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    check_dense,
    constant_of,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)

MAX_COUNT = 65536
BETA_LIMIT = 2**30
MOST_FRACTION = 20
LEAST_FRACTION = 6


def row_format(count: int) -> tuple[int, int]:
    """Return bits before the point of a normalized value, and bits by which differences shift left.

    Twin: firmware/kernels/ek_layer_norm_s8.c, format_of
    """
    whole = 1
    while count >= 4**whole:
        whole += 1
    return whole, min(23, 25 - whole) - (count - 1).bit_length()


def inverse_root(value: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 2^31 / (2 sqrt(m)) and pairs, where m = value * 4^pairs / 2^64 is in [1/4, 1).

    The result is right to 2^-24 of it; it is 0 where the value is.

    Twin: firmware/kernels/ek_layer_norm_s8.c, inverse_root
    """
    shifted = value.copy()
    pairs = np.zeros(value.shape, np.int64)
    for step in (16, 8, 4, 2, 1):
        small = shifted >> np.uint64(64 - 2 * step) == 0
        shifted = np.where(small, shifted << np.uint64(2 * step), shifted)
        pairs += small * step
    m = shifted >> np.uint64(32)
    root = np.uint64(2287070085) - (m * np.uint64(1305670057) >> np.uint64(32))
    for _ in range(3):
        square = root * root >> np.uint64(31)
        root = root * (np.uint64(3 << 29) - (m * square >> np.uint64(32))) >> np.uint64(30)
    bounded = np.minimum(root, np.uint64(2**31 - 1)).astype(np.int64)
    return np.where(value == 0, 0, bounded), np.where(value == 0, 0, pairs)


def layer_norm(
    x: NDArray[np.int8],
    rows: NDArray[np.int32],
    *,
    zero_point: int,
    centred: bool,
    epsilon: int,
    fraction: int,
    y_min: int = -128,
    y_max: int = 127,
) -> NDArray[np.int8]:
    """Normalize over the last dimension: the definition of the kernel.

    Args:
        x: [.., N].
        rows: [N, 2], gamma and beta as `rows_of` scales them.
        zero_point: Of x; matters for RMSNorm only.
        centred: Subtract the mean (LayerNorm), or not (RMSNorm).
        epsilon: In units of x squared, times N^2 2^8.
        fraction: Bits of beta behind the point.
        y_min: Least result; `y_max` the largest.

    Twin: firmware/kernels/ek_layer_norm_s8.c
    """
    count = x.shape[-1]
    whole, room = row_format(count)
    wide = x.astype(np.int64) - (0 if centred else zero_point)
    total = wide.sum(axis=-1, keepdims=True) if centred else 0
    spread = count * (wide * wide).sum(axis=-1, keepdims=True) - total * total
    root, pairs = inverse_root((spread.astype(np.uint64) << np.uint64(8)) + np.uint64(epsilon))
    left = pairs + 5 - whole - room
    root = np.where(left < -30, 0, root >> np.clip(-left, 0, 30))
    difference = (wide * count - total) << room
    normal = (difference * root >> 32) << np.maximum(left, 0)
    scaled = normal * rows[:, 0].astype(np.int64) >> 32
    shifted = scaled + rows[:, 1].astype(np.int64) >> fraction
    return np.asarray(np.clip(shifted, y_min, y_max).astype(np.int8))


def rows_of(
    gamma: NDArray[Any], beta: NDArray[Any], *, y_scale: float, y_zero: int
) -> tuple[NDArray[np.int32], int] | None:
    """Scale gamma and beta, real [N], for the kernel; None if they are too large for it.

    Returns:
        int32 [N, 2] and the bits of beta behind the point, as many as fit.
    """
    whole, _ = row_format(len(gamma))
    for fraction in range(MOST_FRACTION, LEAST_FRACTION - 1, -1):
        factor = np.rint(gamma.astype(np.float64) / y_scale * 2.0 ** (fraction + 1 + whole))
        offset = np.rint((beta.astype(np.float64) / y_scale + y_zero + 0.5) * 2.0**fraction)
        if np.abs(factor).max() < 2**31 and np.abs(offset).max() < BETA_LIMIT:
            return np.stack([factor, offset], axis=1).astype(np.int32), fraction
    return None


def lower_norm(builder: Builder, node: Node) -> None:
    """NORM: x [.., N], gamma and beta float32 [N]; attributes centred and epsilon."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_shape(node, y, x.shape)
    gamma, beta = (constant_of(node, operand(builder, node, i)) for i in (1, 2))
    if not x.shape or x.shape[-1] > MAX_COUNT:
        raise unsupported(node, f"rows {list(x.shape[-1:])}, at most {MAX_COUNT} values fit")
    x_scale = int8_quant(node, x)[0]
    y_scale, y_zero = int8_quant(node, y)
    epsilon = node.attrs["epsilon"]
    if not isinstance(epsilon, float) or not math.isfinite(epsilon) or epsilon < 0:
        raise FormatError(f"{where(node)}: epsilon is {epsilon}")
    stored = rows_of(gamma, beta, y_scale=y_scale, y_zero=y_zero)
    bits = epsilon / x_scale**2 * x.shape[-1] ** 2 * 2**8
    if stored is None or bits >= 2**62:
        raise unsupported(node, "gamma, beta or epsilon is too large for its scales")
    builder.emit(
        "layer_norm",
        node,
        inputs=(node.inputs[0], builder.constant(f"{node.name} rows", stored[0])),
        outputs=node.outputs,
        attrs={
            "centred": int(bool(node.attrs["centred"])),
            "eps_high": round(bits) >> 31,
            "eps_low": round(bits) & (2**31 - 1),
            "fraction": stored[1],
            "y_min": -128,
            "y_max": 127,
        },
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, rows = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(
        x.shape == y.shape and x.shape != (), node, f"output has shape {y.shape}, not {x.shape}"
    )
    require(rows.shape == (x.shape[-1], 2), node, f"rows have shape {rows.shape}")


def _macs(graph: Graph, node: Node) -> int:
    return 2 * graph.tensor(node.outputs[0]).elements


LAYER_NORM = Kernel(
    "layer_norm",
    64,
    ("centred", "eps_high", "eps_low", "fraction", "y_min", "y_max"),
    _check,
    _macs,
    in_place=True,
)
