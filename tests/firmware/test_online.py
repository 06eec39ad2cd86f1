"""Heads that learn on the device: equal to NumPy, near to float64, and hard to spoil."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
import pytest

from edgekit.errors import LinkError, RefusedError
from edgekit.link.status import Status
from edgekit.runtime.learn_library import learn_library
from edgekit.runtime.learn_numbers import FLOAT32, Array, Float32
from edgekit.runtime.learn_twin import twin_rule
from edgekit.runtime.moments import Moments
from edgekit.runtime.net import KINDS
from edgekit.runtime.online import METHODS, OnlineHead
from edgekit.runtime.online_twin import TwinGuard, TwinMoments, TwinOnline, Verdict

pytestmark = pytest.mark.cc

KNOWN, MOST, FEATURES = 5, 8, 24
SCALE, ZERO_POINT = 0.031, -17
# Float32 rounds each of 10,000 steps; what it loses stays far below this.
WEIGHT_TOLERANCE = 1e-4


def _stream(count: int, seed: int = 5, classes: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the known classes first, then of all; the new ones are called 100, 101, ..."""
    centres = np.random.default_rng(77).integers(-60, 60, (classes, FEATURES))
    rng = np.random.default_rng(seed)
    rows = np.where(np.arange(count) < count // 3, KNOWN, classes)
    labels = rng.integers(0, rows)
    noise = rng.normal(0, 40, (count, FEATURES))
    features = np.clip(centres[labels] + noise, -128, 127).astype(np.int8)
    return features, np.where(labels < KNOWN, labels, labels + 100 - KNOWN)


def _start() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    weights = rng.normal(0, 0.1, (KNOWN, FEATURES)).astype(np.float32)
    return weights, rng.normal(0, 0.1, KNOWN).astype(np.float32)


def _twin(numbers: Any, method: str, rule: dict[str, float], batch: int) -> TwinOnline:
    weights, bias = (numbers.of(part) for part in _start())
    return TwinOnline(
        numbers,
        weights,
        bias,
        scale=SCALE,
        zero_point=ZERO_POINT,
        most_classes=MOST,
        method=METHODS[method],
        rule=twin_rule(numbers, **rule),
        momentum="momentum" in rule,
        batch=batch,
    )


def _head(method: str, rule: dict[str, float], **more: Any) -> OnlineHead:
    return OnlineHead(
        *_start(),
        scale=SCALE,
        zero_point=ZERO_POINT,
        most_classes=MOST,
        method=method,
        **rule,
        **more,
    )


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(
    "rule", [{"rate": 0.02}, {"rate": 0.01, "momentum": 0.8, "decay": 0.01, "clip": 2.0}]
)
def test_head_is_that_of_numpy(method: str, rule: dict[str, float], kind: str) -> None:
    """Rows, kept rows, losses and answers have the same bits, with classes that come later."""
    features, labels = _stream(150)
    numbers = KINDS[kind]
    head = _head(method, rule, batch=10, kind=kind)
    losses = head.learn(features, labels)
    twin = _twin(numbers, method, rule, 10)
    expected = [twin.learn(q, int(label)) for q, label in zip(features, labels, strict=True)]
    assert losses.tobytes() == numbers.floats(np.array(expected)).tobytes()
    assert head.labels == twin.labels and head.classes == MOST
    rows = slice(0, len(twin.labels))
    assert head.weights.tobytes() == numbers.floats(twin.weights[rows]).tobytes()
    assert head.bias.tobytes() == numbers.floats(twin.bias[rows]).tobytes()
    if method in ("lwf", "cwr"):
        assert head.kept.tobytes() == numbers.floats(twin.kept[0][rows]).tobytes()
    answers = np.array([twin.predict(q) for q in features[:20]])
    assert head.predict(features[:20]).tobytes() == numbers.floats(answers).tobytes()


class _Float64(Float32):
    """The same rules in binary64, with the exact functions of NumPy."""

    dtype = np.float64
    one = np.array(1.0)

    def of(self, x: Any) -> Array:
        return np.asarray(np.asarray(x, np.float32), np.float64)

    def quotient(self, a: int, b: int) -> Array:
        return np.array(a / b)

    def whole(self, n: Any) -> Array:
        return np.asarray(n, np.float64)

    def total(self, start: Array, a: Array, b: Array) -> Array:
        return np.asarray(start + (a * b).sum(axis=-1))

    def inverse(self, x: Array) -> Array:
        return np.asarray(1 / x)

    def sqrt(self, wide: Array) -> Array:
        return np.sqrt(wide)

    def log(self, wide: Array) -> Array:
        return np.log(wide)

    def exp(self, x: Array) -> Array:
        return np.exp(x)


def test_head_follows_float64_over_ten_thousand_steps() -> None:
    """Plain steps with momentum, written out in float64: no weight is off by more than 1e-4."""
    features, labels = _stream(10_000)
    head = _head("ol", {"rate": 0.01, "momentum": 0.5})
    head.learn(features, labels)
    weights, moving = np.zeros((MOST, FEATURES + 1)), np.zeros((MOST, FEATURES + 1))
    weights[:KNOWN, :-1], weights[:KNOWN, -1] = _start()
    rows: dict[int, int] = {label: label for label in range(KNOWN)}
    x = (features.astype(np.float64) - ZERO_POINT) * np.float64(np.float32(SCALE))
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    for row, label in zip(x, labels.tolist(), strict=True):
        at = rows.setdefault(label, len(rows))
        known = weights[: len(rows)]
        p = np.exp(known @ row - (known @ row).max())
        p /= p.sum()
        p[at] -= 1.0
        velocity = moving[: len(rows)]
        velocity *= 0.5
        velocity += np.outer(p, row)
        known -= np.float64(np.float32(0.01)) * velocity
    found = np.concatenate([head.weights, head.bias[:, None]], axis=1)
    assert np.abs(found - weights).max() <= WEIGHT_TOLERANCE * np.abs(weights).max()


@pytest.mark.parametrize("method", list(METHODS))
def test_head_follows_float64_by_every_method(method: str) -> None:
    """The same bound for the twin in float64: 10,000 steps with EDGEKIT_FULL=1."""
    features, labels = _stream(10_000 if os.environ.get("EDGEKIT_FULL") else 1_000)
    rule = {"rate": 0.01, "momentum": 0.5} if method == "ol" else {"rate": 0.02}
    head = _head(method, rule, batch=16)
    head.learn(features, labels)
    twin = _twin(_Float64(), method, rule, 16)
    for q, label in zip(features, labels, strict=True):
        twin.learn(q, int(label))
    off = np.abs(head.weights - twin.weights).max() / np.abs(twin.weights).max()
    assert off <= WEIGHT_TOLERANCE
    assert np.abs(head.bias - twin.bias).max() <= WEIGHT_TOLERANCE * np.abs(twin.bias).max()


def _accuracy(head: OnlineHead, features: np.ndarray, labels: np.ndarray) -> float:
    names = np.array(head.labels)
    return float((names[head.predict(features).argmax(axis=1)] == labels).mean())


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("method", list(METHODS))
def test_head_learns_classes_that_come_later(method: str, kind: str) -> None:
    """After 3,000 samples the head knows eight classes, three of them new."""
    head = _head(method, {"rate": 0.01}, kind=kind)
    first, wanted = _stream(600, classes=KNOWN)
    head.learn(first, wanted) if method != "ol-v2" else None
    head.learn(*_stream(3_000, seed=9))
    features, labels = _stream(600, seed=10)
    found = _accuracy(head, features[200:], labels[200:])
    # OL-v2 leaves the old rows as they were, and here these know nothing.
    assert found > (0.35 if method == "ol-v2" else 0.85)
    if method == "ol-v2":
        assert (
            head.weights[:KNOWN].tobytes()
            == KINDS[kind].floats(KINDS[kind].of(_start()[0])).tobytes()
        )


def test_label_beyond_the_rows_is_refused() -> None:
    """K_max holds, and a refused label leaves no trace."""
    features, _ = _stream(1)
    head = _head("ol", {"rate": 0.1})
    head.learn(np.repeat(features, 3, axis=0), [7, 8, 9])
    before = head.checkpoint()
    with pytest.raises(RefusedError, match="all 8 rows"):
        head.learn(features, [10])
    assert head.checkpoint() == before


@pytest.mark.parametrize("method", list(METHODS))
def test_step_that_is_not_finite_gives_its_row_back(method: str) -> None:
    """A new class whose first step overflows is as if it had never come."""
    weights, bias = _start()
    weights[0] = 3e38
    head = OnlineHead(
        weights, bias, scale=1.0, zero_point=-128, method=method, most_classes=6, rate=0.1
    )
    before = head.checkpoint()
    with pytest.raises(LinkError) as caught:
        head.learn(np.full((1, FEATURES), 127, np.int8), [55])
    assert caught.value.status == Status.NOT_FINITE
    assert head.checkpoint() == before and head.classes == KNOWN


def test_autoencoder_learns_its_input() -> None:
    """Squared errors: a linear head gives its own features back."""
    rng = np.random.default_rng(2)
    basis = rng.normal(0, 25, (3, 10))
    q = np.clip(rng.normal(0, 1, (3_000, 3)) @ basis, -128, 127).astype(np.int8)
    values = q.astype(np.float32) * np.float32(0.02)
    head = OnlineHead(
        np.zeros((10, 10)), np.zeros(10), scale=0.02, zero_point=0, rate=0.2, loss="square"
    )
    losses = head.fit(q, values)
    assert losses[-200:].mean() < 0.02 * losses[:50].mean()
    assert head.predict(q[:5]) == pytest.approx(values[:5], abs=0.3)
    with pytest.raises(LinkError):
        head.learn(q[:1], [0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"most_classes": KNOWN - 1},
        {"most_classes": 257},
        {"zero_point": 200},
        {"scale": 0.0},
        {"rate": -1.0},
        {"method": "cwr", "batch": 0},
        {"loss": "square", "method": "cwr"},
    ],
)
def test_plan_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    """A head that could not work does not begin."""
    with pytest.raises(LinkError) as caught:
        OnlineHead(*_start(), **({"scale": SCALE, "zero_point": 0} | wrong))
    assert caught.value.status == Status.RANGE


