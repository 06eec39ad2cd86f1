"""Every operator, random shapes and quantization: the C kernels equal LiteRT's reference."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_cases import CASES
from op_cases_s16 import CASES_S16
from op_cases_types import INDEX_CASES

from edgekit.export.compile import compile_tflite
from edgekit.ops import LOWERINGS
from edgekit.ops.wide_rules import WIDE_LOWERINGS
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

SEEDS = 12


def inputs_for(model: Model, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(model.tensors[model.inputs[0]].shape)
    if model.token_limit:
        return rng.integers(0, model.token_limit, (3, *shape), dtype=np.int32)
    info = np.iinfo(model.input_dtype)
    x = rng.integers(info.min, info.max + 1, (3, *shape)).astype(model.input_dtype)
    if shape == (1, 256):
        x[0] = np.arange(-128, 128)
    x[1].flat[:] = rng.choice(np.array([info.min, info.max], x.dtype), x[1].size)
    return x


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("op", CASES)
def test_kernel_equals_litert(op: str, seed: int) -> None:
    rng = np.random.default_rng([seed, zlib.crc32(op.encode())])
    model = CASES[op](rng)
    data = model.to_bytes()
    x = inputs_for(model, rng)
    expected = reference(data, x)
    compiled = compile_tflite(data, name=op, passes=False)
    sources = WIDE_LOWERINGS if model.input_dtype == "int16" else LOWERINGS
    stated = {kernel for made in model.ops for kernel in sources[made.name].kernels}
    assert set(compiled.ops) <= stated
    runner = Runner(compiled.image)
    runner.golden_check()
    assert np.array_equal(runner.run(x).reshape(expected.shape), expected)
    smaller = compile_tflite(data, name=op)
    if smaller.image != compiled.image:
        got = Runner(smaller.image).run(x)
        assert np.array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("op", INDEX_CASES)
def test_index_arithmetic_equals_litert(op: str, seed: int) -> None:
    rng = np.random.default_rng([seed, zlib.crc32(op.encode())])
    model = INDEX_CASES[op](rng)
    data = model.to_bytes()
    x = inputs_for(model, rng)
    expected = reference(data, x)
    got = Runner(compile_tflite(data, name=op).image).run(x)
    assert np.array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
@pytest.mark.parametrize("power", range(1, 12))
def test_saturating_function_equals_litert_at_ties(op: str, power: int) -> None:
    """Inputs of 2**-n come close to a tie, where gemmlowp's fixed point was one off.

    LiteRT 2.3.0 takes both functions from a table in float32.
    """
    model = Model()
    x = model.add(T((1, 256), [2.0**-power], [-128]))
    quant = ([1 / 256], [-128]) if op == "LOGISTIC" else ([1 / 128], [0])
    y = model.add(T((1, 256), *quant))
    model.op(op, [x], [y])
    model.inputs, model.outputs = [x], [y]
    data = model.to_bytes()
    values = np.arange(-128, 128).astype(np.int8).reshape(1, 1, 256)
    got = Runner(compile_tflite(data, name="m").image).run(values)
    assert np.array_equal(got.reshape(1, 1, 256), reference(data, values))


def test_every_source_operator_has_a_case() -> None:
    aliases = {"RELU6", "RELU_N1_TO_1", "SQUEEZE", "EXPAND_DIMS", "PADV2"}
    plain = {name.split("__")[0].upper() for name in set(CASES) - set(CASES_S16)}
    assert plain | aliases == set(LOWERINGS)
    wide = {name.removesuffix("_s16").split("__")[0].upper() for name in CASES_S16}
    missing = {"RELU6", "SQUEEZE", "EXPAND_DIMS"}
    assert wide | missing == set(WIDE_LOWERINGS)


def test_dense_rounding_tflm_differs_from_litert() -> None:
    """LiteRT rounds once in dense layers, TFLM twice; one of the two must not hide the other."""
    rng = np.random.default_rng(5)
    model = Model()
    x = model.add(T((64, 8), [0.05], [0]))
    weights = rng.integers(-3, 4, (64, 8), dtype=np.int8)
    w = model.add(T((64, 8), [0.004], [0], 0, weights))
    y = model.add(T((64, 64), [0.00097], [3]))
    model.op("FULLY_CONNECTED", [x, w, -1], [y])
    model.inputs, model.outputs = [x], [y]
    data = model.to_bytes()
    values = rng.integers(-128, 128, (1, 64, 8), dtype=np.int8)
    expected = reference(data, values)
    litert = Runner(compile_tflite(data, name="m").image).run(values).reshape(expected.shape)
    tflm = Runner(compile_tflite(data, name="m", rounding="tflm").image).run(values)
    difference = np.abs(tflm.reshape(expected.shape).astype(int) - expected)
    assert np.array_equal(litert, expected)
    assert difference.max() == 1


@pytest.mark.parametrize("op", ["MUL", "BATCH_MATMUL", "RELU", "LEAKY_RELU", "QUANTIZE"])
def test_multiplier_has_litert_precision(op: str) -> None:
    """LiteRT divides scales in float32 or in float64, by operator; ratios near ties show which."""
    rng = np.random.default_rng(11)
    for _ in range(40):
        x_scale = np.float32(rng.uniform(0.01, 0.1))
        model = Model()
        if op in ("MUL", "BATCH_MATMUL"):
            b_scale = np.float32(rng.uniform(0.01, 0.1))
            y_scale = x_scale * b_scale * np.float32(2 * rng.integers(60, 100))
            x = model.add(T((256, 1), [x_scale], [0]))
            column = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
            b = model.add(T((1, 256), [b_scale], [0], 0, column))
            y = model.add(T((256, 256), [y_scale], [0]))
            model.op(op, [x, b], [y])
        else:
            y_scale = x_scale * np.float32(2 * rng.integers(1, 60))
            x = model.add(T((1, 256), [x_scale], [0]))
            y = model.add(T((1, 256), [y_scale], [0]))
            options = {"alpha": float(np.float32(rng.uniform(0, 0.5)))} if "LEAKY" in op else {}
            model.op(op, [x], [y], **options)
        model.inputs, model.outputs = [x], [y]
        data = model.to_bytes()
        values = np.arange(-128, 128).astype(np.int8).reshape(1, *model.tensors[x].shape)
        expected = reference(data, values)
        got = Runner(compile_tflite(data, name="m").image).run(values)
        assert np.array_equal(got.reshape(expected.shape), expected)
