"""Lay out constants anew for a family of cores, and back: one node for one node, always exact."""

from __future__ import annotations

from edgekit.errors import ConfigError, GraphError
from edgekit.graph import Graph
from edgekit.ops import FAMILIES, PACKINGS
from edgekit.ops.base import Builder, Packing
from edgekit.ops.fixed import Rounding
from edgekit.passes.drop import drop_unused
from edgekit.passes.lower import verify_kernels


def pack(graph: Graph, family: str) -> Graph:
    """Give every node the packed form that suits a family best; the others stay as they are.

    Nodes keep their number and order.

    Raises:
        ConfigError: If there is no such family.
    """
    if family not in FAMILIES:
        raise ConfigError(f"no kernel family '{family}'; there are {', '.join(FAMILIES)}")
    choices: dict[str, list[Packing]] = {}
    for wanted in FAMILIES[family]:
        for packing in PACKINGS:
            if packing.kernel.family == wanted:
                choices.setdefault(packing.kernel.packs, []).append(packing)
    if not choices:
        return graph
    builder = _builder(graph)
    for node in graph.nodes:
        before = len(builder.nodes)
        done = any(packing.pack(builder, node) for packing in choices.get(node.op, ()))
        if not done:
            builder.nodes.append(node)
        if len(builder.nodes) != before + 1:
            raise GraphError(f"node '{node.name}': packing made more or less than one node")
    return _finished(graph, builder)


def unpack(graph: Graph) -> Graph:
    """Undo `pack`: every node becomes a kernel that all cores have."""
    forms = {packing.kernel.name: packing for packing in PACKINGS}
    if not any(node.op in forms for node in graph.nodes):
        return graph
    builder = _builder(graph)
    for node in graph.nodes:
        before = len(builder.nodes)
        if node.op in forms:
            forms[node.op].unpack(builder, node)
        else:
            builder.nodes.append(node)
        if len(builder.nodes) != before + 1:
            raise GraphError(f"node '{node.name}': unpacking made more or less than one node")
    return _finished(graph, builder)


def _builder(graph: Graph) -> Builder:
    return Builder(graph, Rounding.SINGLE, list(graph.tensors))


def _finished(graph: Graph, builder: Builder) -> Graph:
    whole = Graph(
        graph.name, tuple(builder.tensors), tuple(builder.nodes), graph.inputs, graph.outputs
    )
    return verify_kernels(drop_unused(whole))
