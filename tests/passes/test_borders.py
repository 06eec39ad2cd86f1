"""Ends of other types are stripped, islands become tables; what remains equals LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_cases_types import island
from op_makers import constant, scale, zero

from edgekit.errors import UnsupportedError
from edgekit.export.compile import compile_tflite
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


def bordered(rng: np.random.Generator, kind: str) -> tuple[Model, T, T]:
    """A table between two ends of this type; returns also the int8 tensors inside."""
    model = Model()
    real = ([], []) if kind == "float32" else ([scale(rng, -5, 1)], [int(rng.integers(0, 256))])
    x = model.add(T((1, 256), *real, dtype=kind))
    quant = ([scale(rng, -5, 1)], [zero(rng)])
    if kind == "uint8" and rng.random() < 0.5:
        quant = (real[0], [real[1][0] - 128])
    inner = model.add(T((1, 256), *quant))
    result = model.add(T((1, 256), [1 / 256], [-128]))
    end = ([], [])
    if kind == "uint8":
        end = ([1 / 256], [0]) if rng.random() < 0.5 else ([scale(rng, -8, -5)], [zero(rng) + 128])
    y = model.add(T((1, 256), *end, dtype=kind))
    model.op("QUANTIZE", [x], [inner])
    model.op("LOGISTIC", [inner], [result])
    model.op("DEQUANTIZE" if kind == "float32" else "QUANTIZE", [result], [y])
    model.inputs, model.outputs = [x], [y]
    return model, model.tensors[inner], model.tensors[result]


@pytest.mark.parametrize("seed", range(12))
def test_uint8_file_takes_raw_bytes_and_gives_128_less(seed: int) -> None:
    model, _, _ = bordered(np.random.default_rng(seed), "uint8")
    data = model.to_bytes()
    compiled = compile_tflite(data, name="m")
    raw = np.arange(256, dtype=np.uint8).reshape(1, 1, 256)
    expected = reference(data, raw).astype(int)
    got = Runner(compiled.image).run_raw(raw).astype(int)
    assert np.array_equal(got + 128, expected.reshape(1, 256))
    assert [note.split(" ")[0] for note in compiled.notes] == ["input", "output"]


@pytest.mark.parametrize("seed", range(4))
def test_float32_file_keeps_its_int8_part(seed: int) -> None:
    model, inner, result = bordered(np.random.default_rng(seed), "float32")
    data = model.to_bytes()
    compiled = compile_tflite(data, name="m")
    stored = np.arange(-128, 128, dtype=np.int8)
    x = ((stored.astype(np.float32) - inner.zeros[0]) * np.float32(inner.scales[0])).reshape(1, -1)
    expected = reference(data, x)
    got = Runner(compiled.image).run(stored[None]).astype(np.float64)
    real = (got - result.zeros[0]) * result.scales[0]
    assert np.array_equal(real.astype(np.float32), expected.reshape(1, 256))
    assert compiled.ops == ("lut",)
    assert "float32" in compiled.notes[0]
    assert "float32" in compiled.notes[1]


def test_two_quantizations_of_a_float32_input_are_refused() -> None:
    model = Model()
    x = model.add(T((1, 4), dtype="float32"))
    a, b = model.add(T((1, 4), [0.1], [0])), model.add(T((1, 4), [0.2], [0]))
    y = model.add(T((1, 4), [0.2], [0]))
    model.op("QUANTIZE", [x], [a])
    model.op("QUANTIZE", [x], [b])
    model.op("ADD", [a, b], [y])
    model.inputs, model.outputs = [x], [y]
    with pytest.raises(UnsupportedError, match="input 't0' is float32"):
        compile_tflite(model.to_bytes(), name="m")


def test_island_of_two_tensors_is_refused() -> None:
    model = Model()
    x = model.add(T((1, 4), [0.1], [0]))
    other = model.add(T((1, 4), [1 / 256], [-128]))
    model.op("LOGISTIC", [x], [other])
    parts = []
    for tensor in (x, other):
        parts.append(model.add(T((1, 4), dtype="float32")))
        model.op("DEQUANTIZE", [tensor], parts[-1:])
    total = model.add(T((1, 4), dtype="float32"))
    model.op("ADD", parts, [total])
    y = model.add(T((1, 4), [0.1], [0]))
    model.op("QUANTIZE", [total], [y])
    model.inputs, model.outputs = [x], [y]
    with pytest.raises(UnsupportedError, match="depends on one int8 tensor"):
        compile_tflite(model.to_bytes(), name="m")


@pytest.mark.parametrize("seed", range(6))
def test_island_with_one_value_spread_over_channels_is_a_table(seed: int) -> None:
    """The converter spreads constants: [1, 256] of one value is one value."""
    rng = np.random.default_rng(seed)
    model = island(rng, "ADD", "NEG")
    number = next(t for t in model.tensors if t.data is not None)
    number.shape, number.data = (1, 256), np.full((1, 256), number.data)
    data = model.to_bytes()
    x = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 256)
    compiled = compile_tflite(data, name="m")
    assert compiled.ops == ("lut",)
    assert np.array_equal(Runner(compiled.image).run(x), reference(data, x).reshape(1, 256))


def test_slices_of_whole_numbers_equal_litert() -> None:
    """Tokens may be cut before they pick rows: the last of them, say."""
    rng = np.random.default_rng(4)
    model = Model(token_limit=9)
    x = model.add(T((1, 8), dtype="int32"))
    cut = model.add(T((1, 3), dtype="int32"))
    model.op("SLICE", [x, constant(model, [0, 2]), constant(model, [1, 3])], [cut])
    last = model.add(T((1,), dtype="int32"))
    bounds = [constant(model, values) for values in ([0, -1], [0, 0], [1, 1])]
    model.op("STRIDED_SLICE", [x, *bounds], [last], beginMask=1, endMask=3, shrinkAxisMask=2)
    both = model.add(T((1, 3), dtype="int32"))
    model.op("MAXIMUM", [cut, last], [both])
    model.inputs, model.outputs = [x], [both]
    data = model.to_bytes()
    values = rng.integers(0, 9, (6, 1, 8), dtype=np.int32)
    expected = reference(data, values)
    got = Runner(compile_tflite(data, name="m").image).run(values)
    assert np.array_equal(got.reshape(expected.shape), expected)
