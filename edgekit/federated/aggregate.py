"""Aggregation strategies: pure functions from a base head and updates to the next head.

All accumulate in float64 in the order of the device ids, so the bytes of the result depend neither
on the order in which updates came in nor on a restart in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from edgekit.errors import RefusedError
from edgekit.federated.codecs import HeadWeights, Update

Float64Array = npt.NDArray[np.float64]
Strategy = Callable[[HeadWeights, Mapping[str, Update]], HeadWeights]

TRIM_FRACTION = 0.2  # of the updates, dropped at either end of each coordinate


def fedavg(base: HeadWeights, updates: Mapping[str, Update]) -> HeadWeights:
    """Add the mean of the differences, weighted by samples.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
        Data", 2017, Algorithm 1 (in the form w + sum(n_k / n * delta_k))
    """
    total = sum(update.samples for update in updates.values())
    mean = np.zeros(base.classes * (base.features + 1), dtype=np.float64)
    for device in sorted(updates):
        mean += (updates[device].samples / total) * _flat(updates[device])
    return _moved(base, mean)


def median(base: HeadWeights, updates: Mapping[str, Update]) -> HeadWeights:
    """Add the median of the differences, coordinate by coordinate; samples do not weigh.

    Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        2018, Definition 1
    """
    return _moved(base, np.median(_stack(updates), axis=0))


def trimmed_mean(base: HeadWeights, updates: Mapping[str, Update]) -> HeadWeights:
    """Add the mean of the differences without the largest and smallest fifth of each coordinate.

    Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
        2018, Definition 2
    """
    rows = np.sort(_stack(updates), axis=0)
    cut = int(TRIM_FRACTION * len(rows))
    return _moved(base, rows[cut : len(rows) - cut].mean(axis=0))


STRATEGIES: dict[str, Strategy] = {
    "fedavg": fedavg,
    "median": median,
    "trimmed_mean": trimmed_mean,
}


def fold(strategy: str, base: HeadWeights, updates: Mapping[str, Update]) -> HeadWeights:
    """Fold the accepted updates of a round, by device id, into the base head.

    Raises:
        RefusedError: If there is nothing to fold, or the result leaves the range of float32.
        ValueError: If the strategy is not in STRATEGIES or an update has another shape.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} is unknown, known are {', '.join(STRATEGIES)}")
    if not updates:
        raise RefusedError("round has no accepted update to fold")
    for device, update in updates.items():
        if update.weights.shape != base.weights.shape:
            raise ValueError(
                f"update of {device} has shape {update.weights.shape}, base {base.weights.shape}"
            )
    return STRATEGIES[strategy](base, updates)


def _flat(part: HeadWeights | Update) -> Float64Array:
    return np.concatenate([part.weights.ravel(), part.bias]).astype(np.float64)


def _stack(updates: Mapping[str, Update]) -> Float64Array:
    return np.stack([_flat(updates[device]) for device in sorted(updates)])


def _moved(base: HeadWeights, step: Float64Array) -> HeadWeights:
    moved = _flat(base) + step
    if not (np.abs(moved) <= np.finfo(np.float32).max).all():
        raise RefusedError("aggregated head leaves the range of float32")
    values = moved.astype(np.float32)
    split = base.weights.size
    return HeadWeights(values[:split].reshape(base.weights.shape), values[split:])
