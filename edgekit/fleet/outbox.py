"""What the gateway may not lose while the broker is away: frames to be sent, and who was there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import StoreError
from edgekit.link.topics import Channel

MAX_ROWS = 500  # of one device
_COUNTER = slice(-28, -20)  # counter u64, then code 16 and CRC 4, end a sealed frame

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (
    device TEXT NOT NULL, number TEXT NOT NULL, channel TEXT NOT NULL, frame BLOB NOT NULL,
    PRIMARY KEY (device, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    device TEXT PRIMARY KEY, boot INTEGER NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame that waits for the broker.

    Attributes:
        number: The frame's own counter in hex, so that frames keep the order of their counters.
    """

    number: str
    channel: Channel
    frame: bytes


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A device as it was last heard of."""

    device: str
    boot: int
    host: str
    port: int


def waiting(channel: Channel, frame: bytes) -> Waiting:
    """Wrap a sealed frame."""
    return Waiting(f"{int.from_bytes(frame[_COUNTER], 'little'):016x}", channel, frame)


class Outbox:
    """The open file; used by the gateway's thread only.

    It is written without waiting for the disk: it must survive the gateway, not a power cut.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_TABLES)
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"{path}: cannot open outbox: {exc}") from exc

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def put(self, device: str, item: Waiting) -> None:
        """Keep a frame; of several `reported` only the newest stays, whichever comes first.

        Raises:
            StoreError: If the disk is full.
        """
        self._do(
            "INSERT OR REPLACE INTO outbox VALUES (?,?,?,?)",
            (device, item.number, item.channel.value, item.frame),
        )
        if item.channel is Channel.REPORTED:
            self._do(
                "DELETE FROM outbox WHERE device=?1 AND channel=?2 AND number <"
                " (SELECT max(number) FROM outbox WHERE device=?1 AND channel=?2)",
                (device, item.channel.value),
            )
        self._do(
            "DELETE FROM outbox WHERE device=? AND number NOT IN (SELECT number FROM outbox"
            " WHERE device=? ORDER BY number DESC LIMIT ?)",
            (device, device, MAX_ROWS),
        )

    def first(self, device: str, count: int) -> list[Waiting]:
        """Return the oldest frames of a device.

        Raises:
            StoreError: If the file cannot be read; so all that follow.
        """
        rows = self._do(
            "SELECT number, channel, frame FROM outbox WHERE device=? ORDER BY number LIMIT ?",
            (device, count),
        )
        return [Waiting(number, Channel(channel), frame) for number, channel, frame in rows]

    def remove(self, device: str, number: str) -> None:
        """Forget a frame that the broker has."""
        self._do("DELETE FROM outbox WHERE device=? AND number=?", (device, number))

    def save_session(self, session: SavedSession) -> None:
        """Remember where a device is."""
        self._do(
            "INSERT OR REPLACE INTO sessions VALUES (?,?,?,?)",
            (session.device, session.boot, session.host, session.port),
        )

    def remove_session(self, device: str) -> None:
        """Forget a device that is gone."""
        self._do("DELETE FROM sessions WHERE device=?", (device,))

    def sessions(self) -> list[SavedSession]:
        """Return all that were there."""
        rows = self._do("SELECT device, boot, host, port FROM sessions", ())
        return [SavedSession(*row) for row in rows]

    def _do(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as exc:
            raise StoreError(f"{self._path}: {exc}") from exc
