"""Dense nets in C: equal to NumPy bit for bit, gradients right, bad steps refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edgekit.errors import LinkError
from edgekit.link.status import Status
from edgekit.runtime.learn_library import learn_library
from edgekit.runtime.learn_numbers import FIXED24, FLOAT32
from edgekit.runtime.learn_twin import flat, twin_net, twin_rule
from edgekit.runtime.net import KINDS, DenseNet, stored

pytestmark = pytest.mark.cc

NETS = (
    ((1, 8, 8, 1), "tanh", "square"),
    ((5, 7, 4), "relu", "softmax"),
    ((6, 3), "linear", "softmax"),
    ((4, 6, 5, 4), "relu", "square"),
)
RULES = (
    {"rate": 0.05},
    {"rate": 0.05, "momentum": 0.9, "decay": 0.01},
    {"rate": 0.1, "decay": 0.01, "clip": 0.3},
)
# Central differences in float64 against a step in float32.
GRADIENT_TOLERANCE = 2e-3
# Units in the last place of the polynomials.
TANH_ULPS, ROOT_ULPS = 2.0, 1.5
# The last bits of fixed point; a logarithm adds up seven terms, a root has at least 19 bits.
FIXED_TOLERANCE, FIXED_LOG_TOLERANCE, FIXED_ROOT_TOLERANCE = 2.0**-23, 2.0**-21, 2.0**-19


def _start(sizes: tuple[int, ...], seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(0, n**-0.5, m * (n + 1)) for n, m in itertools.pairwise(sizes)]
    return np.concatenate(parts).astype(np.float32)


def _samples(sizes: tuple[int, ...], loss: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    x = rng.normal(0, 1, (count, sizes[0])).astype(np.float32)
    if loss == "softmax":
        return x, rng.integers(0, sizes[-1], count)
    return x, np.sin(x[:, :1] + np.arange(sizes[-1])).astype(np.float32)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("rule", RULES, ids=("plain", "momentum", "clip"))
@pytest.mark.parametrize(("sizes", "hidden", "loss"), NETS)
def test_steps_are_those_of_numpy(
    sizes: tuple[int, ...], hidden: str, loss: str, rule: dict[str, float], kind: str
) -> None:
    """Parameters and loss have the same bits after 60 steps, in both kinds of number."""
    x, y = _samples(sizes, loss, 60)
    numbers, momentum = KINDS[kind], "momentum" in rule
    net = DenseNet(
        sizes, hidden=hidden, loss=loss, parameters=_start(sizes), momentum=momentum, kind=kind
    )
    mean = net.train(x, y, **rule)

    start = numbers.of(_start(sizes))
    twin = twin_net(numbers, sizes, start, hidden=hidden, loss=loss, momentum=momentum)
    steps = twin_rule(numbers, **rule)
    total, share = np.zeros_like(numbers.one), numbers.quotient(1, len(x))
    for row, target in zip(numbers.of(x), y, strict=True):
        wanted = int(target) if loss == "softmax" else numbers.of(target)
        step_loss = twin.step(steps, row, wanted)
        total = numbers.total(total, step_loss[None], share[None])
    assert net.parameters.tobytes() == numbers.floats(flat(twin)).tobytes()
    assert mean == float(numbers.floats(numbers.narrow(total)))
    assert not np.array_equal(net.parameters, numbers.floats(start))


@pytest.mark.parametrize(("sizes", "hidden", "loss"), NETS)
def test_gradient_is_that_of_finite_differences(
    sizes: tuple[int, ...], hidden: str, loss: str
) -> None:
    """A step of rate 1 takes off the gradient of every parameter."""
    x, y = _samples(sizes, loss, 1)
    start = _start(sizes)
    net = DenseNet(sizes, hidden=hidden, loss=loss, parameters=start)
    net.train(x, y, rate=1.0)
    found = start.astype(np.float64) - net.parameters
    expected = np.empty_like(found)
    for index in range(len(start)):
        sides = []
        for way in (1e-5, -1e-5):
            moved = start.astype(np.float64)
            moved[index] += way
            sides.append(_loss64(sizes, hidden, loss, moved, x[0].astype(np.float64), y[0]))
        expected[index] = (sides[0] - sides[1]) / 2e-5
    assert np.abs(found - expected).max() <= GRADIENT_TOLERANCE * np.abs(expected).max()
    assert np.abs(expected).max() > 0.05


def _loss64(
    sizes: tuple[int, ...], hidden: str, loss: str, flat64: np.ndarray, x: np.ndarray, y: Any
) -> float:
    at = 0
    for n, m in itertools.pairwise(sizes):
        w = flat64[at : at + m * n].reshape(m, n)
        x = w @ x + flat64[at + m * n : at + m * n + m]
        at += m * (n + 1)
        if at < len(flat64):
            x = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "linear": lambda z: z}[
                hidden
            ](x)
    if loss == "square":
        return float(np.mean((x - y) ** 2))
    return float(np.log(np.exp(x - x.max()).sum()) - (x[y] - x.max()))


@pytest.mark.parametrize("spoil", [np.inf, np.nan, 3e38])
def test_step_that_is_not_finite_changes_nothing(spoil: float) -> None:
    """A weight or an input that overflows a sum is refused before anything is written."""
    start = _start((2, 4, 2))
    x = np.array([[1.0, 2.0]], np.float32)
    spoilt = start.copy()
    spoilt[1] = spoil
    for parameters, inputs in ((spoilt, x), (start, np.full((1, 2), spoil, np.float32))):
        net = DenseNet((2, 4, 2), hidden="relu", parameters=parameters)
        with pytest.raises(LinkError) as caught:
            net.train(inputs, [[0.0, 0.0]], rate=0.1)
        assert caught.value.status == Status.NOT_FINITE
        assert net.parameters.tobytes() == parameters.tobytes()


def test_large_gradient_is_clipped_to_its_norm() -> None:
    """A step of rate 1 is as long as the clip, whatever the gradient."""
    start = _start((3, 5, 2))
    net = DenseNet((3, 5, 2), parameters=start)
    net.train([[9.0, -7.0, 8.0]], [[900.0, -900.0]], rate=1.0, clip=0.5)
    assert np.linalg.norm(net.parameters - start) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(
    "rule",
    [
        {"rate": -0.1},
        {"rate": 0.1, "clip": 0.0},
        {"rate": 50.0, "decay": 0.5},
        {"rate": np.nan},
        {"rate": 0.1, "momentum": 1.0},
    ],
)
def test_rule_out_of_range_is_refused(rule: dict[str, float]) -> None:
    """Rules under which weights could run away do not begin."""
    net = DenseNet((2, 1), momentum=True)
    with pytest.raises(LinkError) as caught:
        net.train([[1.0, 2.0]], [[1.0]], **rule)
    assert caught.value.status == Status.RANGE


def test_sine_regressor_needs_less_than_half_of_a_batch() -> None:
    """Learning sample by sample needs at most half the memory of a batch of 32."""
    net = DenseNet((1, 32, 32, 1))
    assert net.step_bytes == 4 * (1153 + 2 * 65)
    assert 2 * net.step_bytes <= net.batch_bytes(32)


def _call(kind: str, name: str, values: np.ndarray) -> np.ndarray:
    import ctypes

    function = getattr(learn_library(kind), name)
    number = {"float32": ctypes.c_float, "fixed": ctypes.c_int32}[kind]
    wide = number if kind == "float32" or name in ("ek_exp", "ek_tanh") else ctypes.c_int64
    result = ctypes.c_int64 if name == "ek_wide_sqrt" and kind == "fixed" else number
    function.argtypes, function.restype = [wide], result
    dtype = np.float32 if kind == "float32" else np.int64
    return np.array([function(value) for value in values.tolist()], dtype)


def test_float_functions_are_accurate_and_those_of_numpy() -> None:
    """Tangent and root are near the exact values, and the twins have the same bits."""
    x = np.concatenate([np.linspace(-12, 12, 4001), [1e-30, -1e-4, 60.0, -90.0]])
    x = x.astype(np.float32)
    found = _call("float32", "ek_tanh_f32", x)
    assert found.tobytes() == FLOAT32.tanh(x).tobytes()
    exact = np.tanh(x.astype(np.float64))
    assert (np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))).max() < TANH_ULPS
    y = np.concatenate([np.geomspace(1e-37, 1e38, 4001), [0.0, np.inf]]).astype(np.float32)
    found = _call("float32", "ek_sqrt_f32", y)
    assert found.tobytes() == FLOAT32.sqrt(y).tobytes()
    exact = np.sqrt(y[:-2].astype(np.float64))
    assert (np.abs(found[:-2] - exact) / np.spacing(exact.astype(np.float32))).max() < ROOT_ULPS
    assert found[-2:].tolist() == [0.0, np.inf]
    for name, twin in (("ek_exp_f32", FLOAT32.exp), ("ek_log_f32", FLOAT32.log)):
        values = x if name == "ek_exp_f32" else y
        assert _call("float32", name, values).tobytes() == twin(values).tobytes()


def test_fixed_functions_are_accurate_and_those_of_numpy() -> None:
    """Fixed-point functions are within two of their units, and the twins have the same bits."""
    x = np.unique(np.concatenate([np.linspace(-128, 127.9, 5001), np.linspace(-1, 1, 2001)]))
    q = FIXED24.of(x)
    real = q / 2.0**24
    for name, twin, exact in (
        ("ek_exp", FIXED24.exp, np.exp(np.minimum(real, 0))),
        ("ek_tanh", FIXED24.tanh, np.tanh(real)),
    ):
        found = _call("fixed", name, q)
        np.testing.assert_array_equal(found, twin(q))
        assert np.abs(found / 2.0**24 - exact).max() <= FIXED_TOLERANCE
    wide = np.concatenate([np.geomspace(2**24, 2**60, 2001), [2**24, 2**38 - 1, 2**38]])
    wide = wide.astype(np.int64)
    found = _call("fixed", "ek_wide_sqrt", wide)
    np.testing.assert_array_equal(found, FIXED24.sqrt(wide))
    exact = np.sqrt(wide / 2.0**24)
    assert (np.abs(found / 2.0**24 - exact) / exact).max() <= FIXED_ROOT_TOLERANCE
    found = _call("fixed", "ek_wide_log", wide)
    np.testing.assert_array_equal(found, FIXED24.log(wide))
    assert np.abs(found / 2.0**24 - np.log(wide / 2.0**24)).max() <= FIXED_LOG_TOLERANCE


@pytest.mark.parametrize("kind", list(KINDS))
def test_numbers_survive_the_way_to_the_device(kind: str) -> None:
    """What is set is what is read, to the last bit that the kind of number has."""
    values = _start((3, 4, 2)) * np.float32(5)
    net = DenseNet((3, 4, 2), parameters=values, kind=kind)
    numbers = KINDS[kind]
    assert net.parameters.tobytes() == numbers.floats(stored(numbers, values)).tobytes()
    assert np.abs(net.parameters - values).max() <= 2.0**-24
