"""Attention, an operator of our own: softmax(scale * q k' + bias) v, row block by row block.

It stands for two matrix products with a softmax in between, whose maps are never whole in memory.
Scores are exact sums, scaled with more than 16 bits; weights have 15 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node, Tensor
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    check_dense,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier

ROW_BLOCK = 4
MAX_KEYS = 8192
MAX_DEPTH = 32767
MAX_WEIGHTS = 2**23
TABLE_BITS = 8
MOST_FRACTION = 8
BIAS_LIMIT = 2**22
Y_SHIFTS = (-9, 8)

COUNTS = ("heads", "rows", "keys", "depth", "width")
STRIDES = (
    *("q_head", "q_row", "k_head", "k_row", "v_head", "v_row", "y_head", "y_row"),
    *("bias_head", "bias_row", "bias_key"),
)
SCALES = (
    *("score_left", "score_multiplier", "fraction", "bias_multiplier"),
    *("y_multiplier", "y_shift"),
)


def exp_table(keys: int) -> NDArray[np.int32]:
    """Return 2^(1 - i / 256) 2^bits for i = 0 .. 255, the bits such that weights fit their sum."""
    bits = min(15, 23 - (keys - 1).bit_length())
    table = np.rint(2.0 ** (bits + 1 - np.arange(256) / 256))
    return np.minimum(table, 65534).astype(np.int32)


def score_left(depth: int) -> int:
    """Return how far a sum of so many products may be shifted left."""
    left = 0
    while left < 15 and depth <= (2**31 - 1) >> (17 + left):
        left += 1
    return left


@dataclass(frozen=True, slots=True)
class Scales:
    """Integers that stand for the scales of one attention.

    Attributes:
        left: Shift of a sum before its multiplier.
        score: Multiplier of scores.
        fraction: Bits of a score beyond the table's eight.
        bias: Octaves of a step of the bias.
        multiplier: Of the output; `shift` belongs to it.
    """

    left: int
    score: int
    fraction: int
    bias: int
    multiplier: int
    shift: int


def scales_of(
    depth: int, *, score: float, bias: float, ratio: float, keys: int = 1
) -> Scales | None:
    """Turn real scales into integers; None if they do not fit the kernel.

    Args:
        depth: Products of a score.
        score: Exponent of e that a unit of a sum of products stands for.
        bias: The same of a unit of the bias.
        ratio: Scale of the values over that of the output.
        keys: Number of keys.
    """
    left = score_left(depth)
    octaves = score * math.log2(math.e)
    multiplier, shift = quantize_multiplier(ratio)
    sized = depth <= MAX_DEPTH and keys <= MAX_KEYS
    if not sized or not Y_SHIFTS[0] <= shift <= Y_SHIFTS[1] or multiplier == 0:
        return None
    for fraction in range(MOST_FRACTION, -1, -1):
        factor = octaves * 2.0 ** (TABLE_BITS + fraction + 32 - left)
        if 1 <= factor < 2**31 - 1:
            step = bias * math.log2(math.e) * 2.0 ** (TABLE_BITS + fraction)
            bounded = round(min(step, BIAS_LIMIT))
            return Scales(left, round(factor), fraction, bounded, multiplier, shift)
    return None


def reciprocal(total: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 2^62 / (total 2^left) and left, where total 2^left is in [2^31, 2^32).

    Twin: firmware/kernels/ek_attention_s8.c, reciprocal
    """
    left = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    normal = (total << left).astype(np.uint64)
    guess = np.uint64(2**32 - 1) // (normal >> np.uint64(16)) << np.uint64(14)
    error = np.uint64(2**32) - (normal * guess >> np.uint64(31))
    better = guess * error >> np.uint64(31)
    return np.minimum(better, np.uint64(2**31 - 1)).astype(np.int64), left


def attention(
    q: NDArray[np.int8],
    k: NDArray[np.int8],
    v: NDArray[np.int8],
    bias: NDArray[np.int8] | None,
    table: NDArray[np.int32],
    scales: Scales,
    *,
    zeros: tuple[int, int, int],
) -> NDArray[np.int8]:
    """Attend: the definition of the kernel.

    Args:
        q: [H, L, D].
        k: [H, S, D].
        v: [H, S, E].
        bias: [H, L, S] or what broadcasts to it, or None.
        table: [256], as `exp_table` makes it.
        scales: As `scales_of` makes them.
        zeros: Zero points of q, v and the result.

    Returns:
        [H, L, E].

    Twin: firmware/kernels/ek_attention_s8.c
    """
    sums = (q.astype(np.int64) - zeros[0]) @ k.astype(np.int64).swapaxes(1, 2)
    octaves = (sums << scales.left) * scales.score >> 32
    if bias is not None:
        octaves = octaves + bias.astype(np.int64) * scales.bias
    below = octaves.max(axis=2, keepdims=True) - octaves >> scales.fraction
    below = np.minimum(below, 31 << 8)
    weights = (table.astype(np.int64)[below & 255] >> (below >> 8)) + 1 >> 1
    total = weights.sum(axis=2, keepdims=True)
    inverse, left = reciprocal(total)
    multiplier = scales.multiplier * inverse >> 31
    shift = 30 - scales.shift - left
    mixed = weights @ v.astype(np.int64) - zeros[1] * total
    high = mixed * multiplier >> 32
    value = (high + (np.int64(1) << (shift - 1)) >> shift) + zeros[2]
    return np.asarray(np.clip(value, -128, 127).astype(np.int8))


