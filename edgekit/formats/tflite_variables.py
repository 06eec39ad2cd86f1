"""Variables of `.tflite` files: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE, CALL_ONCE.

A variable becomes one more input of the graph, with the value that it has before the first
inference, and one more output: what it becomes. Reading and writing then only name tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError, UnsupportedError
from edgekit.formats.flatbuffer import Table
from edgekit.graph import Node, Tensor

MAX_VARIABLES = 64
ACCESSES = {
    "VAR_HANDLE": (0, 1),
    "READ_VARIABLE": (1, 1),
    "ASSIGN_VARIABLE": (2, 0),
    "CALL_ONCE": (0, 0),
}
"""Operators on variables, with the numbers of their inputs and outputs."""


@dataclass(frozen=True, slots=True)
class Access:
    """One operator on a variable.

    Attributes:
        op: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE or CALL_ONCE.
        inputs: Tensor ids.
        outputs: Tensor ids.
        variable: Name of the variable, of VAR_HANDLE.
        subgraph: That begins variables, of CALL_ONCE.
    """

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    variable: str = ""
    subgraph: int = 0


@dataclass(frozen=True, slots=True)
class Streamed:
    """A subgraph whose variables are inputs and outputs.

    Attributes:
        tensors: With the first value of each variable.
        nodes: Without those on variables.
        held: The variables, as tensor ids.
        coming: What they become.
        same: Tensors that stand for others.
    """

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    held: tuple[int, ...]
    coming: tuple[int, ...]
    same: Mapping[int, int]


def access(
    where: str, op: str, inputs: tuple[int, ...], outputs: tuple[int, ...], options: Table | None
) -> Access:
    """Read an operator on variables.

    Raises:
        FormatError: If it has other inputs or outputs than it should.
    """
    if (len(inputs), len(outputs)) != ACCESSES[op] or min((*inputs, *outputs), default=0) < 0:
        raise FormatError(f"{where}: {len(inputs)} inputs, {len(outputs)} outputs")
    if options is None:
        return Access(op, inputs, outputs)
    if op == "VAR_HANDLE":
        return Access(op, inputs, outputs, options.text(1))
    return Access(op, inputs, outputs, "", options.integer(0, "i", 0) if op == "CALL_ONCE" else 0)


def first_values(
    where: str, accesses: Sequence[Access | Node], tensors: Sequence[Tensor]
) -> dict[str, NDArray[Any]]:
    """Return what the subgraph of CALL_ONCE assigns.

    Raises:
        UnsupportedError: If it does anything else than assign constants.
    """
    names: dict[int, str] = {}
    values: dict[str, NDArray[Any]] = {}
    for step in accesses:
        if isinstance(step, Access) and step.op == "VAR_HANDLE":
            names[step.outputs[0]] = step.variable
            continue
        data = None
        if isinstance(step, Access) and step.op == "ASSIGN_VARIABLE":
            data = tensors[step.inputs[1]].data
        if data is None:
            raise UnsupportedError(f"{where}: variables begin with more than constants")
        values[_name(where, names, step.inputs[0])] = data
    return values


def _name(where: str, names: Mapping[int, str], handle: int) -> str:
    if handle not in names:
        raise FormatError(f"{where}: tensor {handle} is no variable")
    return names[handle]


def stream(
    where: str,
    steps: Sequence[Access | Node],
    tensors: Sequence[Tensor],
    first: Mapping[str, NDArray[Any]],
) -> Streamed:
    """Turn accesses to variables into tensors.

    Raises:
        FormatError: If a handle is no variable, or a value does not fit its variable.
        UnsupportedError: If a variable is never read before it is written, or becomes a constant.
    """
    tensors = list(tensors)
    names: dict[int, str] = {}
    held: dict[str, int] = {}
    current: dict[str, int] = {}
    same: dict[int, int] = {}
    nodes: list[Node] = []
    for step in steps:
        if isinstance(step, Node):
            inputs = tuple(same.get(index, index) for index in step.inputs)
            nodes.append(replace(step, inputs=inputs))
            continue
        if step.op == "CALL_ONCE":
            continue
        if step.op == "VAR_HANDLE":
            names[step.outputs[0]] = step.variable
            continue
        name = _name(where, names, step.inputs[0])
        if step.op == "ASSIGN_VARIABLE":
            current[name] = same.get(step.inputs[1], step.inputs[1])
        elif name in current:
            same[step.outputs[0]] = current[name]
        else:
            index = step.outputs[0]
            tensors[index] = _begun(where, name, tensors[index], first.get(name))
            held[name] = current[name] = index
    coming = {}
    for name, index in held.items():
        before, after = tensors[index], tensors[current[name]]
        if after.data is not None:
            raise UnsupportedError(f"{where}: variable '{name}' becomes a constant")
        if (before.shape, before.dtype, before.quant) != (after.shape, after.dtype, after.quant):
            raise FormatError(f"{where}: variable '{name}' is written as something else")
        coming[name] = current[name]
    unread = sorted(set(current) - set(held))
    if unread:
        raise UnsupportedError(f"{where}: variable '{unread[0]}' is not read before it is written")
    if len(held) > MAX_VARIABLES:
        raise UnsupportedError(f"{where}: {len(held)} variables, at most {MAX_VARIABLES} fit")
    return Streamed(
        tuple(tensors), tuple(nodes), tuple(held.values()), tuple(coming.values()), same
    )


def _begun(where: str, name: str, tensor: Tensor, value: NDArray[Any] | None) -> Tensor:
    if value is None:
        zero = 0 if tensor.quant is None else tensor.quant.zero_point
        value = np.full(tensor.shape, zero, tensor.dtype.value)
    if value.shape != tensor.shape or value.dtype != np.dtype(tensor.dtype.value):
        raise FormatError(
            f"{where}: variable '{name}' begins as {value.dtype}{list(value.shape)}, is read as "
            f"{tensor.dtype.value}{list(tensor.shape)}"
        )
    return replace(tensor, initial=value)
