"""The journal keeps what it acknowledged, and nothing half-written passes for whole."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgekit.errors import StoreError
from edgekit.journal import KINDS, Journal
from edgekit.journal.blobs import BlobStore

PRESENCE = {"device": "a", "state": "online", "boot": 1}
DOCUMENT = {"graph": "urn:x", "media_type": "text/turtle", "source": "x.ttl"}


def test_events_come_back_in_order_with_an_unbroken_chain(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.db") as journal:
        first = journal.append("device.presence", "a", PRESENCE)
        second = journal.append("device.revoked", "b", {"device": "b", "reason": "lost"})
        third = journal.append("document.loaded", "urn:x", DOCUMENT, blob=b"<a> <b> <c> .")
        assert (first.seq, second.seq, third.seq) == (1, 2, 3)
        assert second.previous == first.hash
        assert list(journal.events()) == [first, second, third]
        assert list(journal.events(after=2)) == [third]
        assert list(journal.events(kinds=["device.revoked"])) == [second]
        assert list(journal.events(subject="a")) == [first]
        assert third.blob is not None
        assert journal.blob(third.blob) == b"<a> <b> <c> ."
        assert journal.verify() == 3
    with Journal.open(tmp_path) as again:
        assert again.verify() == 3
        assert again.last_seq() == 3


def test_more_events_than_a_page_are_all_there(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal._database.execute("PRAGMA synchronous=OFF")
        for boot in range(1_203):
            journal.append("device.presence", "a", {**PRESENCE, "boot": boot})
        assert [event.body["boot"] for event in journal.events()] == list(range(1_203))
        assert journal.verify() == 1_203


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("device.unknown", {}, "not in edgekit/journal/schema.py"),
        ("device.presence", {"device": "a", "state": "online"}, "no 'boot'"),
        ("device.presence", {**PRESENCE, "boot": "1"}, "expected int"),
        ("device.presence", {**PRESENCE, "boot": True}, "expected int"),
        ("device.presence", {**PRESENCE, "more": 1}, "unknown keys"),
        ("document.loaded", DOCUMENT, "needs a blob"),
        ("device.claimed", {"device": "a", "token": "AB"}, "expected hex"),
    ],
)
def test_event_that_does_not_fit_its_kind_is_refused(
    tmp_path: Path, kind: str, body: dict[str, object], message: str
) -> None:
    with Journal.open(tmp_path) as journal:
        with pytest.raises(ValueError, match=message):
            journal.append(kind, "a", body)
        assert journal.last_seq() == 0


@pytest.mark.parametrize("name", KINDS)
def test_schema_document_lists_every_kind_and_key(name: str) -> None:
    document = (Path(__file__).parents[2] / "edgekit/journal/SCHEMA.md").read_text()
    row = next(line for line in document.splitlines() if line.startswith(f"| {name} |"))
    for key, declared in KINDS[name].fields.items():
        assert f"{key}: {declared}" in row
    assert row.endswith(f"| {KINDS[name].blob.value} |")


def test_verify_names_the_event_that_was_changed(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for boot in range(3):
            journal.append("device.presence", "a", {**PRESENCE, "boot": boot})
        with sqlite3.connect(journal.path) as database:
            database.execute("UPDATE events SET body = replace(body, 'online', 'lost') WHERE seq=2")
        database.close()
        with pytest.raises(StoreError, match="event 2 does not match"):
            journal.verify()


@pytest.mark.parametrize("body", ["", "{", '{"boot":NaN}', '{"boot":1}', "[]"])
def test_body_that_was_overwritten_is_a_typed_error(tmp_path: Path, body: str) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("device.presence", "a", PRESENCE)
        with sqlite3.connect(journal.path) as database:
            database.execute("UPDATE events SET body = ?", (body,))
        database.close()
        with pytest.raises(StoreError, match="event 1"):
            journal.verify()


def test_verify_names_the_event_that_is_missing(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for boot in range(3):
            journal.append("device.presence", "a", {**PRESENCE, "boot": boot})
        with sqlite3.connect(journal.path) as database:
            database.execute("DELETE FROM events WHERE seq=2")
        database.close()
        with pytest.raises(StoreError, match="event 2 is missing"):
            journal.verify()


def test_cut_or_changed_blob_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        event = journal.append("document.loaded", "urn:x", DOCUMENT, blob=b"x" * 1_000)
        assert event.blob is not None
        path = journal.blobs.path(event.blob)
        for bad in (b"x" * 999, b"x" * 999 + b"y", b""):
            path.write_bytes(bad)
            with pytest.raises(StoreError, match="does not match its hash"):
                journal.blob(event.blob)
            with pytest.raises(StoreError, match="does not match its hash"):
                journal.verify()
        journal.append("document.loaded", "urn:x", DOCUMENT, blob=b"x" * 1_000)
        assert journal.verify() == 2


def test_full_database_is_one_clear_line_and_the_journal_goes_on(tmp_path: Path) -> None:
    """SQLite's own page limit gives the same error as a full disk."""
    with Journal.open(tmp_path) as journal:
        pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
        journal._database.execute(f"PRAGMA max_page_count={pages + 2}")
        body = {"device": "a", "reason": "x" * 3_000}
        with pytest.raises(StoreError, match="full") as caught:
            for _ in range(20):
                journal.append("device.revoked", "a", body)
        assert "\n" not in str(caught.value)
        count = journal.verify()
        journal._database.execute("PRAGMA max_page_count=1000000")
        journal.append("device.revoked", "a", body)
        assert journal.verify() == count + 1


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edgekit.errors import StoreError
from edgekit.journal.blobs import BlobStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
store = BlobStore(Path(sys.argv[1]))
store.write(b"a" * 40_000)
try:
    store.write(b"b" * 60_000)
