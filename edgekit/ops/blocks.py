"""Operators that rearrange blocks of pixels: each is a transpose between two views."""

from __future__ import annotations

import math

from edgekit.errors import FormatError
from edgekit.graph import Attr, Node, Tensor
from edgekit.ops.base import (
    Builder,
    attr_int,
    expect_shape,
    indices,
    int8_quant,
    operand,
    result,
    unsupported,
    where,
)
from edgekit.ops.logic import expect_same


def _rearrange(builder: Builder, node: Node, split: tuple[int, ...], perm: tuple[int, ...]) -> None:
    """View x as `split`, transpose, and view that as y."""
    y = result(builder, node)
    before = builder.activation(f"{y.name} split", split, y.quant)
    after = builder.activation(f"{y.name} turned", tuple(split[axis] for axis in perm), y.quant)
    builder.emit("copy", node, inputs=node.inputs[:1], outputs=(before,), suffix=" split")
    builder.emit("transpose", node, inputs=(before,), outputs=(after,), attrs={"perm": perm})
    builder.emit("copy", node, inputs=(after,), outputs=node.outputs, suffix=" view")


def _blocks(builder: Builder, node: Node) -> tuple[Tensor, Tensor, int]:
    x, y = operand(builder, node, 0), result(builder, node)
    block = attr_int(node, "block_size")
    expect_same(node, x, y)
    if len(x.shape) != 4 or block < 1:
        raise FormatError(f"{where(node)}: blocks of {block} in {list(x.shape)}")
    return x, y, block


def lower_space_to_depth(builder: Builder, node: Node) -> None:
    """SPACE_TO_DEPTH: a transpose between two views."""
    x, y, block = _blocks(builder, node)
    n, h, w, c = x.shape
    if h % block or w % block:
        raise FormatError(f"{where(node)}: blocks of {block} in {list(x.shape)}")
    expect_shape(node, y, (n, h // block, w // block, c * block * block))
    split = (n, h // block, block, w // block, block, c)
    _rearrange(builder, node, split, (0, 1, 3, 2, 4, 5))


def lower_depth_to_space(builder: Builder, node: Node) -> None:
    """DEPTH_TO_SPACE: a transpose between two views."""
    x, y, block = _blocks(builder, node)
    n, h, w, c = x.shape
    if c % (block * block):
        raise FormatError(f"{where(node)}: blocks of {block} in {list(x.shape)}")
    expect_shape(node, y, (n, h * block, w * block, c // (block * block)))
    split = (n, h, w, block, block, c // (block * block))
    _rearrange(builder, node, split, (0, 1, 3, 2, 4, 5))


def _batch_blocks(
    builder: Builder, node: Node, whole: Tensor
) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Return block sizes and padding, or cropping, of the dimensions behind the first."""
    block = indices(node, operand(builder, node, 1))
    widths = indices(node, operand(builder, node, 2))
    rank = len(whole.shape)
    if rank != len(block) + 2 or rank > 4 or len(widths) != 2 * len(block):
        raise unsupported(node, f"blocks {list(block)} of {list(whole.shape)}")
    if min(block) < 1 or min(widths) < 0:
        raise FormatError(f"{where(node)}: blocks {list(block)}, widths {list(widths)}")
    return block, list(zip(widths[::2], widths[1::2], strict=True))


def lower_space_to_batch(builder: Builder, node: Node) -> None:
    """SPACE_TO_BATCH_ND of one or two dimensions: padding, then a transpose between views."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_same(node, x, y)
    block, pads = _batch_blocks(builder, node, x)
    sizes = [n + sum(pad) for n, pad in zip(x.shape[1:], pads, strict=False)]
    if any(n % b for n, b in zip(sizes, block, strict=True)):
        raise FormatError(f"{where(node)}: blocks {list(block)} of {sizes}")
    inner = [n // b for n, b in zip(sizes, block, strict=True)]
    batch, depth = x.shape[0], x.shape[-1]
    expect_shape(node, y, (batch * math.prod(block), *inner, depth))
    source = node.inputs[0]
    if any(map(any, pads)):
        source = builder.activation(f"{y.name} padded", (batch, *sizes, depth), y.quant)
        before = (0, *(pad[0] for pad in pads), 0)
        attrs: dict[str, Attr] = {"before": before, "value": int8_quant(node, y)[1]}
        inputs = node.inputs[:1]
        builder.emit("pad", node, inputs=inputs, outputs=(source,), attrs=attrs, suffix=" pad")
    split = (batch, *(n for pair in zip(inner, block, strict=True) for n in pair), depth)
    blocks = range(2, 2 + 2 * len(block), 2)
    perm = (*blocks, 0, *(axis - 1 for axis in blocks), len(split) - 1)
    view = Node(node.name, node.op, (source,), node.outputs, node.attrs)
    _rearrange(builder, view, split, perm)


def lower_batch_to_space(builder: Builder, node: Node) -> None:
    """BATCH_TO_SPACE_ND of one or two dimensions: a transpose between views, then a slice."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_same(node, x, y)
    block, crops = _batch_blocks(builder, node, x)
    batch, depth, count = x.shape[0] // math.prod(block), x.shape[-1], len(block)
    sizes = [n * b for n, b in zip(x.shape[1:], block, strict=False)]
    cut = [n - sum(crop) for n, crop in zip(sizes, crops, strict=True)]
    if batch * math.prod(block) != x.shape[0] or min(cut) < 1:
        raise FormatError(f"{where(node)}: blocks {list(block)} of {list(x.shape)}")
    expect_shape(node, y, (batch, *cut, depth))
    split = (*block, batch, *x.shape[1:])
    inner = range(count + 1, 2 * count + 1)
    perm = (count, *(n for pair in zip(inner, range(count), strict=True) for n in pair))
    turned = builder.activation(f"{y.name} split", split, y.quant)
    perm = (*perm, len(split) - 1)
    after = builder.activation(f"{y.name} turned", tuple(split[a] for a in perm), y.quant)
    builder.emit("copy", node, inputs=node.inputs[:1], outputs=(turned,), suffix=" split")
    attrs: dict[str, Attr] = {"perm": perm}
    builder.emit("transpose", node, inputs=(turned,), outputs=(after,), attrs=attrs)
    whole = builder.activation(f"{y.name} whole", (batch, *sizes, depth), y.quant)
    builder.emit("copy", node, inputs=(after,), outputs=(whole,), suffix=" view")
    begin = (0, *(crop[0] for crop in crops), 0)
    cutting: dict[str, Attr] = {"begin": begin, "stride": (1,) * len(begin)}
    builder.emit(
        "strided_slice", node, inputs=(whole,), outputs=node.outputs, attrs=cutting, suffix=" crop"
    )
