"""Loading a large N-Quads file in pieces of whole lines: what one costs is given back early.

On disk two pieces are loaded at a time: sorting one and writing the other take half as long
together.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyoxigraph as ox

MEMORY_BYTES = 1_000_000
"""Of a piece that goes into memory."""
DISK_BYTES = 100_000_000
"""Of a piece that goes to disk, at most: smaller ones leave more files that are read later."""
_THREADS = 2
_SMALL_BYTES = 8_000_000
_AGAIN = re.compile(r"^Parser error (at|between) line .*?: ")


class _Piece(io.RawIOBase):
    """The bytes of a file from one place to another."""

    def __init__(self, path: Path, begin: int, end: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._file.seek(begin)
        self._left = end - begin

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def load_in_memory(store: ox.Store, path: Path) -> None:
    """Load a file into a store in memory, a piece after the other.

    Raises:
        SyntaxError: If it is malformed, with the line of the file.
        OSError: If it cannot be read.
    """
    end = path.stat().st_size
    begin = 0
    while begin < end:
        after = _line_end(path, begin + MEMORY_BYTES, end)
        _load(path, begin, after, store.load)
        begin = after


def load_on_disk(store: ox.Store, path: Path) -> None:
    """Load a file into a store on disk, two pieces at a time.

    Raises:
        SyntaxError: If it is malformed, with the line of the file.
        OSError: If it cannot be read, or the store not be written.
    """
    size = path.stat().st_size
    count = 1 if size < _SMALL_BYTES else max(_THREADS, -(-size // DISK_BYTES))
    ends = [_line_end(path, size * number // count, size) for number in range(1, count + 1)]
    with ThreadPoolExecutor(_THREADS, "registry-load") as threads:
        tasks = [
            threads.submit(_load, path, begin, end, store.bulk_load)
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        try:
            for task in tasks:
                task.result()
        finally:
            threads.shutdown(cancel_futures=True)


def problem(exc: SyntaxError) -> str:
    """Spell an error of a parser out, the place first."""
    where = "" if exc.lineno is None else f"line {exc.lineno}, column {exc.offset}: "
    return where + _AGAIN.sub("", exc.msg)


def _load(path: Path, begin: int, end: int, load: Callable[..., None]) -> None:
    with _Piece(path, begin, end) as piece:
        try:
            # To be asked for a few bytes at a time costs more than to have them all.
            small = end - begin <= 2 * MEMORY_BYTES
            load(piece.read() if small else piece, format=ox.RdfFormat.N_QUADS)
        except SyntaxError as exc:
            if exc.lineno is not None:
                exc.lineno += _lines(path, begin)
            raise


def _line_end(path: Path, at: int, size: int) -> int:
    """Return the place behind the line that a place is in."""
    if at >= size:
        return size
    with path.open("rb") as file:
        file.seek(at)
        file.readline()
        return file.tell()


def _lines(path: Path, end: int) -> int:
    """Count the lines before a place."""
    count = 0
    with _Piece(path, 0, end) as piece:
        while data := piece.read(MEMORY_BYTES):
            count += data.count(b"\n")
    return count
