"""Operators that only move bytes: RESHAPE and its like, TRANSPOSE, CONCATENATION, PAD, slices.

RESHAPE, SQUEEZE, EXPAND_DIMS, TRANSPOSE, CONCATENATION, PACK, PAD, PADV2, STRIDED_SLICE, SLICE,
SPLIT, SPLIT_V, UNPACK, REVERSE_V2.
"""

from __future__ import annotations

import math

from edgekit.errors import FormatError
from edgekit.graph import MAX_RANK, Graph, Node
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
    optional,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.logic import expect_same, is_index, is_plain, stored

MAX_INPUTS = 17


def lower_reshape(builder: Builder, node: Node) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the output's shape is the truth."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_same(node, x, y)
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    source = stored(builder, node.inputs[0])
    builder.emit("copy", node, inputs=(source,), outputs=node.outputs)


def lower_transpose(builder: Builder, node: Node) -> None:
    """TRANSPOSE."""
    x, y = operand(builder, node, 0), result(builder, node)
    perm = tuple(axis % max(1, len(x.shape)) for axis in indices(node, operand(builder, node, 1)))
    expect_same(node, x, y)
    if sorted(perm) != list(range(len(x.shape))) or not perm:
        raise FormatError(f"{where(node)}: permutation {list(perm)} of {len(x.shape)} dimensions")
    expect_shape(node, y, tuple(x.shape[axis] for axis in perm))
    order = [axis for axis in perm if x.shape[axis] != 1]
    if order == sorted(order):
        builder.emit("copy", node, inputs=node.inputs[:1], outputs=node.outputs)
        return
    builder.emit(
        "transpose", node, inputs=node.inputs[:1], outputs=node.outputs, attrs={"perm": perm}
    )


def lower_concatenation(builder: Builder, node: Node) -> None:
    """CONCATENATION of tensors with one quantization."""
    y = result(builder, node)
    tensors = [operand(builder, node, i) for i in range(len(node.inputs))]
    rank = len(y.shape)
    axis = attr_int(node, "axis")
    if not tensors or not -rank <= axis < rank:
        raise FormatError(f"{where(node)}: axis {axis} of {rank} dimensions")
    if len(tensors) > MAX_INPUTS:
        raise unsupported(node, f"{len(tensors)} inputs, at most {MAX_INPUTS} fit")
    if node.attrs["activation"] != "NONE":
        raise unsupported(node, f"fused activation {node.attrs['activation']} is not supported")
    axis %= rank
    inputs = []
    for index, tensor in zip(node.inputs, tensors, strict=True):
        expect_same(node, tensor, y)
        if len(tensor.shape) != rank:
            raise FormatError(f"{where(node)}: '{tensor.name}' has {len(tensor.shape)} dimensions")
        expect_shape(node, tensor, (*y.shape[:axis], tensor.shape[axis], *y.shape[axis + 1 :]))
        if tensor.data is not None:
            index = builder.constant(tensor.name, tensor.data, tensor.quant)
        inputs.append(index)
    if sum(tensor.shape[axis] for tensor in tensors) != y.shape[axis]:
        raise FormatError(f"{where(node)}: '{y.name}' has {y.shape[axis]} along axis {axis}")
    builder.emit("concatenation", node, inputs=inputs, outputs=node.outputs, attrs={"axis": axis})


def lower_pad(builder: Builder, node: Node) -> None:
    """PAD with the zero point, PADV2 with a constant."""
    x, y = operand(builder, node, 0), result(builder, node)
    widths = indices(node, operand(builder, node, 1))
    rank = len(x.shape)
    expect_same(node, x, y)
    if len(widths) != 2 * rank or min(widths, default=0) < 0 or rank == 0:
        raise FormatError(f"{where(node)}: padding {list(widths)} of {rank} dimensions")
    expect_shape(
        node, y, tuple(n + widths[2 * d] + widths[2 * d + 1] for d, n in enumerate(x.shape))
    )
    value = 0 if is_plain(y) or is_index(y) else int8_quant(node, y)[1]
    given = optional(builder, node, 2)
    if given is not None:
        expect_same(node, given, y)
        value = int(constant_of(node, given).reshape(-1)[0])
    if is_index(y):
        _pad_index(builder, node, before=widths[::2], value=value)
        return
    builder.emit(
        "pad",
        node,
        inputs=node.inputs[:1],
        outputs=node.outputs,
        attrs={"before": widths[::2], "value": value},
    )


