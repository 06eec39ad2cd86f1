"""How the values of an update travel, written by the device's own C code.

Twin: firmware/learn/ek_codec.c (this file calls it), edgekit/federated/payload.py
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from edgekit.runtime.learn_library import learn_library

Float32Array = npt.NDArray[np.float32]


class _Codec(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("entries", ctypes.c_uint32),
        ("seed", ctypes.c_uint32),
    )


def write_values(
    values: Float32Array, kind: int, *, entries: int = 0, seed: int = 0
) -> tuple[bytes, Float32Array]:
    """Return values as they travel, and what was left out, float32 `[P]`.

    Args:
        values: float32 `[P]`, finite.
        kind: Number of the codec on the wire, 0 .. 4.
        entries: That a top-P codec sends, 1 .. P; of the others 0.
        seed: 32 bits for the rounding of int8.
    """
    left = np.array(values, np.float32)
    codec = _Codec(kind, entries, seed)
    library = learn_library()
    out = np.empty(library.ek_codec_bytes(ctypes.byref(codec), left.size), np.uint8)
    count = library.ek_codec_write(
        ctypes.byref(codec), left.ctypes.data, left.size, out.ctypes.data
    )
    return out[:count].tobytes(), left
