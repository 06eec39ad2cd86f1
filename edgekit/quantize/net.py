"""Write an int8 .tflite operator by operator, with ranges from sample inputs.

Every method adds one operator and computes the same in float for all samples at once; the range of
that result gives the scale of the operator's output. No converter is involved, so scales, masks
and the order of operators are exactly what the caller says.

Source: LiteRT 8-bit quantization specification, https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import QuantizationError

Floats = NDArray[np.float32]
CLIPS = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the largest value that are tried as limits of a range."""
SEARCHED = 65_536
"""Values that a range is searched on."""
SAME, VALID = 0, 1


@dataclass(slots=True)
class Value:
    """A tensor of the file and what it holds for every sample.

    Attributes:
        index: Of the tensor.
        shape: In the file, batch 1.
        scale: Of int8; 0 for others.
        real: Float values [N, ...]; the token axis may be shorter than in the file.
    """

    index: int
    shape: tuple[int, ...]
    scale: float = 0.0
    zero: int = 0
    real: Any = None


def limits(real: Floats, *, symmetric: bool = False, search: bool = True) -> tuple[float, float]:
    """Return the range, zero included, that int8 represents with the least square error."""
    flat = np.asarray(real, np.float32).reshape(-1)
    low, high = min(0.0, float(flat.min())), max(0.0, float(flat.max()))
    if not np.isfinite(low) or not np.isfinite(high):
        raise QuantizationError("an activation is not finite: the model has not been trained well")
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if high - low < 1e-6:
        return low - 5e-7, high + 5e-7
    if not search:
        return low, high
    some = flat[:: max(1, flat.size // SEARCHED)]
    best, found = np.inf, (low, high)
    for clip in CLIPS:
        step = clip * (high - low) / 255
        stored = np.clip(
            np.rint(some / step), np.rint(clip * low / step), np.rint(clip * high / step)
        )
        error = float(np.mean(np.square(stored * step - some)))
        if error < best:
            best, found = error, (clip * low, clip * high)
    return found


@dataclass(slots=True)
class Net:
    """A file on its way."""

    name: str
    tensors: list[Any] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=lambda: [b""])
    operators: list[Any] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    traced: list[Value] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    constants: dict[str, float] = field(default_factory=dict)

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str,
        *,
        scales: Sequence[float] = (),
        zero: int = 0,
        axis: int = 0,
        data: NDArray[Any] | None = None,
        name: str = "",
    ) -> int:
        """Add a tensor and return its index."""
        from ai_edge_litert import schema_py_generated as schema

        made = schema.TensorT()
        made.shape = [int(n) for n in shape]
        made.type = getattr(schema.TensorType, dtype.upper())
        made.name = name or f"tensor{len(self.tensors)}"
        made.buffer = 0
        if data is not None:
            made.buffer = len(self.buffers)
            self.buffers.append(np.ascontiguousarray(data).tobytes())
        if len(scales):
            quant = schema.QuantizationParametersT()
            quant.scale = [float(np.float32(scale)) for scale in scales]
            quant.zeroPoint = [zero] * len(scales)
            quant.quantizedDimension = axis
            made.quantization = quant
        self.tensors.append(made)
        return len(self.tensors) - 1

    def ints(self, values: Any, name: str = "") -> int:
        """Add a constant of int32."""
        data = np.asarray(values, np.int32)
        return self.tensor(data.shape, "int32", data=data, name=name)

    def stored(self, real: Floats, like: Value | None = None, name: str = "") -> Value:
        """Add a constant of int8 with one scale, its own or that of another value."""
        if like is None:
            high = limits(real, symmetric=True)[1]
            scale, zero = float(np.float32(high / 127)), 0
        else:
            scale, zero = like.scale, like.zero
        data = np.clip(np.rint(real / scale) + zero, -128, 127).astype(np.int8)
        index = self.tensor(data.shape, "int8", scales=[scale], zero=zero, data=data, name=name)
        kept = (data.astype(np.float32) - zero) * np.float32(scale)
        if name:
            self.constants[name] = scale
        return Value(index, tuple(data.shape), scale, zero, kept)

    def least(self, like: Value) -> Value:
        """Add the least stored value of the scale of another as a constant."""
        data = np.full((1,), -128, np.int8)
        index = self.tensor((1,), "int8", scales=[like.scale], zero=like.zero, data=data)
        return Value(index, (1,), like.scale, like.zero)

    def activation(
        self,
        shape: Sequence[int],
        real: Any,
        *,
        name: str,
        like: Value | None = None,
        fixed: tuple[float, int] | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> Value:
        """Add the output of an operator, its range from the values unless it is given."""
        if like is not None:
            scale, zero = like.scale, like.zero
        elif fixed is not None:
            scale, zero = fixed
        else:
            low, high = bounds if bounds is not None else limits(real)
            scale = float(np.float32((high - low) / 255))
            zero = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        index = self.tensor(shape, "int8", scales=[scale], zero=zero, name=name)
        value = Value(index, tuple(shape), scale, zero, real)
        self.traced.append(value)
        self.names.append(name)
        return value

    def add(self, op: str, inputs: Sequence[int], output: int, **options: Any) -> None:
        """Add an operator."""
        from ai_edge_litert import schema_py_generated as schema

        if op not in self.codes:
            self.codes.append(op)
        made = schema.OperatorT()
        made.opcodeIndex = self.codes.index(op)
        made.inputs, made.outputs = [int(i) for i in inputs], [output]
        table = TABLES.get(op)
        if table is not None:
            facts = getattr(schema, f"{table}T")()
            for key, value in options.items():
                setattr(facts, key, value)
            made.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            made.builtinOptions = facts
        self.operators.append(made)

    def dense(
        self,
        x: Value,
        weights: Floats,
        bias: Floats,
        *,
        name: str,
        relu: bool = False,
        per_channel: bool = False,
        like: Value | None = None,
    ) -> Value:
        """FULLY_CONNECTED of [.., K] with weights [K, M] and bias [M]."""
        real = x.real @ weights + bias
        if relu:
            real = np.maximum(real, 0)
        turned = np.ascontiguousarray(weights.T)
        if per_channel:
            high = np.maximum(np.abs(turned).max(axis=1), 1e-8)
        else:
            high = np.array([limits(turned, symmetric=True)[1]])
            self.constants[f"{name}.weights"] = float(np.float32(high[0] / 127))
        scales = (high / 127).astype(np.float32)
        data = np.clip(np.rint(turned / scales[:, None]), -127, 127).astype(np.int8)
        w = self.tensor(data.shape, "int8", scales=scales, data=data, name=f"{name}.weights")
        b = self._bias(x, scales, bias, name)
        y = self.activation((*x.shape[:-1], len(bias)), real, name=name, like=like)
        self.add(
            "FULLY_CONNECTED",
            [x.index, w, b],
            y.index,
            fusedActivationFunction=int(relu),
            keepNumDims=True,
        )
        return y

    def _bias(self, x: Value, scales: Floats, bias: Floats, name: str) -> int:
        wide = np.float64(x.scale) * scales.astype(np.float64)
        data = np.clip(np.rint(bias / wide), -(2**31), 2**31 - 1).astype(np.int32)
        return self.tensor(
            data.shape, "int32", scales=wide.tolist(), data=data, name=f"{name}.bias"
        )

    def depthwise(
        self, x: Value, kernel: Floats, bias: Floats, real: Floats, *, padding: int, name: str
    ) -> Value:
        """DEPTHWISE_CONV_2D over the tokens: x [1, 1, L, C], kernel [k, C, a] -> [1, 1, L, C a]."""
        size, width, expansion = kernel.shape
        flat = kernel.reshape(size, width * expansion)
        scales = (np.maximum(np.abs(flat).max(axis=0), 1e-8) / 127).astype(np.float32)
        data = np.clip(np.rint(flat / scales), -127, 127).astype(np.int8)[None, None]
        w = self.tensor(
            data.shape, "int8", scales=scales, axis=3, data=data, name=f"{name}.weights"
        )
        b = self._bias(x, scales, bias, name)
        length = x.shape[2] - (size - 1 if padding == VALID else 0)
        y = self.activation((1, 1, length, width * expansion), real, name=name)
        self.add(
            "DEPTHWISE_CONV_2D",
            [x.index, w, b],
            y.index,
            padding=padding,
            strideH=1,
            strideW=1,
            dilationHFactor=1,
            dilationWFactor=1,
            depthMultiplier=expansion,
        )
        return y

    def matmul(self, x: Value, z: Value, *, turned: bool, name: str, **given: Any) -> Value:
        """BATCH_MATMUL [.., R, K] with [.., K, C], or with [.., C, K] if turned."""
        right = np.swapaxes(z.real, -1, -2) if turned else z.real
        columns = z.shape[-2] if turned else z.shape[-1]
        y = self.activation((*x.shape[:-1], columns), x.real @ right, name=name, **given)
        self.add("BATCH_MATMUL", [x.index, z.index], y.index, adjX=False, adjY=turned)
        return y

    def binary(self, op: str, x: Value, z: Value, real: Any, *, name: str, **given: Any) -> Value:
        """ADD or MUL with broadcasting."""
        y = self.activation(np.broadcast_shapes(x.shape, z.shape), real, name=name, **given)
        self.add(op, [x.index, z.index], y.index)
        return y

    def unary(self, op: str, x: Value, real: Any, *, name: str, **given: Any) -> Value:
        """A function of one value."""
        y = self.activation(x.shape, real, name=name, **given)
        self.add(op, [x.index], y.index, **({"beta": 1.0} if op == "SOFTMAX" else {}))
        return y

    def select(self, mask: int, x: Value, away: Value, real: Any, *, name: str) -> Value:
        """SELECT_V2: x where the mask is true; both have one scale."""
        y = self.activation(x.shape, real, name=name, like=x)
        self.add("SELECT_V2", [mask, x.index, away.index], y.index)
        return y

    def reduce(self, op: str, x: Value, real: Any, axis: int, *, name: str, **given: Any) -> Value:
        """MEAN or REDUCE_MAX over one axis that stays with size 1 if it is the last."""
        keep = axis == len(x.shape) - 1
        shape = [n for i, n in enumerate(x.shape) if i != axis]
        y = self.activation((*shape, 1) if keep else shape, real, name=name, **given)
        self.add(op, [x.index, self.ints([axis])], y.index, keepDims=keep)
        return y

    def reshape(self, x: Value, shape: tuple[int, ...], real: Any, *, name: str) -> Value:
        """RESHAPE."""
        index = self.tensor(shape, "int8", scales=[x.scale], zero=x.zero, name=name)
        self.add("RESHAPE", [x.index, self.ints(shape)], index, newShape=list(shape))
        return Value(index, shape, x.scale, x.zero, real)

    def concat(self, parts: Sequence[Value], real: Any, *, name: str) -> Value:
        """CONCATENATION over the last axis; all parts have one scale."""
        shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
        y = self.activation(shape, real, name=name, like=parts[0])
        self.add("CONCATENATION", [part.index for part in parts], y.index, axis=len(shape) - 1)
        return y

    def gather(self, table: Value, index: int, shape: tuple[int, ...], real: Any) -> Value:
        """GATHER rows of a table by int32 indices of that shape."""
        y = self.activation((*shape, table.shape[-1]), real, name="rows", like=table)
        self.add("GATHER", [table.index, index], y.index, axis=0)
        return y

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        import flatbuffers  # type: ignore[import-untyped, unused-ignore]
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT()
        model.version, model.description = 3, self.name
        model.buffers = []
        for data in self.buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data, np.uint8) if data else None
            model.buffers.append(buffer)
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = self.name, self.tensors, self.operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model.subgraphs, model.operatorCodes = [graph], []
        for name in self.codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, name)
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = VERSIONS.get(name, 1)
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


TABLES = {
    "ADD": "AddOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
}
VERSIONS = {
    "ADD": 2,
    "BATCH_MATMUL": 2,
    "CONCATENATION": 2,
    "DEPTHWISE_CONV_2D": 3,
    "EQUAL": 2,
    "FULLY_CONNECTED": 5,
    "GATHER": 2,
    "LOGISTIC": 2,
    "MEAN": 2,
    "MUL": 2,
    "NOT_EQUAL": 2,
    "PAD": 2,
    "REDUCE_MAX": 2,
    "RSQRT": 2,
    "SOFTMAX": 2,
    "STRIDED_SLICE": 2,
}
