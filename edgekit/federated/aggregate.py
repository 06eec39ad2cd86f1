"""Folding the accepted updates of a round into the head, by the strategy of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.errors import RefusedError
from edgekit.federated.codecs import Float32Array, HeadWeights, Update
from edgekit.federated.settings import Settings
from edgekit.federated.strategies import STRATEGIES, Contribution, Global
from edgekit.federated.strategies.base import BoolArray, Float64Array
from edgekit.federated.strategies.defences import Defended, clipped, defended

Moments = tuple[Float64Array, ...]


def step(
    name: str,
    state: Global,
    parts: Sequence[Contribution],
    settings: Settings,
    *,
    progress: float = 0.0,
    noise_round: int = 0,
    expected: int = 0,
    doubted: Collection[int] = (),
) -> Global:
    """Fold contributions, in order of device id, into the global parameters; see `stepped`."""
    return stepped(
        name,
        state,
        parts,
        settings,
        progress=progress,
        noise_round=noise_round,
        expected=expected,
        doubted=doubted,
    )[0]


def stepped(
    name: str,
    state: Global,
    parts: Sequence[Contribution],
    settings: Settings,
    *,
    progress: float = 0.0,
    noise_round: int = 0,
    expected: int = 0,
    doubted: Collection[int] = (),
) -> tuple[Global, Defended]:
    """Fold contributions, in order of device id, into the global parameters.

    Args:
        name: Name in STRATEGIES.
        progress: Share of the run's rounds that are done, for annealing.
        noise_round: Round that the noise is drawn for.
        expected: Updates that a round is expected to have, the divisor of DP-FedAvg.
        doubted: Places of devices with a bad record.

    Returns:
        The parameters after the step, and what the defences made of the contributions.

    Raises:
        RefusedError: If there is nothing to fold, or the result leaves the range of float32.
        ValueError: If the strategy is not in STRATEGIES or a delta has another length.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy {name!r} is unknown, known are {', '.join(STRATEGIES)}")
    if not parts:
        raise RefusedError("round has no accepted update to fold")
    for part in parts:
        if part.delta.shape != state.values.shape:
            raise ValueError(f"delta has shape {part.delta.shape}, state {state.values.shape}")
    if settings.noise:
        bounded = Defended(_noisy(parts, settings, noise_round, expected))
    else:
        bounded = defended(parts, settings, doubted)
    moved = STRATEGIES[name].step(state, bounded.parts, settings, progress)
    if not (np.abs(moved.values) <= np.finfo(np.float32).max).all():
        raise RefusedError("aggregated head leaves the range of float32")
    return moved, bounded


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """What a round made.

    Attributes:
        head: The next head.
        moments: What the server remembers.
        left_out: Devices whose updates the defences did not fold.
        away: Devices whose updates point away from the others.
        compared: Whether there were enough to compare.
    """

    head: HeadWeights
    moments: Moments
    left_out: tuple[str, ...]
    away: tuple[str, ...]
    compared: bool


def fold(
    strategy: str,
    base: HeadWeights,
    updates: Mapping[str, Update],
    settings: Settings | None = None,
    *,
    moments: Moments = (),
    round_: int = 1,
    rounds: int = 1,
    expected: int = 0,
    doubted: Collection[str] = (),
) -> Folded:
    """Fold the accepted updates of a round, by device id, into the base head.

    Args:
        settings: Default: those of Settings.
        moments: What the server remembers of earlier rounds.
        round_: Number of the round, from 1; an update of an earlier one is stale by the difference.
        rounds: Of the run.
        expected: Updates that a round is expected to have.
        doubted: Devices with a bad record.

    Raises:
        RefusedError: If there is nothing to fold, or the result leaves the range of float32.
        ValueError: If the strategy is not in STRATEGIES or an update has another shape.
    """
    for device, update in updates.items():
        if update.weights.shape != base.weights.shape:
            raise ValueError(
                f"update of {device} has shape {update.weights.shape}, base {base.weights.shape}"
            )
    names = sorted(updates)
    state, bounded = stepped(
        strategy,
        Global(flat(base).astype(np.float64), moments),
        contributions(updates, round_),
        settings or Settings(),
        progress=min(1.0, (round_ - 1) / rounds),
        noise_round=round_,
        expected=expected,
        doubted=[at for at, device in enumerate(names) if device in doubted],
    )
    return Folded(
        head_of(state.values.astype(np.float32), base.weights.shape),
        state.moments,
        tuple(names[at] for at in bounded.left_out),
        tuple(names[at] for at in bounded.away),
        bounded.compared,
    )


