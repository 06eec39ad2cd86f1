"""Graph: the one representation of a model, from the reader to the device.

A graph is frozen; a pass is a function `Graph -> Graph`, and `verify` runs after each. Two
vocabularies of operators use it: the source operators of `.tflite` (upper case, `CONV_2D`) and the
kernels that the C runtime executes (lower case, `conv_2d`). `edgekit.ops` lowers the first to
the second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import GraphError

Attr = int | float | bool | str | tuple[int, ...]

MAX_RANK = 6


class DType(Enum):
    """Element type of a tensor; the value is NumPy's name of it."""

    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    BOOL = "bool"

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return int(np.dtype(self.value).itemsize)


@dataclass(frozen=True, slots=True)
class Quant:
    """Affine quantization: real = scale * (stored - zero point).

    Attributes:
        scales: One scale, or one per index of `axis`.
        zero_points: As many as scales.
        axis: The dimension that the scales run along; meaningless with one scale.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def scale(self) -> float:
        """The first scale: the scale, where there is one."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        """The first zero point: the zero point, where there is one."""
        return self.zero_points[0]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph; a constant if `data` is there.

    Attributes:
        name: For reports, unique by custom only.
        shape: Dimensions, all at least 1.
        dtype: Element type.
        quant: Quantization, or None.
        data: Elements of a constant, of this shape and type.
        variable: True if it holds a value before the first node.
        initial: What it holds before the first inference, if it is kept from one to the next.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType = DType.INT8
    quant: Quant | None = None
    data: NDArray[Any] | None = field(default=None, compare=False)
    variable: bool = False
    initial: NDArray[Any] | None = field(default=None, compare=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.size


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        name: For reports and errors.
        op: Operator or kernel name.
        inputs: Tensor ids; -1 marks an optional input that is absent.
        outputs: Tensor ids.
        attrs: Parameters, by name.
    """

    name: str
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A model: tensors, and nodes in the order of execution.

    Attributes:
        name: Of the model.
        tensors: By id.
        nodes: In the order of execution.
        inputs: Ids of the inputs; from the second on variables, which have an `initial`.
        outputs: Ids of the outputs; from the second on what the variables become, in their order.
    """

    name: str
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def tensor(self, index: int) -> Tensor:
        """Return a tensor by id.

        Raises:
            GraphError: If the id is -1 or out of range.
        """
        if not 0 <= index < len(self.tensors):
            raise GraphError(f"graph '{self.name}': tensor {index} of {len(self.tensors)}")
        return self.tensors[index]


def verify(graph: Graph) -> Graph:
    """Check the rules of a graph and return it.

    Ids are in range, every tensor is written once and before it is read, constants and inputs are
    not written, data has the shape and type that its tensor states, quantization has as many
    scales as it needs.

    Raises:
        GraphError: If a rule is broken; the text names the node or tensor.
    """
    where = f"graph '{graph.name}'"
    count = len(graph.tensors)
    for index, tensor in enumerate(graph.tensors):
        _verify_tensor(where, index, tensor)
    for index in (*graph.inputs, *graph.outputs):
        if not 0 <= index < count:
            raise GraphError(f"{where}: input or output is tensor {index} of {count}")
    known = {
        i for i, tensor in enumerate(graph.tensors) if tensor.data is not None or tensor.variable
    }
    for index in graph.inputs:
        if index in known:
            constant = graph.tensors[index].data is not None
            how = "a constant" if constant else "an input twice"
            raise GraphError(f"{where}: input '{graph.tensors[index].name}' is {how}")
        known.add(index)
    for node in graph.nodes:
        here = f"{where}: node '{node.name}' ({node.op})"
        if not node.outputs:
            raise GraphError(f"{here} has no output")
        for index in node.inputs:
            if index == -1:
                continue
            if not 0 <= index < count:
                raise GraphError(f"{here} reads tensor {index} of {count}")
            if index not in known:
                raise GraphError(f"{here} reads '{graph.tensors[index].name}' before it is written")
        for index in node.outputs:
            if not 0 <= index < count:
                raise GraphError(f"{here} writes tensor {index} of {count}")
            if index in known:
                raise GraphError(f"{here} writes '{graph.tensors[index].name}' again")
            known.add(index)
    for index in graph.outputs:
        if index not in known:
            raise GraphError(f"{where}: output '{graph.tensors[index].name}' is never written")
    return graph


def _verify_tensor(where: str, index: int, tensor: Tensor) -> None:
    here = f"{where}: tensor {index} '{tensor.name}'"
    if len(tensor.shape) > MAX_RANK:
        raise GraphError(f"{here} has {len(tensor.shape)} dimensions, at most {MAX_RANK} fit")
    if any(dim < 1 for dim in tensor.shape):
        raise GraphError(f"{here} has shape {tensor.shape}")
    if tensor.data is not None and (
        tensor.data.shape != tensor.shape or tensor.data.dtype != np.dtype(tensor.dtype.value)
    ):
        raise GraphError(
            f"{here} states {tensor.dtype.value}{list(tensor.shape)}, "
            f"its data is {tensor.data.dtype}{list(tensor.data.shape)}"
        )
    quant = tensor.quant
    if quant is None:
        return
    if not quant.scales or len(quant.scales) != len(quant.zero_points):
        raise GraphError(f"{here} has {len(quant.scales)} scales, {len(quant.zero_points)} zeros")
    if len(quant.scales) > 1 and (
        not 0 <= quant.axis < len(tensor.shape) or tensor.shape[quant.axis] != len(quant.scales)
    ):
        raise GraphError(f"{here} has {len(quant.scales)} scales along dimension {quant.axis}")
    if any(not math.isfinite(scale) or scale < 0 for scale in quant.scales):
        raise GraphError(f"{here} has a scale that is not finite or negative")
