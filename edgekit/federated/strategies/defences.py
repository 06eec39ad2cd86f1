"""What bounds the influence of one device, whatever the strategy: norm, weight, direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import (
    BLOCK,
    Contribution,
    Float64Array,
    FloatArray,
    weighted_sum,
)

FEWEST_TO_ALIGN = 5  # of fewer, two liars may be most of them


def defended(
    parts: Sequence[Contribution], settings: Settings
) -> tuple[list[Contribution], list[int]]:
    """Bound norms and claims of samples, and leave out what points the wrong way.

    The norm of half of the devices cannot be moved far by fewer than half of liars, so no number
    has to be known beforehand.

    Returns:
        What stays, and the places in `parts` of what does not.

    Source: norm clipping as in Sun et al., "Can You Really Backdoor Federated Learning?", 2019,
        section 5, with the median as threshold; the sign of the cosine as in Cao et al., "FLTrust",
        2021, section IV, with the clipped mean in place of a trusted update
    """
    made = list(parts)
    if len(made) == 1:  # one is its own median
        return made, []
    if settings.clip:
        norms = [norm(part.delta) for part in made]
        most = settings.clip * float(np.median(norms))
        made = [
            replace(part, scale=part.scale * most / length) if length > most > 0 else part
            for part, length in zip(made, norms, strict=True)
        ]
    if settings.weight_cap:
        claims = settings.weight_cap * float(np.median([part.samples for part in made]))
        bound = max(1, int(claims))
        made = [replace(part, samples=bound) if part.samples > bound else part for part in made]
    if not settings.align or len(made) < FEWEST_TO_ALIGN:
        return made, []
    away = opposing(made)
    return [part for at, part in enumerate(made) if at not in away], sorted(away)


def opposing(parts: Sequence[Contribution]) -> set[int]:
    """Return the places of updates without a positive product with the plain mean of all.

    The products sum up to the squared norm of the mean, so some stay unless that is 0.
    """
    size = len(parts[0].delta)
    mean = weighted_sum(((part.scale, part.delta) for part in parts), size)
    away = {at for at, part in enumerate(parts) if _product(part.delta, mean) <= 0}
    return away if len(away) < len(parts) else set()


def _product(delta: FloatArray, mean: Float64Array) -> float:
    total = 0.0
    for begin in range(0, len(mean), BLOCK):
        total += float((delta[begin : begin + BLOCK] * mean[begin : begin + BLOCK]).sum())
    return total


def clipped(parts: Sequence[Contribution], most: float) -> list[Contribution]:
    """Scale every delta whose norm is above a fixed bound down to it.

    Source: McMahan et al., "Learning Differentially Private Recurrent Language Models", 2018,
        section 2.1 (flat clipping)
    """
    return [replace(part, scale=min(1.0, most / max(norm(part.delta), 1e-300))) for part in parts]


def norm(values: FloatArray) -> float:
    """Return the Euclidean norm, summed in float64 in a fixed order."""
    total = 0.0
    for begin in range(0, len(values), BLOCK):
        part = values[begin : begin + BLOCK].astype(np.float64)
        total += float(np.square(part).sum())
    return math.sqrt(total)
