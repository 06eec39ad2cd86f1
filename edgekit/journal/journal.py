"""The journal: numbered events in SQLite, each bound to the one before by its hash."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from edgekit.errors import StoreError
from edgekit.journal.blobs import BlobStore
from edgekit.journal.schema import VERSION, check_body
from edgekit.started import Opened

FIRST_HASH = "0" * 64
_BUSY_S = 10.0
_PAGE_EVENTS = 500

_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    actor TEXT NOT NULL, body TEXT NOT NULL, blob TEXT, previous TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_kind ON events (kind, seq);
CREATE INDEX IF NOT EXISTS events_by_subject ON events (subject, seq);
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        seq: Number, from 1, without gaps.
        subject: What it is about: a device, an image id, a run.
        blob: BLAKE2b-256 of its bulk file in hex, or None.
        previous: Hash of the event before, 64 zeros for the first.
        hash: BLAKE2b-256 over all other fields in canonical JSON, in hex.
    """

    seq: int
    time_ms: int
    kind: str
    subject: str
    actor: str
    body: Mapping[str, Any]
    blob: str | None
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to become an event."""

    kind: str
    subject: str
    body: Mapping[str, Any]
    actor: str = "edgekit"
    blob: bytes | None = None


class Journal(Opened):
    """An open journal; may be shared by threads, and by processes through SQLite's locks."""

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.blobs = BlobStore(path.parent / "blobs")
        self._database = database
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a journal, or make an empty one.

        Args:
            path: The database file, or the folder that holds `journal.db`; `blobs/` lies beside it.

        Raises:
            StoreError: If it cannot be opened, or was written by a newer edgekit.
        """
        path = path if path.suffix == ".db" else path / "journal.db"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"{path}: cannot open journal: {exc}") from exc
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StoreError(f"{path}: journal has version {version}, expected {VERSION}")
            if version < VERSION:
                database.executescript(_TABLES)
                database.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.Error as exc:
            database.close()
            raise StoreError(f"{path}: cannot open journal: {exc}") from exc
        except StoreError:
            database.close()
            raise
        return cls(database, path)

    def close(self) -> None:
        """Close the database; further calls raise StoreError."""
        with self._lock:
            self._database.close()

    def append(
        self,
        kind: str,
        subject: str,
        body: Mapping[str, Any],
        *,
        actor: str = "edgekit",
        blob: bytes | None = None,
    ) -> Event:
        """Append one event durably; when this returns, it will not be lost.

        Raises:
            ValueError: If the body does not fit its kind.
            StoreError: If the disk is full, or another process holds the journal for 10 s.
        """
        return self.append_all([Entry(kind, subject, body, actor, blob)])[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Event]:
        """Append events durably in one step: all of them, or none.

        Raises:
            ValueError: If a body does not fit its kind.
            StoreError: If the disk is full, or another process holds the journal for 10 s.
        """
        for entry in entries:
            check_body(entry.kind, entry.body, has_blob=entry.blob is not None)
        texts = [canonical(entry.body) for entry in entries]
        names = [None if entry.blob is None else self.blobs.write(entry.blob) for entry in entries]
        rows: list[tuple[Any, ...]] = []
        with self._lock, self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                row = self._database.execute(
                    "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
                ).fetchone()
                seq, previous = row or (0, FIRST_HASH)
                for entry, text, name in zip(entries, texts, names, strict=True):
                    seq += 1
                    time_ms = time.time_ns() // 1_000_000
                    fields = (seq, time_ms, entry.kind, entry.subject, entry.actor, text, name)
                    whole = _hash(*fields, previous)
                    rows.append((*fields, previous, whole))
                    previous = whole
                self._database.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?)", rows)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        return [_event(row) for row in rows]

    def events(
        self, after: int = 0, kinds: Iterable[str] | None = None, *, subject: str | None = None
    ) -> Iterator[Event]:
        """Yield events in order.

        Args:
            after: Number of the last event already known.
            kinds: Only these kinds; all if None.
            subject: Only about this subject; about all if None.
        """
        wanted = None if kinds is None else tuple(kinds)
        query = "SELECT * FROM events WHERE seq > ?"
        rest: list[object] = []
        if wanted is not None:
            query += f" AND kind IN ({','.join('?' * len(wanted))})"
            rest += wanted
        if subject is not None:
            query += " AND subject = ?"
            rest.append(subject)
        query += f" ORDER BY seq LIMIT {_PAGE_EVENTS}"
        while True:
            with self._lock, self._errors():
                rows = self._database.execute(query, (after, *rest)).fetchall()
            for row in rows:
                yield _event(row)
            if len(rows) < _PAGE_EVENTS:
                return
            after = rows[-1][0]

    def newest_first(self) -> Iterator[Event]:
        """Yield the events from the last one on back to the first."""
        query = f"SELECT * FROM events WHERE seq < ? ORDER BY seq DESC LIMIT {_PAGE_EVENTS}"
        before = self.last_seq() + 1
        while before > 1:
            with self._lock, self._errors():
                rows = self._database.execute(query, (before,)).fetchall()
            for row in rows:
                yield _event(row)
            before = rows[-1][0] if rows else 0

    def blob(self, name: str) -> bytes:
        """Return a bulk file by its hash.

        Raises:
            StoreError: If there is none or its bytes do not match.
        """
        return self.blobs.read(name)

    def last_seq(self) -> int:
        """Number of the last event, 0 if there is none."""
        with self._lock, self._errors():
            row = self._database.execute("SELECT max(seq) FROM events").fetchone()
        return int(row[0] or 0)

    def verify(self) -> int:
        """Prove the whole chain and every blob; return the number of events.

        Raises:
            StoreError: Naming the first event that does not hold.
        """
        previous, count = FIRST_HASH, 0
        for event in self.events():
            count += 1
            try:
                text = canonical(event.body)
            except ValueError as exc:  # no JSON of ours, such as NaN
                raise StoreError(f"{self.path}: event {event.seq}: {exc}") from exc
            whole = _hash(
                event.seq,
                event.time_ms,
                event.kind,
                event.subject,
                event.actor,
                text,
                event.blob,
                previous,
            )
            if event.seq != count:
                raise StoreError(f"{self.path}: event {count} is missing")
            if event.previous != previous or event.hash != whole:
                raise StoreError(f"{self.path}: event {event.seq} does not match its hash")
            if event.blob is not None:
                self.blobs.read(event.blob)
            previous = event.hash
        return count

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise StoreError(f"{self.path}: {exc}") from exc


def canonical(body: Mapping[str, Any]) -> str:
    """JSON with sorted keys, no spaces and no NaN: one text for one value."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _hash(*fields: int | str | None) -> str:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


def _event(row: tuple[Any, ...]) -> Event:
    seq, time_ms, kind, subject, actor, text, blob, previous, whole = row
    try:
        body = json.loads(text)
    except ValueError as exc:
        raise StoreError(f"event {seq} of the journal has a body that is no JSON: {exc}") from exc
    return Event(seq, time_ms, kind, subject, actor, body, blob, previous, whole)
