"""The fleet's durable secrets and counters: one SQLite file that only its owner can read.

.edgekit/
  journal.db blobs/    what happened
  keys/fleet.db        tokens, device keys, broker passwords, counters, objects on offer
  broker/              the private broker's files while it runs
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from edgekit.errors import ConfigError, StoreError
from edgekit.fleet.identity import Claim, Token, new_token
from edgekit.link.topics import is_device_id
from edgekit.started import Opened

VERSION = 1
SERVER_USER = "server"
CREDENTIALS = "gateway/credentials.json"
COUNTER_BLOCK = 1_024
_LOW = 0xFFFFFFFF

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS devices (
    device TEXT PRIMARY KEY, board TEXT NOT NULL, password TEXT NOT NULL,
    token_id BLOB NOT NULL, token_secret BLOB NOT NULL, revoked INTEGER NOT NULL DEFAULT 0,
    device_public BLOB, server_public BLOB, device_key BLOB,
    heard_boot INTEGER NOT NULL DEFAULT 0, heard_low INTEGER NOT NULL DEFAULT 0,
    reserved_low INTEGER NOT NULL DEFAULT 1,
    reported BLOB, reported_s REAL
) STRICT;
CREATE TABLE IF NOT EXISTS offers (object TEXT PRIMARY KEY, blob TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What is known about one device for good.

    Attributes:
        claim: The claim that its token is bound to, None before.
        heard_counter: Highest counter accepted from it.
        reported: Content of its last verified Reported, None before.
        reported_s: Unix seconds of that.
    """

    device: str
    board: str
    revoked: bool
    heard_counter: int
    reported: bytes | None
    reported_s: float | None
    password: str = field(repr=False)
    token: Token = field(repr=False)
    claim: Claim | None = field(repr=False)


