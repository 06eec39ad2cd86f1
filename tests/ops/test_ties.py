"""Sums of FULLY_CONNECTED near ties are rounded as LiteRT's float64 scale does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from litert_models import Model, T, reference

from edgekit.export.compile import compile_tflite
from edgekit.ops.fixed import Rounding, multiply, quantize_multiplier
from edgekit.ops.ties import exact_multiplier, reach
from edgekit.runtime import Runner

BIG = 2**26
BOUNDS = (np.array([-BIG]), np.array([BIG]))


def rounded(total: int, real: float) -> int:
    scaled = float(total) * real
    return math.floor(abs(scaled) + 0.5) * (1 if scaled >= 0 else -1)


def near_ties(real: float) -> list[int]:
    """Sums on both sides of every step of an int8 result."""
    starts = [math.floor((k - 0.5) / real) for k in range(-127, 128)]
    return [at + i for at in starts for i in (-1, 0, 1, 2) if abs(at + i) < BIG]


def scales(seed: int) -> tuple[float, float, float]:
    rng = np.random.default_rng([seed, 8])
    x, w = (float(np.float32(10 ** rng.uniform(*span))) for span in ((-2.5, -1), (-4, -2)))
    return x, w, float(np.float32(x * w * 2 ** rng.uniform(8, 18)))


def differing(real: float, multiplier: int, shift: int) -> list[int]:
    return [
        total
        for total in near_ties(real)
        if multiply(total, multiplier, shift, Rounding.SINGLE) != rounded(total, real)
    ]


def test_a_better_multiplier_is_found_for_most() -> None:
    wrong = mended = 0
    for seed in range(150):
        x, w, y = scales(seed)
        real = x * w / y
        if differing(real, *quantize_multiplier(real)):
            wrong += 1
            mended += not differing(real, *exact_multiplier(real, BOUNDS, (-128, 127)))
    assert wrong >= 5
    assert mended >= wrong / 2


def test_multiplier_that_rounds_right_stays() -> None:
    assert exact_multiplier(0.003, BOUNDS, (-128, 127)) == quantize_multiplier(0.003)


def test_reach_is_that_of_the_extremes() -> None:
    w = np.array([[3, -2], [0, 5]], np.int8)
    low, high = reach(w, np.array([10, -10], np.int32))
    assert low.tolist() == [10 - 3 * 128 - 2 * 127, -10 - 5 * 128]
    assert high.tolist() == [10 + 3 * 127 + 2 * 128, -10 + 5 * 127]


@pytest.mark.cc
@pytest.mark.parametrize("per_channel", [False, True])
def test_layer_equals_litert_at_sums_near_ties(per_channel: bool) -> None:
    """Rows of one weight, with a bias each that 31 bits would round the other way."""
    tried = 0
    for seed in range(150):
        x_scale, w_scale, y_scale = scales(seed)
        real = x_scale * w_scale / y_scale
        totals = differing(real, *quantize_multiplier(real))
        best = exact_multiplier(real, BOUNDS, (-128, 127))
        if not totals or differing(real, *best):
            continue
        tried += 1
        rows = len(totals) + 1
        steps = [w_scale] * (rows - 1) + [w_scale * (1 + per_channel)]
        model = Model()
        x = model.add(T((1, 1), [x_scale], [0]))
        ones = np.ones((rows, 1), np.int8)
        w = model.add(T((rows, 1), steps[: rows if per_channel else 1], [0] * rows, 0, ones))
        model.tensors[w].zeros = [0] * len(model.tensors[w].scales)
        bias = np.array([*totals, 0], np.int32)
        quant = [x_scale * step for step in model.tensors[w].scales]
        b = model.add(T((rows,), quant, [0] * len(quant), 0, bias, "int32"))
        y = model.add(T((1, rows), [y_scale], [0]))
        model.op("FULLY_CONNECTED", [x, w, b], [y])
        model.inputs, model.outputs = [x], [y]
        data = model.to_bytes()
        inputs = np.array([0, 1, -1, 100], np.int8).reshape(4, 1, 1)
        expected = reference(data, inputs)
        got = Runner(compile_tflite(data, name="m", passes=False).image).run(inputs)
        assert np.array_equal(got.reshape(expected.shape), expected)
    assert tried >= 2
