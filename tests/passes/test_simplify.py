"""The exact passes: each does what it says on a model made for it, and no byte changes."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_makers import constant, scale, zero

from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.ops import FAMILIES
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

Random = np.random.Generator


def kernels(compiled: CompiledModel) -> list[str]:
    return [layer.op for layer in compiled.layers]


def simplified(model: Model, *, seed: int = 0) -> CompiledModel:
    """Compile for every family; all images give LiteRT's bytes."""
    data = model.to_bytes()
    rng = np.random.default_rng(seed)
    shape = tuple(model.tensors[model.inputs[0]].shape)
    x = rng.integers(-128, 128, (4, *shape), dtype=np.int8)
    x[0] = -128
    x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
    if model.token_limit:
        x = rng.integers(-model.token_limit, model.token_limit, (4, *shape), dtype=np.int32)
    expected = reference(data, x)
    for family in FAMILIES:
        got = Runner(compile_tflite(data, name="m", family=family).image).run(x)
        assert np.array_equal(got.reshape(expected.shape), expected), family
    return compile_tflite(data, name="m")


def table(widths: list[tuple[int, int]]) -> T:
    data = np.array(widths, np.int32)
    return T(data.shape, data=data, dtype="int32")


def padded(rng: Random, model: Model, x: int, value: int | None = None) -> int:
    """Pad height and width at random."""
    source = model.tensors[x]
    widths = [(0, 0), *((int(a), int(b)) for a, b in rng.integers(0, 3, (2, 2))), (0, 0)]
    shape = tuple(n + sum(w) for n, w in zip(source.shape, widths, strict=True))
    y = model.add(T(shape, source.scales, source.zeros))
    inputs = [x, model.add(table(widths))]
    if value is not None:
        data = np.array([value], np.int8)
        inputs.append(model.add(T((1,), source.scales, source.zeros, 0, data)))
    model.op("PADV2" if value is not None else "PAD", inputs, [y])
    return y


