"""Reductions: MEAN."""

from __future__ import annotations

import math

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
from edgekit.ops.fixed import quantize_multiplier

MAX_TERMS = 1 << 23


def mean_multiplier(x_scale: float, y_scale: float, count: int) -> tuple[int, int]:
    """Return multiplier and shift that turn a sum of `count` values into their mean.

    Source: tensorflow/lite/kernels/internal/reference/reduce.h, QuantizedMeanOrSum; confirmed by
    experiment with LiteRT 2.3.0.
    """
    multiplier, shift = quantize_multiplier(x_scale / y_scale)
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra


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
    multiplier, shift = mean_multiplier(int8_quant(node, x)[0], int8_quant(node, y)[0], count)
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


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    kept = math.prod(n for d, n in enumerate(x.shape) if not axes >> d & 1)
    require(y.elements == kept, node, f"output {y.shape} has not {kept} elements")


MEAN = Kernel("mean", 9, ("axes", "multiplier", "shift"), _check)
