"""`registry serve`: what the protocols say, what is refused, what is stopped, and a page."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from registry.fleet_fixture import write_journal

from edgekit.journal import Journal
from edgekit.registry import worker
from edgekit.registry.http_server import RegistryServer, Service
from edgekit.registry.protocol import accepted
from edgekit.registry.saved import saved_queries
from edgekit.registry.sync import catch_up, open_writer

DEVICES = "SELECT ?id { ?d a ek:Device ; dcterms:identifier ?id } ORDER BY ?id"
RUNAWAY = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUERY = {"Content-Type": "application/sparql-query"}
UPDATE = {"Content-Type": "application/sparql-update"}
Answer = tuple[int, str, str]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RegistryServer]]:
    """One service that only reads, and one that writes, each on a fleet of its own."""
    made = {}
    for name in ("reads", "writes"):
        root = tmp_path_factory.mktemp(name) / ".edgekit"
        write_journal(root).close()
        service = Service(root, write=name == "writes", time_s=8.0, most_bytes=500_000, readers=1)
        made[name] = RegistryServer(service)
    for server in made.values():
        server.start()
    yield made
    for server in made.values():
        server.close()


def ask(
    server: RegistryServer,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
    method: str = "",
) -> Answer:
    """Return status, content type and body."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        verb = method or ("GET" if body is None else "POST")
        data = None if body is None else body.encode()
        connection.request(verb, path, data, headers or {})
        response = connection.getresponse()
        kind = response.headers.get("Content-Type", "").split(";")[0]
        return response.status, kind, response.read().decode()
    finally:
        connection.close()


def query(server: RegistryServer, text: str, accept: str = "", **choice: str) -> Answer:
    headers = QUERY | ({"Accept": accept} if accept else {})
    return ask(server, f"/sparql?{urlencode(choice)}", text, headers)


def test_three_ways_to_send_a_query_say_the_same(services: dict[str, RegistryServer]) -> None:
    server = services["reads"]
    ways = [
        ask(server, "/sparql?" + urlencode({"query": DEVICES})),
        ask(server, "/query", urlencode({"query": DEVICES}), FORM),
        query(server, DEVICES),
    ]
    assert {(status, kind) for status, kind, _ in ways} == {
        (200, "application/sparql-results+json")
    }
    found = [json.loads(body)["results"]["bindings"] for *_, body in ways]
    assert found[0] == found[1] == found[2] and len(found[0]) == 6


@pytest.mark.parametrize(
    ("accept", "text", "kind", "start"),
    [
        ("text/csv", DEVICES, "text/csv", "id\r\nd1"),
        ("text/tab-separated-values", DEVICES, "text/tab-separated-values", '?id\n"d1"'),
        ("application/sparql-results+xml", "ASK {}", "application/sparql-results+xml", "<?xml"),
        ("text/csv;q=0.2, application/*", "ASK {}", "application/sparql-results+json", '{"head"'),
        ("text/turtle", "CONSTRUCT {?b a ek:X} {?b a ek:Board}", "text/turtle", "@prefix"),
        ("application/n-triples", "DESCRIBE id:board\\/cam", "application/n-triples", "<https"),
    ],
)
def test_result_has_the_form_that_is_accepted(
    services: dict[str, RegistryServer], accept: str, text: str, kind: str, start: str
) -> None:
    found = query(services["reads"], text, accept)
    assert found[:2] == (200, kind)
    assert found[2].startswith(start)


def test_named_and_default_graphs_are_chosen_by_the_request(
    services: dict[str, RegistryServer],
) -> None:
    graph = "https://w3id.org/edgekit/graph/board/cam"
    count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
    inside = query(services["reads"], count, "text/csv", **{"default-graph-uri": graph})
    everything = query(services["reads"], count, "text/csv")
    assert 5 < int(inside[2].split()[1]) < 30 < int(everything[2].split()[1])