def _pad_index(builder: Builder, node: Node, *, before: tuple[int, ...], value: int) -> None:
    """Pad whole numbers as runs of four bytes: only values whose bytes are all equal."""
    if value not in (0, -1):
        raise unsupported(node, f"int32 is padded with {value}, only 0 and -1 are supported")
    source, y = _as_bytes(builder, node, ""), result(builder, node)
    target = builder.activation(f"{y.name} bytes", (*y.shape, 4), None)
    builder.emit(
        "pad",
        node,
        inputs=(source,),
        outputs=(target,),
        attrs={"before": (*before, 0), "value": value},
    )
    builder.emit("copy", node, inputs=(target,), outputs=node.outputs, suffix=" view")


def _as_bytes(builder: Builder, node: Node, suffix: str) -> int:
    """Return whole numbers [...] of input 0 as bytes [..., 4]."""
    x = operand(builder, node, 0)
    if len(x.shape) == MAX_RANK:
        raise unsupported(node, f"int32 of {MAX_RANK} dimensions is not supported")
    source = builder.activation(f"{x.name} bytes", (*x.shape, 4), None)
    inputs, suffix = node.inputs[:1], f"{suffix} bytes"
    builder.emit("copy", node, inputs=inputs, outputs=(source,), suffix=suffix)
    return source


def _emit_slice(
    builder: Builder,
    node: Node,
    *,
    begin: tuple[int, ...],
    stride: tuple[int, ...],
    shape: tuple[int, ...],
    output: int,
    suffix: str = "",
) -> None:
    """Cut x[begin + i * stride] of shape `shape` into a tensor that may leave out ones."""
    x, y = operand(builder, node, 0), builder.source.tensor(output)
    expect_same(node, x, y)
    for d, size in enumerate(x.shape):
        last = begin[d] + (shape[d] - 1) * stride[d]
        if shape[d] < 1 or not 0 <= begin[d] < size or not 0 <= last < size:
            raise FormatError(f"{where(node)}: slice {begin} of {shape} leaves {list(x.shape)}")
    if y.elements != math.prod(shape):
        expect_shape(node, y, shape)
    stride = tuple(s if n > 1 else 1 for s, n in zip(stride, shape, strict=True))
    source, target = node.inputs[0], output
    if is_index(x):
        # Whole numbers move as runs of four bytes.
        source = _as_bytes(builder, node, suffix)
        begin, stride, shape = (*begin, 0), (*stride, 1), (*shape, 4)
    if y.shape != shape:
        target = builder.activation(f"{y.name} slice", shape, y.quant)
    builder.emit(
        "strided_slice",
        node,
        inputs=(source,),
        outputs=(target,),
        attrs={"begin": begin, "stride": stride},
        suffix=suffix,
    )
    if target != output:
        builder.emit("copy", node, inputs=(target,), outputs=(output,), suffix=f"{suffix} view")


def lower_strided_slice(builder: Builder, node: Node) -> None:
    """STRIDED_SLICE without ellipsis and new axes.

    Source: tensorflow/lite/kernels/internal/strided_slice_logic.h,
    StridedSliceStartForAxis and StridedSliceEndForAxis.
    """
    x = operand(builder, node, 0)
    begins, ends, strides = (indices(node, operand(builder, node, i)) for i in (1, 2, 3))
    if node.attrs["ellipsis_mask"] or node.attrs["new_axis_mask"] or node.attrs["offset"]:
        raise unsupported(node, "ellipsis, new axis and offset are not supported")
    given = len(begins)
    if not len(ends) == len(strides) == given <= len(x.shape) or 0 in strides:
        raise FormatError(f"{where(node)}: begin, end, strides do not fit {list(x.shape)}")
    begin, stride, shape = [], [], []
    for d, size in enumerate(x.shape):
        if d >= given:
            begin.append(0)
            stride.append(1)
            shape.append(size)
            continue
        first = None if attr_int(node, "begin_mask") >> d & 1 else begins[d]
        last = None if attr_int(node, "end_mask") >> d & 1 else ends[d]
        if attr_int(node, "shrink_axis_mask") >> d & 1:
            begin.append(begins[d] % size)
            stride.append(1)
            shape.append(1)
            continue
        span = range(*slice(first, last, strides[d]).indices(size))
        begin.append(span.start)
        stride.append(strides[d])
        shape.append(len(span))
    _emit_slice(
        builder,
        node,
        begin=tuple(begin),
        stride=tuple(stride),
        shape=tuple(shape),
        output=node.outputs[0],
    )