def fold_mean(
    strategy: str,
    base: HeadWeights,
    mean: Float64Array,
    weight: int,
    settings: Settings,
    *,
    moments: Moments = (),
    progress: float = 0.0,
) -> tuple[HeadWeights, Moments]:
    """Fold a mean of which the parts are not known; defences, which look at parts, rest.

    Args:
        mean: Of the round's updates, float64 `[P]`.
        weight: Of all of them together.
        progress: Share of the run's rounds that are done.

    Raises:
        RefusedError: If the result leaves the range of float32.
    """
    state = step(
        strategy,
        Global(flat(base).astype(np.float64), moments),
        [Contribution(mean, weight)],
        replace(settings, clip=0.0, weight_cap=0.0, align=False),
        progress=progress,
    )
    return head_of(state.values.astype(np.float32), base.weights.shape), state.moments


def contributions(updates: Mapping[str, Update], round_: int) -> list[Contribution]:
    """Return updates in the order in which they are folded: by device id."""
    return [
        Contribution(
            flat(updates[device]),
            updates[device].samples,
            max(0, round_ - updates[device].round),
            sent=updates[device].sent,
        )
        for device in sorted(updates)
    ]


def flat(part: HeadWeights | Update) -> Float32Array:
    """Return weights and bias as one vector, `[P]`."""
    return np.concatenate([part.weights.ravel(), part.bias])


def head_of(values: Float32Array, shape: tuple[int, ...]) -> HeadWeights:
    """Return the head of a vector; `shape` is that of its weights."""
    split = int(np.prod(shape))
    return HeadWeights(values[:split].reshape(shape), values[split:])


def _noisy(
    parts: Sequence[Contribution], settings: Settings, round_: int, expected: int
) -> list[Contribution]:
    """Clip to the fixed norm, weigh alike, and add the noise as one more contribution.

    The strategies divide by what they count, so the shares are written as scales: mean over the
    expected number of updates, plus N(0, (z C / expected)^2).

    Source: McMahan et al., "Learning Differentially Private Recurrent Language Models", 2018,
        Algorithm 1 (fixed-denominator estimator)
    """
    count = len(parts) + 1
    divisor = max(expected, 1)
    bound = clipped([replace(part, samples=1) for part in parts], settings.norm)
    scaled = [replace(part, scale=part.scale * count / divisor) for part in bound]
    draw = _generator(settings.seed, "noise", round_).normal(size=parts[0].delta.shape)
    noise = Contribution(draw, 1, scale=count * settings.noise * settings.norm / divisor)
    return [*scaled, noise]


def draw_cohort(devices: Sequence[str], settings: Settings, round_: int) -> tuple[str, ...]:
    """Return the devices that a round invites: all, or more than the cohort, drawn by the seed."""
    if not settings.cohort:
        return tuple(devices)
    count = cohort_size(len(devices), settings)
    chosen = _generator(settings.seed, "cohort", round_).choice(len(devices), count, replace=False)
    return tuple(devices[index] for index in sorted(chosen))


def cohort_size(count: int, settings: Settings) -> int:
    """Return how many of `count` devices a round invites."""
    if not settings.cohort:
        return count
    return min(count, int(np.ceil(settings.cohort * settings.over_select)))


def _generator(seed: int, purpose: str, round_: int) -> np.random.Generator:
    text = f"edgekit {purpose} {seed} {round_}".encode()
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big"))
    )


__all__ = ["BoolArray", "STRATEGIES", "Settings", "draw_cohort", "flat", "fold", "head_of", "step"]