@pytest.mark.parametrize(
    ("path", "body", "headers", "method", "status", "said"),
    [
        ("/sparql", "SELECT * {\n ?s ?p }", QUERY, "", 400, r"query: line 2, column 9: expected"),
        ("/sparql", "SELECT " + "x" * 70_000, QUERY, "", 400, "70007 characters, expected at most"),
        ("/sparql", "ASK " + "{" * 90 + "}" * 90, QUERY, "", 400, "nested deeper than 64"),
        ("/sparql", "ASK { SERVICE <http://a/> {} }", QUERY, "", 400, "found 'SERVICE'"),
        ("/sparql?query=ASK%7B%7D&query=ASK%7B%7D", None, {}, "", 400, "'query' 2 times"),
        ("/sparql?update=DROP%20ALL", None, {}, "", 405, "sent by POST"),
        ("/update", "DROP ALL", UPDATE, "", 403, "only reads"),
        ("/sparql", "update=DROP+ALL", FORM, "", 403, "only reads"),
        ("/store?graph=urn:g", "", {"Content-Type": "text/turtle"}, "PUT", 403, "only reads"),
        ("/store", None, {}, "", 400, "named graphs only"),
        ("/store?graph=urn:nix", None, {}, "", 404, "no graph"),
        ("/sparql", "x", {"Content-Type": "image/png"}, "", 415, "content type 'image/png'"),
        ("/sparql?query=ASK%7B%7D", None, {"Accept": "image/png"}, "", 406, "expected one of"),
        ("/nix", None, {}, "", 404, "no /nix here"),
        ("/sparql", None, {"Host": "evil.example"}, "", 403, "host 'evil.example'"),
        ("/sparql", "x", {"Origin": "http://evil.example"}, "", 403, "is another site"),
        ("/sparql", None, {"Transfer-Encoding": "chunked"}, "", 411, "expected Content-Length"),
        ("/sparql", "", {"Content-Length": "99999999999"}, "", 413, "bytes, expected at most"),
    ],
)
def test_what_is_refused_is_named_in_one_line(
    services: dict[str, RegistryServer],
    path: str,
    body: str | None,
    headers: dict[str, str],
    method: str,
    status: int,
    said: str,
) -> None:
    found = ask(services["reads"], path, body, headers, method)
    assert found[0] == status, found
    assert re.search(said, found[2]) and found[2].count("\n") == 1


def test_query_over_its_time_is_stopped_and_the_next_one_answered(
    tmp_path: Path, services: dict[str, RegistryServer]
) -> None:
    root = tmp_path / ".edgekit"
    write_journal(root).close()
    with RegistryServer(Service(root, time_s=1.5, readers=1)) as server:
        found = query(server, RUNAWAY)
        assert found[0] == 503 and "took more than" in found[2], found
        assert query(services["reads"], DEVICES)[0] == 200


def test_result_over_its_size_is_refused(services: dict[str, RegistryServer]) -> None:
    found = query(services["reads"], "SELECT * { ?a ?b ?c . ?d ?e ?f }")
    assert found[0] == 413 and "more than 500000 bytes; add a LIMIT" in found[2]


def test_update_and_graph_store(services: dict[str, RegistryServer]) -> None:
    """What is written is seen by the next query; a graph is made, added to, read and removed."""
    server, turtle = services["writes"], {"Content-Type": "text/turtle"}
    insert = "INSERT DATA { GRAPH <urn:g> { <urn:a> <urn:b> 1 } }"
    assert ask(server, "/update", insert, UPDATE)[0] == 204
    where = "/store?graph=urn:g"
    found = ask(server, where, None, {"Accept": "text/turtle"})[2]
    assert found.endswith("<urn:a> <urn:b> 1 .\n"), found
    assert ask(server, where, "<urn:a> <urn:b> 2 .", turtle)[0] == 204
    assert "1 , 2" in ask(server, where, None, {"Accept": "text/turtle"})[2]
    assert ask(server, where, "<urn:a> <urn:b> 3 .", turtle, "PUT")[0] == 204
    assert ask(server, where)[2].count("urn:b") == 1
    assert ask(server, where, None, None, "HEAD")[::2] == (200, "")
    assert ask(server, where, None, None, "DELETE")[0] == 204
    assert ask(server, where)[0] == 404
    assert ask(server, "/store?graph=urn:h", "<urn:a> <urn:b> 3 .", turtle, "PUT")[0] == 201


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ("<urn:a> <urn:b> .", "text/turtle", "line 1, column"),
        ("_:a <urn:b> 1 .", "text/turtle", "blank node"),
        ("x", "text/plain", "content type 'text/plain'"),
    ],
)
def test_malformed_graph_changes_nothing(
    services: dict[str, RegistryServer], body: str, kind: str, said: str
) -> None:
    server = services["writes"]
    path = "/store?graph=https://w3id.org/edgekit/graph/board/cam"
    before = ask(server, path)
    found = ask(server, path, body, {"Content-Type": kind}, "PUT")
    assert found[0] == 400 and said in found[2], found
    assert ask(server, path) == before


