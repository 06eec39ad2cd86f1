"""Multipliers of 31 bits that round as a float64 scale does, for every sum that can occur.

LiteRT multiplies the sums of FULLY_CONNECTED by a float64 and rounds ties away from zero. A
multiplier of 31 bits is off by up to 2^-32 of it, which turns a sum that lies that near to a tie.
Both are steps that rise with the sum, so they are equal if every step begins at the same sum; which
multipliers do that is one interval.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.ops.fixed import quantize_multiplier

Int64 = NDArray[np.int64]


def reach(weights: NDArray[np.int8], folded: NDArray[np.int32]) -> tuple[Int64, Int64]:
    """Return least and largest sum of each row over all inputs.

    Args:
        weights: [M, K].
        folded: Bias [M], from which the input's zero point times the weights was taken.
    """
    w = weights.astype(np.int64)
    up, down = np.maximum(w, 0).sum(1), np.minimum(w, 0).sum(1)
    bias = folded.astype(np.int64)
    return bias - 128 * up + 127 * down, bias + 127 * up - 128 * down


def exact_multiplier(
    real: float, sums: tuple[Int64, Int64], levels: tuple[int, int]
) -> tuple[int, int]:
    """Return the multiplier and shift nearest to a factor that round every sum as it does.

    Args:
        real: Factor, above 0.
        sums: Least and largest sum of each row that it scales.
        levels: Least and largest result that counts; beyond them results are clamped.

    Returns:
        The nearest multiplier as it is, if none does.

    Source: experiments with LiteRT 2.3.0 on sums near ties; its results equal
    round(float64(sum) * real), ties away from zero.
    """
    multiplier, shift = quantize_multiplier(real)
    if multiplier == 0:
        return multiplier, shift
    k = np.arange(levels[0] + 1, levels[1] + 1, dtype=np.int64)
    low, high = sums
    first = _first_sums(real, k)
    # A row sees where a step begins if it has sums on both sides.
    seen = ((first > low[:, None]) & (first <= high[:, None])).any(0)
    k, first = k[seen], first[seen]
    least, most = 2**30, 2**31 - 1
    for half, begin in zip((2 * k - 1).tolist(), first.tolist(), strict=True):
        # Sum `begin` reaches the step, the one before does not: half 2^(30 - s) <= begin m, and
        # half 2^(30 - s) > (begin - 1) m.
        whole = half << (30 - shift)
        if begin > 0:
            least = max(least, -(-whole // begin))
        elif begin < 0:
            most = min(most, whole // begin)
        elif whole > 0:
            return multiplier, shift
        before = begin - 1
        if before > 0:
            most = min(most, -(-whole // before) - 1)
        elif before < 0:
            least = max(least, whole // before + 1)
    if least > most:
        return multiplier, shift
    return min(max(multiplier, least), most), shift


def _first_sums(real: float, k: Int64) -> Int64:
    """Return the least sum that is scaled to k or more, for each k."""
    guess = np.array([math.ceil((v - 0.5) / real) for v in k.tolist()], np.int64)
    near = guess[:, None] + np.arange(-2, 4)
    scaled = near.astype(np.float64) * real
    rounded = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)
    reached = rounded >= k[:, None]
    return np.asarray(near[np.arange(len(k)), reached.argmax(1)])
