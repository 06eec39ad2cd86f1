"""Read `.tflite` files of untrusted origin into a Graph."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError, GraphError, UnsupportedError
from edgekit.formats.flatbuffer import Bytes, Table
from edgekit.formats.tflite_schema import (
    ACTIVATIONS,
    BUILTIN_OPERATORS,
    OPTIONS,
    PADDINGS,
    RESOURCE,
    TYPES,
    Option,
)
from edgekit.formats.tflite_variables import ACCESSES, Access, access, first_values, stream
from edgekit.graph import MAX_RANK, Attr, DType, Graph, Node, Quant, Tensor, verify
from edgekit.ops import LOWERINGS

MAX_BYTES = 1 << 30

logger = logging.getLogger(__name__)


def read_tflite(data: bytes, *, name: str) -> Graph:
    """Read a `.tflite` file with one subgraph, and those that begin its variables.

    Args:
        data: The file.
        name: Name of the model, for the graph and for errors.

    Raises:
        FormatError: If the bytes are not a whole and consistent `.tflite` file.
        UnsupportedError: If it needs an operator or type that edgekit does not have.

    Logs a warning where a file is wrong in a way that changes nothing.
    """
    where = f"model '{name}'"
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise FormatError(f"{where}: no .tflite file, its bytes 4 to 7 are {data[4:8]!r}")
    model = Bytes(data, where).root()
    version = model.integer(0, "I", 0)
    if version != 3:
        raise UnsupportedError(f"{where}: schema version {version}, expected 3")
    subgraphs = model.tables(2)
    operators = [_operator_name(where, code) for code in model.tables(1)]
    if not subgraphs or (len(subgraphs) != 1 and "CALL_ONCE" not in operators):
        raise UnsupportedError(f"{where}: {len(subgraphs)} subgraphs, expected 1")
    buffers = model.tables(4)
    tensors, steps = _subgraph(where, subgraphs[0], operators, buffers)
    _require_lowerings(where, tuple(step for step in steps if isinstance(step, Node)))
    first: dict[str, NDArray[Any]] = {}
    for step in steps:
        if isinstance(step, Access) and step.op == "CALL_ONCE":
            if not 0 < step.subgraph < len(subgraphs):
                raise FormatError(f"{where}: subgraph {step.subgraph} of {len(subgraphs)}")
            begun, inner = _subgraph(where, subgraphs[step.subgraph], operators, buffers)
            first.update(first_values(where, inner, begun))
    streamed = stream(where, steps, tensors, first)
    graph = Graph(
        name,
        streamed.tensors,
        streamed.nodes,
        (*subgraphs[0].integers(1, "i"), *streamed.held),
        (*(streamed.same.get(i, i) for i in subgraphs[0].integers(2, "i")), *streamed.coming),
    )
    try:
        return verify(graph)
    except GraphError as exc:
        raise FormatError(str(exc)) from exc


def _subgraph(
    where: str, table: Table, operators: list[str], buffers: list[Table]
) -> tuple[tuple[Tensor, ...], tuple[Access | Node, ...]]:
    tensors = tuple(
        _tensor(where, index, tensor, buffers) for index, tensor in enumerate(table.tables(0))
    )
    steps = tuple(
        _node(where, index, node, operators, tensors) for index, node in enumerate(table.tables(3))
    )
    return tensors, steps


def _require_lowerings(where: str, nodes: tuple[Node, ...]) -> None:
    """Raise UnsupportedError with every node whose operator edgekit does not have."""
    missing = [(node.name, node.op) for node in nodes if node.op not in LOWERINGS]
    if not missing:
        return
    (name, op), *others = missing
    text = f"{where}: node '{name}': operator {op} is not supported"
    more = sorted({other for _, other in others} - {op})
    if others:
        text += f", nor are {len(others)} more nodes"
        text += f" ({', '.join([op] * any(o == op for _, o in others) + more)})"
    raise UnsupportedError(text, node=name, op=op, others=tuple(others))


def _operator_name(where: str, code: Table) -> str:
    """Return the name of an operator code; both fields are read, as old and new files use them."""
    number = max(code.integer(0, "b", 0), code.integer(3, "i", 0))
    if not 0 <= number < len(BUILTIN_OPERATORS):
        raise UnsupportedError(f"{where}: operator code {number} is unknown", op=str(number))
    name = BUILTIN_OPERATORS[number]
    return f"CUSTOM {code.text(1)}" if name == "CUSTOM" else name


def _tensor(where: str, index: int, table: Table, buffers: list[Table]) -> Tensor:
    name = table.text(3)
    here = f"{where}: tensor {index} '{name}'"
    shape = table.integers(0, "i")
    number = table.integer(1, "b", 0)
    if number == RESOURCE:
        return Tensor(name, (), DType.INT32)
    if number not in TYPES:
        raise UnsupportedError(f"{here}: type {number} is not supported")
    if table.table(6) is not None:
        raise UnsupportedError(f"{here}: sparse tensors are not supported")
    variable = bool(table.integer(5, "b", 0))
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"{here}: {len(shape)} dimensions, at most {MAX_RANK} fit")
    dtype = TYPES[number]
    if shape == (0,) and not buffers[table.integer(2, "I", 0) % len(buffers)].raw(0):
        # Stands for nothing: a quantization that an operator keeps beside its tensors.
        shape = (1,)
    if min(shape, default=1) < 1 or math.prod(shape) * dtype.size > MAX_BYTES:
        raise FormatError(f"{here}: shape {list(shape)}")
    buffer = table.integer(2, "I", 0)
    if buffer >= len(buffers):
        raise FormatError(f"{here}: buffer {buffer} of {len(buffers)}")
    if buffers[buffer].integer(1, "Q", 0) > 1:
        raise UnsupportedError(f"{here}: data outside the FlatBuffer is not supported")
    raw = buffers[buffer].raw(0)
    data = None
    if raw:
        if len(raw) != math.prod(shape) * dtype.size:
            raise FormatError(
                f"{here}: {len(raw)} bytes of data, shape {list(shape)} of {dtype.value} "
                f"has {math.prod(shape) * dtype.size}"
            )
        data = np.frombuffer(raw, np.dtype(dtype.value).newbyteorder("<")).reshape(shape)
        data = data.astype(dtype.value)
    return Tensor(name, shape, dtype, _quant(here, table.table(4), shape), data, variable)


def _quant(here: str, table: Table | None, shape: tuple[int, ...]) -> Quant | None:
    if table is None:
        return None
    scales = table.floats(2)
    zeros = table.integers(3, "q")
    if not scales:
        return None
    if len(zeros) == 0:
        zeros = (0,) * len(scales)
    if len(zeros) == 1:
        zeros = zeros * len(scales)
    if len(zeros) != len(scales) or not all(math.isfinite(s) and s >= 0 for s in scales):
        raise FormatError(f"{here}: {len(scales)} scales, {len(zeros)} zero points")
    axis = table.integer(6, "i", 0)
    if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
        raise FormatError(f"{here}: {len(scales)} scales along dimension {axis} of {list(shape)}")
    if not 0 <= axis < max(1, len(shape)):
        # Harmless with one scale; a public person detection model has it.
        logger.warning(
            "%s: scales run along dimension %d of %s; 0 is taken", here, axis, list(shape)
        )
        axis = 0
    return Quant(scales, zeros, axis)


def _node(
    where: str, index: int, table: Table, operators: list[str], tensors: tuple[Tensor, ...]
) -> Access | Node:
    code = table.integer(0, "I", 0)
    if code >= len(operators):
        raise FormatError(f"{where}: node {index} has operator {code} of {len(operators)}")
    op = operators[code]
    inputs, outputs = table.integers(1, "i"), table.integers(2, "i")
    for tensor in (*inputs, *outputs):
        if not -1 <= tensor < len(tensors):
            raise FormatError(f"{where}: node {index} ({op}): tensor {tensor} of {len(tensors)}")
    if op in ACCESSES:
        return access(f"{where}: node {index} ({op})", op, inputs, outputs, table.table(4))
    if not outputs or -1 in outputs:
        raise FormatError(f"{where}: node {index} ({op}) has no output")
    if not inputs or inputs[0] < 0:
        raise FormatError(f"{where}: node {index} ({op}) has no input")
    name = tensors[outputs[0]].name or f"node {index}"
    here = f"{where}: node '{name}' ({op})"
    attrs = _attrs(here, OPTIONS.get(op, ()), table.table(4))
    intermediates = table.integers(8, "i")
    if any(not 0 <= tensor < len(tensors) for tensor in intermediates):
        raise FormatError(f"{here}: intermediates {list(intermediates)} of {len(tensors)}")
    if intermediates:
        attrs["intermediates"] = intermediates
    return Node(name, op, inputs, outputs, attrs)


def _attrs(here: str, options: tuple[Option, ...], table: Table | None) -> dict[str, Attr]:
    attrs: dict[str, Attr] = {}
    for option in options:
        if option.code == "f":
            value = option.default if table is None else table.number(option.index, "f", 0.0)
            attrs[option.name] = float(value)
            continue
        code = "i" if option.code == "i" else "b"
        default = int(option.default)
        number = default if table is None else table.integer(option.index, code, default)
        names = {"padding": PADDINGS, "activation": ACTIVATIONS}.get(option.code)
        if names is not None:
            if not 0 <= number < len(names):
                raise FormatError(f"{here}: {option.name} is {number}")
            attrs[option.name] = names[number]
        else:
            attrs[option.name] = bool(number) if option.code == "bool" else number
    return attrs
