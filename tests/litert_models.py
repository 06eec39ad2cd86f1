"""Write small .tflite files with the schema's own builder, and run LiteRT's kernels on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "float32": schema.TensorType.FLOAT32,
    "resource": schema.TensorType.RESOURCE,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


@dataclass
class T:
    """A tensor: activation, or constant if data is there."""

    shape: Sequence[int]
    scales: Sequence[float] = ()
    zeros: Sequence[int] = ()
    axis: int = 0
    data: np.ndarray | None = None
    dtype: str = "int8"
    name: str = ""
    variable: bool = False


@dataclass
class Op:
    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Any = None
    options_type: int = 0
    intermediates: Sequence[int] = ()


@dataclass
class Model:
    tensors: list[T] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    token_limit: int = 0
    """Token ids of an int32 input are below it."""

    def add(self, tensor: T) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def op(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        made, kind = make_options(name, options)
        self.ops.append(Op(name, inputs, outputs, made, kind))

    @property
    def input_dtype(self) -> str:
        return self.tensors[self.inputs[0]].dtype

    def to_bytes(self) -> bytes:
        model = schema.ModelT()
        model.version = 3
        model.description = "test"
        empty = schema.BufferT()
        model.buffers = [empty]
        codes: list[str] = []
        graph = schema.SubGraphT()
        graph.tensors = []
        for number, tensor in enumerate(self.tensors):
            t = schema.TensorT()
            t.shape = [int(n) for n in tensor.shape]
            t.type = TYPES[tensor.dtype]
            t.name = tensor.name or f"t{number}"
            t.buffer = 0
            t.isVariable = tensor.variable
            if tensor.data is not None:
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(tensor.data.tobytes(), np.uint8)
                model.buffers.append(buffer)
                t.buffer = len(model.buffers) - 1
            if len(tensor.scales):
                q = schema.QuantizationParametersT()
                q.scale = [float(s) for s in tensor.scales]
                q.zeroPoint = [int(z) for z in tensor.zeros]
                q.quantizedDimension = tensor.axis
                t.quantization = q
            graph.tensors.append(t)
        graph.inputs, graph.outputs = self.inputs, self.outputs
        graph.operators = []
        for op in self.ops:
            if op.name not in codes:
                codes.append(op.name)
            o = schema.OperatorT()
            o.opcodeIndex = codes.index(op.name)
            o.inputs, o.outputs = list(op.inputs), list(op.outputs)
            o.intermediates = list(op.intermediates)
            if op.options is not None:
                o.builtinOptionsType, o.builtinOptions = op.options_type, op.options
            graph.operators.append(o)
        model.subgraphs = [graph]
        model.operatorCodes = []
        for name in codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, name)
            code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
            code.version = VERSIONS.get(name, 2)
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


VERSIONS = {
    "FLOOR_DIV": 2,
    "BROADCAST_TO": 3,
    "FLOOR_MOD": 1,
    "LOGICAL_AND": 1,
    "LOGICAL_OR": 1,
    "LOGICAL_NOT": 1,
    "SELECT_V2": 1,
    "SELECT": 1,
    "CAST": 1,
    "CUMSUM": 1,
    "ONE_HOT": 1,
    "REDUCE_ANY": 1,
    "REDUCE_ALL": 1,
    "SQUARE": 1,
    "SIGN": 1,
    "FLOOR": 1,
    "CEIL": 1,
    "ROUND": 1,
    "SIN": 1,
    "COS": 1,
    "POW": 1,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 5,
    "BATCH_MATMUL": 2,
    "HARD_SWISH": 1,
    "RELU_N1_TO_1": 1,
    "GELU": 2,
    "EXPAND_DIMS": 1,
    "SQUEEZE": 1,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
    "CALL_ONCE": 1,
    "VAR_HANDLE": 1,
    "READ_VARIABLE": 1,
    "ASSIGN_VARIABLE": 1,
    "RESHAPE": 1,
    "LOGISTIC": 2,
    "QUANTIZE": 1,
    "NEG": 1,
    "ELU": 1,
    "PRELU": 1,
    "RSQRT": 1,
    "SQRT": 1,
    "LOG": 1,
    "SPACE_TO_DEPTH": 1,
    "DEPTH_TO_SPACE": 1,
    "TILE": 1,
    "TRANSPOSE_CONV": 3,
    "RESIZE_BILINEAR": 3,
    "RESIZE_NEAREST_NEIGHBOR": 3,
    "REVERSE_V2": 1,
}

OPTION_TABLES = {
    "CAST": "CastOptions",
    "CUMSUM": "CumsumOptions",
    "ONE_HOT": "OneHotOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SOFTMAX": "SoftmaxOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "GELU": "GeluOptions",
    "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "DIV": "DivOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "PACK": "PackOptions",
    "UNPACK": "UnpackOptions",
    "GATHER": "GatherOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "CALL_ONCE": "CallOnceOptions",
    "VAR_HANDLE": "VarHandleOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}


def make_options(name: str, options: dict[str, Any]) -> tuple[Any, int]:
    if name not in OPTION_TABLES:
        return None, 0
    table = OPTION_TABLES[name]
    made = getattr(schema, f"{table}T")()
    for key, value in options.items():
        if not hasattr(made, key):
            raise AttributeError(f"{table} has no {key}")
        setattr(made, key, value)
    return made, getattr(schema.BuiltinOptions, table)


NO_REFERENCE = {
    schema.BuiltinOperator.ELU,
    schema.BuiltinOperator.SUM,
    schema.BuiltinOperator.ROUND,
    schema.BuiltinOperator.CEIL,
}


def uses(model: bytes, operators: set[int]) -> bool:
    """Return whether a file has one of these operators."""
    root = schema.Model.GetRootAs(model, 0)
    codes = {root.OperatorCodes(i).BuiltinCode() for i in range(root.OperatorCodesLength())}
    return bool(codes & operators)


def classifier(seed: int = 0) -> bytes:
    """A small convolution, flattened, dense, softmax."""
    rng = np.random.default_rng(seed)
    model = Model()
    x = model.add(T((1, 6, 6, 2), [1 / 255], [-128]))
    w = model.add(
        T((4, 3, 3, 2), [0.01] * 4, [0] * 4, 0, rng.integers(-127, 128, (4, 3, 3, 2), np.int8))
    )
    b = model.add(T((4,), [0.01 / 255] * 4, [0] * 4, 0, np.arange(4, dtype=np.int32), "int32"))
    c = model.add(T((1, 4, 4, 4), [0.02], [-128]))
    model.op("CONV_2D", [x, w, b], [c], padding=1, strideH=1, strideW=1, fusedActivationFunction=1)
    f = model.add(T((1, 64), [0.02], [-128]))
    shape = model.add(T((2,), data=np.array([1, 64], np.int32), dtype="int32"))
    model.op("RESHAPE", [c, shape], [f])
    wd = model.add(T((5, 64), [0.01], [0], 0, rng.integers(-127, 128, (5, 64), np.int8)))
    bd = model.add(T((5,), [0.0002], [0], 0, rng.integers(-900, 900, 5, np.int32), "int32"))
    d = model.add(T((1, 5), [0.05], [4], name="net/head/MatMul;net/head/BiasAdd"))
    model.op("FULLY_CONNECTED", [f, wd, bd], [d])
    s = model.add(T((1, 5), [1 / 256], [-128]))
    model.op("SOFTMAX", [d], [s], beta=1.0)
    model.inputs, model.outputs = [x], [s]
    return model.to_bytes()


def reference(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """Run LiteRT's reference kernels on each of N inputs, variables reset before each.

    LiteRT 2.3.0 has no reference kernel of ELU, ROUND and CEIL, and its one of SUM writes -1
    everywhere: for these its other kernels run, without delegates.
    """
    resolver = OpResolverType.BUILTIN_REF
    if uses(model, NO_REFERENCE):
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for row in inputs:
        interpreter.reset_all_variables()
        interpreter.set_tensor(source["index"], row.reshape(source["shape"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"]).copy())
    return np.stack(outputs)
