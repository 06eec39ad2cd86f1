"""The engine in this process: pyoxigraph in memory or in a folder that one process writes to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn, Self

import pyoxigraph as ox

from edgekit.errors import FormatError, StoreError
from edgekit.registry.engine import Results, Term
from edgekit.registry.pieces import load_in_memory, load_on_disk, problem
from edgekit.registry.syntax import spelled
from edgekit.registry.terms import PREFIXES

_READ_S = 5.0
_READ_PAUSES_S = (0.002, 0.02)
# RuntimeError is RocksDB's "Corruption" and "IO error".
_FAILURES = (OSError, RuntimeError)


class StoreInUseError(StoreError):
    """Another process writes to the store."""


class Embedded:
    """pyoxigraph; values of a query are bound by it and never become text."""

    local = True

    def __init__(self, store: ox.Store, place: str, *, writable: bool, folder: Path | None) -> None:
        self.place = place
        self.writable = writable
        self._store = store
        self._folder = folder
        self._lock: IO[str] | None = None

    @classmethod
    def memory(cls) -> Self:
        """Return an empty one in memory."""
        return cls(ox.Store(), "registry", writable=True, folder=None)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder for writing; create it if it is missing.

        Raises:
            StoreInUseError: If another process writes to it, with its number and command.
            StoreError: If it cannot be read.
        """
        lock = hold(folder)
        try:
            store = ox.Store(folder)
        except _FAILURES as exc:
            lock.close()
            if "lock" in str(exc).lower():  # by a program that is not ours
                raise StoreInUseError(f"registry {folder} is in use by another process") from exc
            raise StoreError(f"registry {folder} cannot be opened: {exc}") from exc
        found = cls(store, f"registry {folder}", writable=True, folder=folder)
        found._lock = lock
        return found

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """Open a folder for reading, as it is at this moment, also while another process writes.

        The writer may write its tables out meanwhile and remove its log. Then a file is missing,
        or, worse, the reader finds the list of files from before and the log from after, and what
        was in neither is not there: so what it opened counts only if the files stayed the same.

        Raises:
            StoreError: If there is none, or it cannot be read.
        """
        if not (folder / "CURRENT").is_file():
            raise StoreError(f"no registry at {folder}; 'edgekit registry rebuild' makes one")
        end = time.monotonic() + _READ_S
        pause, most = _READ_PAUSES_S
        while True:
            before, why = _files(folder), "its writer changes its files all the time"
            try:
                store = ox.Store.read_only(str(folder))
                if _files(folder) == before:
                    return cls(store, f"registry {folder}", writable=False, folder=None)
            except _FAILURES as exc:
                why = str(exc)
            same = _files(folder) == before
            if time.monotonic() > end or (same and pause == most):
                raise StoreError(f"registry {folder} cannot be read: {why}")
            time.sleep(pause)
            pause = min(most, pause * 2)

    def query(
        self,
        text: str,
        values: Mapping[str, Term],
        *,
        default: Sequence[str] | None = None,
        named: Sequence[str] | None = None,
        base: str | None = None,
    ) -> Results:
        try:
            return self._store.query(
                text,
                base_iri=base,
                prefixes=PREFIXES,
                use_default_graph_as_union=default is None and named is None,
                default_graph=None if default is None else list(map(ox.NamedNode, default)),
                named_graphs=None if named is None else list(map(ox.NamedNode, named)),
                substitutions={ox.Variable(name): node for name, node in values.items()},
            )
        except SyntaxError as exc:
            raise FormatError(f"query: {spelled(exc, text)}") from exc
        except ValueError as exc:
            raise FormatError(f"query: {exc}") from exc
        except _FAILURES as exc:
            raise StoreError(f"{self.place} cannot be read: {exc}") from exc

    def update(self, text: str, *, base: str | None = None) -> None:
        try:
            self._store.update(text, base_iri=base, prefixes=PREFIXES)
        except SyntaxError as exc:
            raise FormatError(f"update: {spelled(exc, text)}") from exc
        except ValueError as exc:
            raise FormatError(f"update: {exc}") from exc
        except _FAILURES as exc:
            self._fail(exc)

    def quads(
        self, subject: ox.NamedNode | None, value: ox.NamedNode | None, graph: ox.NamedNode | None
    ) -> Iterator[ox.Quad]:
        return self._store.quads_for_pattern(subject, None, value, graph)

    def extend(self, quads: Iterable[ox.Quad]) -> None:
        try:
            self._store.extend(quads)
        except _FAILURES as exc:
            self._fail(exc)

    def bulk(self, source: Path | Iterable[ox.Quad]) -> None:
        try:
            if not isinstance(source, Path):
                self._store.bulk_extend(source)
            elif self._folder is None:
                load_in_memory(self._store, source)
            else:
                load_on_disk(self._store, source)
        except SyntaxError as exc:
            raise FormatError(f"{source}: {problem(exc)}") from exc
        except _FAILURES as exc:
            self._fail(exc)

    def backup(self, folder: Path) -> None:
        try:
            self._store.backup(folder)
        except _FAILURES as exc:
            raise StoreError(f"{folder}: cannot copy {self.place}: {exc}") from exc

    def size(self) -> int:
        return len(self._store)

    def dataset(self) -> ox.Dataset:
        """Return a copy of everything."""
        return ox.Dataset(self._store)

    def close(self) -> None:
        if self.writable:
            # What was acknowledged is in the log already; a full disk keeps it from the tables.
            with contextlib.suppress(*_FAILURES):
                self._store.flush()
        # The lock goes with the last reference: pyoxigraph has no close.
        self._store = ox.Store()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _fail(self, exc: Exception) -> NoReturn:
        reason = str(exc)
        if "no space" in reason.lower() or "file too large" in reason.lower():
            reason = f"the disk is full; nothing was changed ({reason})"
        raise StoreError(f"{self.place} cannot be written: {reason}") from exc


