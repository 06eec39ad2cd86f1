"""What bounds the influence of one device, whatever the strategy: norm, weight, direction."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

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
LEAST_AWAY = 2  # rounds; one is chance
MOST_AWAY = 1 / 2  # of a device's rounds; honest ones with unlike data stay below


@dataclass(frozen=True, slots=True)
class Record:
    """What a run has seen of one device.

    Attributes:
        rounds: In which its update was compared with the others.
        away: Of these, those in which it pointed away from them.
    """

    rounds: int = 0
    away: int = 0

    @property
    def doubted(self) -> bool:
        """Whether its updates are still compared, but not folded."""
        return self.away >= LEAST_AWAY and self.away > MOST_AWAY * self.rounds

    def after(self, *, away: bool) -> Record:
        """Return the record after one more comparison."""
        return Record(self.rounds + 1, self.away + away)


@dataclass(frozen=True, slots=True)
class Defended:
    """The updates of a round as they are folded.

    Attributes:
        parts: Those that stay, bounded.
        left_out: Places, among all, of those that do not.
        away: Places of those that point away from the others, doubted before or not.
        compared: Whether there were enough to compare.
    """

    parts: Sequence[Contribution]
    left_out: tuple[int, ...] = ()
    away: tuple[int, ...] = ()
    compared: bool = False


def defended(
    parts: Sequence[Contribution], settings: Settings, doubted: Collection[int] = ()
) -> Defended:
    """Bound norms and claims of samples, and leave out what points the wrong way.

    The norm of half of the devices cannot be moved far by fewer than half of liars, so no number
    has to be known beforehand. Directions tell most in the first rounds, when all honest devices
    want the same; so a device's record counts, too.

    Args:
        doubted: Places of devices with a bad record. They have no say in where the mean points. If
            they are half of the devices, nobody knows who is right, and records do not count.

    Source: norm clipping as in Sun et al., "Can You Really Backdoor Federated Learning?", 2019,
        section 5, with the median as threshold; the sign of the cosine as in Cao et al., "FLTrust",
        2021, section IV, with the clipped mean in place of a trusted update
    """
    made = list(parts)
    if len(made) == 1:  # one is its own median
        return Defended(made)
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
        return Defended(made)
    outside = set(doubted) if 2 * len(set(doubted)) < len(made) else set()
    away = opposing(made, outside)
    left = outside | away
    if len(left) == len(made):
        left = away
    kept = [part for at, part in enumerate(made) if at not in left]
    return Defended(kept, tuple(sorted(left)), tuple(sorted(away)), compared=True)


def opposing(parts: Sequence[Contribution], outside: Collection[int] = ()) -> set[int]:
    """Return the places of updates without a positive product with the plain mean.

    The products of those in the mean sum up to its squared norm, so some stay unless that is 0.

    Args:
        outside: Places of updates that are compared with the mean, but not in it.
    """
    size = len(parts[0].delta)
    inside = (part for at, part in enumerate(parts) if at not in outside)
    mean = weighted_sum(((part.scale, part.delta) for part in inside), size)
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