def lower_attention(builder: Builder, node: Node) -> None:
    """ATTENTION: q, k, v, bias or -1; attributes as of the kernel, but real scales.

    `score` is the factor of q k', `bias` that of the bias.
    """
    q, k, v = (operand(builder, node, position) for position in range(3))
    y = result(builder, node)
    attrs = {name: attr_int(node, name) for name in (*COUNTS, *STRIDES)}
    factor, bias_factor = node.attrs["score"], node.attrs["bias"]
    if not isinstance(factor, float) or not isinstance(bias_factor, float):
        raise FormatError(f"{where(node)}: scales are {factor} and {bias_factor}")
    inputs = list(node.inputs[:3])
    inputs.append(builder.constant("attention exp", exp_table(attrs["keys"])))
    bias_scale = 0.0
    if node.inputs[3] >= 0:
        inputs.append(node.inputs[3])
        bias_scale = bias_factor * int8_quant(node, operand(builder, node, 3))[0]
    scales = scales_of(
        attrs["depth"],
        score=factor * int8_quant(node, q)[0] * int8_quant(node, k)[0],
        bias=bias_scale,
        ratio=int8_quant(node, v)[0] / int8_quant(node, y)[0],
        keys=attrs["keys"],
    )
    if scales is None:
        raise unsupported(node, "scales or sizes do not fit")
    numbers = (
        *(scales.left, scales.score, scales.fraction),
        *(scales.bias, scales.multiplier, scales.shift),
    )
    builder.emit(
        "attention",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={**attrs, **dict(zip(SCALES, numbers, strict=True))},
    )


def view(data: NDArray[Any], node: Node, name: str, last: int) -> NDArray[Any]:
    """Return an operand as [H, rows or keys, last], from its elements in order of memory."""
    rows = attr_int(node, "keys" if name in ("k", "v") else "rows")
    strides = (attr_int(node, f"{name}_head"), attr_int(node, f"{name}_row"))
    index = np.arange(attr_int(node, "heads"))[:, None, None] * strides[0]
    index = index + np.arange(rows)[None, :, None] * strides[1]
    step = attr_int(node, "bias_key") if name == "bias" else 1
    return np.asarray(data.reshape(-1)[index + np.arange(last)[None, None, :] * step])


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 4 if len(node.inputs) == 4 else 5)
    sizes = {name: attr_int(node, name) for name in COUNTS}
    tensors = [graph.tensor(index) for index in (*node.inputs, *node.outputs)]
    views = [("q", "rows", "depth", 0), ("k", "keys", "depth", 1), ("v", "keys", "width", 2)]
    views.append(("y", "rows", "width", len(tensors) - 1))
    for name, rows, last, position in views:
        end = _end(node, name, sizes["heads"], sizes[rows], sizes[last] - 1)
        require(end < tensors[position].elements, node, f"view of {name} leaves its tensor")
    if len(node.inputs) == 5:
        last_key = (sizes["keys"] - 1) * attr_int(node, "bias_key")
        end = _end(node, "bias", sizes["heads"], sizes["rows"], last_key)
        require(end < tensors[4].elements, node, "view of bias leaves its tensor")
    whole = sizes["heads"] * sizes["rows"] * sizes["width"]
    require(whole == tensors[-1].elements, node, "output is not written once")
    table: Tensor = tensors[3]
    require(table.shape == (256,), node, "table has not 256 values")


def _end(node: Node, name: str, heads: int, rows: int, last: int) -> int:
    head, row = attr_int(node, f"{name}_head"), attr_int(node, f"{name}_row")
    return (heads - 1) * head + (rows - 1) * row + last


def _macs(graph: Graph, node: Node) -> int:
    heads, rows, keys, depth, width = (attr_int(node, name) for name in COUNTS)
    return heads * rows * keys * (depth + width)


def _scratch(graph: Graph, node: Node) -> int:
    return ROW_BLOCK * (4 * attr_int(node, "keys") + 2 * -(-attr_int(node, "depth") // 4) * 4)


ATTENTION = Kernel("attention", 65, (*COUNTS, *STRIDES, *SCALES), _check, _macs, _scratch)
