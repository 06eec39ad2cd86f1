"""Reductions: MEAN."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
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
from edgekit.ops.fixed import Rounding, multiply, quantize_multiplier

MAX_TERMS = 1 << 23


def _divide(value: int, count: int) -> int:
    """Integer division that rounds to zero, as C."""
    return value // count if value >= 0 else -(-value // count)


def mean_function(
    *, count: int, x: tuple[float, int], y: tuple[float, int], spatial: bool
) -> Callable[[int], int]:
    """Return LiteRT's reference mean as a function of the plain sum of `count` stored values.

    Args:
        count: How many values are averaged.
        x: Scale and zero point of the input.
        y: Scale and zero point of the output.
        spatial: True for rank 4, axes 1 and 2, dimensions kept: LiteRT has a kernel of its own for it.

    Source: tensorflow/lite/kernels/reduce.cc, EvalMeanReferenceOps; reference/integer_ops/mean.h, Mean;
    reference/reduce.h, Mean and QuantizedMeanOrSum.
    """
    if spatial:
        multiplier, shift = quantize_multiplier(x[0] / y[0])

        def special(total: int) -> int:
            acc = multiply(total - count * x[1], multiplier, shift, Rounding.DOUBLE)
            acc = _divide(acc + count // 2 if acc > 0 else acc - count // 2, count)
            return max(-128, min(127, acc + y[1]))

        return special
    if x == y:
        return lambda total: _divide(total, count)
    scale = np.float32(x[0]) / np.float32(y[0])
    bias = np.float32(-x[1]) * scale

    def general(total: int) -> int:
        mean = np.float32(total) / np.float32(count)
        value = mean * scale + bias
        rounded = math.floor(abs(float(value)) + 0.5) * (1 if value >= 0 else -1)
        return max(-128, min(127, rounded + y[1]))

    return general


def steps_of(function: Callable[[int], int], low: int, high: int) -> NDArray[np.int32]:
    """Return, for each of -127 .. 127, the smallest sum in [low, high] at which the function reaches it.

    The function must not fall. Values that it never reaches get int32's maximum.
    """
    steps = np.full(255, 2**31 - 1, np.int32)
    start = low
    for index in range(255):
        target = index - 127
        if function(high) < target:
            break
        first, last = start, high
        while first < last:
            middle = (first + last) // 2
            if function(middle) >= target:
                last = middle
            else:
                first = middle + 1
        steps[index] = start = first
    return steps


def lower_mean(builder: Builder, node: Node) -> None:
    """MEAN over any dimensions."""
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
    count = math.prod(x.shape[axis] for axis in axes)
    if x.elements > MAX_TERMS:
        raise unsupported(node, f"{x.elements} elements, at most {MAX_TERMS} fit")
    function = mean_function(
        count=count,
        x=int8_quant(node, x),
        y=int8_quant(node, y),
        spatial=keep and rank == 4 and axes == [1, 2] and len(given) == 2,
    )
    builder.emit(
        "mean",
        node,
        inputs=(
            node.inputs[0],
            builder.constant("mean steps", steps_of(function, -128 * count, 127 * count)),
        ),
        outputs=node.outputs,
        attrs={"axes": sum(1 << axis for axis in axes)},
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    kept = math.prod(n for d, n in enumerate(x.shape) if not axes >> d & 1)
    require(graph.tensor(node.inputs[1]).shape == (255,), node, "steps have not 255 values")
    require(y.elements == kept, node, f"output {y.shape} has not {kept} elements")


MEAN = Kernel("mean", 9, ("axes",), _check)
