"""The numbers that learning computes with, in NumPy: float32 and fixed point, bit for bit.

Twin: firmware/learn/float32/ek_real.h, firmware/learn/fixed/ek_real.h, firmware/learn/ek_exp.c
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_F = np.float32


class Numbers(Protocol):
    """One kind of number. A sum of products may be wider than a number.

    Arrays of numbers have type `dtype`; arguments broadcast.
    """

    name: str
    dtype: type[np.generic]
    one: Array

    def of(self, x: npt.ArrayLike) -> Array:
        """Return floats as numbers."""
        ...

    def floats(self, x: Array) -> npt.NDArray[np.float32]:
        """Return numbers as float32."""
        ...

    def quotient(self, a: int, b: int) -> Array:
        """Return a / b of whole numbers."""
        ...

    def whole(self, n: npt.ArrayLike) -> Array:
        """Return whole numbers as numbers."""
        ...

    def times(self, n: npt.ArrayLike, step: Array) -> Array:
        """Return n step of whole numbers n, which themselves may be beyond the range."""
        ...

    def nearest(self, x: Array) -> npt.NDArray[np.int64]:
        """Return the nearest whole numbers within +-1000, ties away from zero."""
        ...

    def add(self, a: Array, b: Array) -> Array:
        """Return a + b."""
        ...

    def sub(self, a: Array, b: Array) -> Array:
        """Return a - b."""
        ...

    def mul(self, a: Array, b: Array) -> Array:
        """Return a b."""
        ...

    def div(self, a: Array, b: Array) -> Array:
        """Return a / b; also of a wide b."""
        ...

    def total(self, start: Array, a: Array, b: Array) -> Array:
        """Return the wide sum start + a[..., 0] b[..., 0] + ..., added in this order."""
        ...

    def wide_mul(self, a: Array, b: Array) -> Array:
        """Return a b of wide numbers >= 0."""
        ...

    def narrow(self, wide: Array) -> Array:
        """Return a wide number as a number."""
        ...

    def sound(self, wide: Array) -> bool:
        """Say whether all of them are what a step may go on with."""
        ...

    def inverse(self, x: Array) -> Array:
        """Return the wide 1 / x of x > 0."""
        ...

    def sqrt(self, wide: Array) -> Array:
        """Return the wide square root of a wide number >= 0."""
        ...

    def log(self, wide: Array) -> Array:
        """Return the logarithm of a wide number >= 1."""
        ...

    def exp(self, x: Array) -> Array:
        """Return e to the power of x."""
        ...

    def tanh(self, x: Array) -> Array:
        """Return the hyperbolic tangent."""
        ...


def _horner(x: Array, factors: tuple[float, ...]) -> Array:
    y = np.full_like(x, _F(factors[0]))
    for factor in factors[1:]:
        y = y * x + _F(factor)
    return y


class Float32:
    """IEEE 754 binary32, every operation rounded on its own."""

    name = "float32"
    dtype: type[np.generic] = np.float32
    one: Array = np.array(1, np.float32)

    def of(self, x: npt.ArrayLike) -> Array:
        return np.asarray(x, np.float32)

    def floats(self, x: Array) -> npt.NDArray[np.float32]:
        return np.asarray(x, np.float32)

    def quotient(self, a: int, b: int) -> Array:
        return np.asarray(_F(a) / _F(b))

    def whole(self, n: npt.ArrayLike) -> Array:
        return np.asarray(n).astype(np.float32)

    def times(self, n: npt.ArrayLike, step: Array) -> Array:
        return self.mul(self.whole(n), step)

    def nearest(self, x: Array) -> npt.NDArray[np.int64]:
        held = np.clip(np.nan_to_num(x, nan=0.0, posinf=1000, neginf=-1000), _F(-1000), _F(1000))
        whole = np.trunc(held + np.where(held < 0, _F(-0.5), _F(0.5)))
        return np.asarray(whole, np.int64)

    def add(self, a: Array, b: Array) -> Array:
        return a + b

    def sub(self, a: Array, b: Array) -> Array:
        return a - b

    def mul(self, a: Array, b: Array) -> Array:
        return a * b

    def div(self, a: Array, b: Array) -> Array:
        return a / b

    def total(self, start: Array, a: Array, b: Array) -> Array:
        products = a * b
        first = np.broadcast_to(start, products.shape[:-1])[..., None]
        sums: Array = np.add.accumulate(np.concatenate([first, products], axis=-1), axis=-1)
        return sums[..., -1]

    def wide_mul(self, a: Array, b: Array) -> Array:
        return a * b

    def narrow(self, wide: Array) -> Array:
        return wide

    def sound(self, wide: Array) -> bool:
        return bool(np.isfinite(wide).all())

    def inverse(self, x: Array) -> Array:
        return np.asarray(_F(1) / x)

    def sqrt(self, wide: Array) -> Array:
        x = np.atleast_1d(np.asarray(wide, np.float32))
        bits = x.view(np.uint32)
        y = ((bits >> np.uint32(1)) + np.uint32(0x1FBB4F2E)).view(np.float32)
        with np.errstate(all="ignore"):
            for _ in range(3):
                y = _F(0.5) * (y + x / y)
        special = (bits < 0x00800000) | (bits >= 0x7F800000)
        rest = np.where((bits == 0x7F800000) | np.isnan(x), x, _F(0))
        return np.where(special, rest, y).astype(np.float32).reshape(np.shape(wide))

    def log(self, wide: Array) -> Array:
        x = np.atleast_1d(np.asarray(wide, np.float32))
        bits = x.view(np.uint32)
        e = (bits >> np.uint32(23)).astype(np.int32) - 126
        m = ((bits & np.uint32(0x007FFFFF)) | np.uint32(0x3F000000)).view(np.float32)
        low = m < _F(0.707106781186547524)
        e = np.where(low, e - 1, e).astype(np.float32)
        m = np.where(low, m + m, m) - _F(1)
        z = m * m
        y = _horner(m, _LOG) * m * z
        y = y + _F(-2.12194440e-4) * e
        y = y - _F(0.5) * z
        found = (m + y) + _F(0.693359375) * e
        special = (bits < 0x00800000) | (bits >= 0x7F800000)
        return np.where(special, _F(np.nan), found).astype(np.float32).reshape(np.shape(wide))

    def exp(self, x: Array) -> Array:
        x = np.asarray(x, np.float32)
        inside = np.where((x >= _F(-87)) & (x <= _F(88.7)), x, _F(0))
        scaled = inside * _F(1.44269504088896341)
        n = np.trunc(scaled + np.where(scaled < 0, _F(-0.5), _F(0.5))).astype(np.int32)
        r = inside - n.astype(np.float32) * _F(0.693359375)
        r = r - n.astype(np.float32) * _F(-2.12194440e-4)
        y = _horner(r, _EXP)
        y = y * (r * r) + r + _F(1)
        half = np.trunc(n / 2).astype(np.int32)
        y = y * _power_of_two(half) * _power_of_two(n - half)
        y = np.where(x < _F(-87), _F(0), np.where(x > _F(88.7), _F(np.inf), y))
        return np.where(np.isnan(x), x, y).astype(np.float32)

    def tanh(self, x: Array) -> Array:
        x = np.asarray(x, np.float32)
        size = np.abs(x)
        z = x * x
        with np.errstate(all="ignore"):
            near = _horner(z, _TANH) * z * x + x
            far = _F(1) - _F(2) / (self.exp(size + size) + _F(1))
        return np.where(size < _F(0.625), near, np.where(x < 0, -far, far)).astype(np.float32)


_EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_TANH = (
    -5.70498872745e-3,
    2.06390887954e-2,
    -5.37397155531e-2,
    1.33314422036e-1,
    -3.33332819422e-1,
)


def _power_of_two(n: npt.NDArray[np.int32]) -> Array:
    return np.asarray(((n + 127).astype(np.uint32) << np.uint32(23)).view(np.float32))


_BITS = 24
_ONE = 1 << _BITS
_LEAST, _MOST = -(1 << 31), (1 << 31) - 1
_WIDE_MOST = 1 << 30
_ONE30 = 1 << 30
_EXP30 = (234908, 1330132, 10398739, 59571654, 257945537, 744260848)


def _toward_zero(a: Array, b: Array) -> Array:
    """Return a / b of whole numbers as C divides."""
    size = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -size, size)


def _mul30(a: Array, b: Array) -> Array:
    return (a * b + _ONE30 // 2) >> 30


class Fixed24:
    """Fixed point with 24 bits behind the point, from -128 to 128, in int64 arrays."""

    name = "fixed24"
    dtype: type[np.generic] = np.int64
    one: Array = np.array(_ONE, np.int64)

    def of(self, x: npt.ArrayLike) -> Array:
        scaled = np.asarray(x, np.float32) * _F(_ONE)
        scaled = np.where(np.isnan(scaled), _F(0), scaled)
        small = np.abs(scaled) < _F(8388608)
        held = np.clip(scaled.astype(np.float64), _LEAST, _MOST)
        near = np.trunc(scaled + np.where(scaled < 0, _F(-0.5), _F(0.5)))
        return np.where(small, near, np.trunc(held)).astype(np.int64)

    def floats(self, x: Array) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = np.asarray(x).astype(np.float32) * _F(1.0 / _ONE)
        return found

    def quotient(self, a: int, b: int) -> Array:
        return self.narrow(np.array(a * _ONE // b, np.int64))

    def whole(self, n: npt.ArrayLike) -> Array:
        return self.narrow(np.asarray(n, np.int64) * _ONE)

    def times(self, n: npt.ArrayLike, step: Array) -> Array:
        return self.narrow(np.asarray(n, np.int64) * step)

    def nearest(self, x: Array) -> npt.NDArray[np.int64]:
        half = np.where(x < 0, -_ONE // 2, _ONE // 2)
        return _toward_zero(x + half, np.array(_ONE, np.int64)).astype(np.int64)

    def add(self, a: Array, b: Array) -> Array:
        return self.narrow(a + b)

    def sub(self, a: Array, b: Array) -> Array:
        return self.narrow(a - b)

    def mul(self, a: Array, b: Array) -> Array:
        return self.narrow(self._product(a, b))

    def div(self, a: Array, b: Array) -> Array:
        return self.narrow(_toward_zero(np.asarray(a, np.int64) * _ONE, np.asarray(b, np.int64)))

    def total(self, start: Array, a: Array, b: Array) -> Array:
        return np.asarray(start + self._product(a, b).sum(axis=-1))

    def wide_mul(self, a: Array, b: Array) -> Array:
        if a <= _MOST and b <= _MOST:
            return self._product(a, b)
        high = (min(int(each) >> (_BITS // 2), _WIDE_MOST) for each in (a, b))
        return np.array(next(high) * next(high), np.int64)

    def narrow(self, wide: Array) -> Array:
        return np.clip(wide, _LEAST, _MOST)

    def sound(self, wide: Array) -> bool:
        return bool(((wide >= _LEAST) & (wide <= _MOST)).all())

    def inverse(self, x: Array) -> Array:
        return np.asarray(_ONE * _ONE // x)

    def sqrt(self, wide: Array) -> Array:
        from math import isqrt

        found = [
            isqrt(s << _BITS) if s < 1 << 38 else isqrt(s) << (_BITS // 2)
            for s in map(int, np.ravel(wide))
        ]
        return np.array(found, np.int64).reshape(np.shape(wide))

    def log(self, wide: Array) -> Array:
        found = [self._log(s) for s in map(int, np.ravel(wide))]
        return np.array(found, np.int64).reshape(np.shape(wide))

    def _log(self, s: int) -> int:
        twos = 0
        while s >= 2 * _ONE:
            s >>= 1
            twos += 1
        m = s << 6
        t = (m - _ONE30) * _ONE30 // (m + _ONE30)
        z = (t * t + _ONE30 // 2) >> 30
        y = _ONE30 // 13
        for n in range(11, 0, -2):
            y = ((y * z + _ONE30 // 2) >> 30) + _ONE30 // n
        whole = (2 * ((y * t + _ONE30 // 2) >> 30) + twos * 744261118 + 32) >> 6
        return min(whole, _MOST)

    def exp(self, x: Array) -> Array:
        x = np.minimum(np.asarray(x, np.int64), 0)
        power = x * 1549082005
        whole = power >> 54
        f = (power >> 24) - whole * _ONE30
        y = np.zeros_like(x)
        for factor in _EXP30:
            y = _mul30(y + factor, f)
        shift = 6 - np.maximum(whole, -30)
        found = (y + _ONE30 + (np.int64(1) << (shift - 1))) >> shift
        return np.asarray(np.where(x == 0, _ONE, np.where(whole < -30, 0, found)))

    def tanh(self, x: Array) -> Array:
        x = np.asarray(x, np.int64)
        e = self.exp(self.narrow(-2 * np.abs(x)))
        y = self.div(_ONE - e, _ONE + e)
        return np.where(x < 0, -y, y)

    @staticmethod
    def _product(a: Array, b: Array) -> Array:
        return np.asarray((np.asarray(a, np.int64) * b + _ONE // 2) >> _BITS)


FLOAT32 = Float32()
FIXED24 = Fixed24()
