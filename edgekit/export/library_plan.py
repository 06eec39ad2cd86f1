"""The tables of a C library that stand for the plan and ops sections: as narrow as they can be.

Bytes of the sections: firmware/runtime/CONTAINER.md. The tables are read by
`templates/library/ek_resolve.c`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from edgekit.formats import container as c
from edgekit.graph import Graph, Node

_DSP_TILE_ROWS = 4  # Twin: firmware/kernels/ek_tile_dsp.h, EK_TILE_ROWS
_DSP_CLEAN = 3  # Twin: firmware/kernels/ek_tile_dsp.h, EK_FORM_CLEAN_DOUBLE


def plan_tables(ops: bytes, plan: bytes) -> dict[str, str]:
    """Return types and rows of the tables, by their name in the templates.

    Args:
        ops: The ops section of an image that was proven.
        plan: Its plan section.
    """
    node_count, word_count = struct.unpack_from("<II", ops)
    _, tensor_count, side_count = struct.unpack_from("<III", plan)
    words_at = c.OPS_HEADER_BYTES + c.NODE_BYTES * node_count
    words = struct.unpack_from(f"<{word_count}I", ops, words_at)
    sides_at = c.PLAN_HEADER_BYTES + c.TENSOR_BYTES * tensor_count
    sides = struct.unpack_from(f"<{side_count}I", plan, sides_at)

    tensors = []
    for number in range(tensor_count):
        at = c.PLAN_HEADER_BYTES + c.TENSOR_BYTES * number
        kind, rank, place, zero_point = struct.unpack_from("<BBBb", plan, at)
        offset, first = struct.unpack_from("<II", plan, at + 8)
        shape = rank | kind << 3 | (128 if place == c.Kind.WEIGHTS else 0)
        tensors.append(f"{{{offset}u, {first}u, {zero_point}, {shape}u}},")

    ids: list[int] = []
    params: list[int] = []
    known: dict[tuple[int, ...], int] = {}
    nodes = []
    for number in range(node_count):
        at = c.OPS_HEADER_BYTES + c.NODE_BYTES * number
        op, inputs, outputs, first, count, scratch = struct.unpack_from("<HBBIII", ops, at)
        middle = first + inputs + outputs
        row = words[middle : middle + count]
        if row not in known:
            known[row] = len(params)
            params += row
        cells = f"{scratch}u, {len(ids)}u, {known[row]}u, {count}u, {op}u, {inputs}u, {outputs}u"
        nodes.append(f"{{{cells}}},")
        ids += words[first:middle]

    data = struct.pack(f"<{len(params)}I", *params) or bytes(4)
    return {
        "side_type": _type(max(sides, default=0)),
        "id_type": _type(tensor_count, byte=True),
        "index_type": _type(max(len(ids), len(params), len(sides))),
        "plan_tensors": _lines(tensors),
        "plan_nodes": _lines(nodes),
        "plan_sides": _lines([f"{side}u," for side in sides or (1,)]),
        "plan_ids": _lines([f"{index}u," for index in ids]),
        "plan_params": _lines([f"0x{byte:02x}," for byte in data]),
    }


def narrowed(graph: Graph) -> dict[str, int]:
    """Return macros that leave out what no node of a graph needs; without them all is there."""
    found: dict[str, int] = {}
    for macro, ops, needs in _PARTS:
        nodes = [node for node in graph.nodes if node.op in ops]
        if nodes and not any(needs(graph, node) for node in nodes):
            found[macro] = 0
    return found


def _has_rows(graph: Graph, node: Node) -> bool:
    terms = node.attrs["terms"]
    assert isinstance(terms, int)
    return graph.tensor(node.inputs[0]).elements >= _DSP_TILE_ROWS * terms


def _is_clean(graph: Graph, node: Node) -> bool:
    form = node.attrs["form"]
    assert isinstance(form, int)
    return form >= _DSP_CLEAN


_PARTS: tuple[tuple[str, Sequence[str], Callable[[Graph, Node], bool]], ...] = (
    ("EK_DENSE_DSP_ROWS", ("fully_connected_dsp",), _has_rows),
    ("EK_DSP_CLEAN", ("conv_2d_dsp", "fully_connected_dsp"), _is_clean),
)
"""Macro of a part of the kernels, kernels that have it, and which nodes need it."""


def _type(largest: int, *, byte: bool = False) -> str:
    if byte and largest <= 0x100:
        return "uint8_t"
    return "uint16_t" if largest < 0x10000 else "uint32_t"


def _lines(cells: Sequence[str]) -> str:
    """Break cells into lines of at most 100 characters."""
    lines = [""]
    for cell in cells:
        if len(lines[-1]) + len(cell) > 95:
            lines.append("")
        lines[-1] += f" {cell}" if lines[-1] else cell
    return "\n".join(f"    {line}" for line in lines)
