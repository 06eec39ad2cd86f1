"""FedAdam and FedYogi: the mean of a round as a gradient for an adaptive optimizer of the server.

Source: Reddi et al., "Adaptive Federated Optimization", 2021, Algorithm 2 (no bias correction; the
    second moment begins at tau squared)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import (
    Contribution,
    Float64Array,
    Global,
    Kind,
    Step,
    Strategy,
    mean_by_samples,
    rate_of,
)

SERVER_RATE = 0.01
Second = Callable[[Float64Array, Float64Array, float], Float64Array]


def _adam(second: Float64Array, squared: Float64Array, beta2: float) -> Float64Array:
    return beta2 * second + (1 - beta2) * squared


def _yogi(second: Float64Array, squared: Float64Array, beta2: float) -> Float64Array:
    return second - (1 - beta2) * squared * np.sign(second - squared)


def _step_of(next_second: Second) -> Step:
    def step(
        state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
    ) -> Global:
        """Move by rate * m / (sqrt(v) + tau)."""
        mean = mean_by_samples(state, parts)
        if state.moments:
            first, second = state.moments
        else:
            first = np.zeros_like(state.values)
            second = np.full_like(state.values, settings.tau**2)
        first = settings.beta1 * first + (1 - settings.beta1) * mean
        second = next_second(second, mean * mean, settings.beta2)
        rate = rate_of(settings, SERVER_RATE)
        values = state.values + rate * first / (np.sqrt(second) + settings.tau)
        return Global(values, (first, second))

    return step


fedadam = _step_of(_adam)
fedyogi = _step_of(_yogi)
_USES = ("beta1", "beta2", "tau")

FAMILY = {
    "fedadam": Strategy(
        fedadam,
        Kind.MEAN,
        "Reddi et al. 2021",
        remembers=True,
        uses=_USES,
        server_rate=SERVER_RATE,
    ),
    "fedyogi": Strategy(
        fedyogi,
        Kind.MEAN,
        "Reddi et al. 2021",
        remembers=True,
        uses=_USES,
        server_rate=SERVER_RATE,
    ),
}
