"""Operators of constants are computed when the model is compiled, as LiteRT would."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from litert_models import TYPES, Model, T, reference
from op_cases import CASES
from op_cases_types import INDEX_CASES, TYPE_CASES

from edgekit.export.compile import compile_tflite
from edgekit.formats.tflite import read_tflite
from edgekit.ops import LOWERINGS
from edgekit.passes.fold import RULES
from edgekit.passes.lower import lower
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

FOLDED = sorted(
    op
    for op in CASES
    if op not in TYPE_CASES
    and (name := op.upper()) in LOWERINGS
    and set(LOWERINGS[name].kernels) <= set(RULES)
)


def joined(model: Model, rng: np.random.Generator) -> Model:
    """Make the model's input constant and add its result to a fresh input."""
    source, result = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    low, high = (0, model.token_limit) if model.token_limit else (-128, 128)
    source.data = rng.integers(low, high, source.shape, dtype=np.dtype(source.dtype))
    x = model.add(T(result.shape, [0.02], [5]))
    y = model.add(T(result.shape, [max(result.scales[0], 0.02)], [-3]))
    model.op("ADD", [x, model.outputs[0]], [y])
    model.inputs, model.outputs = [x], [y]
    return model


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("op", FOLDED)
def test_constant_operator_vanishes_and_equals_litert(op: str, seed: int) -> None:
    rng = np.random.default_rng([seed, zlib.crc32(op.encode())])
    model = CASES[op](rng)
    if op in ("sqrt", "rsqrt"):
        model.tensors[model.ops[0].inputs[0]].zeros = [-128]
        model.tensors[model.ops[0].outputs[0]].zeros = [-128]
    data = joined(model, rng).to_bytes()
    assert [node.op for node in lower(read_tflite(data, name=op)).nodes] == ["add"]
    shape = model.tensors[model.inputs[0]].shape
    x = rng.integers(-128, 128, (3, *shape), dtype=np.int8)
    expected = reference(data, x)
    got = Runner(compile_tflite(data, name=op).image).run(x)
    assert np.array_equal(got.reshape(expected.shape), expected)


def with_constant_tokens(model: Model, rng: np.random.Generator) -> Model:
    """Make the input constant and let the result pick rows, or add to truth values, of an int8."""
    source, result = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    low, high = (0, model.token_limit) if model.token_limit else (-128, 128)
    source.data = rng.integers(low, high, source.shape, dtype=np.dtype(source.dtype))
    x = model.add(T((1, 7), [0.02], [5]))
    picked, kind = model.outputs[0], result.dtype
    if kind == "int8":
        return joined(model, rng)
    if kind == "bool":
        picked = model.add(T(result.shape, dtype="int32"))
        model.op("CAST", [model.outputs[0]], [picked], inDataType=TYPES[kind], outDataType=2)
    row = model.add(T((), data=np.array(7, np.int32), dtype="int32"))
    inside = model.add(T(result.shape, dtype="int32"))
    if kind == "int64":
        narrow = model.add(T(result.shape, dtype="int32"))
        model.op("CAST", [picked], [narrow], inDataType=TYPES[kind], outDataType=2)
        picked = narrow
    model.op("FLOOR_MOD", [picked, row], [inside])
    y = model.add(T((1, *result.shape), [0.02], [5]))
    model.op("GATHER", [x, inside], [y], axis=1)
    model.inputs, model.outputs, model.token_limit = [x], [y], 0
    return model


WHOLE = TYPE_CASES | {f"index_{op.lower()}": case for op, case in INDEX_CASES.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("op", WHOLE)
def test_constant_whole_numbers_vanish_and_equal_litert(op: str, seed: int) -> None:
    rng = np.random.default_rng([seed, zlib.crc32(op.encode())])
    model = with_constant_tokens(WHOLE[op](rng), rng)
    data = model.to_bytes()
    kernels = [node.op for node in lower(read_tflite(data, name=op)).nodes]
    if op not in ("reduce_any", "reduce_all"):
        assert kernels in (["gather"], ["add"])
    shape = model.tensors[model.inputs[0]].shape
    x = rng.integers(-128, 128, (3, *shape), dtype=np.int8)
    expected = reference(data, x)
    got = Runner(compile_tflite(data, name=op).image).run(x)
    assert np.array_equal(got.reshape(expected.shape), expected)


def test_weights_may_come_out_of_a_transpose() -> None:
    """Dense weights must be constant; a transposed constant is one."""
    rng = np.random.default_rng(8)
    model = Model()
    x = model.add(T((1, 12), [0.05], [3]))
    stored = model.add(T((12, 5), [0.01], [0], 0, rng.integers(-127, 128, (12, 5), np.int8)))
    perm = model.add(T((2,), data=np.array([1, 0], np.int32), dtype="int32"))
    w = model.add(T((5, 12), [0.01], [0]))
    y = model.add(T((1, 5), [0.1], [-4]))
    model.op("TRANSPOSE", [stored, perm], [w])
    model.op("FULLY_CONNECTED", [x, w, -1], [y])
    model.inputs, model.outputs = [x], [y]
    data = model.to_bytes()
    values = rng.integers(-128, 128, (4, 1, 12), dtype=np.int8)
    compiled = compile_tflite(data, name="m")
    assert compiled.ops == ("fully_connected",)
    expected = reference(data, values)
    assert np.array_equal(Runner(compiled.image).run(values).reshape(expected.shape), expected)
