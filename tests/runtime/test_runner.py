"""The C runtime through ctypes: foreign models, features, heads, golden vectors."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from litert_models import Model, T, classifier, reference

from edgekit.errors import ConfigError, FormatError, RefusedError, UnsupportedError
from edgekit.export.compile import compile_tflite, replace_head
from edgekit.formats.image import Features, image_id, write_image
from edgekit.formats.image_reader import read_image
from edgekit.runtime import Runner
from edgekit.runtime.host import host_library
from edgekit.runtime.online import OnlineHead

pytestmark = pytest.mark.cc

FOREIGN = ("kws_dscnn_int8", "micro_speech_quantized", "hello_world_int8")


def models_folder() -> Path:
    default = Path(__file__).resolve().parents[2].parent / "shared" / "models"
    return Path(os.environ.get("EDGEKIT_MODELS", default))


@pytest.mark.data
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_model_equals_litert(name: str) -> None:
    path = models_folder() / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    source = path.read_bytes()
    compiled = compile_tflite(source, name=name)
    runner = Runner(compiled.image)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (8, *runner.input_shape), dtype=np.int8)
    expected = reference(source, x)
    assert np.array_equal(runner.run(x).reshape(expected.shape), expected)
    runner.golden_check()
    assert runner.arena_bytes == compiled.arena_bytes
    assert compiled.flash_bytes < len(source) * 1.05 + 8000


def test_runner_equals_litert_on_a_classifier() -> None:
    source = classifier()
    x = np.random.default_rng(2).integers(-128, 128, (16, 1, 6, 6, 2), dtype=np.int8)
    runner = Runner(compile_tflite(source, name="c").image)
    assert np.array_equal(runner.run(x), reference(source, x)[:, 0])


def test_compile_reports_what_the_image_holds() -> None:
    compiled = compile_tflite(classifier(), name="c", labels=("a",) * 5, license="MIT")
    image = read_image(compiled.image)
    assert compiled.id == image_id(compiled.image) == image.id
    assert compiled.ops == ("conv_2d", "fully_connected", "softmax") == image.meta.kernel_ops
    assert [layer.op for layer in compiled.layers] == list(compiled.ops)
    assert compiled.macs == 4 * 4 * 4 * 18 + 5 * 64
    assert max(layer.arena_bytes for layer in compiled.layers) <= compiled.arena_bytes
    assert len(image.golden) == 4
    assert compile_tflite(classifier(), name="c").image != compiled.image


def test_input_and_output_may_stay_in_the_arena() -> None:
    compiled = compile_tflite(classifier(), name="c")
    runner = Runner(compiled.image)
    x = np.random.default_rng(5).integers(-128, 128, (8, 1, 6, 6, 2), dtype=np.int8)
    expected = runner.run(x)
    library = host_library()
    ends = []
    for name in ("ek_image_input", "ek_image_output"):
        end = getattr(library, name)
        end.argtypes, end.restype = (ctypes.c_void_p, ctypes.c_void_p), ctypes.c_void_p
        ends.append(end(runner._struct.ctypes.data, runner._arena.ctypes.data))
    for row, wanted in zip(x, expected, strict=True):
        runner._arena[:] = 0x5A
        ctypes.memmove(ends[0], row.ctypes.data, row.nbytes)
        status = library.ek_run(
            runner._struct.ctypes.data, runner._arena.ctypes.data, runner._arena.size, *ends
        )
        assert status == 0
        assert ctypes.string_at(ends[1], wanted.nbytes) == wanted.tobytes()


def test_compile_is_deterministic() -> None:
    assert compile_tflite(classifier(), name="c") == compile_tflite(classifier(), name="c")


def test_raw_input_goes_through_the_table() -> None:
    table = np.arange(-128, 128, dtype=np.int8)[::-1]
    compiled = compile_tflite(classifier(), name="c", features=Features("lut_u8", table.tobytes()))
    runner = Runner(compiled.image)
    raw = np.random.default_rng(3).integers(0, 256, (4, 6, 6, 2), dtype=np.uint8)
    assert np.array_equal(runner.run_raw(raw), runner.run(table[raw]))
    runner.golden_check()


def test_golden_vectors_are_the_given_raw_inputs() -> None:
    raw = np.random.default_rng(4).integers(0, 256, (2, 72), dtype=np.uint8)
    image = read_image(compile_tflite(classifier(), name="c", raw_golden=raw).image)
    assert [vector.raw for vector in image.golden] == [row.tobytes() for row in raw]


def test_golden_check_finds_a_wrong_output() -> None:
    image = read_image(compile_tflite(classifier(), name="c").image)
    first = image.golden[0]
    wrong = type(first)(first.raw, first.input, bytes([first.output[0] ^ 1]) + first.output[1:])
    data = write_image(
        meta=image.meta,
        graph=image.graph,
        plan=image.plan,
        features=image.features,
        head=None,
        golden=(wrong,),
    )
    with pytest.raises(FormatError, match="golden"):
        Runner(data).golden_check()


@pytest.mark.parametrize("head", [True, "head", "net/head/MatMul;net/head/BiasAdd"])
def test_head_is_the_dense_layer_dequantized(head: bool | str) -> None:
    compiled = compile_tflite(classifier(), name="c", head=head)
    image = read_image(compiled.image)
    assert image.head is not None
    runner = Runner(compiled.image)
    x = np.random.default_rng(5).integers(-128, 128, (8, 72), dtype=np.int8)
    features = runner.features(x)
    assert features.shape == (8, 64)
    real = (features.astype(float) - image.head.zero_point) * image.head.scale
    logits = real @ image.head.weights.T + image.head.bias
    exact = np.exp(logits - logits.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    assert np.abs((runner.run(x).astype(float) + 128) / 256 - exact).max() < 0.05


def test_head_that_is_not_there_is_named() -> None:
    with pytest.raises(UnsupportedError, match="'tail'"):
        compile_tflite(classifier(), name="c", head="tail")
    with pytest.raises(RefusedError, match="no trainable head"):
        Runner(compile_tflite(classifier(), name="c").image).features(np.zeros((1, 72), np.int8))


def test_replace_head_follows_the_new_weights() -> None:
    compiled = compile_tflite(classifier(), name="c", head=True)
    old = Runner(compiled.image)
    rng = np.random.default_rng(6)
    weights = rng.normal(0, 0.2, (5, 64)).astype(np.float32)
    bias = rng.normal(0, 0.1, 5).astype(np.float32)
    x = rng.integers(-128, 128, (64, 72), dtype=np.int8)
    features = old.features(x)
    fresh = replace_head(
        compiled.image, version="2", weights=weights, bias=bias, calibration=features
    )
    runner = Runner(fresh.image)
    runner.golden_check()
    head = runner.image.head
    assert head is not None
    assert np.array_equal(head.weights, weights)
    assert fresh.meta.version == "2"
    assert fresh.id != compiled.id
    assert np.array_equal(runner.features(x), features)
    logits = (features.astype(float) - head.zero_point) * head.scale @ weights.T + bias
    exact = np.exp(logits - logits.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    assert np.abs((runner.run(x).astype(float) + 128) / 256 - exact).max() < 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_replace_head_refuses_what_is_not_finite(value: float) -> None:
    compiled = compile_tflite(classifier(), name="c", head=True)
    with pytest.raises(RefusedError, match="not finite"):
        replace_head(
            compiled.image,
            version="2",
            weights=np.full((5, 64), value, np.float32),
            bias=np.zeros(5, np.float32),
            calibration=np.zeros((1, 64), np.int8),
        )


def test_replace_head_refuses_other_shapes() -> None:
    compiled = compile_tflite(classifier(), name="c", head=True)
    with pytest.raises(RefusedError, match="new head has weights"):
        replace_head(
            compiled.image,
            version="2",
            weights=np.zeros((6, 64), np.float32),
            bias=np.zeros(6, np.float32),
            calibration=np.zeros((1, 64), np.int8),
        )


def test_runner_refuses_wrong_inputs() -> None:
    runner = Runner(compile_tflite(classifier(), name="c").image)
    with pytest.raises(TypeError, match="uint8"):
        runner.run(np.zeros((1, 72), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected"):
        runner.run(np.zeros((1, 71), np.int8))


def test_runner_refuses_a_damaged_image() -> None:
    data = bytearray(compile_tflite(classifier(), name="c").image)
    data[100] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        Runner(bytes(data))


def test_token_outside_the_table_reads_the_nearest_row() -> None:
    """LiteRT refuses such a token while running; a device has no way to, so it stays inside."""
    table = np.arange(24, dtype=np.int8).reshape(6, 4)
    model = Model()
    rows = model.add(T(table.shape, [0.1], [0], data=table))
    ids = model.add(T((1, 3), dtype="int32"))
    y = model.add(T((1, 3, 4), [0.1], [0]))
    model.op("GATHER", [rows, ids], [y], axis=0)
    model.inputs, model.outputs = [ids], [y]
    runner = Runner(compile_tflite(model.to_bytes(), name="m").image)
    runner.golden_check()
    got = runner.run(np.array([[[2, 6, -1]], [[0, 2**31 - 1, -(2**31)]]], np.int32))
    assert np.array_equal(got, table[[[2, 5, 0], [0, 5, 0]]])
    with pytest.raises(TypeError, match="expected int32"):
        runner.run(np.zeros((1, 1, 3), np.int8))


def test_features_of_bytes_do_not_fit_tokens() -> None:
    table = np.zeros((6, 4), np.int8)
    model = Model()
    rows, ids = (
        model.add(T(table.shape, [0.1], [0], data=table)),
        model.add(T((1, 3), dtype="int32")),
    )
    y = model.add(T((1, 3, 4), [0.1], [0]))
    model.op("GATHER", [rows, ids], [y], axis=0)
    model.inputs, model.outputs = [ids], [y]
    features = Features("lut_u8", bytes(256))
    with pytest.raises(FormatError, match="shape does not fit"):
        compile_tflite(model.to_bytes(), name="m", features=features)


@pytest.mark.cc
@pytest.mark.parametrize("mode", ["widen", "replace", "append"])
def test_head_begins_as_its_mode_says(mode: str) -> None:
    """Widened it has the layer's values, replaced zeros, appended it gives the output back."""
    compiled = compile_tflite(classifier(), name="c", head=True, head_mode=mode, max_classes=20)
    runner = Runner(compiled.image)
    head = runner.image.head
    assert head is not None and head.max_classes == 20
    inputs = np.random.default_rng(1).integers(-128, 128, (6, 72), dtype=np.int8)
    outputs = runner.run(inputs).reshape(len(inputs), -1)
    features = runner.features(inputs)
    online = OnlineHead(
        head.weights,
        head.bias,
        scale=head.scale,
        zero_point=head.zero_point,
        most_classes=head.max_classes,
        rate=0.02,
    )
    if mode == "append":
        np.testing.assert_array_equal(features, outputs)
        answers = online.predict(features)
        np.testing.assert_array_equal(answers.argmax(axis=1), outputs.argmax(axis=1))
        with pytest.raises(RefusedError, match="behind its output"):
            replace_head(
                compiled.image,
                version="2",
                weights=head.weights,
                bias=head.bias,
                calibration=features,
            )
    else:
        assert (head.weights == 0).all() == (mode == "replace")
        assert features.shape[1] == head.features
    before = online.predict(features[:1]).shape[1]
    online.learn(features[:4], [500, 500, 501, 0])
    assert online.labels[before:] == [500, 501]


def test_room_for_fewer_classes_than_there_are_is_refused() -> None:
    """A head cannot have room for less than it begins with."""
    with pytest.raises(ConfigError, match="max_classes = 1 must be"):
        compile_tflite(classifier(), name="c", head=True, max_classes=1)
