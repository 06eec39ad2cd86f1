"""Labelled samples of a device, as its store holds them.

Twin: edgekit/flash/flash_image.py, encode_samples
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.errors import FormatError, StoreError

_HEADER = struct.Struct("<4sHHII")
MAGIC, VERSION = b"EKSM", 1


def read_samples(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return raw inputs uint8 `[N, B]` and their classes `[N]`.

    Raises:
        StoreError: If the file cannot be read.
        FormatError: If it is not what `encode_samples` makes.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise StoreError(f"{path}: cannot be read: {exc.strerror}") from exc
    if len(data) < _HEADER.size:
        raise FormatError(f"{path}: has {len(data)} bytes, expected samples")
    magic, version, _, count, raw_bytes = _HEADER.unpack_from(data)
    if (magic, version) != (MAGIC, VERSION):
        raise FormatError(f"{path}: begins with {magic!r} version {version}, expected {MAGIC!r} 1")
    expected = _HEADER.size + count * (2 + raw_bytes)
    if len(data) != expected:
        raise FormatError(f"{path}: has {len(data)} bytes, its header says {expected}")
    rows = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(count, 2 + raw_bytes)
    labels = np.ascontiguousarray(rows[:, :2]).view("<u2").reshape(count)
    return np.ascontiguousarray(rows[:, 2:]), labels.astype(np.uint16)
