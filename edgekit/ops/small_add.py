"""ADD for small cores: what a value adds to the sum is looked up in a table made while running."""

from __future__ import annotations

from edgekit.graph import Graph, Node
from edgekit.ops.base import Builder, Kernel, Packing, attr_int, check_dense, require
from edgekit.ops.elementwise import ADD, LEFT_SHIFT
from edgekit.ops.fixed import Rounding, multiply
from edgekit.ops.small import REACH

LEAST = 512
"""With fewer elements the tables cost about as much as they save."""

SCRATCH = 4 * (2 * 256 + 64)
"""Twin: firmware/kernels/ek_add_small_s8.c."""


def _reach(builder: Builder, node: Node, position: int, name: str) -> int:
    """Return the largest that an input may add to a sum."""
    quant = builder.source.tensor(node.inputs[position]).quant
    assert quant is not None
    scale = attr_int(node, f"{name}_multiplier"), attr_int(node, f"{name}_shift")
    ends = ((value - quant.zero_point) << LEFT_SHIFT for value in (-128, 127))
    return max(abs(multiply(end, *scale, Rounding.DOUBLE)) for end in ends)


def _pack(builder: Builder, node: Node) -> bool:
    elements = {builder.source.tensor(index).elements for index in (*node.inputs, *node.outputs)}
    reach = _reach(builder, node, 0, "a") + _reach(builder, node, 1, "b")
    shifts_right = node.attrs["y_multiplier"] == 0 or attr_int(node, "y_shift") < 0
    if len(elements) > 1 or min(elements) < LEAST or reach >= REACH or not shifts_right:
        return False
    builder.emit("add_small", node, inputs=node.inputs, outputs=node.outputs, attrs=node.attrs)
    return True


def _unpack(builder: Builder, node: Node) -> None:
    builder.emit("add", node, inputs=node.inputs, outputs=node.outputs, attrs=node.attrs)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    elements = {graph.tensor(index).elements for index in (*node.inputs, *node.outputs)}
    require(len(elements) == 1, node, "numbers of elements differ")


ADD_SMALL = Kernel(
    "add_small",
    51,
    ADD.params,
    _check,
    scratch=lambda graph, node: SCRATCH,
    lead=lambda graph, node: 0,
    in_place=True,
    family="small",
    packs="add",
)

PACKING = Packing(ADD_SMALL, _pack, _unpack)