def lower_slice(builder: Builder, node: Node) -> None:
    """SLICE: begin and size, -1 for the rest."""
    x = operand(builder, node, 0)
    begin, size = (indices(node, operand(builder, node, i)) for i in (1, 2))
    if not len(begin) == len(size) == len(x.shape):
        raise FormatError(f"{where(node)}: begin and size do not fit {list(x.shape)}")
    shape = tuple(n - b if s == -1 else s for n, b, s in zip(x.shape, begin, size, strict=True))
    ones = (1,) * len(begin)
    _emit_slice(builder, node, begin=begin, stride=ones, shape=shape, output=node.outputs[0])


def _cut(builder: Builder, node: Node, x_id: int, axis: int, sizes: tuple[int, ...]) -> None:
    """Cut x along one dimension: one slice per output of the node."""
    x = builder.source.tensor(x_id)
    view = Node(node.name, node.op, (x_id,), node.outputs, node.attrs)
    start = 0
    for part, (output, size) in enumerate(zip(node.outputs, sizes, strict=True)):
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        _emit_slice(
            builder,
            view,
            begin=tuple(start if d == axis else 0 for d in range(len(shape))),
            stride=(1,) * len(shape),
            shape=shape,
            output=output,
            suffix=f" {part}",
        )
        start += size


def _one_axis(node: Node, given: tuple[int, ...], rank: int) -> int:
    if len(given) != 1 or not -rank <= given[0] < rank:
        raise FormatError(f"{where(node)}: axis {list(given)} of {rank} dimensions")
    return given[0] % rank


def lower_split(builder: Builder, node: Node) -> None:
    """SPLIT into equal parts: one slice each. Its inputs are axis, x."""
    x, parts = operand(builder, node, 1), len(node.outputs)
    axis = _one_axis(node, indices(node, operand(builder, node, 0)), len(x.shape))
    if x.shape[axis] % parts:
        raise FormatError(f"{where(node)}: {list(x.shape)} in {parts} parts along {axis}")
    _cut(builder, node, node.inputs[1], axis, (x.shape[axis] // parts,) * parts)


def lower_split_v(builder: Builder, node: Node) -> None:
    """SPLIT_V into parts of given sizes, one of which may be -1: the rest."""
    x = operand(builder, node, 0)
    sizes = indices(node, operand(builder, node, 1))
    axis = _one_axis(node, indices(node, operand(builder, node, 2)), len(x.shape))
    rest = x.shape[axis] - sum(size for size in sizes if size != -1)
    sizes = tuple(rest if size == -1 else size for size in sizes)
    if len(sizes) != len(node.outputs) or min(sizes) < 1 or sum(sizes) != x.shape[axis]:
        raise FormatError(f"{where(node)}: {list(x.shape)} in {list(sizes)} along {axis}")
    _cut(builder, node, node.inputs[0], axis, sizes)


def lower_unpack(builder: Builder, node: Node) -> None:
    """UNPACK: slices of one, without that dimension."""
    x = operand(builder, node, 0)
    axis = _one_axis(node, (attr_int(node, "axis"),), len(x.shape))
    if x.shape[axis] != len(node.outputs):
        raise FormatError(f"{where(node)}: {list(x.shape)} in {len(node.outputs)} along {axis}")
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    for position in range(len(node.outputs)):
        expect_shape(node, result(builder, node, position), shape)
    _cut(builder, node, node.inputs[0], axis, (1,) * len(node.outputs))


def lower_pack(builder: Builder, node: Node) -> None:
    """PACK: CONCATENATION of views with one dimension more."""
    y = result(builder, node)
    axis = _one_axis(node, (attr_int(node, "axis"),), len(y.shape))
    if len(node.inputs) > MAX_INPUTS:
        raise unsupported(node, f"{len(node.inputs)} inputs, at most {MAX_INPUTS} fit")
    if len(node.inputs) != y.shape[axis]:
        raise FormatError(f"{where(node)}: {len(node.inputs)} inputs make {list(y.shape)}")
    view = (*y.shape[:axis], 1, *y.shape[axis + 1 :])
    inputs = []
    for position, index in enumerate(node.inputs):
        x = operand(builder, node, position)
        expect_same(node, x, y)
        expect_shape(node, x, (*y.shape[:axis], *y.shape[axis + 1 :]))
        if x.data is not None:
            inputs.append(builder.constant(x.name, x.data.reshape(view), x.quant))
            continue
        inputs.append(builder.activation(f"{x.name} view", view, x.quant))
        builder.emit("copy", node, inputs=(index,), outputs=inputs[-1:], suffix=f" view {position}")
    builder.emit("concatenation", node, inputs=inputs, outputs=node.outputs, attrs={"axis": axis})


def lower_reverse(builder: Builder, node: Node) -> None:
    """REVERSE_V2: a slice with negative strides."""
    x = operand(builder, node, 0)
    rank = len(x.shape)
    axes = indices(node, operand(builder, node, 1))
    if any(not -rank <= axis < rank for axis in axes):
        raise FormatError(f"{where(node)}: axes {list(axes)} of {rank} dimensions")
    turned = {axis % rank for axis in axes}
    _emit_slice(
        builder,
        node,
        begin=tuple(n - 1 if d in turned else 0 for d, n in enumerate(x.shape)),
        stride=tuple(-1 if d in turned else 1 for d in range(rank)),
        shape=x.shape,
        output=node.outputs[0],
    )


def _check_copy(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == len(node.outputs) == 1, node, "one input and output expected")
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(x.nbytes == y.nbytes, node, f"{x.shape} becomes {y.shape}")


def _check_rank(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 1)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) >= 1, node, f"{x.shape} becomes {y.shape}")


