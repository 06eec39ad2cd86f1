"""Bulk files beside the journal, each named by its own BLAKE2b-256.

A blob is written to a temporary file, synchronised, and only then given its name; whoever reads one
checks the name against the bytes. So a half-written blob is never taken for whole.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from hashlib import blake2b
from pathlib import Path

from edgekit.errors import StoreError

_PARTIAL = ".partial-"


def blob_hash(data: bytes) -> str:
    """Name of a blob: its BLAKE2b-256 in hex."""
    return blake2b(data, digest_size=32).hexdigest()


class BlobStore:
    """A folder of blobs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Where a blob lies.

        Raises:
            ValueError: If the name is not a hash in hex.
        """
        if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
            raise ValueError(f"blob name {name!r:.80} is not a BLAKE2b-256 in hex")
        return self.root / name[:2] / name

    def write(self, data: bytes) -> str:
        """Store bytes durably and return their name.

        Raises:
            StoreError: If the disk is full or the folder cannot be written.
        """
        name = blob_hash(data)
        path = self.path(name)
        try:
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_durably(path, data)
        except OSError as exc:
            raise StoreError(f"{path}: cannot store {len(data)} bytes: {exc.strerror}") from exc
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of a blob.

        Raises:
            StoreError: If there is none or its bytes do not match its name.
        """
        path = self.path(name)
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise StoreError(f"{path}: cannot read blob: {exc.strerror}") from exc
        if blob_hash(data) != name:
            raise StoreError(f"{path}: blob of {len(data)} bytes does not match its hash")
        return data

    def sweep(self) -> int:
        """Remove what interrupted writes left behind; return how many files."""
        count = 0
        for path in self.root.glob(f"*/{_PARTIAL}*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                count += 1
        return count


def _write_durably(path: Path, data: bytes) -> None:
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
