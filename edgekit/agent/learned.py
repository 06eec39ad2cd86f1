"""What a machine learned last, kept over a restart: a federated head, or one that learns by itself.

Twin: firmware/learn/ek_learn.c (the newest record of the learn region)
"""

from __future__ import annotations

import struct
from pathlib import Path

from edgekit.agent.credentials import write_private
from edgekit.errors import LinkError, StoreError
from edgekit.federated.codecs import HeadWeights, decode_head

_HEADER = struct.Struct("<4sI32s")
_MAGIC = b"EKLP"
_HEAD, _OWN = 1, 2


class Learned:
    """The newest of both, for one image; another image has none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def head(self, image: bytes) -> HeadWeights | None:
        """Return the head of the last round, None if there is none or own learning came later.

        Raises:
            StoreError: If the file cannot be read.
        """
        data = self._read(image, _HEAD)
        try:
            return None if data is None else decode_head(data)
        except LinkError:
            return None

    def checkpoint(self, image: bytes) -> bytes | None:
        """Return what own learning stored, None if there is none or a round came later.

        Raises:
            StoreError: If the file cannot be read.
        """
        return self._read(image, _OWN)

    def keep_head(self, image: bytes, head: HeadWeights) -> None:
        """Keep what was trained for a round.

        Raises:
            StoreError: If the file cannot be written.
        """
        write_private(self._path, _HEADER.pack(_MAGIC, _HEAD, image) + head.encode())

    def keep_checkpoint(self, image: bytes, data: bytes) -> None:
        """Keep what own learning has to go on from.

        Raises:
            StoreError: If the file cannot be written.
        """
        write_private(self._path, _HEADER.pack(_MAGIC, _OWN, image) + data)

    def _read(self, image: bytes, kind: int) -> bytes | None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreError(f"{self._path}: cannot be read: {exc.strerror}") from exc
        if data[: _HEADER.size] != _HEADER.pack(_MAGIC, kind, image):
            return None
        return data[_HEADER.size :]
