"""Strategies: hand-computed cases, and properties over generated updates."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import RefusedError
from edgekit.federated.aggregate import fold
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.settings import Settings
from edgekit.federated.strategies import STRATEGIES

OPEN = Settings(clip=0, weight_cap=0, align=False)
BETWEEN = [name for name, s in STRATEGIES.items() if s.server_rate == 1.0]


def base_of(values: list[float]) -> HeadWeights:
    row = np.asarray([values], np.float32)
    return HeadWeights(row, np.zeros(1, np.float32))


def update_of(values: list[float], samples: int = 1) -> Update:
    row = np.asarray([values], np.float32)
    return Update(1, 1, samples, bytes(32), 1.0, 0.5, row, np.zeros(1, np.float32))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[HeadWeights, dict[str, Update]]:
    """Values come from a generator: hypothesis would need most of the time to draw them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes, features = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    reach = 10.0 ** draw(st.integers(-3, 2))

    def parts() -> tuple[np.ndarray, np.ndarray]:
        weights, bias = (rng.uniform(-reach, reach, n) for n in (classes * features, classes))
        return weights.reshape(classes, features).astype(np.float32), bias.astype(np.float32)

    updates = {
        f"dev-{i}": Update(1, 1, int(rng.integers(1, 10_000)), bytes(32), 1.0, 0.5, *parts())
        for i in range(draw(st.integers(1, 8)))
    }
    return HeadWeights(*parts()), updates


def test_fedavg_weighs_by_samples() -> None:
    updates = {"a": update_of([1.0, 0.0], 3), "b": update_of([0.0, 4.0], 1)}
    assert fold("fedavg", base_of([10.0, 20.0]), updates, OPEN).head.weights.tolist() == [
        [10.75, 21.0]
    ]


def test_median_ignores_one_liar() -> None:
    updates = {"a": update_of([1.0]), "b": update_of([2.0]), "c": update_of([1e30], 10_000)}
    assert fold("median", base_of([0.0]), updates).head.weights.tolist() == [[2.0]]


def test_trimmed_mean_drops_a_fifth_at_either_end() -> None:
    values = [-1e30, 1.0, 2.0, 6.0, 1e30]
    updates = {f"d{i}": update_of([value]) for i, value in enumerate(values)}
    assert fold("trimmed_mean", base_of([0.0]), updates, OPEN).head.weights.tolist() == [[3.0]]


@pytest.mark.parametrize("name", STRATEGIES)
@given(case=rounds(), seed=st.integers(0, 2**16))
@settings(max_examples=12, deadline=None)
def test_order_of_arrival_does_not_change_a_bit(
    name: str, case: tuple[HeadWeights, dict[str, Update]], seed: int
) -> None:
    base, updates = case
    shuffled = list(updates.items())
    random.Random(seed).shuffle(shuffled)
    one, other = fold(name, base, dict(shuffled)), fold(name, base, updates)
    assert one.head.encode() == other.head.encode()
    assert all(map(np.array_equal, one.moments, other.moments))


@pytest.mark.parametrize("name", BETWEEN)
@given(case=rounds())
@settings(max_examples=12, deadline=None)
def test_result_lies_between_the_updates(
    name: str, case: tuple[HeadWeights, dict[str, Update]]
) -> None:
    base, updates = case
    moved = [base.weights.astype(np.float64) + u.weights for u in updates.values()]
    low, high = np.min(moved, axis=0), np.max(moved, axis=0)
    slack = 1e-4  # float32 of values up to 200
    result = fold(name, base, updates, OPEN).head.weights
    assert (result >= low - slack).all() and (result <= high + slack).all()


@given(case=rounds())
@settings(max_examples=60, deadline=None)
def test_fedavg_of_parts_folded_one_after_the_other_equals_the_whole(
    case: tuple[HeadWeights, dict[str, Update]],
) -> None:
    """Sequential equals batch: a running weighted mean reaches the same head within float64."""
    base, updates = case
    seen, mean = 0, np.zeros(base.weights.shape)
    for device in sorted(updates):
        update = updates[device]
        seen += update.samples
        mean += (update.samples / seen) * (update.weights.astype(np.float64) - mean)
    batch = fold("fedavg", base, updates, OPEN).head.weights
    np.testing.assert_allclose(batch, base.weights + mean, rtol=1e-6, atol=1e-5)


@given(case=rounds())
@settings(max_examples=30, deadline=None)
def test_one_update_is_simply_added(case: tuple[HeadWeights, dict[str, Update]]) -> None:
    base, updates = case
    only = {"dev-0": updates["dev-0"]}
    expected = base.weights.astype(np.float64) + updates["dev-0"].weights
    for name in BETWEEN:
        assert np.array_equal(fold(name, base, only).head.weights, expected.astype(np.float32))


def test_nothing_to_fold_and_overflow_are_refused() -> None:
    with pytest.raises(RefusedError, match="no accepted update"):
        fold("fedavg", base_of([0.0]), {})
    with pytest.raises(RefusedError, match="range of float32"):
        fold("fedavg", base_of([3e38]), {"a": update_of([3e38])})


def test_unknown_strategy_and_wrong_shape_are_mistakes() -> None:
    with pytest.raises(ValueError, match="known are fedavg"):
        fold("fedbest", base_of([0.0]), {"a": update_of([1.0])})
    with pytest.raises(ValueError, match="has shape"):
        fold("fedavg", base_of([0.0]), {"a": update_of([1.0, 2.0])})
