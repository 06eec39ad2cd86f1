"""Lower source operators to kernels, and remove what does nothing."""

from __future__ import annotations

from dataclasses import replace

from edgekit.errors import FormatError, UnsupportedError
from edgekit.graph import DType, Graph, Node, verify
from edgekit.ops import FUSED, LOWERINGS, kernel
from edgekit.ops.base import Builder, Source
from edgekit.ops.fixed import Rounding
from edgekit.ops.logic import is_plain
from edgekit.ops.wide_rules import WIDE_LOWERINGS
from edgekit.passes.borders import narrow_types, strip_borders
from edgekit.passes.drop import drop_unused
from edgekit.passes.fold import fold_constants
from edgekit.passes.islands import fold_islands

# Kernels that look at the number of elements only.
_SHAPELESS = ("fully_connected", "copy", "lut")


def lower(graph: Graph, *, rounding: Rounding = Rounding.SINGLE) -> Graph:
    """Turn a graph of source operators into one of kernels, with all parameters computed.

    Args:
        graph: As read from a file; what `strip_borders` leaves has one input of int8, int16 or
            int32, one output of int8, int16 or of indices.
        rounding: Of dense layers; SINGLE equals LiteRT, DOUBLE equals TFLM.

    Raises:
        UnsupportedError: If an operator, type or shape has no kernel.
        FormatError: If the file contradicts itself.
    """
    graph = narrow_types(fold_islands(strip_borders(graph).graph))
    for kind, ids in (("input", graph.inputs), ("output", graph.outputs)):
        # Behind the first stand variables.
        count = sum(graph.tensor(index).initial is None for index in graph.inputs)
        count = count if kind == "input" else len(ids) - len(graph.inputs) + count
        if count != 1:
            raise UnsupportedError(f"model '{graph.name}': {count} {kind}s, expected 1")
        tensor = graph.tensor(ids[0])
        if tensor.dtype is DType.INT32 or (kind == "output" and is_plain(tensor)):
            continue
        if tensor.dtype not in (DType.INT8, DType.INT16):
            raise UnsupportedError(
                f"model '{graph.name}': {kind} '{tensor.name}' is {tensor.dtype.value}, "
                "expected int8, int16 or int32; convert with int8 input and output types"
            )
        if tensor.quant is None or len(tensor.quant.scales) != 1:
            raise FormatError(f"model '{graph.name}': {kind} '{tensor.name}' has no scale")
    builder = Builder(graph, rounding, list(graph.tensors))
    for node in graph.nodes:
        if kernel(node.op) is not None:
            builder.nodes.append(node)
            continue
        first = len(builder.nodes)
        _rule(builder, node).lower(builder, node)
        fold_constants(builder, first)
    lowered = Graph(
        graph.name, tuple(builder.tensors), tuple(builder.nodes), graph.inputs, graph.outputs
    )
    return verify_kernels(fold_copies(lowered))


def _rule(builder: Builder, node: Node) -> Source:
    """Return how a node is lowered: by its first input and output, int16 has rules of its own."""
    ends = [builder.source.tensor(i) for i in (*node.inputs[:1], *node.outputs[:1]) if i >= 0]
    variables = [i for i in node.inputs if i >= 0 and builder.source.tensor(i).variable]
    if variables and node.op != "UNIDIRECTIONAL_SEQUENCE_LSTM":
        name = builder.source.tensor(variables[0]).name
        raise UnsupportedError(
            f"node '{node.name}' ({node.op}): '{name}' is a variable, which is not supported",
            node=node.name,
            op=node.op,
        )
    wide = any(tensor.dtype is DType.INT16 for tensor in ends)
    source = (WIDE_LOWERINGS if wide else LOWERINGS | FUSED).get(node.op)
    if source is None:
        beside = " with int16" if wide else ""
        raise UnsupportedError(
            f"node '{node.name}': operator {node.op} is not supported{beside}",
            node=node.name,
            op=node.op,
        )
    return source


def verify_kernels(graph: Graph) -> Graph:
    """Check a graph of kernels: its own rules, and that the shapes of each node fit its kernel.

    Raises:
        GraphError: If a rule is broken.
        FormatError: If an operator is not a kernel.
    """
    verify(graph)
    for node in graph.nodes:
        found = kernel(node.op)
        if found is None:
            raise FormatError(f"node '{node.name}': '{node.op}' is not a kernel")
        found.check(graph, node)
    return graph


def fold_copies(graph: Graph) -> Graph:
    """Remove copies that no reader needs, then nodes and tensors that nobody reads."""
    redirect: dict[int, int] = {}
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for index in node.inputs:
            readers.setdefault(index, []).append(node)
    nodes = []
    for node in graph.nodes:
        inputs = tuple(redirect.get(index, index) for index in node.inputs)
        node = replace(node, inputs=inputs)
        if node.op == "copy" and node.outputs[0] not in graph.outputs:
            source, target = graph.tensor(inputs[0]), graph.tensor(node.outputs[0])
            like = source.dtype is target.dtype
            same = like and source.shape == target.shape
            free = all(
                reader.op in (_SHAPELESS if like else ("copy",))
                and reader.inputs.index(node.outputs[0]) == 0
                for reader in readers.get(node.outputs[0], ())
            )
            if source.data is None and (same or free):
                redirect[node.outputs[0]] = inputs[0]
                continue
        nodes.append(node)
    return drop_unused(replace(graph, nodes=tuple(nodes)))