class FleetStore(Opened):
    """The open store; may be shared by threads, and by processes through SQLite's locks."""

    def __init__(self, database: sqlite3.Connection, path: Path, fleet: str) -> None:
        self.path = path
        self.fleet = fleet
        self._database = database
        self._lock = threading.RLock()

    @classmethod
    def open(cls, root: Path, *, fleet: str | None = None) -> Self:
        """Open the store of a project's `.edgekit` folder.

        Args:
            fleet: Name of the fleet; makes the store if there is none. None: it must exist.

        Raises:
            ConfigError: If there is no fleet yet, or one of another name.
            StoreError: If the file cannot be opened.
        """
        path = root / "keys" / "fleet.db"
        if fleet is None and not path.exists():
            raise ConfigError(f"{root}: holds no fleet; 'edgekit fleet add' makes one")
        if fleet is not None and not is_device_id(fleet):
            raise ConfigError(f"fleet name {fleet!r} is not 1 to 32 characters of a-z 0-9 _ -")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            # Only a file that nobody has open may be opened and closed here: closing it drops all
            # of this process's locks on it, and another process would then remove the log in use.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            path.chmod(0o600)
            database = sqlite3.connect(
                path, timeout=10.0, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"{path}: cannot open: {exc}") from exc
        try:
            return cls(database, path, _prepare(database, path, fleet))
        except sqlite3.Error as exc:
            database.close()
            raise StoreError(f"{path}: cannot open: {exc}") from exc
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def add_device(self, device: str, board: str) -> DeviceRecord:
        """Enrol a device, or give a known one a new token and password.

        A device that is enrolled anew keeps its old key until the new token is claimed.

        Raises:
            ConfigError: If the name is not a device id, or reserved.
        """
        if not is_device_id(device):
            raise ConfigError(f"device id {device!r} is not 1 to 32 characters of a-z 0-9 _ -")
        if device == SERVER_USER:
            raise ConfigError(f"device id '{SERVER_USER}' is the server's own name")
        token, password = new_token(), secrets.token_urlsafe(24)
        with self._transaction() as database:
            database.execute(
                "INSERT INTO devices (device, board, password, token_id, token_secret)"
                " VALUES (?,?,?,?,?) ON CONFLICT (device) DO UPDATE SET board=excluded.board,"
                " password=excluded.password, token_id=excluded.token_id,"
                " token_secret=excluded.token_secret, revoked=0, device_public=NULL,"
                " server_public=NULL",
                (device, board, password, token.id, token.secret),
            )
        record = self.device(device)
        if record is None:
            raise StoreError(f"{self.path}: device '{device}' was not kept")
        return record

    def device(self, device: str) -> DeviceRecord | None:
        """Return one device, None if it is not in the fleet."""
        rows = self._rows("WHERE device = ?", device)
        return rows[0] if rows else None

    def devices(self) -> list[DeviceRecord]:
        """Return all devices in order of their ids, revoked ones too."""
        return self._rows("ORDER BY device")

    def bind(self, device: str, claim: Claim) -> None:
        """Bind a device's token to its key; its counters start anew."""
        with self._transaction() as database:
            database.execute(
                "UPDATE devices SET device_public=?, server_public=?, device_key=?, heard_boot=0,"
                " heard_low=0, reported=NULL, reported_s=NULL WHERE device=?",
                (claim.device_public, claim.server_public, claim.device_key, device),
            )

    def revoke(self, device: str) -> None:
        """Take key and token from a device.

        Raises:
            ConfigError: If it is not in the fleet.
        """
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE devices SET revoked=1, device_public=NULL, server_public=NULL,"
                " device_key=NULL, password='', token_secret=x'' WHERE device=?",
                (device,),
            ).rowcount
        if not changed:
            raise ConfigError(f"device '{device}' is not in fleet '{self.fleet}'")

    def save_heard(
        self,
        counters: Mapping[str, int],
        reported: Mapping[str, tuple[bytes, float]] | None = None,
    ) -> None:
        """Keep what was heard of some devices, in one transaction.

        Args:
            counters: Highest accepted counter of each.
            reported: Content of the last verified Reported of each, and its time in Unix seconds.
        """
        with self._transaction() as database:
            database.executemany(
                "UPDATE devices SET heard_boot=?, heard_low=? WHERE device=?",
                [(value >> 32, value & _LOW, device) for device, value in counters.items()],
            )
            database.executemany(
                "UPDATE devices SET reported=?, reported_s=? WHERE device=?",
                [(*said, device) for device, said in (reported or {}).items()],
            )

    def reserve_counters(self, devices: Iterable[str]) -> dict[str, range]:
        """Reserve each device's next block of server counters (low halves).

        They are never given out again.
        """
        reserved = {}
        with self._transaction() as database:
            for device in devices:
                row = database.execute(
                    "UPDATE devices SET reserved_low = reserved_low + ? WHERE device = ?"
                    " RETURNING reserved_low",
                    (COUNTER_BLOCK, device),
                ).fetchone()
                reserved[device] = range(int(row[0]) - COUNTER_BLOCK, int(row[0]))
        return reserved

    def add_offer(self, object_id: int, blob: str) -> None:
        """Put a blob of the journal on offer to every claimed device."""
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO offers VALUES (?,?)", (f"{object_id:016x}", blob)
            )

    def offer(self, object_id: int) -> str | None:
        """Return the blob behind an object on offer."""
        with self._errors():
            row = self._database.execute(
                "SELECT blob FROM offers WHERE object = ?", (f"{object_id:016x}",)
            ).fetchone()
        return None if row is None else str(row[0])

    def server_password(self) -> str:
        """The server's own password at the broker."""
        with self._errors():
            row = self._database.execute(
                "SELECT value FROM meta WHERE name='server_password'"
            ).fetchone()
        return str(row[0])

    def passwords(self) -> dict[str, str]:
        """Broker password of every user: the server and all devices that are not revoked."""
        known = {row.device: row.password for row in self.devices() if not row.revoked}
        return {SERVER_USER: self.server_password(), **known}

    def change_number(self) -> int:
        """A number that differs after another process or connection has written."""
        with self._errors():
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def _rows(self, rest: str, *arguments: object) -> list[DeviceRecord]:
        with self._errors():
            rows = self._database.execute(
                "SELECT device, board, revoked, heard_boot, heard_low, reported, reported_s,"
                f" password, token_id, token_secret, device_public, server_public, device_key"
                f" FROM devices {rest}",
                arguments,
            ).fetchall()
        return [_record(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as exc:
            raise StoreError(f"{self.path}: {exc}") from exc


def write_credentials(store: FleetStore, path: Path) -> None:
    """Write the passwords of all devices for a gateway: JSON {device: password}, owner only.

    Raises:
        StoreError: If the file cannot be written.
    """
    passwords = {user: word for user, word in store.passwords().items() if user != SERVER_USER}
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(passwords, file)
        os.replace(partial, path)
    except OSError as exc:
        raise StoreError(f"{path}: cannot write: {exc.strerror}") from exc


def _prepare(database: sqlite3.Connection, path: Path, fleet: str | None) -> str:
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(f"{path}: has version {version}, expected {VERSION}")
    if version < VERSION:
        database.executescript(_TABLES)
        database.execute(f"PRAGMA user_version={VERSION}")
    if fleet is not None:
        database.execute(
            "INSERT OR IGNORE INTO meta VALUES ('server_password', ?), ('fleet', ?)",
            (secrets.token_urlsafe(24), fleet),
        )
    row = database.execute("SELECT value FROM meta WHERE name='fleet'").fetchone()
    if row is None:
        raise ConfigError(f"{path}: holds no fleet; 'edgekit fleet add' makes one")
    if fleet is not None and row[0] != fleet:
        raise ConfigError(f"{path}: belongs to fleet '{row[0]}', not '{fleet}'")
    return str(row[0])


def _record(row: tuple[Any, ...]) -> DeviceRecord:
    device, board, revoked, boot, low, reported, reported_s, password, *rest = row
    token_id, token_secret, device_public, server_public, device_key = rest
    # After a new enrolment the public halves are gone and the old key still opens messages.
    claim = (
        None
        if device_key is None
        else Claim(device_public or b"", server_public or b"", device_key)
    )
    return DeviceRecord(
        device=device,
        board=board,
        revoked=bool(revoked),
        heard_counter=boot << 32 | low,
        reported=reported,
        reported_s=reported_s,
        password=password,
        token=Token(token_id, token_secret),
        claim=claim,
    )
