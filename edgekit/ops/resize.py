"""Resizing between pixels: RESIZE_BILINEAR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    check_dense,
    expect_shape,
    expect_sides,
    indices,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)

ONE = 1024
WEIGHT_RANGE = (-ONE, 2 * ONE)


def _divide(a: int, b: int) -> int:
    """Divide as C does: towards zero."""
    return a // b if a >= 0 else -(-a // b)


def neighbours(
    size: int, outputs: int, *, align_corners: bool, half_pixel: bool
) -> NDArray[np.int32]:
    """Return int32 [outputs, 3]: two elements, and the distance from the first times 1,024.

    Source: tensorflow/lite/kernels/internal/reference/resize_bilinear.h,
    ComputeInterpolationValuesInteger.
    """
    scale = (ONE * size + outputs // 2) // outputs
    if align_corners and outputs > 1:
        scale = (ONE * (size - 1) + (outputs - 1) // 2) // (outputs - 1)
    rows = np.empty((outputs, 3), np.int32)
    for index in range(outputs):
        position = index * scale
        if half_pixel:
            position += scale // 2 - ONE // 2
        low = max(_divide(position, ONE), 0)
        high = min(_divide(position + ONE - 1, ONE), size - 1)
        rows[index] = low, high, position - ONE * low
    return rows


def lower_resize_bilinear(builder: Builder, node: Node) -> None:
    """RESIZE_BILINEAR."""
    x, y = operand(builder, node, 0), result(builder, node)
    sizes = indices(node, operand(builder, node, 1))
    if len(x.shape) != 4 or len(sizes) != 2 or min(sizes) < 1:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(sizes)}")
    if int8_quant(node, x) != int8_quant(node, y):
        raise unsupported(node, "input and output have different quantization")
    expect_sides(node, x, y)
    expect_shape(node, y, (x.shape[0], *sizes, x.shape[3]))
    inputs = [node.inputs[0]]
    for axis, outputs in zip((1, 2), sizes, strict=True):
        table = neighbours(
            x.shape[axis],
            outputs,
            align_corners=bool(node.attrs["align_corners"]),
            half_pixel=bool(node.attrs["half_pixel_centers"]),
        )
        weights = table[:, 2]
        if (
            table[:, :2].max() >= x.shape[axis]
            or weights.min() < WEIGHT_RANGE[0]
            or weights.max() > WEIGHT_RANGE[1]
        ):
            raise unsupported(node, f"{x.shape[axis]} to {outputs} elements leave the input")
        inputs.append(builder.constant(f"resize {'rows' if axis == 1 else 'columns'}", table))
    builder.emit("resize_bilinear", node, inputs=inputs, outputs=node.outputs)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, rows, columns = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require((x.shape[0], x.shape[3]) == (y.shape[0], y.shape[3]), node, "output shape")
    require(rows.shape == (y.shape[1], 3), node, f"rows have shape {rows.shape}")
    require(columns.shape == (y.shape[2], 3), node, f"columns have shape {columns.shape}")


def _macs(graph: Graph, node: Node) -> int:
    return 4 * graph.tensor(node.outputs[0]).elements


RESIZE_BILINEAR = Kernel("resize_bilinear", 21, (), _check, _macs)
