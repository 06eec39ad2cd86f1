"""Kernels for this machine's processor compute what the portable ones do, byte for byte."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from litert_models import Model, T
from op_cases import CASES, add, batch_matmul, convolution

from edgekit.export.compile import compile_tflite
from edgekit.runtime import Runner, runner
from edgekit.runtime.host import arch_folders, build_host_library, declare

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
}


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", MAKERS)
def test_equals_portable(
    kind: str, seed: int, portable: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([seed, len(kind)])
    image = compile_tflite(MAKERS[kind](rng).to_bytes(), name=kind).image
    fast = Runner(image)
    monkeypatch.setattr(runner, "host_library", lambda: portable)
    slow = Runner(image)
    x = rng.integers(-128, 128, (3, *fast.input_shape), dtype=np.int8)
    x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
    x[2] = -128
    assert np.array_equal(fast.run(x), slow.run(x))
