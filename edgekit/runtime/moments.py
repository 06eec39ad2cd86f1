"""Mean and variance of a model's input on a device, run here with the device's own C code.

Twin: firmware/learn/ek_moments.c (this file calls it), edgekit/runtime/online_twin.py, TwinMoments
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.runtime.learn_library import check, learn_library
from edgekit.runtime.net import KINDS, stored

Int8Array = npt.NDArray[np.int8]
_POINTER = ctypes.c_void_p


def _type(number: Any) -> Any:
    class CMoments(ctypes.Structure):
        """Twin: ek_moments."""

        _fields_ = (
            ("mean", _POINTER),
            ("variance", _POINTER),
            ("size", ctypes.c_uint32),
            ("count", ctypes.c_uint32),
            ("warm_up", ctypes.c_uint32),
            ("window", number),
        )

    return CMoments


_TYPES = {"float32": _type(ctypes.c_float), "fixed": _type(ctypes.c_int32)}


class Moments:
    """What an int8 input is standardized by, one vector after the other.

    Args:
        size: Values of a vector.
        scale: Step of the input: x = (q - zero_point) * scale.
        warm_up: Vectors after which mean and variance stay as they are; 0: never.
        window: Vectors that they follow, by an exponential window; 0: all alike.
        kind: float32, or fixed for what cores without an FPU compute.
    """

    def __init__(
        self,
        size: int,
        *,
        scale: float,
        zero_point: int,
        warm_up: int = 0,
        window: int = 0,
        kind: str = "float32",
    ) -> None:
        numbers = KINDS[kind]
        self._library = learn_library(kind)
        self._values = stored(numbers, np.zeros(2 * size))
        self._scratch = stored(numbers, np.zeros(size))
        self._scale = stored(numbers, [scale]).tolist()[0]
        self._zero_point = zero_point
        share = numbers.quotient(1, window) if window else np.zeros_like(numbers.one)
        at = self._values.ctypes.data
        self._moments = _TYPES[kind](at, at + 4 * size, size, 0, warm_up, share.item())

    @property
    def count(self) -> int:
        """Vectors counted in."""
        return int(self._moments.count)

    def standardize(self, q: Int8Array) -> Int8Array:
        """Count each of N vectors in, in order; return the z of each in the same unit.

        Raises:
            ValueError: If the shape does not fit.
            LinkError: NOT_FINITE.
        """
        if q.dtype != np.int8 or q.shape[1:] != self._scratch.shape:
            raise ValueError(f"vectors are {q.dtype} {q.shape}, expected [N, {len(self._scratch)}]")
        out = np.array(q, order="C")
        for row in out:
            status = self._library.ek_moments_standardize(
                ctypes.byref(self._moments),
                self._scale,
                self._zero_point,
                self._scratch.ctypes.data,
                row.ctypes.data,
            )
            check(status, "standardizing an input")
        return out

    def checkpoint(self) -> bytes:
        """Return what a device stores: mean, variance, number of vectors."""
        return self._values.tobytes() + self.count.to_bytes(4, "little")

    def restore(self, data: bytes) -> None:
        """Take a checkpoint back.

        Raises:
            ValueError: If it has another size.
        """
        if len(data) != self._values.nbytes + 4:
            raise ValueError(
                f"checkpoint has {len(data)} bytes, expected {self._values.nbytes + 4}"
            )
        self._values[:] = np.frombuffer(data[:-4], self._values.dtype)
        self._moments.count = int.from_bytes(data[-4:], "little")
