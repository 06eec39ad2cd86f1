"""Shamir's secret sharing over GF(2^8), byte by byte.

Source: Shamir, "How to Share a Secret", 1979; the field is that of AES (FIPS 197, section 4.2),
    polynomial x^8 + x^4 + x^3 + x + 1
Twin: firmware/learn/ek_secure.c, ek_secure_share
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

MAX_HOLDERS = 255


def share(secret: bytes, coefficients: Sequence[bytes], x: int) -> bytes:
    """Return the value at `x` of the polynomials that begin with the bytes of a secret.

    Args:
        secret: Any number of bytes; one polynomial each.
        coefficients: Of x, x^2 and so on, each as long as the secret; threshold - 1 of them.
        x: Place of the holder, 1 .. 255.
    """
    if not 1 <= x <= MAX_HOLDERS:
        raise ValueError(f"place of a share is {x}, expected 1 .. {MAX_HOLDERS}")
    times_x = _products()[x]
    value = np.zeros(len(secret), np.uint8)
    for coefficient in reversed(coefficients):
        value = times_x[value ^ np.frombuffer(coefficient, np.uint8, len(secret))]
    return (value ^ np.frombuffer(secret, np.uint8)).tobytes()


def combine(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret that shares by their places give: the polynomials at 0.

    As many shares as the threshold are needed; with others than it was made of, the result is
    another secret.
    """
    products = _products()
    length = len(next(iter(shares.values())))
    secret = np.zeros(length, np.uint8)
    for x, value in shares.items():
        weight = 1
        for other in shares:
            if other != x:
                weight = int(products[weight, products[other, _inverse(other ^ x)]])
        secret ^= products[weight][np.frombuffer(value, np.uint8, length)]
    return secret.tobytes()


def _inverse(value: int) -> int:
    return int(np.flatnonzero(_products()[value] == 1)[0])


@cache
def _products() -> UInt8Array:
    """Return all products of the field, `[256, 256]`."""
    left = np.arange(256, dtype=np.uint16)[:, None].repeat(256, axis=1)
    right = np.arange(256, dtype=np.uint16)[None, :].repeat(256, axis=0)
    product = np.zeros((256, 256), np.uint16)
    for _ in range(8):
        product ^= np.where(right & 1, left, 0).astype(np.uint16)
        carry = np.where(left & 0x80, 0x11B, 0).astype(np.uint16)
        left = np.left_shift(left, 1, dtype=np.uint16) ^ carry
        right >>= 1
    return product.astype(np.uint8)
