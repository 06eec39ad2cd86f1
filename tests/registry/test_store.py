"""The store: whole graphs change at once, values are bound, one process writes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry.fleet_fixture import story, write_journal

from edgekit.errors import FormatError, StoreError
from edgekit.journal import Journal
from edgekit.registry import embedded
from edgekit.registry.backup import restore_backup, write_backup
from edgekit.registry.embedded import Embedded
from edgekit.registry.store import Store, StoreInUseError
from edgekit.registry.sync import open_writer, projected, rebuild

G = ox.NamedNode("https://example.org/g")
H = ox.NamedNode("https://example.org/h")
P = ox.NamedNode("https://example.org/p")


def quad(value: object, graph: ox.NamedNode = G) -> ox.Quad:
    return ox.Quad(P, P, ox.Literal(value), graph)


def test_replace_graph_leaves_only_the_new_quads() -> None:
    store = Store.memory()
    store.replace_graphs({G: [quad(1), quad(2)], H: [quad(9, H)]})
    store.replace_graph(G, [quad(3)])
    assert set(store.quads()) == {quad(3), quad(9, H)}
    store.replace_graph(G, [])
    assert set(store.quads()) == {quad(9, H)}


def test_replace_graphs_is_all_or_nothing() -> None:
    store = Store.memory()
    store.replace_graph(G, [quad(1)])
    with pytest.raises(ValueError, match="among those of"):
        store.replace_graphs({G: [quad(2)], H: [quad(3, G)]})
    with pytest.raises(ValueError, match="blank node"):
        store.replace_graph(G, [ox.Quad(P, P, ox.BlankNode(), G)])
    assert set(store.quads()) == {quad(1)}


def test_what_is_kept_is_made_anew_after_a_change_of_its_graphs() -> None:
    store = Store.memory()
    store.replace_graphs({G: [quad(1)], H: [quad(9, H)]})

    def count() -> int:
        return store.kept("count", [G.value], lambda: len(store))

    assert count() == 2
    store.replace_graph(H, [quad(8, H), quad(9, H)])
    store.replace_graph(G, [quad(1)])  # as it was
    assert count() == 2
    store.replace_graph(G, [quad(1), quad(2)])
    assert count() == 4


@settings(deadline=None)
@given(st.text())
def test_any_text_is_stored_and_found_as_bound_value(text: str) -> None:
    """Text that looks like SPARQL stays text, in writing and in asking."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    store = Store.memory()
    store.replace_graph(H, [quad(1, H)])
    store.replace_graph(G, [quad(text)])
    assert set(store.quads(G)) == {quad(text)}
    rows = list(store.select("SELECT ?s ?v { ?s ?p ?v }", {"v": ox.Literal(text)}))
    assert rows == [{"s": P, "v": ox.Literal(text)}]


@pytest.mark.parametrize(
    "text",
    ["SELECT", "DROP ALL", "SELECT * { SERVICE <http://127.0.0.1/> { ?s ?p ?o } }",
     "select * { service silent ?x { } }", "# x\nSELECT * {service<http://a/>{}}",
     "SELECT * { ?s ?p 1SERVICE:x { } }",
     "SELECT * { FILTER(?a<?b)SERVICE?x#>\n{ } }", "SELECT * { \\u0053ERVICE <http://a/> { } }"],
)  # fmt: skip
def test_query_refuses_what_it_should_not_run(text: str) -> None:
    with pytest.raises(FormatError, match="query: "):
        Store.memory().query(text)


