"""Fixed-point arithmetic against exact rationals."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import QuantizationError
from edgekit.ops.fixed import (
    Rounding,
    divide_by_power,
    exp_on_negative,
    multiply,
    quantize_multiplier,
)

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


@given(st.floats(1e-8, 1e8))
def test_quantize_multiplier_is_within_half_a_unit(real: float) -> None:
    mantissa, shift = quantize_multiplier(real)
    assert 2**30 <= mantissa < 2**31
    assert abs(Fraction(mantissa) * Fraction(2) ** (shift - 31) - Fraction(real)) <= Fraction(
        2
    ) ** (shift - 32)


def test_quantize_multiplier_flushes_what_is_too_small() -> None:
    assert quantize_multiplier(2.0**-40) == (0, 0)


@pytest.mark.parametrize("real", [-1.0, math.inf, math.nan, 2.0**40])
def test_quantize_multiplier_refuses(real: float) -> None:
    with pytest.raises(QuantizationError):
        quantize_multiplier(real)


@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_multiply_single_rounds_once(value: int, multiplier: int, shift: int) -> None:
    exact = Fraction(value * multiplier, 2 ** (31 - shift))
    assert multiply(value, multiplier, shift, Rounding.SINGLE) == math.floor(exact + Fraction(1, 2))


@given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_multiply_double_is_within_one(value: int, multiplier: int, shift: int) -> None:
    exact = Fraction(value * multiplier, 2 ** (31 - shift))
    assert abs(multiply(value, multiplier, shift, Rounding.DOUBLE) - exact) <= 1


@given(INT32, st.integers(0, 31))
def test_divide_by_power_rounds_ties_away_from_zero(value: int, exponent: int) -> None:
    exact = Fraction(value, 2**exponent)
    expected = math.floor(abs(exact) + Fraction(1, 2)) * (1 if value >= 0 else -1)
    assert divide_by_power(value, exponent) == expected


@given(st.integers(-(16 << 26), 0))
def test_exp_is_close_to_the_real_one(raw: int) -> None:
    assert exp_on_negative(raw, 5) / 2**31 == pytest.approx(math.exp(raw / 2**26), abs=1e-6)