def test_checkpoint_brings_a_head_back() -> None:
    """What was stored goes on as if nothing had happened; spoilt counts are refused."""
    features, labels = _stream(200)
    head = _head("cwr", {"rate": 0.05, "momentum": 0.5})
    head.learn(features[:90], labels[:90])
    stored = head.checkpoint()
    head.learn(features[90:], labels[90:])
    expected = head.checkpoint()
    head.restore(stored)
    assert head.steps == 90
    head.learn(features[90:], labels[90:])
    assert head.checkpoint() == expected
    with pytest.raises(LinkError):
        head.restore(b"\xff\xff\xff\x7f" + stored[4:])
    assert head.checkpoint() == expected


class _Moments(ctypes.Structure):
    _fields_ = (
        ("mean", ctypes.c_void_p),
        ("variance", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("warm_up", ctypes.c_uint32),
        ("window", ctypes.c_int32),
    )


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("warm_up", "window"), [(0, 0), (50, 0), (0, 32)])
def test_inputs_are_standardized_as_in_numpy(warm_up: int, window: int, kind: str) -> None:
    """As int8, in every bit, over a checkpoint; with a zero point at the end of the range."""
    rng = np.random.default_rng(4)
    q = np.clip(rng.normal([30, -120, 90], [10, 20, 40], (120, 3)), -128, 127).astype(np.int8)
    unit: dict[str, Any] = {"scale": 0.03, "zero_point": -128}
    how: dict[str, Any] = unit | {"warm_up": warm_up, "window": window, "kind": kind}
    moments, later = Moments(3, **how), Moments(3, **how)
    numbers = KINDS[kind]
    share = float(numbers.floats(numbers.quotient(1, window))) if window else 0.0
    twin = TwinMoments(numbers, 3, warm_up, share)
    expected = np.array([twin.standardize(row, **unit) for row in q])
    found = moments.standardize(q[:70])
    later.restore(moments.checkpoint())
    found = np.concatenate([found, later.standardize(q[70:])])
    np.testing.assert_array_equal(found, expected)
    assert later.count == twin.count == (50 if warm_up else 120)
    # z below 0 is beyond this range and ends at its end.
    assert found[-50:].min() == -128 < found[-50:].max()


