"""Kernels for this machine's processor compute what the portable ones do, byte for byte."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from litert_models import Model, T
from numpy.typing import NDArray
from op_cases import CASES, add, batch_matmul, convolution
from op_makers import activation, bias, scale, weights, zero

from edgekit.export.compile import compile_tflite
from edgekit.runtime import Runner, runner
from edgekit.runtime.host import arch_folders, build_host_library, declare, host_library

pytestmark = [
    pytest.mark.cc,
    pytest.mark.skipif(not arch_folders(), reason="no kernels are written for this processor"),
]

Random = np.random.Generator


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = build_host_library(tmp_path_factory.mktemp("host") / "portable.so", portable=True)
    return declare(ctypes.CDLL(str(path)))


def _long_add(rng: Random) -> Model:
    """Two tensors of one shape, each half of the input."""
    model = Model()
    rows = int(rng.integers(9, 20))
    shape = (1, 2 * rows, 128)
    x = model.add(T(shape, [0.03], [int(rng.integers(-128, 128))]))
    halves = []
    for first in (0, rows):
        begin = model.add(T((3,), data=np.array([0, first, 0], np.int32), dtype="int32"))
        size = model.add(T((3,), data=np.array([1, rows, 128], np.int32), dtype="int32"))
        halves.append(model.add(T((1, rows, 128), *_quant_of(model, x))))
        model.op("SLICE", [x, begin, size], [halves[-1]])
    scale = float(2.0 ** rng.uniform(-6, -2))
    y = model.add(T((1, rows, 128), [scale], [int(rng.integers(-128, 128))]))
    model.op("ADD", halves, [y], fusedActivationFunction=0)
    model.inputs, model.outputs = [x], [y]
    return model


def _many_lines(rng: Random, depthwise: bool) -> Model:
    """A convolution whose image is taken some rows at a time."""
    h, w, c = 40, int(rng.integers(30, 50)), int(rng.integers(17, 24))
    k, s = int(rng.choice([1, 3, 5])), int(rng.integers(1, 3))
    m = c if depthwise else int(rng.integers(1, 20))
    model = Model()
    x = model.add(T((1, h, w, c), [scale(rng)], [zero(rng)]))
    wi = weights(rng, (1, k, k, m) if depthwise else (m, k, k, c), 3 if depthwise else 0, model)
    inputs = [x, wi, bias(rng, model.tensors[x], model.tensors[wi], m, model)]
    y_scale = model.tensors[x].scales[0] * float(np.mean(model.tensors[wi].scales))
    y_scale *= 30 * k * (1 if depthwise else c) ** 0.5
    y = model.add(T((1, -(-h // s), -(-w // s), m), [y_scale], [zero(rng)]))
    options = {"padding": 0, "strideH": s, "strideW": s, "fusedActivationFunction": activation(rng)}
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    if depthwise:
        options["depthMultiplier"] = 1
    model.op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, [y], **options)
    model.inputs, model.outputs = [x], [y]
    return model


def _softmax(rng: Random) -> Model:
    """Rows of every length modulo 8, some very long."""
    depth = int(rng.choice([8, 16, 24, 40, 1024, 4088, int(rng.integers(1, 60))]))
    model = Model()
    x = model.add(T((1, 3, depth), [scale(rng, -8, 2)], [zero(rng)]))
    y = model.add(T((1, 3, depth), [1 / 256], [-128]))
    model.op("SOFTMAX", [x], [y], beta=1.0)
    model.inputs, model.outputs = [x], [y]
    return model


def _mean(rng: Random) -> Model:
    """Of all pixels, of rows or of channels."""
    shape = tuple(int(v) for v in rng.integers(1, (3, 9, 9, 30)))
    axes = [(1, 2), (1,), (2,), (3,)][int(rng.integers(0, 4))]
    model = Model()
    x = model.add(T(shape, [scale(rng)], [zero(rng)]))
    y = model.add(
        T(tuple(1 if d in axes else n for d, n in enumerate(shape)), [scale(rng)], [zero(rng)])
    )
    axis = model.add(T((len(axes),), data=np.array(axes, np.int32), dtype="int32"))
    model.op("MEAN", [x, axis], [y], keepDims=True)
    model.inputs, model.outputs = [x], [y]
    return model


def _transpose(rng: Random) -> Model:
    shape = tuple(int(v) for v in rng.integers(1, 24, int(rng.integers(2, 5))))
    perm = [int(p) for p in rng.permutation(len(shape))]
    quant = ([0.1], [3])
    model = Model()
    x = model.add(T(shape, *quant))
    order = model.add(T((len(perm),), data=np.array(perm, np.int32), dtype="int32"))
    y = model.add(T(tuple(shape[p] for p in perm), *quant))
    model.op("TRANSPOSE", [x, order], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def _quant_of(model: Model, index: int) -> tuple[list[float], list[int]]:
    tensor = model.tensors[index]
    return list(tensor.scales), list(tensor.zeros)


MAKERS: dict[str, Callable[[Random], Model]] = {
    "conv_2d": lambda rng: convolution(rng, False, 80, 50),
    "depthwise_conv_2d": lambda rng: convolution(rng, True, 40),
    "fully_connected": CASES["fully_connected"],
    "add": lambda rng: add(rng, 40),
    "add_long": _long_add,
    "batch_matmul": lambda rng: batch_matmul(rng, 50),
    "softmax": _softmax,
    "mean": _mean,
    "transpose": _transpose,
}


def _inputs(rng: Random, runner: Runner) -> NDArray[np.int8]:
    x = rng.integers(-128, 128, (3, *runner.input_shape), dtype=np.int8)
    x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
    x[2] = -128
    return x


def _run_as_it_is(runner: Runner, x: NDArray[np.int8], like: NDArray[np.int8]) -> NDArray[np.int8]:
    """Run without what was prepared, as a device does: the kernels of `ek_run`."""
    out = np.empty_like(like)
    for number, row in enumerate(x):
        status = host_library().ek_run(*runner._state, row.tobytes(), out[number].ctypes.data)
        assert status == 0
    return out


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", MAKERS)
def test_equals_portable(
    kind: str, seed: int, portable: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([seed, len(kind)])
    _compare(MAKERS[kind](rng), rng, portable, monkeypatch)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depthwise", [False, True])
def test_equals_portable_on_large_images(
    depthwise: bool, seed: int, portable: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([seed, depthwise])
    _compare(_many_lines(rng, depthwise), rng, portable, monkeypatch)


def _compare(
    model: Model, rng: Random, portable: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = compile_tflite(model.to_bytes(), name="m").image
    fast = Runner(image)
    x = _inputs(rng, fast)
    got = fast.run(x)
    plain = _run_as_it_is(fast, x, got)
    monkeypatch.setattr(runner, "host_library", lambda: portable)
    expected = Runner(image).run(x)
    assert np.array_equal(got, expected)
    assert np.array_equal(plain, expected)
    one_by_one = [fast.run(row[np.newaxis])[0] for row in x]
    assert np.array_equal(np.stack(one_by_one), expected)
