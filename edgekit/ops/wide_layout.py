"""Operators that only move int16: they move bytes, along one more dimension of two.

RESHAPE, SQUEEZE, EXPAND_DIMS, TRANSPOSE, CONCATENATION, PACK, UNPACK, PAD, STRIDED_SLICE, SLICE,
SPLIT, SPLIT_V, REVERSE_V2, GATHER, MIRROR_PAD, TILE.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgekit.errors import FormatError
from edgekit.graph import MAX_RANK, DType, Node, Tensor
from edgekit.ops import gather, layout, remap
from edgekit.ops.base import Builder, attr_int, indices, operand, result, unsupported, where
from edgekit.ops.wide_base import int16_scale


def lower_reshape(builder: Builder, node: Node) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the output's shape is the truth."""
    x, y = operand(builder, node, 0), result(builder, node)
    if int16_scale(node, x) != int16_scale(node, y):
        raise unsupported(node, f"'{x.name}' and '{y.name}' have different quantization")
    if x.elements != y.elements:
        raise FormatError(f"{where(node)}: {list(x.shape)} becomes {list(y.shape)}")
    builder.emit("copy", node, inputs=node.inputs[:1], outputs=node.outputs)


def _axis(node: Node, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise FormatError(f"{where(node)}: axis {axis} of {rank} dimensions")
    return axis % rank


class _Bytes:
    """A node over int16 as the same node over int8 with one more dimension of two."""

    def __init__(self, builder: Builder, node: Node) -> None:
        self.builder = builder
        self.node = node
        self.attrs = dict(node.attrs)
        self.inputs = [self._view(index) for index in node.inputs]
        self.outputs = [self._twin(index) for index in node.outputs]

    def _twin(self, index: int) -> int:
        tensor = self.builder.source.tensor(index)
        int16_scale(self.node, tensor)
        if len(tensor.shape) >= MAX_RANK:
            raise unsupported(
                self.node, f"'{tensor.name}' is int16 with more than {MAX_RANK - 1} dimensions"
            )
        return self.builder.activation(f"{tensor.name} bytes", (*tensor.shape, 2), tensor.quant)

    def _view(self, index: int) -> int:
        """Return the bytes of an int16 input; others, the indices, stay."""
        if index < 0 or self.builder.source.tensor(index).dtype is not DType.INT16:
            return index
        tensor = self.builder.source.tensor(index)
        twin = self._twin(index)
        if tensor.data is not None:
            data = tensor.data.astype("<i2").view(np.int8).reshape(*tensor.shape, 2)
            self.builder.tensors[twin] = replace(self.builder.tensors[twin], data=data)
        else:
            self.builder.emit(
                "copy", self.node, inputs=(index,), outputs=(twin,), suffix=f" bytes {index}"
            )
        return twin

    def constant(self, position: int, values: tuple[int, ...]) -> None:
        """Replace an input by other indices."""
        data = np.array(values, np.int32)
        self.inputs[position] = len(self.builder.tensors)
        self.builder.tensors.append(Tensor("indices", data.shape, DType.INT32, None, data))

    def lower(self, rule: Callable[[Builder, Node], None]) -> None:
        """Lower the node over bytes, and view its outputs as int16 again."""
        builder, source = self.builder, self.builder.source
        builder.source = replace(source, tensors=tuple(builder.tensors))
        rule(
            builder,
            replace(
                self.node,
                inputs=tuple(self.inputs),
                outputs=tuple(self.outputs),
                attrs=self.attrs,
            ),
        )
        builder.source = source
        for index, twin in zip(self.node.outputs, self.outputs, strict=True):
            builder.emit(
                "copy", self.node, inputs=(twin,), outputs=(index,), suffix=f" int16 {index}"
            )


def lower_transpose(builder: Builder, node: Node) -> None:
    """TRANSPOSE."""
    rank = len(operand(builder, node, 0).shape)
    perm = indices(node, operand(builder, node, 1))
    view = _Bytes(builder, node)
    view.constant(1, (*(_axis(node, axis, rank) for axis in perm), rank))
    view.lower(layout.lower_transpose)


def lower_concatenation(builder: Builder, node: Node) -> None:
    """CONCATENATION of tensors with one scale."""
    view = _Bytes(builder, node)
    view.attrs["axis"] = _axis(node, attr_int(node, "axis"), len(result(builder, node).shape))
    view.lower(layout.lower_concatenation)


def lower_pack(builder: Builder, node: Node) -> None:
    """PACK."""
    view = _Bytes(builder, node)
    view.attrs["axis"] = _axis(node, attr_int(node, "axis"), len(result(builder, node).shape))
    view.lower(layout.lower_pack)


def lower_unpack(builder: Builder, node: Node) -> None:
    """UNPACK."""
    view = _Bytes(builder, node)
    view.attrs["axis"] = _axis(node, attr_int(node, "axis"), len(operand(builder, node, 0).shape))
    view.lower(layout.lower_unpack)


def lower_pad(builder: Builder, node: Node) -> None:
    """PAD with zeros."""
    widths = indices(node, operand(builder, node, 1))
    view = _Bytes(builder, node)
    view.constant(1, (*widths, 0, 0))
    view.lower(layout.lower_pad)


def lower_mirror_pad(builder: Builder, node: Node) -> None:
    """MIRROR_PAD, modes REFLECT and SYMMETRIC."""
    widths = indices(node, operand(builder, node, 1))
    view = _Bytes(builder, node)
    view.constant(1, (*widths, 0, 0))
    view.lower(remap.lower_mirror_pad)


def lower_tile(builder: Builder, node: Node) -> None:
    """TILE."""
    repeats = indices(node, operand(builder, node, 1))
    view = _Bytes(builder, node)
    view.constant(1, (*repeats, 1))
    view.lower(remap.lower_tile)


def lower_strided_slice(builder: Builder, node: Node) -> None:
    """STRIDED_SLICE without ellipsis and new axes."""
    if len(indices(node, operand(builder, node, 1))) > len(operand(builder, node, 0).shape):
        raise FormatError(f"{where(node)}: more bounds than dimensions")
    _Bytes(builder, node).lower(layout.lower_strided_slice)


def lower_slice(builder: Builder, node: Node) -> None:
    """SLICE: begin and size, -1 for the rest."""
    begin, size = (indices(node, operand(builder, node, i)) for i in (1, 2))
    view = _Bytes(builder, node)
    view.constant(1, (*begin, 0))
    view.constant(2, (*size, 2))
    view.lower(layout.lower_slice)


def lower_split(builder: Builder, node: Node) -> None:
    """SPLIT into equal parts. Its inputs are axis, x."""
    rank = len(operand(builder, node, 1).shape)
    axes = indices(node, operand(builder, node, 0))
    view = _Bytes(builder, node)
    view.constant(0, tuple(_axis(node, axis, rank) for axis in axes))
    view.lower(layout.lower_split)


def lower_split_v(builder: Builder, node: Node) -> None:
    """SPLIT_V into parts of given sizes."""
    rank = len(operand(builder, node, 0).shape)
    axes = indices(node, operand(builder, node, 2))
    view = _Bytes(builder, node)
    view.constant(2, tuple(_axis(node, axis, rank) for axis in axes))
    view.lower(layout.lower_split_v)


def lower_reverse(builder: Builder, node: Node) -> None:
    """REVERSE_V2."""
    rank = len(operand(builder, node, 0).shape)
    axes = indices(node, operand(builder, node, 1))
    view = _Bytes(builder, node)
    view.constant(1, tuple(_axis(node, axis, rank) for axis in axes))
    view.lower(layout.lower_reverse)


def lower_gather(builder: Builder, node: Node) -> None:
    """GATHER by int32 indices."""
    view = _Bytes(builder, node)
    view.attrs["axis"] = _axis(node, attr_int(node, "axis"), len(operand(builder, node, 0).shape))
    view.lower(gather.lower_gather)
