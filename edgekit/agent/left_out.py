"""What the updates of a run left out, kept over a restart, for error feedback.

Twin: firmware/learn/ek_learn.c, ek_learn_round_begin (two records in the flash)
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.agent.credentials import write_private
from edgekit.errors import StoreError

logger = logging.getLogger(__name__)

Float32Array = npt.NDArray[np.float32]
_HEADER = struct.Struct("<4sQII")
_MAGIC = b"EKLO"


class LeftOut:
    """What was left out before a round of a run, and after it.

    The file holds both of the newest round, so that a device that does a round once more, after a
    cut, makes the same update.
    """

    def __init__(self, path: Path, run: int, round_: int) -> None:
        self._path, self._run, self._round = path, run, round_
        self._before = np.zeros(0, np.float32)

    def before(self, size: int) -> Float32Array:
        """Return what earlier rounds left out, float32 `[size]`; 0 if nothing fits.

        Raises:
            StoreError: If the file cannot be read.
        """
        self._before = np.zeros(size, np.float32)
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return self._before
        except OSError as exc:
            raise StoreError(f"{self._path}: cannot be read: {exc.strerror}") from exc
        if len(data) != _HEADER.size + 8 * size:
            logger.info("%s: is of another head, nothing is added", self._path)
            return self._before
        magic, run, round_, count = _HEADER.unpack_from(data)
        if (magic, run, count) != (_MAGIC, self._run, size) or round_ > self._round:
            return self._before
        values = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
        found = values[:size] if round_ == self._round else values[size:]
        if np.isfinite(found).all():
            self._before = found
        return self._before

    def keep(self, after: Float32Array) -> None:
        """Keep what is left out now.

        Raises:
            StoreError: If the file cannot be written.
        """
        header = _HEADER.pack(_MAGIC, self._run, self._round, len(after))
        parts = (self._before.astype("<f4").tobytes(), after.astype("<f4").tobytes())
        write_private(self._path, header + b"".join(parts))
