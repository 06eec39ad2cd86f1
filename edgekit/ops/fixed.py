"""Fixed-point arithmetic of LiteRT's reference kernels, in exact Python integers."""

from __future__ import annotations

import math
from enum import IntEnum

from edgekit.errors import QuantizationError

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)


class Rounding(IntEnum):
    """How often a requantisation rounds.

    Twin: firmware/kernels/ek_fixed.h, EK_ROUND_DOUBLE and EK_ROUND_SINGLE.
    """

    DOUBLE = 0
    SINGLE = 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Split a factor into a mantissa in [2**30, 2**31 - 1] and a power of two; 0 if too small.

    Raises:
        QuantizationError: If the factor is negative, not finite or at least 2**31.

    Source: tensorflow/lite/kernels/internal/quantization_util.cc, QuantizeMultiplier.
    """
    if not math.isfinite(real) or real < 0:
        raise QuantizationError(f"scale factor {real} is not a finite number from 0 up")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    if mantissa == 2**31:
        mantissa //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise QuantizationError(f"scale factor {real} is too large, below {2.0**30} fits")
    return mantissa, shift


def multiply(value: int, multiplier: int, shift: int, rounding: Rounding) -> int:
    """Return value * multiplier * 2**(shift - 31), rounded.

    Twin: firmware/kernels/ek_fixed.h, ek_multiply_double and ek_multiply_single.
    """
    if rounding is Rounding.SINGLE:
        total = 31 - shift
        return wrap((value * multiplier + (1 << (total - 1))) >> total)
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power(high_mul(wrap(value << left), multiplier), right)


def wrap(value: int) -> int:
    """Reduce to int32, as two's complement wraps."""
    return (value + 2**31) % 2**32 - 2**31


def high_mul(a: int, b: int) -> int:
    """Return round(a * b / 2**31), ties up, saturated.

    Source: gemmlowp, fixedpoint.h, SaturatingRoundingDoublingHighMul.
    """
    return min((a * b + 2**30) >> 31, INT32_MAX)


def divide_by_power(value: int, exponent: int) -> int:
    """Return round(value / 2**exponent), ties away from zero.

    Source: gemmlowp, fixedpoint.h, RoundingDivideByPOT.
    """
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (value < 0)
    return (value >> exponent) + ((value & mask) > threshold)


def multiply_by_power(value: int, exponent: int) -> int:
    """Return value * 2**exponent, saturated to the left, rounded to the right.

    Source: gemmlowp, fixedpoint.h, SaturatingRoundingMultiplyByPOT.
    """
    if exponent < 0:
        return divide_by_power(value, -exponent)
    return max(INT32_MIN, min(INT32_MAX, value << exponent))


def _exp_near_zero(a: int) -> int:
    """Exp of a in [-1/4, 0), Q0.31: Taylor around -1/8."""
    constant_term, one_third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3 = high_mul(x2, x)
    x4 = high_mul(x2, x2)
    inner = high_mul(multiply_by_power(x4, -2) + x3, one_third) + x2
    return constant_term + high_mul(constant_term, x + multiply_by_power(inner, -1))


def inverse_root(value: int) -> tuple[int, int]:
    """Return multiplier and shift of 1 / sqrt(value), value from 1 up.

    Source: tensorflow/lite/kernels/internal/common.h, GetInvSqrtQuantizedMultiplierExp.
    """
    if value <= 1:
        return INT32_MAX, 0
    shift = 11
    while value >= 1 << 29:
        value //= 4
        shift += 1
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift -= pairs
    value <<= 2 * pairs
    x_in = value >> 1
    half_in = divide_by_power(x_in, 1)
    half_three = (1 << 28) + (1 << 27)
    x = 1 << 28
    for _ in range(5):
        cube = multiply_by_power(high_mul(high_mul(x, x), x), 6)
        x = multiply_by_power(high_mul(half_three, x) - high_mul(half_in, cube), 3)
    x = high_mul(x, 1518500250)
    if shift < 0:
        x <<= -shift
        shift = 0
    return x, -shift


_EXP_STEPS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)


def exp_on_negative(a: int, integer_bits: int) -> int:
    """Return exp of a <= 0 as Q0.31; a has `integer_bits` integer bits.

    Source: gemmlowp, fixedpoint.h, exp_on_negative_values.
    """
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(multiply_by_power(low, integer_bits))
    remainder = low - a
    for exponent, factor in _EXP_STEPS:
        if integer_bits > exponent and remainder & (1 << (fraction_bits + exponent)):
            result = high_mul(result, factor)
    if integer_bits > 5 and a < -(1 << (fraction_bits + 5)):
        return 0
    return result


def _newton_reciprocal(a: int) -> int:
    """1 / ((1 + a) / 2) for a in [0, 1) Q0.31, as Q2.29.

    Twin: firmware/kernels/ek_fixed.h, ek_reciprocal_of_one_plus.
    """
    half = (a + INT32_MAX + 1) // 2
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - high_mul(half, x)
        x += multiply_by_power(high_mul(x, error), 2)
    return x


def reciprocal(value: int) -> tuple[int, int]:
    """Return 1 / value as Q0.31 of 2**bits / value, and bits; value from 1 up.

    Source: tensorflow/lite/kernels/internal/common.h, GetReciprocal.
    """
    bits = value.bit_length() - 1
    mantissa = (value << (31 - bits)) - (1 << 31)
    return multiply_by_power(_newton_reciprocal(mantissa), 1), bits
