"""Strip the types that a file has at its ends only: float32 or uint8 around an int8 model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgekit.graph import DType, Graph, Quant, Tensor
from edgekit.ops.activation import rescale_table
from edgekit.passes.drop import drop_dead_nodes


@dataclass(frozen=True, slots=True)
class Stripped:
    """A graph whose ends are int8 or int32.

    Attributes:
        graph: The graph; an end that cannot be stripped stays.
        table: int8 per raw byte, as the file's QUANTIZE of uint8 has it; empty if the input is
            not uint8.
        notes: What changed for the caller, a sentence each.
    """

    graph: Graph
    table: bytes
    notes: tuple[str, ...]


def strip_borders(graph: Graph) -> Stripped:
    """Let a model take and give the int8 values that it computes with.

    A float32 input is left to the caller to quantize; of a uint8 input the table that does it is
    returned. A float32 output is left to the caller to scale; a uint8 output becomes int8, which
    is 128 less in stored value and zero point.
    """
    graph, table, notes = _strip_input(graph)
    graph, more = _strip_output(graph)
    return Stripped(graph, table, (*notes, *more))


def _real(quant: Quant) -> str:
    return f"{quant.scale:.9g} * (q - {quant.zero_point})"


def _one(quant: Quant | None) -> bool:
    return quant is not None and len(quant.scales) == 1 and quant.scale > 0


def _strip_input(graph: Graph) -> tuple[Graph, bytes, tuple[str, ...]]:
    if len(graph.inputs) != 1 or graph.inputs[0] in graph.outputs:
        return graph, b"", ()
    index = graph.inputs[0]
    tensor = graph.tensor(index)
    readers = [node for node in graph.nodes if index in node.inputs]
    targets = [graph.tensor(node.outputs[0]) for node in readers]
    if tensor.dtype not in (DType.FLOAT32, DType.UINT8) or not readers:
        return graph, b"", ()
    if any(node.op != "QUANTIZE" for node in readers) or any(
        target.dtype is not DType.INT8 or target.quant != targets[0].quant for target in targets
    ):
        return graph, b"", ()
    quant = targets[0].quant
    if quant is None or not _one(quant):
        return graph, b"", ()
    table, note = b"", f"input '{tensor.name}' is float32 in the file: give int8 q = x / "
    note += f"{quant.scale:.9g} + {quant.zero_point}, rounded"
    if tensor.dtype is DType.UINT8:
        if tensor.quant is None or not _one(tensor.quant):
            return graph, b"", ()
        from_real = (tensor.quant.scale, tensor.quant.zero_point - 128)
        ratio = tensor.quant.scale / quant.scale
        table = rescale_table(
            from_real, (quant.scale, quant.zero_point), ratio, -128, 127
        ).tobytes()
        note = f"input '{tensor.name}' is uint8 in the file: raw bytes are uint8, "
        note += "the model takes int8"
    first = readers[0].outputs[0]
    same = {node.outputs[0]: first for node in readers}
    nodes = tuple(
        replace(node, inputs=tuple(same.get(i, i) for i in node.inputs))
        for node in graph.nodes
        if index not in node.inputs
    )
    outputs = tuple(same.get(i, i) for i in graph.outputs)
    return replace(graph, nodes=nodes, inputs=(first,), outputs=outputs), table, (note,)


def _strip_output(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    if len(graph.outputs) != 1:
        return graph, ()
    writers = [node for node in graph.nodes if graph.outputs[0] in node.outputs]
    tensor = graph.tensor(graph.outputs[0])
    if len(writers) != 1 or writers[0].op not in ("DEQUANTIZE", "QUANTIZE"):
        return graph, ()
    source = graph.tensor(writers[0].inputs[0])
    quant = source.quant
    if source.dtype is not DType.INT8 or source.data is not None or quant is None:
        return graph, ()
    if writers[0].inputs[0] in graph.inputs or not _one(quant):
        return graph, ()
    if tensor.dtype is DType.FLOAT32 and writers[0].op == "DEQUANTIZE":
        note = f"output '{tensor.name}' is float32 in the file: it is {_real(quant)} of int8 q"
        return drop_dead_nodes(replace(graph, outputs=writers[0].inputs[:1])), (note,)
    if tensor.dtype is DType.UINT8 and tensor.quant is not None and _one(tensor.quant):
        note = f"output '{tensor.name}' is uint8 in the file: the model gives int8, 128 less"
        fresh = Quant(tensor.quant.scales, (tensor.quant.zero_point - 128,))
        ratio = quant.scale / fresh.scale
        pair = (quant.scale, quant.zero_point), (fresh.scale, fresh.zero_point)
        if np.array_equal(rescale_table(*pair, ratio, -128, 127), np.arange(-128, 128)):
            return drop_dead_nodes(replace(graph, outputs=writers[0].inputs[:1])), (note,)
        tensors = list(graph.tensors)
        tensors[graph.outputs[0]] = Tensor(tensor.name, tensor.shape, DType.INT8, fresh)
        return replace(graph, tensors=tuple(tensors)), (note,)
    return graph, ()


def narrow_types(graph: Graph) -> Graph:
    """Store truth values as int8 of 0 and 1 without scale, and 64-bit indices as int32.

    A constant beyond int32 is cut off at its limits: it stands for "the rest" of a dimension.
    What has a scale, a bias of 64 bits, stays.
    """
    tensors = []
    for tensor in graph.tensors:
        data = tensor.data
        if tensor.dtype is DType.BOOL:
            data = None if data is None else data.astype(np.int8)
            tensor = replace(tensor, dtype=DType.INT8, quant=None, data=data)
        elif tensor.dtype is DType.INT64 and tensor.quant is None:
            limits = np.iinfo(np.int32)
            data = None if data is None else data.clip(limits.min, limits.max).astype(np.int32)
            tensor = replace(tensor, dtype=DType.INT32, quant=None, data=data)
        tensors.append(tensor)
    return replace(graph, tensors=tuple(tensors))