def test_fixed_point_reads_the_whole_range_of_int8() -> None:
    """A zero point at the end gives differences up to 255: the scale brings them back below 128."""
    found = [
        OnlineHead(
            np.ones((1, 1)), [0.0], scale=2**-7, zero_point=-128, loss="square", kind=kind
        ).predict(np.array([[127]], np.int8))
        for kind in KINDS
    ]
    assert [row.tolist() for row in found] == [[[255 / 128]]] * 2


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("warm_up", "window"), [(0, 0.0), (50, 0.0), (0, 1 / 32)])
def test_moments_are_those_of_numpy(warm_up: int, window: float, kind: str) -> None:
    """Mean, variance and quantized values have the same bits."""
    numbers, library = KINDS[kind], learn_library(kind)
    dtype = np.float32 if kind == "float32" else np.int32
    x = numbers.of(np.random.default_rng(4).normal([3, -2, 0.5], [1, 2, 0.1], (120, 3)))
    mean, variance = np.zeros(3, dtype), np.zeros(3, dtype)
    word = int(np.array(numbers.of(window), dtype).view(np.int32))
    moments = _Moments(mean.ctypes.data, variance.ctypes.data, 3, 0, warm_up, word)
    twin = TwinMoments(numbers, 3, warm_up, window)
    scale = np.array(numbers.of(0.02), dtype)
    q = np.zeros(3, np.int8)
    for row in x:
        values = np.ascontiguousarray(row, dtype)
        assert library.ek_moments_add(ctypes.byref(moments), values.ctypes.data) == 0
        twin.add(row)
        library.ek_moments_apply(
            ctypes.byref(moments), values.ctypes.data, scale.item(), 4, q.ctypes.data
        )
        np.testing.assert_array_equal(q, twin.apply(row, scale=0.02, zero_point=4))
    assert mean.tobytes() == twin.mean.astype(dtype).tobytes()
    assert variance.tobytes() == twin.variance.astype(dtype).tobytes()
    seen = x[: warm_up or None].astype(np.float64) / (1 if kind == "float32" else 2**24)
    if not window:
        assert moments.count == len(seen)
        assert numbers.floats(twin.mean) == pytest.approx(seen.mean(axis=0), rel=1e-4, abs=1e-5)
        assert numbers.floats(twin.variance) == pytest.approx(seen.var(axis=0), rel=1e-3)


