"""What an operator of the C runtime is, and how source operators become such."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError, GraphError, UnsupportedError
from edgekit.graph import MAX_RANK, Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops.fixed import Rounding

MAX_SIDE = 65536


@dataclass(frozen=True, slots=True)
class Kernel:
    """An operator that the C runtime executes: everything that defines it on the host side.

    Attributes:
        name: Name of the operator; with activations of 16 bits it ends in _s16.
        number: Id in the container.
        revision: Raised when the meaning of its parameters changes.
        params: Names of its int32 parameters in the order of the container; (name, n): n of them.
        in_place: True if an output may begin where an input does that is no smaller.
        lead: Bytes by which output 0 must begin before input 0 so that the two may overlap; None:
            they may not. A kernel that reads its input in rising order and writes behind has one.
        family: Which cores' firmware has it, "" for all; `edgekit.passes.pack` puts it in.
        packs: The kernel of all cores that it is a packed form of.
        check: Raises GraphError unless the shapes of a node fit.
        macs: Multiply-accumulates of a node.
        scratch: Bytes of scratch that a node needs.
        views: For each input, how many bytes behind the begin of output 0 it may lie so that
            nothing has to move; None: nowhere. A slice's input begins before: negative.

    Twin: firmware/include/ek_ops.def and the `_check` function of each kernel.
    """

    name: str
    number: int
    params: tuple[str | tuple[str, int], ...]
    check: Callable[[Graph, Node], None]
    macs: Callable[[Graph, Node], int] = lambda graph, node: 0
    scratch: Callable[[Graph, Node], int] = lambda graph, node: 0
    in_place: bool = False
    revision: int = 1
    lead: Callable[[Graph, Node], int | None] = lambda graph, node: None
    family: str = ""
    packs: str = ""
    views: Callable[[Graph, Node], tuple[int | None, ...]] = lambda graph, node: ()

    @property
    def stem(self) -> str:
        """Name of the C function; its file in `firmware/kernels` has it too."""
        return f"ek_{self.name}" if self.name.endswith("_s16") else f"ek_{self.name}_s8"

    def pack(self, attrs: Mapping[str, Attr]) -> tuple[int, ...]:
        """Return the parameters in the order of the container."""
        words: list[int] = []
        for param in self.params:
            if isinstance(param, str):
                words.append(_int(attrs[param]))
            else:
                values = attrs[param[0]]
                if not isinstance(values, tuple) or len(values) > param[1]:
                    raise GraphError(f"{self.name}: parameter '{param[0]}' is {values!r}")
                words.extend(values)
                words.extend([0] * (param[1] - len(values)))
        return tuple(words)

    def unpack(self, words: Sequence[int]) -> dict[str, Attr]:
        """Return the parameters by name; the reverse of `pack`, but tuples keep their full length.

        Raises:
            FormatError: If the number of words is not right.
        """
        attrs: dict[str, Attr] = {}
        position = 0
        for param in self.params:
            if isinstance(param, str):
                if position < len(words):
                    attrs[param] = words[position]
                position += 1
            else:
                attrs[param[0]] = tuple(words[position : position + param[1]])
                position += param[1]
        if position != len(words):
            raise FormatError(f"{self.name} has {len(words)} parameters, expected {position}")
        return attrs


@dataclass(slots=True)
class Builder:
    """The graph that a lowering writes into.

    Attributes:
        source: The graph that is lowered; its tensor ids stay valid.
        rounding: Rounding of dense layers.
        shared: Constants by content, so that equal tables are stored once.
    """

    source: Graph
    rounding: Rounding
    tensors: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    shared: dict[tuple[str, tuple[int, ...], bytes], int] = field(default_factory=dict)

    def constant(self, name: str, data: NDArray[Any], quant: Quant | None = None) -> int:
        """Add a constant of int8, int16 or int32, or return the id of an equal one."""
        key = (f"{data.dtype} {quant}", data.shape, data.tobytes())
        if key not in self.shared:
            self.shared[key] = len(self.tensors)
            self.tensors.append(
                Tensor(name, tuple(data.shape), DType(str(data.dtype)), quant, data)
            )
        return self.shared[key]

    def activation(
        self, name: str, shape: tuple[int, ...], quant: Quant | None, dtype: DType = DType.INT8
    ) -> int:
        """Add a tensor that a node will write."""
        self.tensors.append(Tensor(name, shape, dtype, quant))
        return len(self.tensors) - 1

    def emit(
        self,
        op: str,
        node: Node,
        *,
        inputs: Sequence[int],
        outputs: Sequence[int],
        attrs: Mapping[str, Attr] | None = None,
        suffix: str = "",
    ) -> None:
        """Add a kernel that does (a part of) what `node` did."""
        self.nodes.append(
            Node(node.name + suffix, op, tuple(inputs), tuple(outputs), dict(attrs or {}))
        )


@dataclass(frozen=True, slots=True)
class Packing:
    """How a kernel's constants are laid out anew for one family of cores, and back.

    Attributes:
        kernel: The packed form; its `packs` is what it is made from, its `family` for whom.
        pack: Emits exactly one node of the packed kernel, or returns False where it would not be
            exact or not pay.
        unpack: Emits exactly one node of the kernel that was packed, with equal constants.
    """

    kernel: Kernel
    pack: Callable[[Builder, Node], bool]
    unpack: Callable[[Builder, Node], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A source operator of `.tflite`.

    Attributes:
        lower: Emits kernels that do what a node does.
        kernels: Names of the kernels that it may emit.
        limits: What it does not do, for the documentation.
    """

    lower: Callable[[Builder, Node], None]
    kernels: tuple[str, ...]
    limits: str = ""


