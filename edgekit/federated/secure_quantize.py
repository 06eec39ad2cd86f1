"""Updates as whole numbers whose sum over a round does not wrap.

Twin: firmware/learn/ek_secure.c, ek_secure_quantize
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.federated.payload import Float32Array, UInt32Array, mix
from edgekit.link.status import Status, refuse

Float64Array = npt.NDArray[np.float64]

MAX_LEVELS = 1 << 22  # float32 still counts in halves there
MIN_LEVELS = 256
MAX_LOSS = 16.0
EXTRA = 3  # values behind the parameters: weight, weight x first loss, weight x last loss


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become whole numbers.

    Attributes:
        levels: Steps between 0 and the bound.
        bound: A value counts at most that much, a float32.
        most_weight: Samples count at most so many; 1: all devices count alike.
    """

    levels: int
    bound: float
    most_weight: int


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """What a round adds up to.

    Attributes:
        mean: Weighted mean of the updates, float64 `[P]`.
        weight: Sum of the weights.
        loss_first: Weighted mean loss of the first epoch, of losses up to MAX_LOSS.
        loss_last: Of the last epoch.
    """

    mean: Float64Array
    weight: int
    loss_first: float
    loss_last: float


def levels_for(count: int, most_weight: int) -> int:
    """Return the levels with which the sum of `count` devices stays below 2^31."""
    return min(MAX_LEVELS, (2**31 - 1) // (count * most_weight))


def quantized(
    values: Float32Array,
    scale: Scale,
    *,
    samples: int,
    losses: tuple[float, float],
    index: int,
    round_: int,
) -> UInt32Array:
    """Return weight x update and the extra values as whole numbers modulo 2^32, `[P + 3]`.

    Rounding is stochastic, right in the mean, by a hash of member, round and place.

    Raises:
        LinkError: NOT_FINITE if a value or a loss is not.
    """
    if not (np.isfinite(values).all() and np.isfinite(losses).all()):
        raise refuse(Status.NOT_FINITE, "update holds values that are not finite")
    weight = min(samples, scale.most_weight)
    bound, levels = np.float32(scale.bound), np.float32(scale.levels)
    places = np.arange(len(values), dtype=np.uint32) + rounding_seed(index, round_)
    chance = (mix(places) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    steps = np.floor(np.clip(values, -bound, bound) * (levels / bound) + chance)
    whole = np.empty(len(values) + EXTRA, np.int64)
    whole[:-EXTRA] = np.clip(steps, -levels, levels)
    whole[-EXTRA] = 1
    for at, loss in zip((-2, -1), losses, strict=True):
        bounded = np.clip(np.float32(loss), np.float32(0), np.float32(MAX_LOSS))
        step = np.floor(bounded * (levels / np.float32(MAX_LOSS)) + np.float32(0.5))
        whole[at] = min(step, levels)
    return (whole * weight).astype(np.uint32)


def rounding_seed(index: int, round_: int) -> np.uint32:
    """Return where the hash of a member's rounding begins in a round."""
    mixed = mix(np.array([index, (round_ + 0x9E3779B9) & 0xFFFFFFFF], np.uint32))
    return np.uint32(mixed[0] ^ mixed[1])


def summed(total: UInt32Array, scale: Scale, count: int) -> Sum:
    """Read the sum of `count` devices.

    Raises:
        LinkError: RANGE if no honest devices can have made it.
    """
    whole = total.astype(np.uint32).view(np.int32).astype(np.int64)
    weight = int(whole[-EXTRA])
    if not count <= weight <= count * scale.most_weight:
        raise refuse(
            Status.RANGE,
            f"weights of {count} devices sum up to {weight},"
            f" expected {count} .. {count * scale.most_weight}",
        )
    most = int(np.abs(whole[:-EXTRA]).max())
    if most > weight * scale.levels or not (0 <= whole[-2:]).all():
        raise refuse(
            Status.RANGE, f"a sum is {most}, at most {weight * scale.levels} for {count} devices"
        )
    step = float(np.float32(scale.bound)) / scale.levels
    mean = whole[:-EXTRA].astype(np.float64) * (step / weight)
    losses = whole[-2:] * (MAX_LOSS / scale.levels / weight)
    return Sum(mean, weight, float(losses[0]), float(losses[1]))