except StoreError as error:
    print(error)
"""


def test_blob_that_does_not_fit_the_disk_leaves_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot store 60000 bytes" in result.stdout
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1


def test_journal_locked_by_another_is_one_clear_line(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal._database.execute("PRAGMA busy_timeout=50")
        other = sqlite3.connect(journal.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            journal.append("device.presence", "a", PRESENCE)
        other.execute("ROLLBACK")
        other.close()
        journal.append("device.presence", "a", PRESENCE)
        assert journal.verify() == 1


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is no database, but long enough to look like one" * 100)
    with pytest.raises(StoreError, match="cannot open journal"):
        Journal.open(path)


def test_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("PRAGMA user_version=9")
    database.close()
    with pytest.raises(StoreError, match="version 9, expected 1"):
        Journal.open(tmp_path)


def test_two_journals_and_threads_append_to_one_chain(tmp_path: Path) -> None:
    journals = [Journal.open(tmp_path), Journal.open(tmp_path)]

    def work(journal: Journal) -> None:
        for boot in range(25):
            journal.append("device.presence", "a", {**PRESENCE, "boot": boot})

    threads = [threading.Thread(target=work, args=(journal,)) for journal in journals * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journals[0].verify() == 100
    for journal in journals:
        journal.close()


_WRITER = """
import sys
from pathlib import Path
from edgekit.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
body = {"graph": "urn:x", "media_type": "text/plain", "source": "x"}
number = 0
while True:
    event = journal.append("document.loaded", "urn:x", body, blob=str(number).encode() * 5_000)
    print(event.seq, flush=True)
    number += 1
"""


def test_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for after_lines in (1, 4, 9):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(after_lines):
                acknowledged = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        with Journal.open(tmp_path) as journal:
            assert journal.verify() >= acknowledged


def test_sweep_removes_partial_files_only(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    name = store.write(b"whole")
    (store.path(name).parent / ".partial-abc").write_bytes(b"who")
    assert store.sweep() == 1
    assert store.read(name) == b"whole"