def test_one_process_writes_and_others_read(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.replace_graph(G, [quad(1)])
        with pytest.raises(StoreInUseError, match="in use by another process"):
            Store.open(tmp_path / "store")
        with Store.read_only(tmp_path / "store") as reader:
            assert set(reader.quads()) == {quad(1)}
            with pytest.raises(StoreError, match="reading only"):
                reader.replace_graph(G, [])
    with Store.open(tmp_path / "store") as again:
        assert set(again.quads()) == {quad(1)}


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no registry at"):
        Store.read_only(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


_WRITER = """
import sys
from pathlib import Path
import pyoxigraph as ox
from edgekit.registry.store import Store
store = Store.open(Path(sys.argv[1]))
p = ox.NamedNode("https://example.org/p")
graphs = [ox.NamedNode(f"https://example.org/{n}") for n in range(3)]
for n in range(1_000_000):
    store.replace_graphs({g: [ox.Quad(p, p, ox.Literal(n), g)] for g in graphs})
    print(n, flush=True)
"""


def test_killed_writer_leaves_whole_transactions(tmp_path: Path) -> None:
    """After SIGKILL all graphs hold the same number, and no acknowledged one is lost."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.1)
        process.kill()
        lines = (first + process.stdout.read()).split()
    acknowledged = int(lines[-1])
    with Store.open(tmp_path / "store") as store:
        numbers = [int(q.object.value) for q in store.quads()]
    assert len(numbers) == 3 and len(set(numbers)) == 1
    assert numbers[0] in (acknowledged, acknowledged + 1)


_SERVER = """
import sys
from pathlib import Path
from edgekit.journal import Journal
from edgekit.registry.sync import apply, open_writer
root = Path(sys.argv[1])
with Journal.open(root) as journal, open_writer(root) as store:
    for n in range(journal.last_seq(), 1_000_000):
        body = {"device": f"d-{n}", "board": "cam", "fleet": "demo"}
        apply(store, journal.append("device.added", f"d-{n}", body))
        print(n, flush=True)
"""
KILLS = 50 if os.environ.get("EDGEKIT_FULL") else 5


def test_no_acknowledged_write_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    """SIGKILL at any moment, again and again on one project: all that was said to be there, is."""
    rng = random.Random(KILLS)
    acknowledged: set[str] = set()
    for _ in range(KILLS):
        line = [sys.executable, "-c", _SERVER, str(tmp_path)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.3))
            process.kill()
            said = first + process.stdout.read()
        # A last line without its end was cut on the way.
        acknowledged |= set(said[: said.rindex("\n")].split("\n"))
        with Store.read_only(tmp_path / "registry") as store:
            rows = store.select("SELECT ?id { ?d a ek:Device ; dcterms:identifier ?id }")
            found = {str(row["id"].value).removeprefix("d-") for row in rows}
        assert acknowledged <= found
    with Journal.open(tmp_path) as journal, open_writer(tmp_path) as store:
        assert projected(store) == journal.last_seq() == journal.verify()
        follower = store.canonical()
        store.close()
        rebuild(tmp_path / "registry", journal)
    with Store.open(tmp_path / "registry") as store:
        assert store.canonical() == follower


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import pyoxigraph as ox
from edgekit.errors import StoreError
from edgekit.registry.store import Store
store = Store.open(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
p = ox.NamedNode("https://example.org/p")
for n in range(1_000):
    g = ox.NamedNode(f"https://example.org/{n}")
    try:
        store.replace_graph(g, [ox.Quad(p, p, ox.Literal("x" * 5_000), g)])
    except StoreError as exc:
        print(n, "|", exc, flush=True)
        break
for n in range(3):
    try:
        store.replace_graph(p, [ox.Quad(p, p, p, p)])
        print("written")
    except StoreError as exc:
        print("refused")
store.close()
"""


def test_full_disk_is_one_error_and_changes_nothing(tmp_path: Path) -> None:
    """A file that may not grow stands for a disk that is full; after it the store opens again."""
    line = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "store")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    count, said = first.split(" | ")
    assert "cannot be written: the disk is full; nothing was changed" in said, said
    with Store.open(tmp_path / "store") as store:
        assert len(store) == int(count) + ("written" in rest)


def test_holder_of_a_store_is_named(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store"):
        with pytest.raises(StoreInUseError, match=rf"process {os.getpid()}: .*; it writes alone"):
            Store.open(tmp_path / "store")
        (tmp_path / ".store.lock").write_text("no number")
        with pytest.raises(StoreInUseError, match="in use by another process; it writes alone"):
            Store.open(tmp_path / "store")
    Store.open(tmp_path / "store").close()


@pytest.mark.parametrize("name", ["a.nq", "a.nq.gz"])
def test_backup_brings_everything_back(tmp_path: Path, name: str) -> None:
    """What came into the journal after the backup is there, too."""
    write_journal(tmp_path, story()[:-4]).close()
    with open_writer(tmp_path) as store:
        count = write_backup(store, tmp_path / name)
        assert count == len(store)
    with Journal.open(tmp_path) as journal:
        for kind, subject, body, blob in story()[-4:]:
            journal.append(kind, subject, body, blob=blob)
    with open_writer(tmp_path) as store:
        whole = store.canonical()
    assert restore_backup(tmp_path, tmp_path / name) > count
    with Store.open(tmp_path / "registry") as store:
        assert store.canonical() == whole


def test_backup_that_is_damaged_changes_nothing(tmp_path: Path) -> None:
    write_journal(tmp_path).close()
    with open_writer(tmp_path) as store:
        before = store.canonical()
        write_backup(store, tmp_path / "a.nq")
        write_backup(store, tmp_path / "a.nq.gz")
    text = (tmp_path / "a.nq").read_text()
    (tmp_path / "a.nq").write_text(text + "<urn:a> <urn:b> 'x\n")
    with pytest.raises(FormatError, match=rf"a\.nq: line {text.count(chr(10)) + 1}, column "):
        restore_backup(tmp_path, tmp_path / "a.nq")
    (tmp_path / "a.nq.gz").write_bytes((tmp_path / "a.nq.gz").read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"a\.nq\.gz: cannot be restored"):
        restore_backup(tmp_path, tmp_path / "a.nq.gz")
    with pytest.raises(StoreError, match="no such file"):
        restore_backup(tmp_path, tmp_path / "b.nq")
    with open_writer(tmp_path) as store:
        assert store.canonical() == before
        with pytest.raises(StoreInUseError, match="in use by another process"):
            restore_backup(tmp_path, tmp_path / "a.nq")
    assert {path.name for path in tmp_path.iterdir()} <= {
        *("a.nq", "a.nq.gz", "blobs", "registry", ".registry.lock"),
        *("journal.db", "journal.db-shm", "journal.db-wal"),
    }


def test_backup_of_another_project_is_refused(tmp_path: Path) -> None:
    write_journal(tmp_path / "long").close()
    with open_writer(tmp_path / "long") as store:
        write_backup(store, tmp_path / "a.nq")
    write_journal(tmp_path / "short", story()[:2]).close()
    with open_writer(tmp_path / "short") as store:
        before = store.canonical()
    with pytest.raises(StoreError, match="the journal ends at 2"):
        restore_backup(tmp_path / "short", tmp_path / "a.nq")
    with open_writer(tmp_path / "short") as store:
        assert store.canonical() == before


def test_copy_of_a_folder_is_a_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.replace_graph(G, [quad(1)])
        store.backup(tmp_path / "copy")
        with pytest.raises(StoreError, match="copy: cannot copy"):
            store.backup(tmp_path / "copy")
    with Store.open(tmp_path / "copy") as copy:
        assert set(copy.quads()) == {quad(1)}


@pytest.mark.parametrize(
    "text", ["LOAD <http://a/>", "load silent <http://a/>", "INSERT {} WHERE { SERVICE <a> {} }"]
)
def test_update_refuses_to_fetch(text: str) -> None:
    with pytest.raises(FormatError, match="update: found"):
        Store.memory().update(text)


def test_update_is_all_or_nothing() -> None:
    store = Store.memory()
    with pytest.raises(FormatError, match="update: line 2, column"):
        store.update("INSERT DATA { <urn:a> <urn:b> 1 } ;\n INSERT x")
    store.update("INSERT DATA { GRAPH <urn:g> { <urn:a> <urn:b> 1 } }")
    assert len(store) == 1


def test_damaged_store_is_named(tmp_path: Path) -> None:
    """Where RocksDB's files are gone for good, reading ends with our error, not with its."""
    with Store.open(tmp_path / "store") as store:
        store.replace_graph(G, [quad(1)])
    for file in (tmp_path / "store").glob("*.sst"):
        file.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        Store.read_only(tmp_path / "store")


def test_file_in_pieces_is_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory and on disk; a mistake in a later piece has the line of the file."""
    from edgekit.registry import pieces

    monkeypatch.setattr(pieces, "MEMORY_BYTES", 1_000)
    monkeypatch.setattr(pieces, "DISK_BYTES", 10_000)
    monkeypatch.setattr(pieces, "_SMALL_BYTES", 0)
    quads = [quad(n, graph) for n in range(500) for graph in (G, H)]
    file = tmp_path / "a.nq"
    file.write_bytes((ox.serialize(quads, format=ox.RdfFormat.N_QUADS) or b"").rstrip(b"\n"))
    for store in (Store.memory(), Store.open(tmp_path / "store")):
        store.fill(file)
        assert set(store.quads()) == set(quads)
        store.close()
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:900], "<urn:a> <urn:b> 'x", *lines[900:]]))
    for store in (Store.memory(), Store.open(tmp_path / "other")):
        with pytest.raises(FormatError, match=r"a\.nq: line 901, column "):
            store.fill(file)
        store.close()
    file.write_bytes(b"")
    Store.memory().fill(file)


def test_reader_opens_again_when_the_writer_changes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store read while its tables were written out was there in part, the rest of it missing.

    The list of files was from before, the log from after; so what is opened while files change
    does not count, and a file that is gone is looked for anew.
    """
    engine = Embedded.open(tmp_path / "store")
    store = Store(engine)
    store.replace_graph(G, [quad(1)])
    opened: list[int] = []

    def open_and_change(folder: str) -> ox.Store:
        found = ox.Store.read_only(folder)
        opened.append(len(found))
        if len(opened) < 3:
            store.replace_graph(G, [quad(number) for number in range(len(opened) + 1)])
            engine._store.flush()
        if len(opened) == 2:
            raise OSError("No such file")
        return found

    changing = SimpleNamespace(Store=SimpleNamespace(read_only=open_and_change))
    monkeypatch.setattr(embedded, "ox", changing)
    reader = Store.read_only(tmp_path / "store")
    # The engine may still be tidying up after the second change: then it is opened once more.
    assert len(reader) == 3 and opened[:3] == [1, 2, 3], opened
    monkeypatch.undo()
    reader.close()
    store.close()