def _files(folder: Path) -> frozenset[tuple[str, int]]:
    """Return the files that make a store, with the length of the list that says which count."""
    found = set()
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("MANIFEST"):
                found.add((entry.name, entry.stat().st_size))
            elif entry.name == "CURRENT" or entry.name.endswith((".log", ".sst")):
                found.add((entry.name, 0))
    return frozenset(found)


def lock_path(folder: Path) -> Path:
    """Return the file that a writer of a folder holds; it stays, empty of meaning, when it ends."""
    return folder.with_name(f".{folder.name}.lock")


def hold(folder: Path) -> IO[str]:
    """Hold a folder for writing until the returned file is closed.

    RocksDB's own lock lies in the folder and is silent; this one says who holds it, and outlives an
    exchange of the folder.

    Raises:
        StoreInUseError: If another process holds it, with its number and command.
        StoreError: If the lock cannot be written.
    """
    path = lock_path(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="ascii")
    except OSError as exc:
        raise StoreError(f"registry {folder} cannot be opened: {exc.strerror}") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise StoreInUseError(
            f"registry {folder} is in use by another process{_holder(path)}; it writes alone:"
            " end it, or ask it"
        ) from exc
    with contextlib.suppress(OSError):  # The lock holds, whether the number can be written or not.
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    return file


def is_held(folder: Path) -> bool:
    """Whether a process, this one too, holds a folder for writing."""
    try:
        hold(folder).close()
    except StoreInUseError:
        return True
    return False


def _holder(path: Path) -> str:
    """Return who holds a lock, if it can be known: its number and what it was started as."""
    try:
        number = int(path.read_text(encoding="ascii"))
        line = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return ""
    words = [part.decode("utf-8", "replace") for part in line.split(b"\0") if part]
    return f" (process {number}: {shlex.join(words):.120})"
