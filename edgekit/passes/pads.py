"""Fold padding into the kernels that pad by themselves, and padding of padding into one."""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Attr, DType, Graph, Node
from edgekit.ops.base import attr_int
from edgekit.passes.drop import drop_unused
from edgekit.passes.ranges import zero_point
from edgekit.passes.uses import Uses

MAX_PAD = 65536


def fold_pads(graph: Graph) -> Graph:
    """Let convolutions and maximum pools pad what a node in front of them pads.

    A convolution fills with the zero point. A maximum pool leaves out what lies outside, which is
    the same as filling with -128 if every window has something inside.
    """
    uses = Uses(graph)
    changed: dict[int, Node] = {}
    for node in graph.nodes:
        if node.op != "pad":
            continue
        target = node.outputs[0]
        readers = uses.readers(target)
        if uses.is_output(target) or not readers or len(graph.tensor(target).shape) != 4:
            continue
        if all(_fits(graph, node, reader) for reader in readers):
            for reader in readers:
                changed[id(reader)] = _joined(node, reader)
        elif len(readers) == 1 and readers[0].op == "pad":
            outer = readers[0]
            if node.attrs["value"] == outer.attrs["value"] and id(node) not in changed:
                changed[id(outer)] = replace(
                    outer,
                    inputs=node.inputs,
                    attrs={**outer.attrs, "before": _sums(node, outer)},
                )
    if not changed:
        return graph
    nodes = tuple(changed.get(id(node), node) for node in graph.nodes)
    return drop_unused(replace(graph, nodes=nodes))


def _before(node: Node) -> tuple[int, ...]:
    before = node.attrs["before"]
    assert isinstance(before, tuple)
    return before


def _sums(inner: Node, outer: Node) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(_before(inner), _before(outer), strict=False))


def _fits(graph: Graph, pad: Node, reader: Node) -> bool:
    """Return whether a reader of padding can do it itself."""
    x, y = graph.tensor(pad.inputs[0]), graph.tensor(pad.outputs[0])
    if (x.shape[0], x.shape[3]) != (y.shape[0], y.shape[3]):
        return False
    if reader.op not in ("conv_2d", "depthwise_conv_2d", "max_pool_2d"):
        return False
    if pad.outputs[0] in reader.inputs[1:]:
        return False
    pads = (attr_int(reader, "pad_top") + _before(pad)[1], attr_int(reader, "pad_left"))
    if max(pads[0], pads[1] + _before(pad)[2]) > MAX_PAD:
        return False
    if reader.op == "max_pool_2d":
        least = x.dtype is DType.INT8 and pad.attrs["value"] == -128
        return least and _has_inside(graph, pad, reader)
    return pad.attrs["value"] == zero_point(x)


def _has_inside(graph: Graph, pad: Node, pool: Node) -> bool:
    """Return whether every window of a pool covers something of the padding's input."""
    x, y = graph.tensor(pad.inputs[0]), graph.tensor(pool.outputs[0])
    for d, which in enumerate(("h", "w"), start=1):
        begin = _before(pad)[d] + attr_int(pool, "pad_top" if d == 1 else "pad_left")
        stride, size = attr_int(pool, f"stride_{which}"), attr_int(pool, f"filter_{which}")
        last = (y.shape[d] - 1) * stride - begin
        if size - begin <= 0 or last >= x.shape[d]:
            return False
    return True


def _joined(pad: Node, reader: Node) -> Node:
    attrs: dict[str, Attr] = dict(reader.attrs)
    attrs["pad_top"] = attr_int(reader, "pad_top") + _before(pad)[1]
    attrs["pad_left"] = attr_int(reader, "pad_left") + _before(pad)[2]
    return replace(reader, inputs=(pad.inputs[0], *reader.inputs[1:]), attrs=attrs)
