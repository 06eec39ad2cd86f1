"""Operators of constants are computed when the model is compiled, as LiteRT would."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_cases import CASES

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
    if (name := op.upper()) in LOWERINGS and set(LOWERINGS[name].kernels) <= set(RULES)
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
