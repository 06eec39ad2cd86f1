"""Operators that pick elements by constant maps.

RESIZE_NEAREST_NEIGHBOR, MIRROR_PAD, TILE, BROADCAST_TO.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    check_dense,
    expect_shape,
    expect_sides,
    indices,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.logic import expect_same, is_index, stored

Maps = Mapping[int, Sequence[int]]


def emit_remap(builder: Builder, node: Node, maps: Maps, *, source: int) -> None:
    """Let y[i0, i1, ..] be x[map0[i0], map1[i1], ..]; dimensions without map stay."""
    x, y = builder.tensors[source], result(builder, node)
    expect_same(node, x, y)
    maps = {d: m for d, m in sorted(maps.items()) if list(m) != list(range(x.shape[d]))}
    expect_shape(node, y, tuple(len(maps.get(d, range(n))) for d, n in enumerate(x.shape)))
    if not maps:
        builder.emit("copy", node, inputs=(source,), outputs=node.outputs)
        return
    table = np.concatenate([np.asarray(values, np.int32) for values in maps.values()])
    builder.emit(
        "remap",
        node,
        inputs=(source, builder.constant(f"{node.op.lower()} map", table)),
        outputs=node.outputs,
        attrs={"axes": sum(1 << axis for axis in maps)},
    )


def nearest(size: int, outputs: int, *, align_corners: bool, half_pixel: bool) -> list[int]:
    """Return which element each output copies along one dimension.

    Source: tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h,
    GetNearestNeighbor.
    """
    scale = np.float32(size) / np.float32(outputs)
    if align_corners and outputs > 1:
        scale = np.float32(size - 1) / np.float32(outputs - 1)
    offset = np.float32(0.5 if half_pixel else 0.0)
    positions = []
    for index in range(outputs):
        real = float((np.float32(index) + offset) * scale)
        picked = math.floor(real + 0.5) if align_corners else math.floor(real)
        positions.append(max(0, min(picked, size - 1)))
    return positions


def lower_resize_nearest_neighbor(builder: Builder, node: Node) -> None:
    """RESIZE_NEAREST_NEIGHBOR."""
    x = operand(builder, node, 0)
    sizes = indices(node, operand(builder, node, 1))
    expect_sides(node, x, result(builder, node))
    if len(x.shape) != 4 or len(sizes) != 2 or min(sizes) < 1:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(sizes)}")
    expect_shape(node, result(builder, node), (x.shape[0], *sizes, x.shape[3]))
    maps = {
        axis: nearest(
            x.shape[axis],
            outputs,
            align_corners=bool(node.attrs["align_corners"]),
            half_pixel=bool(node.attrs["half_pixel_centers"]),
        )
        for axis, outputs in zip((1, 2), sizes, strict=True)
    }
    emit_remap(builder, node, maps, source=node.inputs[0])


def lower_mirror_pad(builder: Builder, node: Node) -> None:
    """MIRROR_PAD, modes REFLECT and SYMMETRIC."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_sides(node, x, y)
    widths = indices(node, operand(builder, node, 1))
    mode = attr_int(node, "mode")
    if len(widths) != 2 * len(x.shape) or not widths or mode not in (0, 1):
        raise FormatError(f"{where(node)}: padding {list(widths)} of {len(x.shape)} dimensions")
    maps = {}
    for axis, size in enumerate(x.shape):
        before, after = widths[2 * axis : 2 * axis + 2]
        if not 0 <= min(before, after) <= max(before, after) <= size - (mode == 0):
            raise FormatError(f"{where(node)}: padding {before}, {after} of {size} elements")
        inner = list(range(size))
        turned = inner[::-1]
        skip = 1 if mode == 0 else 0
        head = turned[len(turned) - skip - before : len(turned) - skip]
        maps[axis] = [*head, *inner, *turned[skip : skip + after]]
    expect_shape(node, y, tuple(len(maps[axis]) for axis in range(len(x.shape))))
    emit_remap(builder, node, maps, source=node.inputs[0])


def lower_tile(builder: Builder, node: Node) -> None:
    """TILE."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_sides(node, x, y)
    repeats = indices(node, operand(builder, node, 1))
    if len(repeats) != len(x.shape) or min(repeats, default=0) < 1:
        raise FormatError(f"{where(node)}: {list(repeats)} times {list(x.shape)}")
    expect_shape(node, y, tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))
    maps = {d: list(range(n)) * r for d, (n, r) in enumerate(zip(x.shape, repeats, strict=True))}
    emit_remap(builder, node, maps, source=node.inputs[0])


def lower_broadcast_to(builder: Builder, node: Node) -> None:
    """BROADCAST_TO: dimensions of 1 are repeated, missing ones are put in front."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_sides(node, x, y)
    shape = (*(1 for _ in range(len(y.shape) - len(x.shape))), *x.shape)
    if is_index(x) or len(shape) != len(y.shape):
        raise unsupported(node, f"{x.dtype.value}{list(x.shape)} to {list(y.shape)}")
    source = stored(builder, node.inputs[0])
    if shape != x.shape:
        view = builder.activation(f"{x.name} view", shape, x.quant)
        builder.emit("copy", node, inputs=(source,), outputs=(view,), suffix=" view")
        source = view
    maps = {d: [0] * y.shape[d] for d, size in enumerate(shape) if size == 1}
    emit_remap(builder, node, maps, source=source)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axes = attr_int(node, "axes")
    mapped = sum(n for d, n in enumerate(y.shape) if axes >> d & 1)
    require(len(x.shape) == len(y.shape), node, f"{x.shape} becomes {y.shape}")
    require(graph.tensor(node.inputs[1]).shape == (mapped,), node, f"map has not {mapped} values")


REMAP = Kernel("remap", 17, ("axes",), _check)
