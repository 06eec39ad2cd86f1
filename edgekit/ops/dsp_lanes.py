"""How packed kernels for DSP cores finish sums, and where that is exact.

A sum becomes int8 by one multiplication that keeps the high word (SMMLA, SMMLAR), a shift and a
saturation. Rounding constant and output zero point lie in one addend.

Source: the identity round(a * m / 2**31) = high word of (2 * a * m + 2**31).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.ops.fixed import Rounding, multiply

MAX_SHIFT = 22
MAX_DIRTY_SHIFT = 15
MAX_SUM = 2**30
MAX_DIRTY_SUM = 2**23


class Form(IntEnum):
    """How the weights of two channels share words, and how their sums are finished.

    In dirty lanes 16 bits hold `256 * odd + even` of two channels: the odd one's sum appears 256
    times, together with the even one's. Clean lanes hold two bytes.

    FLOOR is for outputs whose lowest value is their zero point, -128: what is below saturates, so
    the second rounding needs no sign.

    Twin: firmware/kernels/ek_tile_dsp.h, ek_form.
    """

    FLOOR = 0
    DOUBLE = 1
    SINGLE = 2
    CLEAN_DOUBLE = 3
    CLEAN_SINGLE = 4

    @property
    def dirty(self) -> bool:
        """True if the lanes of two channels are mixed."""
        return self < Form.CLEAN_DOUBLE

    @property
    def rounding(self) -> Rounding:
        """What the canonical kernel calls it."""
        single = self in (Form.SINGLE, Form.CLEAN_SINGLE)
        return Rounding.SINGLE if single else Rounding.DOUBLE


@dataclass(frozen=True, slots=True)
class Sums:
    """The constants of N output channels, and what their sums may be over all int8 inputs.

    Attributes:
        weights: int8 [N, K].
        rows: int32 [N, 3]: bias, multiplier, shift.
        low: int64 [N], smallest sum with bias.
        high: int64 [N], largest.
    """

    weights: NDArray[np.int8]
    rows: NDArray[np.int32]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def sums_of(weights: NDArray[Any], rows: NDArray[Any]) -> Sums:
    """Return the constants with the range of their sums."""
    wide = weights.astype(np.int64)
    positive = np.where(wide > 0, wide, 0).sum(axis=1)
    negative = np.where(wide < 0, wide, 0).sum(axis=1)
    bias = rows[:, 0].astype(np.int64)
    return Sums(
        weights.astype(np.int8),
        rows.astype(np.int32),
        bias - 128 * positive + 127 * negative,
        bias + 127 * positive - 128 * negative,
    )


def settle(
    sums: Sums, zero: int, low: int, high: int, rounding: Rounding, least: int
) -> Sums | None:
    """Give channels that no lane can finish, but are constant, other constants of equal effect.

    Args:
        sums: Of N channels.
        zero: Zero point of the output.
        low: Smallest output.
        high: Largest output.
        rounding: Of the kernel.
        least: Smallest right shift that a lane can do.

    Returns:
        Channels that all lanes can finish; None if a channel is not constant and unfit.
    """
    shifts = -sums.rows[:, 2]
    unfit = (shifts < least) | (shifts > MAX_SHIFT)
    unfit |= (sums.low <= -MAX_SUM) | (sums.high >= MAX_SUM)
    if not unfit.any():
        return sums
    weights, rows = sums.weights.copy(), sums.rows.copy()
    for channel in np.flatnonzero(unfit):
        ends = (int(sums.low[channel]), int(sums.high[channel]))
        if min(ends) < -(2**31) or max(ends) >= 2**31:
            return None
        _, multiplier, shift = (int(value) for value in rows[channel])
        if shift > 0 and multiplier:
            return None  # the sum may wrap where it is shifted left
        found = {
            min(high, max(low, multiply(end, multiplier, shift, rounding) + zero)) for end in ends
        }
        if len(found) != 1:
            return None
        # 8 * d * 2**30 * 2**-31 * 2**-2 = d, exactly.
        weights[channel] = 0
        rows[channel] = (8 * (found.pop() - zero), 2**30, -2)
    return sums_of(weights, rows)


def choose_form(sums: Sums, zero: int, rounding: Rounding) -> Form:
    """Return the quickest form that is exact for an even number of channels."""
    single = rounding is Rounding.SINGLE
    floor = not single and zero == -128
    odd = slice(1, None, 2)
    dirty = (
        not np.any(sums.weights == -128)
        and bool(np.all(sums.low[odd] > -MAX_DIRTY_SUM))
        and bool(np.all(sums.high[odd] < MAX_DIRTY_SUM))
        and ((not single and not floor) or bool(np.all(-sums.rows[odd, 2] <= MAX_DIRTY_SHIFT)))
    )
    if single:
        return Form.SINGLE if dirty else Form.CLEAN_SINGLE
    if not dirty:
        return Form.CLEAN_DOUBLE
    return Form.FLOOR if floor else Form.DOUBLE


def lanes_of(rows: NDArray[np.int32], zero: int, form: Form) -> NDArray[np.int32]:
    """Return int32 [N, 3], multiplier, addend, shift of each channel.

    Twin: firmware/kernels/ek_tile_dsp.c, which says what is done with them.
    """
    lanes = np.empty((len(rows), 3), np.int64)
    shift = -rows[:, 2].astype(np.int64)
    lanes[:, 0] = rows[:, 1]
    if form.rounding is Rounding.SINGLE:
        shift -= 1
    lanes[:, 1] = (1 << (shift - 1)) + zero * (1 << shift)
    lanes[:, 2] = shift
    odd = slice(1, None, 2)
    if form is Form.FLOOR:
        lanes[odd, 1] = 128 * lanes[odd, 1] + 64
        lanes[odd, 2] += 7
    elif form is Form.SINGLE:
        lanes[odd, 1] *= 256
        lanes[odd, 2] += 8
    return lanes.astype(np.int32)


def shifts_of(lanes: NDArray[np.int32], form: Form) -> NDArray[np.int32]:
    """Return the shifts [N] that `lanes_of` was given."""
    shift = lanes[:, 2].copy()
    odd = slice(1, None, 2)
    if form is Form.FLOOR:
        shift[odd] -= 7
    elif form is Form.SINGLE:
        shift[odd] -= 8
    return (-shift - (form.rounding is Rounding.SINGLE)).astype(np.int32)


def even(sums: Sums) -> Sums:
    """Append a channel of zeros to an odd number of them."""
    if len(sums.rows) % 2 == 0:
        return sums
    return pad_channels(sums, 2)


def pad_channels(sums: Sums, multiple: int) -> Sums:
    """Append channels of zeros up to a multiple."""
    missing = -len(sums.rows) % multiple
    weights = np.pad(sums.weights, ((0, missing), (0, 0)))
    rows = np.pad(sums.rows, ((0, missing), (0, 0)))
    rows[len(sums.rows) :, 1:] = (2**30, -2)
    return sums_of(weights, rows)


def pair_words(weights: NDArray[np.int8], form: Form) -> NDArray[np.int32]:
    """Return the words of weights int8 [N, K], N even and K a multiple of 4, as int32 [N/2, K/2].

    A word has the lanes of two terms that lie two apart, as SXTB16 takes bytes out of a word.
    """
    first, second = weights[0::2].astype(np.int32), weights[1::2].astype(np.int32)
    mixed = 256 * second + (first if form.dirty else first & 255)
    lanes = mixed.astype(np.int16).reshape(len(first), -1, 4)[:, :, [0, 2, 1, 3]]
    return np.ascontiguousarray(lanes).view("<i4").reshape(len(first), -1).astype(np.int32)


def weights_of(words: NDArray[np.int32], form: Form) -> NDArray[np.int8]:
    """Return the weights that `pair_words` was given."""
    lanes = np.ascontiguousarray(words.astype("<i4")).view("<i2").reshape(len(words), -1, 4)
    wide = lanes[:, :, [0, 2, 1, 3]].reshape(len(words), -1).astype(np.int32)
    weights = np.empty((2 * len(wide), wide.shape[1]), np.int8)
    weights[0::2] = wide.astype(np.int8)
    mixed = wide - weights[0::2] if form.dirty else wide
    weights[1::2] = mixed >> 8
    return weights


def pair_biases(bias: NDArray[np.int32], form: Form) -> NDArray[np.int32]:
    """Return what the two sums of each pair start with, int32 [N/2, 2]."""
    first, second = bias[0::2].astype(np.int64), bias[1::2].astype(np.int64)
    start = first + 256 * second if form.dirty else second
    return np.stack([first, start], axis=1).astype(np.uint32).view(np.int32)


def biases_of(starts: NDArray[np.int32], form: Form) -> NDArray[np.int32]:
    """Return the biases that `pair_biases` was given."""
    first = starts[:, 0]
    second = starts[:, 1]
    if form.dirty:
        difference = (starts[:, 1].astype(np.int64) - first).astype(np.uint32).view(np.int32)
        second = difference >> 8
    return np.stack([first, second], axis=1).reshape(-1).astype(np.int32)
