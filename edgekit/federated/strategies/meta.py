"""Reptile and its relatives: learn a start from which a device adapts in a few steps.

Source: Nichol et al., "On First-Order Meta-Learning Algorithms", 2018, Algorithm 2; Ren et al.,
    "TinyReptile", 2023; Ren et al., "TinyMetaFed", 2023
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import (
    Contribution,
    Float64Array,
    Global,
    Kind,
    Strategy,
    plain_mean,
    rate_of,
)


def annealed(settings: Settings, progress: float) -> float:
    """Return the meta step alpha * (1 - r / R): from alpha in the first round down to nothing."""
    return rate_of(settings, 1.0) * (1.0 - progress)


def reptile(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Move towards the mean of the adapted parameters by the annealed meta step.

    One device per round is the serial schema, several are the cohort. TinyReptile has the same
    step; its devices see each sample once, as a stream.
    """
    return Global(
        state.values + annealed(settings, progress) * plain_mean(state, parts), state.moments
    )


def tiny_metafed(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Move each entry by the annealed mean over the devices that sent it."""
    return Global(
        state.values + annealed(settings, progress) * mean_of_sent(state, parts), state.moments
    )


def mean_of_sent(state: Global, parts: Sequence[Contribution]) -> Float64Array:
    """Return the mean of each entry over those that sent it, 0 where nobody did."""
    total = np.zeros_like(state.values)
    count = np.zeros(len(state.values), np.int64)
    for part in parts:
        total += part.scale * part.delta.astype(np.float64)
        count += 1 if part.sent is None else part.sent
    return total / np.maximum(count, 1)


FAMILY = {
    "reptile": Strategy(reptile, Kind.EQUAL, "Nichol et al. 2018", meta=True),
    "tiny_reptile": Strategy(reptile, Kind.EQUAL, "Ren et al. 2023", meta=True),
    "tiny_metafed": Strategy(
        tiny_metafed, Kind.EQUAL, "Ren et al. 2023", uses=("local",), meta=True
    ),
}