def where(node: Node) -> str:
    """Return how errors name a node."""
    return f"node '{node.name}' ({node.op})"


def unsupported(node: Node, text: str) -> UnsupportedError:
    """Return the error for what a node asks and edgekit does not do."""
    return UnsupportedError(f"{where(node)}: {text}", node=node.name, op=node.op)


def operand(builder: Builder, node: Node, position: int) -> Tensor:
    """Return an input that must be there.

    Raises:
        FormatError: If it is missing.
    """
    if position >= len(node.inputs) or node.inputs[position] < 0:
        raise FormatError(f"{where(node)}: input {position} is missing")
    return builder.source.tensor(node.inputs[position])


def optional(builder: Builder, node: Node, position: int) -> Tensor | None:
    """Return an input that may be missing."""
    if position >= len(node.inputs) or node.inputs[position] < 0:
        return None
    return builder.source.tensor(node.inputs[position])


def result(builder: Builder, node: Node, position: int = 0) -> Tensor:
    """Return an output.

    Raises:
        FormatError: If it is missing.
    """
    if position >= len(node.outputs):
        raise FormatError(f"{where(node)}: output {position} is missing")
    return builder.source.tensor(node.outputs[position])


def int8_quant(node: Node, tensor: Tensor) -> tuple[float, int]:
    """Return scale and zero point of an int8 tensor with one scale.

    Raises:
        UnsupportedError: If it is of another type or has one scale per channel.
        FormatError: If it has no scale, or one that is not positive.
    """
    if tensor.dtype is not DType.INT8:
        raise unsupported(node, f"'{tensor.name}' is {tensor.dtype.value}, only int8 is supported")
    if tensor.quant is None:
        raise FormatError(f"{where(node)}: '{tensor.name}' has no quantization")
    if len(tensor.quant.scales) != 1:
        raise unsupported(node, f"'{tensor.name}' has one scale per channel, expected one")
    if tensor.quant.scale <= 0 or not -128 <= tensor.quant.zero_point <= 127:
        raise FormatError(
            f"{where(node)}: '{tensor.name}' has scale {tensor.quant.scale} "
            f"and zero point {tensor.quant.zero_point}"
        )
    return tensor.quant.scale, tensor.quant.zero_point


def constant_of(node: Node, tensor: Tensor) -> NDArray[Any]:
    """Return the data of a constant.

    Raises:
        UnsupportedError: If it is computed while running.
    """
    if tensor.data is None:
        raise unsupported(node, f"'{tensor.name}' must be a constant")
    return tensor.data


