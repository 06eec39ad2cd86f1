"""A store over SPARQL servers: Oxigraph's own, and `registry serve --write`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry.fleet_fixture import plain_events, write_journal

from edgekit.errors import FormatError, StoreError
from edgekit.registry import fleet as views
from edgekit.registry import match
from edgekit.registry.bind import bind_values
from edgekit.registry.http_server import RegistryServer, Service
from edgekit.registry.sparql_http import Address, SparqlHttp
from edgekit.registry.store import Store
from edgekit.registry.sync import apply, catch_up
from edgekit.registry.terms import DOCUMENTS

G = ox.NamedNode(DOCUMENTS + "g")
PORT = 17_931


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our own service, empty."""
    root = tmp_path_factory.mktemp("served") / ".edgekit"
    write_journal(root, []).close()
    with RegistryServer(Service(root, write=True, readers=1)) as server:
        yield "sparql+" + server.url


@pytest.fixture(scope="module", params=["oxigraph", "served"])
def remote(request: pytest.FixtureRequest) -> Iterator[Store]:
    store = Store.remote(request.getfixturevalue(request.param))
    store.update("DROP ALL")
    for event, blob in plain_events():
        apply(store, event, blob)
    yield store
    store.close()


def test_projection_on_a_server_is_that_in_memory(remote: Store, fleet: Store) -> None:
    assert remote.canonical() == fleet.canonical()
    assert len(remote) == len(fleet) == remote.health().quads


def test_questions_to_a_server_are_answered_as_in_memory(remote: Store, fleet: Store) -> None:
    for ask in (
        lambda store: match.models_for_device(store, "d1"),
        lambda store: match.models_for_board(store, "tiny"),
        lambda store: match.devices_for_model(store, "digits:2"),
        lambda store: {found.name for found in match.first_devices(store, "digits:2")},
        lambda store: match.count_devices(store, "digits:2"),
        views.placements,
        views.out_of_step,
        lambda store: views.not_seen(store, 10**13),
        lambda store: views.cohort(store, features=32, classes=10),
        lambda store: views.lineage(store, "digits:2"),
    ):
        assert ask(remote) == ask(fleet)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_goes_to_a_server_and_comes_back(remote: Store, text: str) -> None:
    """Text that looks like SPARQL stays text, in writing and in asking."""
    remote.replace_graph(G, [ox.Quad(G, G, ox.Literal(text), G)])
    rows = list(remote.select("SELECT ?s ?v { ?s ?p ?v }", {"v": ox.Literal(text), "s": G}))
    assert rows == [{"s": G, "v": ox.Literal(text)}]
    remote.replace_graph(G, [])
    assert list(remote.quads(G)) == []


def test_graph_store_protocol(remote: Store) -> None:
    engine = remote._engine
    assert isinstance(engine, SparqlHttp)
    triples = [ox.Triple(G, G, ox.Literal(n)) for n in range(3)]
    engine.put_graph(G, triples)
    assert set(engine.get_graph(G)) == set(triples)
    remote.extend([ox.Quad(G, G, ox.Literal(9), G)])
    assert len(set(engine.get_graph(G))) == 4
    remote.replace_graph(G, [])


def test_bulk_import_takes_a_file(remote: Store, tmp_path: Path) -> None:
    quads = [ox.Quad(G, G, ox.Literal(n), G) for n in range(12_000)]
    (tmp_path / "a.nq").write_bytes(ox.serialize(quads, format=ox.RdfFormat.N_QUADS) or b"")
    remote.fill(tmp_path / "a.nq")
    assert len(list(remote.quads(G))) == 12_000
    remote.replace_graph(G, [])


def test_errors_of_a_server_are_one_line(remote: Store) -> None:
    with pytest.raises(FormatError, match=r"query: line 2, column 5: expected"):
        remote.query("SELECT * {\n x }")
    with pytest.raises(FormatError, match="400") as caught:
        remote.update("INSERT x")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="its own server makes the backup"):
        remote.backup(Path("x"))


def test_server_that_is_not_there_is_named() -> None:
    with pytest.raises(StoreError, match=r"sparql\+http://127.0.0.1:9/x cannot be reached"):
        Store.remote("sparql+http://127.0.0.1:9/x")


def test_server_without_union_of_graphs_is_refused(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "oxigraph"
    line = [str(program), "serve", "--bind", f"127.0.0.1:{PORT + 1}"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        engine = SparqlHttp(f"sparql+http://127.0.0.1:{PORT + 1}")
        for _ in range(600):
            try:
                engine.update("INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 1 } }")
                break
            except StoreError:
                time.sleep(0.05)
        with pytest.raises(StoreError, match="do not see the union of its graphs"):
            engine.health()
        engine.close()
        process.kill()


def test_journal_fills_a_server(served: str, tmp_path: Path, fleet: Store) -> None:
    with Store.remote(served) as store, write_journal(tmp_path) as journal:
        store.update("DROP ALL")
        assert catch_up(store, journal) == journal.last_seq()
        assert len(store) == len(fleet)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://a/", "expected sparql"),
        ("sparql+ftp://a/", "expected sparql"),
        ("sparql+http:///x", "expected a host"),
        ("sparql+http://me@a/", "without user"),
        ("sparql+http://a/?x=1", "found 'x'"),
    ],
)
def test_address_of_another_form_is_refused(text: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        Address.parse(text)


def test_address_names_the_endings() -> None:
    found = Address.parse("sparql+https://host:3030/ds?data=data")
    assert found.paths == {"query": "/ds/query", "update": "/ds/update", "data": "/ds/data"}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("SELECT ?a { ?a ?b '?a' } # ?a", "SELECT (7 AS ?a) { 7 ?b '?a' } # ?a"),
        ("SELECT (COUNT(?a) AS ?n) { ?a ?b <?a> }", "SELECT (COUNT(7) AS ?n) { 7 ?b <?a> }"),
        ("SELECT ?b { ?a ?b 1 } ORDER BY ?a", "SELECT ?b { 7 ?b 1 } ORDER BY (7)"),
        (
            "SELECT ?a { { SELECT DISTINCT ?a WHERE { ?a ?b 1 } } $a ?c 2 }",
            "SELECT (7 AS ?a) { { SELECT DISTINCT (7 AS ?a_inner) WHERE { 7 ?b 1 } } 7 ?c 2 }",
        ),
    ],
)
def test_values_take_the_places_of_variables(text: str, bound: str) -> None:
    seven = '"7"^^<http://www.w3.org/2001/XMLSchema#integer>'
    assert bind_values(text, {"a": ox.Literal(7)}).replace(seven, "7") == bound


@pytest.mark.parametrize("text", ["SELECT * { BIND (1 AS ?a) }", "SELECT * { VALUES ?a { 1 } }"])
def test_variable_that_the_query_assigns_is_not_bound(text: str) -> None:
    with pytest.raises(FormatError, match=r"assigns \?a"):
        bind_values(text, {"a": ox.Literal(7)})