def test_service_describes_itself(services: dict[str, RegistryServer]) -> None:
    status, kind, text = ask(services["reads"], "/sparql")
    assert (status, kind) == (200, "text/turtle")
    assert "sd:UnionDefaultGraph" in text and "SPARQL11Update" not in text
    assert "SPARQL11Update" in ask(services["writes"], "/sparql")[2]


def test_service_follows_the_journal(tmp_path: Path) -> None:
    root = tmp_path / ".edgekit"
    write_journal(root).close()
    with RegistryServer(Service(root)) as server, Journal.open(root) as journal:
        body = {"device": "d99", "board": "cam", "fleet": "demo", "site": "hall-2"}
        journal.append("device.added", "d99", body)
        assert _devices(server, "d99"), "the service does not follow"


def test_page_has_form_saved_queries_and_results(services: dict[str, RegistryServer]) -> None:
    server = services["reads"]
    page = ask(server, "/?" + urlencode({"query": DEVICES}))
    assert page[:2] == (200, "text/html")
    assert "<td>d6</td>" in page[2] and "6 rows" in page[2]
    for each in saved_queries():
        assert f"<code>{each.name}</code>" in page[2]
    assert "<td" in ask(server, "/?saved=fleet-counts")[2]
    model = ask(server, "/?saved=models-for-board&board=cam")[2]
    assert "# Question" not in model
    assert "id:model/010101010101…</a>" in model and "01" * 32 in model
    script = 'SELECT ("<script>alert(1)</script>" AS ?x) {}'
    assert "<script>" not in ask(server, "/?" + urlencode({"query": script}))[2]
    wrong = ask(server, "/?" + urlencode({"query": "SELECT <b>"}))
    assert wrong[0] == 200 and 'class="error">query: line 1' in wrong[2] and "<b>" not in wrong[2]


@pytest.mark.browser
def test_page_is_drawn_by_a_browser(services: dict[str, RegistryServer], tmp_path: Path) -> None:
    """Chromium shows the table, without scripts and without a word in its console."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None
    url = services["reads"].url + "?" + urlencode({"query": DEVICES})
    line = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    done = subprocess.run([*line, "--dump-dom", url], capture_output=True, text=True, timeout=120)
    assert "<td>d6</td>" in done.stdout and "CONSOLE" not in done.stderr


def test_accepted_follows_weights() -> None:
    offered = ("a/x", "a/y", "b/z")
    assert accepted("", None, offered) == list(offered)
    assert accepted("b/*;q=0.1, a/y", None, offered) == ["a/y", "b/z"]
    assert accepted("a/x;q=0, */*", None, offered) == ["a/y", "b/z"]


def _devices(server: RegistryServer, wanted: str) -> bool:
    """Wait until a query shows a device."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        if f'"{wanted}"' in query(server, DEVICES)[2]:
            return True
        time.sleep(0.05)
    return False


def test_service_takes_over_when_another_writer_ends(tmp_path: Path) -> None:
    """It serves what that one writes; nothing that comes later is lost."""
    root = tmp_path / ".edgekit"
    write_journal(root).close()
    body = {"board": "cam", "fleet": "demo"}
    with Journal.open(root) as journal:
        store = open_writer(root)
        with RegistryServer(Service(root)) as server:
            journal.append("device.added", "d98", body | {"device": "d98"})
            catch_up(store, journal)
            assert _devices(server, "d98")
            store.close()
            journal.append("device.added", "d99", body | {"device": "d99"})
            assert _devices(server, "d99")


def test_long_journal_is_followed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FOLLOWED_EVENTS", 7)
    root = tmp_path / ".edgekit"
    with write_journal(root) as journal:
        last = journal.last_seq()
    at = worker.Worker(root, writer=True)
    said = [at.answer({"task": "follow"}, b"")[0] for _ in range(last // 7 + 2)]
    at.store().close()
    assert [each["events"] for each in said] == [7] * (last // 7) + [last % 7, 0]
    assert [each["more"] for each in said] == [True] * (last // 7) + [False, False]


def test_reader_that_cannot_open_the_store_is_asked_again(
    tmp_path: Path,
) -> None:
    at = worker.Worker(tmp_path, writer=False)
    head, _ = at.answer({"task": "query", "version": 3, "accept": [], "most": 9}, b"ASK {}")
    assert head["status"] == 503 and "no registry at" in head["error"]
    write_journal(tmp_path).close()
    open_writer(tmp_path).close()
    head, _ = at.answer({"task": "query", "version": 3, "accept": [], "most": 99}, b"ASK {}")
    assert head["status"] == 200