def _check_concatenation(graph: Graph, node: Node) -> None:
    check_dense(graph, node, len(node.inputs))
    axis = attr_int(node, "axis")
    y = graph.tensor(node.outputs[0])
    require(0 <= axis < len(y.shape), node, f"axis {axis} of {y.shape}")
    sizes = [graph.tensor(i).shape for i in node.inputs]
    require(all(len(s) == len(y.shape) for s in sizes), node, "ranks differ")
    require(sum(s[axis] for s in sizes) == y.shape[axis], node, "sizes do not add up")


def _views_concatenation(graph: Graph, node: Node) -> tuple[int | None, ...]:
    y, axis = graph.tensor(node.outputs[0]), attr_int(node, "axis")
    if math.prod(y.shape[:axis]) != 1:
        return ()
    sizes = [graph.tensor(index).nbytes for index in node.inputs]
    return tuple(sum(sizes[:i]) for i in range(len(sizes)))


def _steps(graph: Graph, node: Node) -> list[tuple[int, int, int, int]]:
    """Return begin, stride, size of x and size of y for each dimension of a slice."""
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    begin, stride = node.attrs["begin"], node.attrs["stride"]
    assert isinstance(begin, tuple)
    assert isinstance(stride, tuple)
    return list(zip(begin, stride, x.shape, y.shape, strict=False))


def _views_strided_slice(graph: Graph, node: Node) -> tuple[int | None, ...]:
    at, step, whole = 0, 1, True
    for begin, stride, size, count in reversed(_steps(graph, node)):
        if count != 1 and (not whole or stride != 1):
            return ()
        whole = whole and count == size
        at += begin * step
        step *= size
    return (-at,)


def _lead_strided_slice(graph: Graph, node: Node) -> int | None:
    return None if any(stride < 0 for _, stride, _, _ in _steps(graph, node)) else 0


COPY = Kernel("copy", 12, (), _check_copy, in_place=True, views=lambda graph, node: (0,))
TRANSPOSE = Kernel("transpose", 13, (("perm", MAX_RANK),), _check_rank)
CONCATENATION = Kernel(
    "concatenation", 14, ("axis",), _check_concatenation, views=_views_concatenation
)
PAD = Kernel("pad", 15, (("before", MAX_RANK), "value"), _check_rank)
STRIDED_SLICE = Kernel(
    "strided_slice",
    16,
    (("begin", MAX_RANK), ("stride", MAX_RANK)),
    _check_rank,
    lead=_lead_strided_slice,
    views=_views_strided_slice,
)
