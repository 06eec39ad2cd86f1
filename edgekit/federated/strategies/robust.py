"""Strategies that bear liars: by order statistics per coordinate, or by distances of whole updates.

They weigh every device alike: a number of samples is a claim.
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
    rate_of,
    stack,
)


def median(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Add the median of the differences, coordinate by coordinate.

    Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        2018, Definition 1
    """
    return _moved(state, settings, np.median(stack(parts), axis=0))


def trimmed_mean(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Add the mean of the differences without the largest and smallest share of each coordinate.

    Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        2018, Definition 2
    """
    rows = np.sort(stack(parts), axis=0)
    cut = int(settings.trim * len(rows))
    return _moved(state, settings, rows[cut : len(rows) - cut].mean(axis=0))


def multi_krum(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Add the mean of the m - f updates that are nearest to their m - f - 2 nearest neighbours.

    Source: Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient
        Descent", 2017, sections 4 and 6 (Multi-Krum)
    """
    rows = stack(parts)
    chosen = krum_order(rows, liars(len(rows), settings.byzantine))
    return _moved(state, settings, rows[chosen].mean(axis=0))


def liars(count: int, share: float) -> int:
    """Return how many of `count` may lie: their share, but so few that count >= 2 f + 3 holds."""
    return max(0, min(int(share * count), (count - 3) // 2))


def krum_order(rows: Float64Array, lying: int) -> list[int]:
    """Return the rows that Multi-Krum keeps, in rising order.

    Args:
        rows: Updates, `[m, P]`.
        lying: f, the liars that are borne.
    """
    count = len(rows)
    near = count - lying - 2
    if near < 1:
        return list(range(count))
    scores = []
    for row in rows:
        squared = ((rows - row) ** 2).sum(axis=1)
        scores.append(float(np.sort(squared)[1 : near + 1].sum()))  # without itself
    best = np.argsort(scores, kind="stable")[: count - lying]
    return sorted(int(index) for index in best)


def _moved(state: Global, settings: Settings, step: Float64Array) -> Global:
    return Global(state.values + rate_of(settings, 1.0) * step, state.moments)


FAMILY = {
    "median": Strategy(median, Kind.ORDER, "Yin et al. 2018"),
    "trimmed_mean": Strategy(trimmed_mean, Kind.ORDER, "Yin et al. 2018", uses=("trim",)),
    "multi_krum": Strategy(multi_krum, Kind.DISTANCE, "Blanchard et al. 2017", uses=("byzantine",)),
}