def test_moments_follow_a_drift_or_stay() -> None:
    """With a window the mean moves to where the stream went; frozen ones do not move."""
    followed, frozen = TwinMoments(FLOAT32, 1, 0, 1 / 16), TwinMoments(FLOAT32, 1, 20)
    for value in [1.0] * 50 + [5.0] * 200:
        for moments in (followed, frozen):
            moments.add(FLOAT32.of([value]))
    assert followed.mean[0] == pytest.approx(5.0, abs=1e-3)
    assert frozen.mean[0] == 1.0 and frozen.count == 20


def test_moments_refuse_what_is_not_finite() -> None:
    """Infinity and NaN change nothing."""
    mean, variance = np.ones(2, np.float32), np.ones(2, np.float32)
    moments = _Moments(mean.ctypes.data, variance.ctypes.data, 2, 3, 0, 0)
    for bad in (np.inf, np.nan, 1e30):
        x = np.array([0.0, bad], np.float32)
        status = learn_library().ek_moments_add(ctypes.byref(moments), x.ctypes.data)
        assert status == Status.NOT_FINITE and moments.count == 3
    assert mean.tolist() == variance.tolist() == [1.0, 1.0]


def _guard_type(number: Any) -> Any:
    class Guard(ctypes.Structure):
        _fields_ = (
            ("smoothing", number),
            ("factor", number),
            ("margin", number),
            ("warm_up", ctypes.c_uint32),
            ("store_each", ctypes.c_uint32),
            ("mean", number),
            ("best", number),
            ("count", ctypes.c_uint32),
            ("since_store", ctypes.c_uint32),
        )

    return Guard


@pytest.mark.parametrize("kind", list(KINDS))
def test_guard_stores_what_is_good_and_goes_back_from_what_is_not(kind: str) -> None:
    """Verdicts are those of NumPy: stores while the loss falls, one step back when it jumps."""
    number = {"float32": ctypes.c_float, "fixed": ctypes.c_int32}[kind]
    numbers = KINDS[kind]
    facts = {"smoothing": 1 / 16, "factor": 2.0, "margin": 0.25}
    words = [numbers.of(value).item() for value in facts.values()]
    guard = _guard_type(number)(*words, 20, 40)
    twin = TwinGuard(numbers, **facts, warm_up=20, store_each=40)
    losses = np.concatenate([np.geomspace(2, 0.3, 100), np.full(60, 4.0)])
    verdicts = []
    for loss in numbers.of(losses):
        verdict = Verdict(learn_library(kind).ek_guard_see(ctypes.byref(guard), loss.item()))
        assert verdict is twin.see(loss)
        verdicts.append(verdict)
    back = verdicts.index(Verdict.GO_BACK)
    assert 100 < back < 110
    assert verdicts[:back].count(Verdict.STORE) == 2
    assert verdicts[back + 1 :].count(Verdict.GO_BACK) == 0  # 4.0 is what is usual now
