"""A model that streams: it keeps the last inputs in a variable and a smoothed sum in another."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from litert_models import Model, T

WIDTH, KEPT, OUTPUTS = 16, 3, 5


def streaming(seed: int = 0) -> bytes:
    """Keep three rows of 16 (the first values are drawn), and add half of the last sums."""
    rng = np.random.default_rng(seed)
    model = Model()
    quant = ([0.05], [3])
    sums = ([0.2], [-5])
    x = model.add(T((1, 1, WIDTH), *quant))
    window, total = (model.add(T((), dtype="resource")) for _ in range(2))
    old = model.add(T((1, KEPT, WIDTH), *quant))
    tail = model.add(T((1, KEPT - 1, WIDTH), *quant))
    new = model.add(T((1, KEPT, WIDTH), *quant))
    bounds = [
        model.add(T((3,), data=np.array(v, np.int32), dtype="int32"))
        for v in ([0, 1, 0], [1, KEPT, WIDTH], [1, 1, 1])
    ]
    w = rng.integers(-127, 128, (OUTPUTS, KEPT * WIDTH), dtype=np.int8)
    wi = model.add(T(w.shape, [0.01], [0], 0, w))
    dense = model.add(T((1, OUTPUTS), *sums))
    before = model.add(T((1, OUTPUTS), *sums))
    half = model.add(T((1,), [0.5 / 127], [0], 0, np.array([127], np.int8)))
    faded = model.add(T((1, OUTPUTS), *sums))
    y = model.add(T((1, OUTPUTS), *sums))
    model.op("CALL_ONCE", [], [], initSubgraphIndex=1)
    model.op("VAR_HANDLE", [], [window], sharedName="window")
    model.op("VAR_HANDLE", [], [total], sharedName="total")
    model.op("READ_VARIABLE", [window], [old])
    model.op("READ_VARIABLE", [total], [before])
    model.op("STRIDED_SLICE", [old, *bounds], [tail])
    model.op("CONCATENATION", [tail, x], [new], axis=1)
    model.op("ASSIGN_VARIABLE", [window, new], [])
    model.op("FULLY_CONNECTED", [new, wi], [dense])
    model.op("MUL", [before, half], [faded])
    model.op("ADD", [dense, faded], [y])
    model.op("ASSIGN_VARIABLE", [total, y], [])
    model.inputs, model.outputs = [x], [y]
    begin = Model()
    for name, shape, limits in (("window", old, quant), ("total", before, sums)):
        handle = begin.add(T((), dtype="resource"))
        data = rng.integers(-128, 128, model.tensors[shape].shape, dtype=np.int8)
        value = begin.add(T(data.shape, *limits, 0, data))
        begin.op("VAR_HANDLE", [], [handle], sharedName=name)
        begin.op("ASSIGN_VARIABLE", [handle, value], [])
    return joined(model, begin)


def joined(model: Model, begin: Model) -> bytes:
    """Return the bytes of a model with a second subgraph, which begins its variables."""
    whole, more = (
        schema.ModelT.InitFromObj(schema.Model.GetRootAs(part.to_bytes(), 0))
        for part in (model, begin)
    )
    inner = more.subgraphs[0]
    for tensor in inner.tensors:
        tensor.buffer += len(whole.buffers) if tensor.buffer else 0
    for op in inner.operators:
        op.opcodeIndex += len(whole.operatorCodes)
    whole.buffers += more.buffers
    whole.operatorCodes += more.operatorCodes
    whole.subgraphs.append(inner)
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def litert_stream(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """Run LiteRT's reference kernels on inputs one after the other, from a fresh start."""
    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for row in inputs:
        interpreter.set_tensor(source["index"], row.reshape(source["shape"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0].copy())
    return np.stack(outputs)
