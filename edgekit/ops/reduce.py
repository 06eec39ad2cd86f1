"""Reductions: MEAN, SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL."""

from __future__ import annotations

import math

import numpy as np

from edgekit.errors import FormatError, QuantizationError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    check_dense,
    expect_shape,
    indices,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier
from edgekit.ops.logic import expect_same, is_index

MAX_TERMS = 1 << 23

POOL_SIDE = 4096
POOL_TERMS = 65536


def mean_multiplier(x_scale: float, y_scale: float, count: int) -> tuple[int, int]:
    """Return multiplier and shift that turn a sum of `count` values into their mean.

    Source: tensorflow/lite/kernels/internal/reference/reduce.h, QuantizedMeanOrSum; confirmed by
    experiment with LiteRT 2.3.0.
    """
    multiplier, shift = quantize_multiplier(x_scale / y_scale)
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


def reduced_axes(builder: Builder, node: Node) -> list[int]:
    """Return the dimensions that are reduced, and check the output's shape."""
    x, y = operand(builder, node, 0), result(builder, node)
    rank = len(x.shape)
    given = indices(node, operand(builder, node, 1))
    if any(not -rank <= axis < rank for axis in given):
        raise FormatError(f"{where(node)}: axes {list(given)} of {rank} dimensions")
    axes = sorted({axis % rank for axis in given})
    keep = bool(node.attrs["keep_dims"])
    expect_shape(
        node,
        y,
        tuple(1 if d in axes else n for d, n in enumerate(x.shape) if keep or d not in axes),
    )
    return axes


def _emit_mean(builder: Builder, node: Node, axes: list[int], multiplier: int, shift: int) -> None:
    x = operand(builder, node, 0)
    if x.elements > MAX_TERMS:
        raise unsupported(node, f"{x.elements} elements, at most {MAX_TERMS} fit")
    builder.emit(
        "mean",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={
            "axes": sum(1 << axis for axis in axes),
            "multiplier": multiplier,
            "shift": shift,
        },
    )


def lower_mean(builder: Builder, node: Node) -> None:
    """MEAN over any dimensions."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = reduced_axes(builder, node)
    count = math.prod(x.shape[axis] for axis in axes)
    scales = mean_multiplier(int8_quant(node, x)[0], int8_quant(node, y)[0], count)
    _emit_mean(builder, node, axes, *scales)


def sum_multiplier(
    x_scale: float, y_scale: float, count: int, *, most: int = 255
) -> tuple[int, int]:
    """Return multiplier and shift that scale a sum with one rounding, ties away from zero.

    `most` is the largest absolute value of an element. A shift from 0 up makes the kernel round
    once; one unit more in the multiplier turns ties.

    Raises:
        QuantizationError: If the output scale is too small for sums of `count` values.

    Source: tensorflow/lite/kernels/reduce.cc, EvalSum, which computes in float32 and so may
    differ by one within its own error of a tie; LiteRT's reference kernel gives no sums at all.
    """
    ratio = float(np.float32(x_scale) / np.float32(y_scale))
    multiplier, shift = quantize_multiplier(ratio)
    if shift < 0:
        multiplier, shift = round(ratio * 2**31), 0
    if (most * count) << shift >= 2**31:
        raise QuantizationError(f"output scale {y_scale} is too small for sums of {count} values")
    return min(multiplier + 1, 2**31 - 1), shift


def lower_sum(builder: Builder, node: Node) -> None:
    """SUM over any dimensions: MEAN without its division."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = reduced_axes(builder, node)
    count = math.prod(x.shape[axis] for axis in axes)
    scales = sum_multiplier(int8_quant(node, x)[0], int8_quant(node, y)[0], count)
    _emit_mean(builder, node, axes, *scales)


def _groups(shape: tuple[int, ...], axes: list[int]) -> list[tuple[int, bool]]:
    """Join neighbouring dimensions that are both kept or both reduced; drop ones."""
    groups: list[tuple[int, bool]] = []
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if groups and groups[-1][1] == (d in axes):
            groups[-1] = (groups[-1][0] * size, d in axes)
        else:
            groups.append((size, d in axes))
    return groups


def _window(node: Node, size: int) -> tuple[int, int]:
    """Split a run of elements into a window of two dimensions."""
    for height in range(-(-size // POOL_SIDE), min(size, POOL_SIDE) + 1):
        if size % height == 0 and size // height <= POOL_SIDE and size <= POOL_TERMS:
            return height, size // height
    raise unsupported(node, f"{size} elements are too many for one maximum")


def _lower_extreme(builder: Builder, node: Node, invert: bool) -> None:
    """Pool each run of reduced dimensions, innermost first; a minimum is ~max(~x)."""
    x, y = operand(builder, node, 0), result(builder, node)
    axes = reduced_axes(builder, node)
    if is_index(x):
        raise unsupported(node, f"'{x.name}' is int32, only int8 is supported")
    expect_same(node, x, y)
    groups = _groups(x.shape, axes)
    source = node.inputs[0]
    table = builder.constant("invert table", np.arange(127, -129, -1).astype(np.int8))

    def step(op: str, shape: tuple[int, ...], **attrs: int) -> None:
        nonlocal source
        target = builder.activation(f"{y.name} {op}", shape, y.quant)
        inputs = (source, table) if op == "lut" else (source,)
        suffix = f" {len(builder.nodes)}"
        builder.emit(op, node, inputs=inputs, outputs=(target,), attrs=attrs, suffix=suffix)
        source = target

    if invert:
        step("lut", x.shape)
    while any(reduced for _, reduced in groups):
        position = max(i for i, group in enumerate(groups) if group[1])
        outer = math.prod(size for size, _ in groups[:position])
        inner = math.prod(size for size, _ in groups[position + 1 :])
        height, width = _window(node, groups[position][0])
        step("copy", (outer, height, width, inner))
        window = {"filter_h": height, "filter_w": width, "stride_h": 1, "stride_w": 1}
        limits = {"pad_top": 0, "pad_left": 0, "y_min": -128, "y_max": 127}
        step("max_pool_2d", (outer, 1, 1, inner), **window, **limits)
        del groups[position]
    if invert:
        step("lut", y.shape)
    builder.emit("copy", node, inputs=(source,), outputs=node.outputs)


def lower_reduce_max(builder: Builder, node: Node) -> None:
    """REDUCE_MAX over any dimensions, and REDUCE_ANY of truth values."""
    _lower_extreme(builder, node, invert=False)


def lower_reduce_min(builder: Builder, node: Node) -> None:
    """REDUCE_MIN over any dimensions, and REDUCE_ALL of truth values."""
    _lower_extreme(builder, node, invert=True)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    kept = math.prod(n for d, n in enumerate(x.shape) if not axes >> d & 1)
    require(y.elements == kept, node, f"output {y.shape} has not {kept} elements")


MEAN = Kernel("mean", 9, ("axes", "multiplier", "shift"), _check)