def indices(node: Node, tensor: Tensor) -> tuple[int, ...]:
    """Return a constant of int32 or int64 as plain integers."""
    data = constant_of(node, tensor)
    if tensor.dtype not in (DType.INT32, DType.INT64):
        raise unsupported(node, f"'{tensor.name}' is {tensor.dtype.value}, expected int32")
    return tuple(int(value) for value in data.reshape(-1))


def expect_shape(node: Node, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Check the shape that a file states for a tensor.

    Raises:
        FormatError: If it is another one.
    """
    if tensor.shape != shape:
        raise FormatError(
            f"{where(node)}: '{tensor.name}' has shape {list(tensor.shape)}, expected {list(shape)}"
        )


def expect_sides(node: Node, *tensors: Tensor) -> None:
    """Check that a table per dimension stays small.

    Raises:
        UnsupportedError: If a dimension has more than 65,536 elements.
    """
    for tensor in tensors:
        if max(tensor.shape, default=1) > MAX_SIDE:
            raise unsupported(node, f"'{tensor.name}' has a dimension above {MAX_SIDE}")


def attr_int(node: Node, name: str) -> int:
    """Return an integer attribute."""
    return _int(node.attrs[name])


def activation_range(node: Node, activation: str, scale: float, zero: int) -> tuple[int, int]:
    """Return the int8 range of a fused activation.

    Raises:
        UnsupportedError: If the activation is not a clamp.

    Source: tensorflow/lite/kernels/kernel_util.cc, CalculateActivationRangeQuantizedImpl.
    """
    limits = {
        "NONE": (None, None),
        "RELU": (0.0, None),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
    if activation not in limits:
        raise unsupported(node, f"fused activation {activation} is not supported")
    low, high = limits[activation]

    def quantized(value: float) -> int:
        ratio = float(np.float32(value) / np.float32(scale))
        return zero + math.floor(abs(ratio) + 0.5) * (1 if ratio >= 0 else -1)

    return (
        -128 if low is None else max(-128, quantized(low)),
        127 if high is None else min(127, quantized(high)),
    )


def matmul_scratch(terms: int, *, gathers: bool) -> int:
    """Return the scratch of a product of int8 [rows, terms]: two rows, if they are gathered.

    Twin: firmware/kernels/ek_matmul_s8.h, ek_matmul_scratch_bytes.
    """
    return 2 * terms if gathers else 0


def window_lead(graph: Graph, node: Node) -> int | None:
    """Return the lead of a window that slides over one image and finishes row by row.

    Twin: firmware/kernels/ek_lead.h, ek_window_lead.
    """
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    if x.shape[0] != 1:
        return None
    stride, pad = attr_int(node, "stride_h"), attr_int(node, "pad_top")
    last = y.shape[1] - 1
    bend = min(pad // stride, last)
    line, width = y.shape[2] * y.shape[3], x.shape[2] * x.shape[3]
    rows = (bend, min(bend + 1, last), last)
    return max(0, *((row + 1) * line - max(0, row * stride - pad) * width for row in rows))


def rows_lead(rows: int, k: int, n: int) -> int:
    """Return the lead of a product that reads two rows of k bytes while writing n bytes each.

    Twin: firmware/kernels/ek_lead.h, ek_rows_lead.
    """
    even = rows // 2 * 2
    if not even:
        return rows * n
    return max(2 * n, even * n - (even - 2) * k, rows * n - even * k)


def require(ok: bool, node: Node, text: str) -> None:
    """Raise GraphError with the node's name unless ok."""
    if not ok:
        raise GraphError(f"{where(node)}: {text}")


def check_dense(graph: Graph, node: Node, inputs: int) -> None:
    """Check the number of inputs and that there is one int8 output."""
    require(len(node.inputs) == inputs, node, f"{len(node.inputs)} inputs, expected {inputs}")
    require(len(node.outputs) == 1, node, f"{len(node.outputs)} outputs, expected 1")
    for index in (*node.inputs[:1], *node.outputs):
        tensor = graph.tensor(index)
        require(tensor.dtype is DType.INT8, node, f"'{tensor.name}' is {tensor.dtype.value}")
        require(len(tensor.shape) <= MAX_RANK, node, f"'{tensor.name}' has too many dimensions")


def _int(value: Attr) -> int:
    if not isinstance(value, int):
        raise GraphError(f"attribute is {value!r}, expected an integer")
    return int(value)
