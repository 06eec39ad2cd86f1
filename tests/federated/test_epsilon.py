"""Epsilon against the closed form of the Gaussian mechanism, and who is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from edgekit.federated.plan import RunPlan
from edgekit.federated.privacy import epsilon, participations
from edgekit.federated.settings import Settings


def gaussian_delta(epsilon_: float, sigma: float) -> float:
    """Source: Balle and Wang, "Improving the Gaussian Mechanism", 2018, Theorem 8."""
    low = norm.cdf(0.5 / sigma - epsilon_ * sigma)
    return float(low - np.exp(epsilon_) * norm.cdf(-0.5 / sigma - epsilon_ * sigma))


@pytest.mark.parametrize(("noise", "times"), [(4.0, 1), (4.0, 10), (8.0, 100), (1.0, 3)])
def test_epsilon_is_the_closed_form_from_above(noise: float, times: int) -> None:
    found = epsilon(Settings(noise=noise, seed=1), times)
    sigma = noise / math.sqrt(times)
    assert gaussian_delta(found, sigma) <= 1e-5
    assert gaussian_delta(found - 0.15, sigma) > 1e-5


def test_epsilon_without_noise_and_without_rounds() -> None:
    assert epsilon(Settings(), 3) == math.inf and epsilon(Settings(noise=1.0, seed=1), 0) == 0.0


def test_the_most_invited_device_counts() -> None:
    devices = tuple(f"dev-{i}" for i in range(30))
    plan = RunPlan(
        run=1,
        base_image="",
        rounds=40,
        devices=devices,
        epochs=1,
        rate=0.1,
        deadline_s=9.0,
        settings=Settings(cohort=6, seed=2, noise=1.0),
    )
    asked = [plan.invited(round_) for round_ in range(1, 41)]
    assert participations(plan, 40) == max(sum(d in each for each in asked) for d in devices)
    assert 8 < participations(plan, 40) < 40
