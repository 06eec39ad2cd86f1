"""The .tflite reader: good files, and bytes of every bad kind."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from litert_models import Model, T
from op_cases import CASES

from edgekit.errors import EdgekitError, FormatError, UnsupportedError
from edgekit.formats.tflite import read_tflite
from edgekit.graph import DType
from edgekit.passes.lower import lower
from edgekit.passes.plan import plan_memory


def dense() -> Model:
    model = Model()
    x = model.add(T((1, 8), [0.5], [3], name="x"))
    w = model.add(T((4, 8), [0.25], [0], 0, np.ones((4, 8), np.int8), name="w"))
    y = model.add(T((1, 4), [2.0], [-7], name="model/head/MatMul"))
    model.op("FULLY_CONNECTED", [x, w, -1], [y], fusedActivationFunction=1)
    model.inputs, model.outputs = [x], [y]
    return model


def test_reader_reads_tensors_and_options() -> None:
    graph = read_tflite(dense().to_bytes(), name="dense")
    x, w, y = graph.tensors
    assert (x.name, x.shape, x.dtype, x.data) == ("x", (1, 8), DType.INT8, None)
    assert x.quant is not None
    assert (x.quant.scale, x.quant.zero_point) == (0.5, 3)
    assert w.data is not None
    assert w.data.sum() == 32
    (node,) = graph.nodes
    assert (node.op, node.inputs, node.outputs) == ("FULLY_CONNECTED", (0, 1, -1), (2,))
    assert node.attrs == {"activation": "RELU", "weights_format": 0, "keep_num_dims": False}
    assert y.shape == (1, 4)


@pytest.mark.parametrize("op", CASES)
def test_reader_and_lowering_take_every_operator(op: str) -> None:
    data = CASES[op](np.random.default_rng(1)).to_bytes()
    assert plan_memory(lower(read_tflite(data, name=op))).arena_bytes > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 8,
        b"\x10\x00\x00\x00TFL3",
        b"\xff\xff\xff\xffTFL3" + b"\x00" * 64,
        b"\x04\x00\x00\x00TFL3" + b"\xff" * 64,
        b"\x08\x00\x00\x00TFL3" + struct.pack("<i", 8) + b"\x00" * 64,
    ],
    ids=[
        "empty",
        "zeros",
        "ones",
        "root_at_end",
        "root_outside",
        "vtable_outside",
        "vtable_cyclic",
    ],
)
def test_reader_refuses_garbage(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_tflite(data, name="bad")


def test_reader_survives_every_truncation() -> None:
    data = dense().to_bytes()
    for length in range(len(data)):
        with pytest.raises(EdgekitError):
            lower(read_tflite(data[:length], name="cut"))


def test_reader_normalises_an_axis_that_means_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Per-channel weights of one channel, whose scales run along a dimension that is not there."""
    model = dense()
    model.tensors[1].axis = 7
    graph = read_tflite(model.to_bytes(), name="m")
    assert graph.tensors[1].quant is not None
    assert graph.tensors[1].quant.axis == 0
    assert "dimension 7" in caplog.text


def test_reader_names_every_unsupported_operator() -> None:
    model = dense()
    first = model.ops[0]
    for name, output in (("SVDF", "a"), ("SVDF", "b"), ("RFFT2D", "c")):
        made = model.add(T((1, 4), [2.0], [-7], name=output))
        model.ops.append(dataclasses.replace(first, name=name, outputs=[made]))
    with pytest.raises(UnsupportedError, match=r"SVDF.*2 more nodes \(SVDF, RFFT2D\)") as caught:
        read_tflite(model.to_bytes(), name="m")
    assert caught.value.others == (("b", "SVDF"), ("c", "RFFT2D"))


def test_reader_refuses_an_axis_of_several_scales() -> None:
    model = dense()
    model.tensors[1].axis = 7
    model.tensors[1].scales, model.tensors[1].zeros = [0.1] * 4, [0] * 4
    with pytest.raises(FormatError, match="scales along dimension 7"):
        read_tflite(model.to_bytes(), name="m")


def test_reader_names_an_unsupported_operator() -> None:
    model = dense()
    model.ops[0].name = "SVDF"
    with pytest.raises(UnsupportedError, match="SVDF") as caught:
        read_tflite(model.to_bytes(), name="m")
    assert (caught.value.op, caught.value.node) == ("SVDF", "model/head/MatMul")


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda m: setattr(m.tensors[2], "shape", (1, 5)), FormatError, "expected"),
        (lambda m: setattr(m.tensors[0], "shape", (1, 7)), FormatError, "do not fit input"),
        (lambda m: setattr(m.tensors[0], "dtype", "float32"), UnsupportedError, "expected int8"),
        (lambda m: setattr(m.tensors[0], "scales", ()), FormatError, "no scale"),
        (lambda m: setattr(m.tensors[1], "scales", ()), FormatError, "no quantization"),
        (lambda m: setattr(m.tensors[1], "zeros", [4]), UnsupportedError, "zero point"),
        (lambda m: setattr(m.tensors[1], "data", np.ones(31, np.int8)), FormatError, "31 bytes"),
        (lambda m: setattr(m, "inputs", [0, 0]), FormatError, "an input twice"),
        (lambda m: setattr(m, "outputs", [9]), FormatError, "tensor 9"),
        (lambda m: setattr(m.ops[0], "inputs", [0, 77]), FormatError, "tensor 77"),
        (lambda m: setattr(m.ops[0], "inputs", [9999, 1]), FormatError, "tensor 9999"),
        (lambda m: setattr(m.ops[0], "inputs", []), FormatError, "no input"),
        (lambda m: setattr(m.ops[0], "inputs", [-1, 1]), FormatError, "no input"),
        (lambda m: setattr(m.ops[0], "inputs", [3, 1]), FormatError, "tensor 3"),
        (lambda m: setattr(m.tensors[0], "shape", (2**31 - 1, 8)), FormatError, "shape"),
        (lambda m: setattr(m.tensors[0], "shape", (2**30, 2**30)), FormatError, "shape"),
        (lambda m: setattr(m.tensors[0], "shape", (-1, 8)), FormatError, "shape"),
        (lambda m: setattr(m.tensors[0], "scales", [float("nan")]), FormatError, "scales"),
    ],
)
def test_compiling_says_what_is_wrong(change, error, text) -> None:  # type: ignore[no-untyped-def]
    model = dense()
    change(model)
    with pytest.raises(error, match=text):
        lower(read_tflite(model.to_bytes(), name="m"))
