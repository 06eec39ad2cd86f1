"""Indices: GATHER reads by them, ONE_HOT marks them, ARG_MAX and ARG_MIN find them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    check_dense,
    constant_of,
    expect_shape,
    indices,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.logic import MODES, expect_same, is_index, stored


def lower_gather(builder: Builder, node: Node) -> None:
    """GATHER by int32 indices: an embedding table and tokens."""
    x, ids, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    rank = len(x.shape)
    axis = attr_int(node, "axis")
    if not -rank <= axis < rank:
        raise FormatError(f"{where(node)}: axis {axis} of {rank} dimensions")
    axis %= rank
    batches = attr_int(node, "batch_dims") % max(1, len(ids.shape) + 1)
    if batches > axis or x.shape[:batches] != ids.shape[:batches]:
        raise FormatError(f"{where(node)}: {batches} batch dimensions, axis {axis}")
    if ids.dtype is not DType.INT32:
        raise unsupported(node, f"'{ids.name}' is {ids.dtype.value}, only int32 is supported")
    if is_index(x):
        raise unsupported(node, f"'{x.name}' is int32, only int8 is supported")
    expect_same(node, x, y)
    expect_shape(node, y, (*x.shape[:axis], *ids.shape[batches:], *x.shape[axis + 1 :]))
    if batches:
        _gather_batches(builder, node, batches, axis)
        return
    table, picked = node.inputs[:2]
    if x.data is not None:
        table = builder.constant(x.name, x.data, x.quant)
    if ids.data is not None:
        if not 0 <= ids.data.min() <= ids.data.max() < x.shape[axis]:
            raise FormatError(f"{where(node)}: '{ids.name}' leaves {list(x.shape)}")
        picked = builder.constant(ids.name, ids.data)
    builder.emit(
        "gather",
        node,
        inputs=(table, picked),
        outputs=node.outputs,
        attrs={"axis": axis, "wrap": 0},
    )


def _gather_batches(builder: Builder, node: Node, batches: int, axis: int) -> None:
    """Gather from x as one long table: indices of each batch count from where its rows begin."""
    x, ids, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    blocks, before = math.prod(x.shape[:batches]), math.prod(x.shape[batches:axis])
    size, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    count = ids.elements // blocks
    first = np.arange(blocks * before, dtype=np.int32).reshape(blocks, before, 1) * size
    flat = (blocks * before * size, inner)
    if x.data is not None:
        table = builder.constant(x.name, x.data.reshape(flat), x.quant)
    else:
        table = builder.activation(f"{x.name} rows", flat, x.quant, x.dtype)
        builder.emit("copy", node, inputs=node.inputs[:1], outputs=(table,), suffix=" rows")
    shape = (blocks, before, count)
    if ids.data is not None:
        if not 0 <= ids.data.min() <= ids.data.max() < size:
            raise FormatError(f"{where(node)}: '{ids.name}' leaves {list(x.shape)}")
        given = ids.data.reshape(blocks, 1, count) + first
        picked = builder.constant(f"{ids.name} rows", given.astype(np.int32))
    else:
        view = builder.activation(f"{ids.name} view", (blocks, 1, count), None, DType.INT32)
        builder.emit("copy", node, inputs=node.inputs[1:2], outputs=(view,), suffix=" view")
        picked = builder.activation(f"{ids.name} rows", shape, None, DType.INT32)
        offsets = builder.constant("gather rows", first)
        builder.emit(
            "index_binary",
            node,
            inputs=(view, offsets),
            outputs=(picked,),
            attrs={"mode": MODES["ADD"]},
            suffix=" index",
        )
    found = builder.activation(f"{y.name} rows", (*shape, inner), y.quant, y.dtype)
    attrs = {"axis": 0, "wrap": 0}
    builder.emit("gather", node, inputs=(table, picked), outputs=(found,), attrs=attrs)
    builder.emit("copy", node, inputs=(found,), outputs=node.outputs, suffix=" shape")


def lower_one_hot(builder: Builder, node: Node) -> None:
    """ONE_HOT: indices, depth, and what an element is on and off."""
    x, y = operand(builder, node, 0), result(builder, node)
    depth = indices(node, operand(builder, node, 1))
    on, off = operand(builder, node, 2), operand(builder, node, 3)
    rank = len(y.shape)
    axis = attr_int(node, "axis")
    if not is_index(x):
        raise unsupported(node, f"'{x.name}' is {x.dtype.value}, only int32 is supported")
    if len(depth) != 1 or len(x.shape) + 1 != rank or not -1 <= axis < rank:
        raise FormatError(f"{where(node)}: axis {axis} of {rank} dimensions")
    axis %= rank
    values = [int(constant_of(node, tensor).reshape(-1)[0]) for tensor in (on, off)]
    int8_quant(node, y)
    expect_shape(node, y, (*x.shape[:axis], depth[0], *x.shape[axis:]))
    builder.emit(
        "one_hot",
        node,
        inputs=(stored(builder, node.inputs[0]),),
        outputs=node.outputs,
        attrs={"axis": axis, "on": values[0], "off": values[1]},
    )


def _lower_extreme(builder: Builder, node: Node, sign: int) -> None:
    x, y = operand(builder, node, 0), result(builder, node)
    int8_quant(node, x)
    rank = len(x.shape)
    axes = indices(node, operand(builder, node, 1))
    if len(axes) != 1 or not -rank <= axes[0] < rank:
        raise FormatError(f"{where(node)}: axis {list(axes)} of {rank} dimensions")
    axis = axes[0] % rank
    if y.dtype not in (DType.INT32, DType.INT64):
        raise FormatError(f"{where(node)}: '{y.name}' is {y.dtype.value}, expected int32")
    expect_shape(node, y, (*x.shape[:axis], *x.shape[axis + 1 :]))
    output = node.outputs[0]
    builder.tensors[output] = replace(y, dtype=DType.INT32, quant=None)
    builder.emit(
        "arg_max",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={"axis": axis, "sign": sign},
    )


def lower_arg_max(builder: Builder, node: Node) -> None:
    """ARG_MAX; an index is int32 also where the file says int64."""
    _lower_extreme(builder, node, 1)


def lower_arg_min(builder: Builder, node: Node) -> None:
    """ARG_MIN; an index is int32 also where the file says int64."""
    _lower_extreme(builder, node, -1)


def _check_gather(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, ids = (graph.tensor(index) for index in node.inputs)
    y = graph.tensor(node.outputs[0])
    axis = attr_int(node, "axis")
    require(0 <= axis < len(x.shape), node, f"axis {axis} of {x.shape}")
    require(ids.dtype is DType.INT32, node, f"indices are {ids.dtype.value}")
    require(
        x.elements // x.shape[axis] * ids.elements == y.elements,
        node,
        f"{ids.elements} of {x.shape} along {axis} are not {y.shape}",
    )


def _check_arg_max(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == len(node.outputs) == 1, node, "one input and output expected")
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axis = attr_int(node, "axis")
    require(x.dtype is DType.INT8 and y.dtype is DType.INT32, node, "int8 in, int32 out expected")
    require(0 <= axis < len(x.shape), node, f"axis {axis} of {x.shape}")
    require(x.elements // x.shape[axis] == y.elements, node, f"{x.shape} becomes {y.shape}")


def _check_one_hot(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == len(node.outputs) == 1, node, "one input and output expected")
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    axis = attr_int(node, "axis")
    require(x.dtype is DType.INT32 and y.dtype is DType.INT8, node, "int32 in, int8 out expected")
    rest = (*y.shape[:axis], *y.shape[axis + 1 :])
    require(0 <= axis < len(y.shape) and rest == x.shape, node, f"{x.shape} becomes {y.shape}")


GATHER = Kernel("gather", 23, ("axis", "wrap"), _check_gather, revision=2)
ARG_MAX = Kernel("arg_max", 24, ("axis", "sign"), _check_arg_max)
ONE_HOT = Kernel("one_hot", 85, ("axis", "on", "off"), _check_one_hot)