def convolution(rng: Random, model: Model, x: int, depthwise: bool, padding: int) -> int:
    n, h, w, c = model.tensors[x].shape
    size, stride = int(rng.integers(1, min(4, h + 1, w + 1))), int(rng.integers(1, 3))
    m = c if depthwise else 4
    shape = (1, size, size, m) if depthwise else (m, size, size, c)
    data = rng.integers(-127, 128, shape, dtype=np.int8)
    weights = model.add(T(shape, [0.01] * m, [0] * m, 3 if depthwise else 0, data))
    bias = np.arange(m, dtype=np.int32) * 50
    inputs = [x, weights, model.add(T((m,), [0.0005] * m, [0] * m, 0, bias, "int32"))]
    out = [-(-n // stride) if padding == 0 else (n - size) // stride + 1 for n in (h, w)]
    y = model.add(T((n, *out, m), [0.1], [zero(rng)]))
    op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    extra = {"depthMultiplier": 1} if depthwise else {}
    model.op(op, inputs, [y], padding=padding, strideH=stride, strideW=stride, **extra)
    return y


@pytest.mark.parametrize("seed", range(24))
def test_padding_becomes_part_of_a_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = Model()
    x = model.add(T((1, 5, 6, 3), [0.05], [zero(rng)]))
    between = padded(rng, model, x)
    if rng.random() < 0.5:
        between = padded(rng, model, between)
    y = convolution(rng, model, between, bool(seed % 2), int(rng.integers(0, 2)))
    model.inputs, model.outputs = [x], [y]
    assert "pad" not in kernels(simplified(model, seed=seed))


@pytest.mark.parametrize("seed", range(8))
def test_padding_with_another_value_stays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = Model()
    x = model.add(T((1, 5, 6, 3), [0.05], [3]))
    y = convolution(rng, model, padded(rng, model, x, value=7), bool(seed % 2), 1)
    model.inputs, model.outputs = [x], [y]
    widths = next(t.data for t in model.tensors if t.data is not None and t.data.shape == (4, 2))
    assert ("pad" in kernels(simplified(model))) == bool(widths.any())


@pytest.mark.parametrize(("zero_point", "folds"), [(-128, True), (0, False)])
def test_padding_becomes_part_of_a_maximum_pool_if_it_is_the_least(
    zero_point: int, folds: bool
) -> None:
    model = Model()
    quant = ([0.05], [zero_point])
    x, wide = model.add(T((1, 6, 6, 2), *quant)), model.add(T((1, 8, 8, 2), *quant))
    model.op("PAD", [x, model.add(table([(0, 0), (1, 1), (1, 1), (0, 0)]))], [wide])
    y = model.add(T((1, 3, 3, 2), *quant))
    size = {"filterHeight": 3, "filterWidth": 3, "strideH": 2, "strideW": 2}
    model.op("MAX_POOL_2D", [wide], [y], padding=1, **size)
    model.inputs, model.outputs = [x], [y]
    assert ("pad" not in kernels(simplified(model))) == folds


@pytest.mark.parametrize("seed", range(20))
def test_functions_of_one_tensor_become_one_table(seed: int) -> None:
    """Random chains and diamonds of elementwise operators, with constants of one value."""
    rng = np.random.default_rng(seed)
    model = Model()
    shape = (1, 16, 16)
    known = [model.add(T(shape, [scale(rng, -6, -2)], [zero(rng)]))]
    model.inputs = known[:]
    for _ in range(int(rng.integers(2, 6))):
        a, b = (known[int(rng.integers(0, len(known)))] for _ in range(2))
        y = model.add(T(shape, [scale(rng, -5, 0)], [zero(rng)]))
        op = str(rng.choice(["ADD", "SUB", "MUL", "LOGISTIC", "QUANTIZE", "SQUARED_DIFFERENCE"]))
        if op == "LOGISTIC":
            model.tensors[y].scales, model.tensors[y].zeros = [1 / 256], [-128]
        if op == "SQUARED_DIFFERENCE":
            model.tensors[y].scales = [4.0 * max(model.tensors[i].scales[0] for i in (a, b))]
        if op in ("ADD", "SUB"):
            least = max(model.tensors[i].scales[0] for i in (a, b)) / 4
            model.tensors[y].scales = [max(model.tensors[y].scales[0], least)]
        if op in ("ADD", "MUL") and rng.random() < 0.4:
            data = rng.integers(-128, 128, (1,), dtype=np.int8)
            b = model.add(T((1,), [scale(rng, -6, -2)], [zero(rng)], 0, data))
            if op == "ADD":
                model.tensors[y].scales = [max(model.tensors[y].scales[0], 0.25)]
        model.op(op, [a] if op in ("LOGISTIC", "QUANTIZE") else [a, b], [y])
        known.append(y)
    model.outputs = known[-1:]
    assert kernels(simplified(model, seed=seed)) == ["lut"]


def test_table_that_others_read_is_not_computed_twice() -> None:
    model = Model()
    quant = ([1 / 256], [-128])
    x = model.add(T((1, 8), [0.05], [0]))
    a, b, y = (model.add(T((1, n), *quant)) for n in (8, 8, 16))
    model.op("LOGISTIC", [x], [a])
    model.op("LOGISTIC", [a], [b])
    model.op("CONCATENATION", [a, b], [y], axis=1)
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["lut", "lut", "concatenation"]


def test_clamp_becomes_part_of_what_it_clamps() -> None:
    rng = np.random.default_rng(4)
    model = Model()
    x = model.add(T((1, 5, 5, 2), [0.05], [3]))
    between = convolution(rng, model, x, False, 0)
    y = model.add(T(model.tensors[between].shape, [0.1], model.tensors[between].zeros))
    model.op("RELU6", [between], [y])
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["conv_2d"]


def test_clamp_with_another_scale_stays() -> None:
    rng = np.random.default_rng(4)
    model = Model()
    x = model.add(T((1, 5, 5, 2), [0.05], [3]))
    between = convolution(rng, model, x, False, 0)
    y = model.add(T(model.tensors[between].shape, [0.05], [-128]))
    model.op("RELU", [between], [y])
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["conv_2d", "lut"]


@pytest.mark.parametrize("seed", range(10))
def test_transposes_become_one_or_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = Model()
    x = between = model.add(T((2, 3, 4, 5), [0.05], [3]))
    whole = np.arange(4)
    for turn in range(3):
        perm = rng.permutation(4) if turn < 2 or seed % 2 else np.argsort(whole)
        whole = whole[perm]
        shape = tuple(model.tensors[between].shape[axis] for axis in perm)
        y = model.add(T(shape, [0.05], [3]))
        model.op("TRANSPOSE", [between, constant(model, [int(p) for p in perm])], [y])
        between = y
    model.inputs, model.outputs = [x], [between]
    in_order = list(whole) == sorted(whole)
    assert kernels(simplified(model)) == ["copy" if in_order else "transpose"]


@pytest.mark.parametrize("side", [0, 1])
def test_transpose_becomes_part_of_a_product(side: int) -> None:
    model = Model()
    x = model.add(T((2, 4, 4), [0.05], [3]))
    turned = model.add(T((2, 4, 4), [0.05], [3]))
    model.op("TRANSPOSE", [x, constant(model, [0, 2, 1])], [turned])
    y = model.add(T((2, 4, 4), [0.3], [1]))
    model.op("BATCH_MATMUL", [turned, x] if side == 0 else [x, turned], [y], adjX=False, adjY=True)
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["batch_matmul"]


def test_slices_of_slices_and_of_concatenations_read_the_source() -> None:
    rng = np.random.default_rng(0)
    model = Model()
    quant = ([0.05], [3])
    x = model.add(T((1, 12, 3), *quant))
    other = model.add(T((1, 4, 3), *quant, data=rng.integers(-128, 128, (1, 4, 3), np.int8)))
    whole = model.add(T((1, 16, 3), *quant))
    model.op("CONCATENATION", [other, x], [whole], axis=1)
    bounds = [constant(model, values) for values in ([0, 5, 0], [1, 15, 3], [1, 2, 1])]
    first, y = model.add(T((1, 5, 3), *quant)), model.add(T((1, 2, 3), *quant))
    model.op("STRIDED_SLICE", [whole, *bounds], [first])
    model.op("SLICE", [first, constant(model, [0, 2, 0]), constant(model, [1, 2, 3])], [y])
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["strided_slice"]


def test_concatenations_are_joined() -> None:
    model = Model()
    quant = ([1 / 256], [-128])
    x = model.add(T((1, 4), [0.05], [3]))
    a = model.add(T((1, 4), *quant))
    model.op("LOGISTIC", [x], [a])
    both, all_ = model.add(T((1, 8), *quant)), model.add(T((1, 16), *quant))
    model.op("CONCATENATION", [a, a], [both], axis=1)
    third = model.add(T((1, 4), *quant))
    model.op("QUANTIZE", [x], [third])
    model.op("CONCATENATION", [third, both, a], [all_], axis=1)
    model.inputs, model.outputs = [x], [all_]
    assert kernels(simplified(model)) == ["lut", "lut", "concatenation"]


def test_embedding_counts_negative_tokens_from_the_end() -> None:
    """What Keras leaves of an embedding is one gather."""
    rng = np.random.default_rng(0)
    model = Model(token_limit=9)
    x = model.add(T((1, 5), dtype="int32"))
    rows = model.add(T((9, 3), [0.1], [2], data=rng.integers(-128, 128, (9, 3), np.int8)))
    zero_id = model.add(T((), data=np.array(0, np.int32), dtype="int32"))
    count = model.add(T((), data=np.array(9, np.int32), dtype="int32"))
    less = model.add(T((1, 5), dtype="bool"))
    moved, picked = (model.add(T((1, 5), dtype="int32")) for _ in range(2))
    y = model.add(T((1, 5, 3), [0.1], [2]))
    model.op("LESS", [x, zero_id], [less])
    model.op("ADD", [x, count], [moved])
    model.op("SELECT", [less, moved, x], [picked])
    model.op("GATHER", [rows, picked], [y], axis=0)
    model.inputs, model.outputs = [x], [y]
    assert kernels(simplified(model)) == ["gather"]
    model.tensors[count].data = np.array(4, np.int32)
    model.tensors[zero_id].data = np.array(-4, np.int32)
    model.token_limit = 0
    assert kernels(compile_tflite(model.to_bytes(), name="m"))[-1:] == ["gather"]
    assert len(kernels(compile_tflite(model.to_bytes(), name="m"))) == 4
