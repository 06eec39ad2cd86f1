"""What every strategy works on: the global parameters, the contributions, sums in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from edgekit.federated.settings import Settings

FloatArray = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BLOCK = 16_384  # values per pass; float64 of them stays in the first caches


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What one device has to say in a round.

    Attributes:
        delta: Trained minus base, `[P]`.
        samples: That it trained on.
        staleness: Versions between its base and the current one; 0 if it is current.
        scale: Factor on `delta` that the defences decided.
        sent: Which entries it sent, bool `[P]`; None: all.
    """

    delta: FloatArray
    samples: int = 1
    staleness: int = 0
    scale: float = 1.0
    sent: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """The global parameters, and what the server remembers besides.

    Attributes:
        values: float64 `[P]`.
        moments: float64 `[P]` each; empty before the first step and for most strategies.
    """

    values: Float64Array
    moments: tuple[Float64Array, ...] = ()


Step = Callable[[Global, Sequence[Contribution], Settings, float], Global]
"""(state, contributions in order of device id, settings, progress 0 .. 1) -> state."""


class Kind(Enum):
    """How the contributions of a round become one step."""

    MEAN = "weighted mean"
    EQUAL = "plain mean"
    ORDER = "per coordinate"
    DISTANCE = "by distances"
    BUFFER = "buffer, asynchronous"


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to fold the contributions of a round.

    Attributes:
        step: The pure function.
        kind: How it combines, which decides what it can be used with.
        remembers: Whether the state has moments, so that a replay has to fold anew.
        uses: Fields of Settings that matter to it alone.
        server_rate: Step of the server where the settings name none.
        meta: Whether what it learns is a start for personal models rather than a model.
        source: Where it comes from.
    """

    step: Step
    kind: Kind
    source: str
    remembers: bool = False
    uses: tuple[str, ...] = ()
    server_rate: float = 1.0
    meta: bool = False


def weighted_sum(parts: Iterable[tuple[float, FloatArray]], size: int) -> Float64Array:
    """Return the sum of weight x vector in float64, in the order given; O(P) memory."""
    total = np.zeros(size, np.float64)
    product = np.empty(min(size, BLOCK), np.float64)
    for weight, delta in parts:
        for begin in range(0, size, BLOCK):
            part = delta[begin : begin + BLOCK]
            scaled = product[: len(part)]
            np.multiply(part, weight, out=scaled, dtype=np.float64)
            total[begin : begin + BLOCK] += scaled
    return total


def mean_by_samples(state: Global, parts: Sequence[Contribution]) -> Float64Array:
    """Return the mean of the deltas, weighted by samples."""
    total = sum(part.samples for part in parts)
    weighted = ((part.scale * (part.samples / total), part.delta) for part in parts)
    return weighted_sum(weighted, len(state.values))


def plain_mean(state: Global, parts: Sequence[Contribution]) -> Float64Array:
    """Return the mean of the deltas; samples do not weigh."""
    weighted = ((part.scale / len(parts), part.delta) for part in parts)
    return weighted_sum(weighted, len(state.values))


def stack(parts: Sequence[Contribution]) -> Float64Array:
    """Return the scaled deltas as float64 `[m, P]`."""
    return np.stack([part.scale * part.delta.astype(np.float64) for part in parts])


def rate_of(settings: Settings, default: float) -> float:
    """Return the server's step: the settings', or the strategy's own."""
    return settings.server_rate or default
