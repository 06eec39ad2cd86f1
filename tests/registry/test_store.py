"""The store: whole graphs change at once, values are bound, one process writes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import FormatError, StoreError
from edgekit.registry.store import Store, StoreInUseError

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


@pytest.mark.parametrize("seed", range(3))
def test_killed_writer_leaves_whole_transactions(tmp_path: Path, seed: int) -> None:
    """After SIGKILL all graphs hold the same number, and no acknowledged one is lost."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "store")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.05 + 0.07 * seed)
        process.kill()
        lines = (first + process.stdout.read()).split()
    acknowledged = int(lines[-1])
    with Store.open(tmp_path / "store") as store:
        numbers = [int(q.object.value) for q in store.quads()]
    assert len(numbers) == 3 and len(set(numbers)) == 1
    assert numbers[0] in (acknowledged, acknowledged + 1)


def test_damaged_store_is_named(tmp_path: Path) -> None:
    """Where RocksDB's files are gone for good, reading ends with our error, not with its."""
    with Store.open(tmp_path / "store") as store:
        store.replace_graph(G, [quad(1)])
    for file in (tmp_path / "store").glob("*.sst"):
        file.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        Store.read_only(tmp_path / "store")
