"""The cases of the W3C suites for protocol and graph store, by their names, on our service.

The suites say what is asked and what is expected in words; the requests are written after them.
What our service does otherwise, on purpose, stands at the end with its reason.

Source: SPARQL 1.1 test cases, protocol/manifest.ttl and http-rdf-update/tests.txt (W3C SPARQL
Working Group); SPARQL 1.1 Protocol, 2; SPARQL 1.1 Graph Store HTTP Protocol, 5.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

import pyoxigraph as ox
import pytest
from registry.fleet_fixture import write_journal

from edgekit.errors import FormatError
from edgekit.registry.http_server import RegistryServer, Service
from edgekit.registry.store import Store
from edgekit.registry.using import with_dataset

QUERY = "application/sparql-query"
UPDATE = "application/sparql-update"
FORM = "application/x-www-form-urlencoded"
ROWS = ("application/sparql-results+xml", "application/sparql-results+json")
TRIPLES = ("text/turtle", "application/n-triples", "application/rdf+xml")
D = [f"http://example.org/data{number}" for number in range(4)]
TARGET = "http://example.org/target"
SEEN = "http://example.org/Seen"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    root = tmp_path_factory.mktemp("cases") / ".edgekit"
    write_journal(root, []).close()
    with RegistryServer(Service(root, write=True, readers=1)) as running:
        yield running


@dataclass
class Answer:
    status: int
    kind: str
    body: str

    def truth(self) -> bool:
        assert self.status == 200 and self.kind in ROWS, self
        found = json.loads(self.body)["boolean"]
        assert isinstance(found, bool)
        return found


def send(
    server: RegistryServer, method: str, path: str, body: bytes | str = b"", **headers: str
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    try:
        data = body.encode() if isinstance(body, str) else body
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, data, names)
        response = connection.getresponse()
        kind = response.headers.get("Content-Type", "").split(";")[0]
        return Answer(response.status, kind, response.read().decode())
    finally:
        connection.close()


def post(server: RegistryServer, body: str, kind: str, **choice: list[str]) -> Answer:
    pairs = [(name.replace("_", "-"), each) for name, some in choice.items() for each in some]
    return send(server, "POST", f"/sparql?{urlencode(pairs)}", body, Content_Type=kind)


def fill(server: RegistryServer) -> None:
    """Put one document into each graph of D, and empty the target."""
    graphs = "".join(f"GRAPH <{iri}> {{ <{iri}> a <http://example.org/Document> }} " for iri in D)
    answer = post(server, f"DROP ALL ; INSERT DATA {{ {graphs} }}", UPDATE)
    assert answer.status == 204, answer


def is_a(*numbers: int) -> str:
    return " ".join(f"<{D[number]}> a ?t{number} ." for number in numbers)


def test_query_post_form(server: RegistryServer) -> None:
    assert post(server, urlencode({"query": "ASK {}"}), FORM).truth()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_query_dataset_default_graphs(server: RegistryServer, method: str) -> None:
    fill(server)
    for numbers, expected in (((1, 2), True), ((1, 3), False)):
        text = f"ASK {{ {is_a(*numbers)} }}"
        pairs = [("default-graph-uri", D[1]), ("default-graph-uri", D[2])]
        if method == "GET":
            found = send(server, "GET", f"/sparql?{urlencode([*pairs, ('query', text)])}")
        else:
            found = post(server, text, QUERY, default_graph_uri=[D[1], D[2]])
        assert found.truth() is expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_query_dataset_named_graphs(server: RegistryServer, method: str) -> None:
    fill(server)
    for number, expected in ((2, True), (3, False)):
        text = f"ASK {{ GRAPH ?g {{ {is_a(1)} }} GRAPH ?h {{ {is_a(number)} }} }}"
        pairs = [("named-graph-uri", D[1]), ("named-graph-uri", D[2])]
        if method == "GET":
            found = send(server, "GET", f"/sparql?{urlencode([*pairs, ('query', text)])}")
        else:
            found = post(server, text, QUERY, named_graph_uri=[D[1], D[2]])
        assert found.truth() is expected


def test_query_dataset_full(server: RegistryServer) -> None:
    fill(server)
    text = f"ASK {{ {is_a(3)} GRAPH ?g {{ {is_a(1)} }} GRAPH ?h {{ {is_a(2)} }} }}"
    choice = {"default_graph_uri": [D[3]], "named_graph_uri": [D[1], D[2]]}
    assert post(server, text, QUERY, **choice).truth()
    assert not post(server, f"ASK {{ {is_a(1)} }}", QUERY, **choice).truth()


def test_query_multiple_dataset(server: RegistryServer) -> None:
    """The dataset of the request counts, not that of the query."""
    fill(server)
    text = f"ASK FROM <{D[3]}> {{ GRAPH ?g {{ {is_a(1)} }} }}"
    assert post(server, text, QUERY, named_graph_uri=[D[1]]).truth()
    text = f"ASK FROM <{D[3]}> {{ {is_a(3)} }}"
    assert not post(server, text, QUERY, default_graph_uri=[D[1]]).truth()


def test_query_get(server: RegistryServer) -> None:
    assert send(server, "GET", "/sparql?query=" + quote("ASK {}")).truth()


def test_query_post_direct(server: RegistryServer) -> None:
    assert post(server, "ASK {}", QUERY).truth()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("SELECT (1 AS ?value) {}", (*ROWS, "text/csv", "text/tab-separated-values")),
        ("ASK {}", ROWS),
        ("DESCRIBE <http://example.org/>", TRIPLES),
        ("CONSTRUCT { <s> <p> 1 } WHERE {}", TRIPLES),
    ],
)
def test_query_content_type(server: RegistryServer, text: str, kinds: tuple[str, ...]) -> None:
    found = post(server, text, QUERY)
    assert found.status == 200 and found.kind in kinds, found


INSERT = f"INSERT {{ GRAPH <{TARGET}> {{ ?s a <{SEEN}> }} }} WHERE"


def seen(server: RegistryServer) -> list[int]:
    text = f"SELECT ?s {{ GRAPH <{TARGET}> {{ ?s a <{SEEN}> }} }}"
    rows = json.loads(post(server, text, QUERY).body)["results"]["bindings"]
    return sorted(D.index(row["s"]["value"]) for row in rows)


@pytest.mark.parametrize(
    ("pattern", "default", "named", "expected"),
    [
        ("{ ?s a ?t }", [1], [], [1]),
        ("{ ?s a ?t }", [1, 2], [], [1, 2]),
        ("{ GRAPH ?g { ?s a ?t } }", [], [1, 2], [1, 2]),
        ("{ { GRAPH ?g { ?s a ?t } } UNION { ?s a ?t } }", [0], [2], [0, 2]),
    ],
    ids=["default_graph", "default_graphs", "named_graphs", "full"],
)
def test_update_dataset(
    server: RegistryServer, pattern: str, default: list[int], named: list[int], expected: list[int]
) -> None:
    fill(server)
    found = post(
        server,
        f"{INSERT} {pattern}",
        UPDATE,
        using_graph_uri=[D[number] for number in default],
        using_named_graph_uri=[D[number] for number in named],
    )
    assert found.status == 204, found
    assert seen(server) == expected


def test_update_post_form(server: RegistryServer) -> None:
    fill(server)
    form = urlencode({"update": f"{INSERT} {{ ?s a ?t }}", "using-graph-uri": D[2]})
    assert send(server, "POST", "/sparql", form, Content_Type=FORM).status == 204
    assert seen(server) == [2]


def test_update_post_direct(server: RegistryServer) -> None:
    fill(server)
    assert post(server, f"{INSERT} {{ GRAPH ?g {{ ?s a ?t }} }}", UPDATE).status == 204
    assert seen(server) == [0, 1, 2, 3]


def test_update_base_uri(server: RegistryServer) -> None:
    text = f"INSERT DATA {{ GRAPH <{TARGET}> {{ <urn:base> <urn:base> <test> }} }}"
    assert post(server, text, UPDATE).status == 204
    found = post(server, "SELECT ?o { GRAPH ?g { <urn:base> <urn:base> ?o } }", QUERY)
    (row,) = json.loads(found.body)["results"]["bindings"]
    assert row["o"]["value"] == server.url + "test"


@dataclass
class Bad:
    """A request that must be refused with a status from 400 to 499."""

    name: str
    method: str = "POST"
    path: str = "/sparql"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


CLEAR = quote("CLEAR GRAPH <urn:x>")
BAD = [
    Bad("bad_query_method", "PUT", "/sparql?query=ASK%20%7B%7D"),
    Bad("bad_multiple_queries", "GET", "/sparql?query=ASK%20%7B%7D&query=SELECT%20*%20%7B%7D"),
    Bad("bad_query_wrong_media_type", body=b"ASK {}", headers={"Content_Type": "text/plain"}),
    Bad("bad_query_missing_form_type", body=b"query=ASK%20%7B%7D"),
    Bad("bad_query_missing_direct_type", body=b"ASK {}"),
    Bad("bad_query_non_utf8", body="ASK {}".encode("utf-16"), headers={"Content_Type": QUERY}),
    Bad("bad_query_syntax", "GET", "/sparql?query=ASK%20%7B"),
    Bad("bad_update_get", "GET", f"/sparql?update={CLEAR}"),
    Bad(
        "bad_multiple_updates",
        body=f"update={CLEAR}&update={CLEAR}".encode(),
        headers={"Content_Type": FORM},
    ),
    Bad("bad_update_wrong_media_type", body=b"CLEAR ALL", headers={"Content_Type": "text/plain"}),
    Bad("bad_update_missing_form_type", body=f"update={CLEAR}".encode()),
    Bad(
        "bad_update_non_utf8",
        body="CLEAR GRAPH <urn:ä>".encode("utf-16"),
        headers={"Content_Type": UPDATE},
    ),
    Bad("bad_update_syntax", body=b"CLEAR XYZ", headers={"Content_Type": UPDATE}),
    Bad(
        "bad_update_dataset_conflict",
        path=f"/sparql?using-named-graph-uri={quote(D[1])}",
        body=f"INSERT {{ ?s ?p 1 }} USING <{D[2]}> WHERE {{ ?s ?p ?o }}".encode(),
        headers={"Content_Type": UPDATE},
    ),
    Bad(
        "bad_update_dataset_conflict_with",
        path=f"/sparql?using-graph-uri={quote(D[1])}",
        body=f"WITH <{D[2]}> DELETE {{ ?s ?p ?o }} WHERE {{ ?s ?p ?o }}".encode(),
        headers={"Content_Type": UPDATE},
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_bad_request(server: RegistryServer, bad: Bad) -> None:
    found = send(server, bad.method, bad.path, bad.body, **bad.headers)
    assert 400 <= found.status < 500 and found.body.count("\n") == 1, found


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("DELETE WHERE { ?s ?p ?o }", [2]),
        ("delete{?s ?p ?o}where{?s ?p ?o}", [2]),
        ("PREFIX where: <urn:where#> DELETE { ?s ?p ?o } WHERE { ?s ?p ?o . "
         "MINUS { ?s where:WHERE 'WHERE { USING' } }", [2]),
        ("DELETE WHERE { ?s ?p ?o } ; INSERT { ?s ?p 1 } # WHERE\n WHERE { ?s ?p ?o }", [2]),
        ("INSERT DATA { GRAPH <urn:c> { <urn:c> <urn:p> 3 } }", [1, 2, 3]),
    ],
)  # fmt: skip
def test_dataset_of_a_request_reaches_every_pattern(text: str, left: list[int]) -> None:
    """Also short forms, names and texts that look like keywords."""
    store = Store.memory()
    store.update(
        "INSERT DATA { GRAPH <urn:a> { <urn:a> <urn:p> 1 } GRAPH <urn:b> { <urn:b> <urn:p> 2 } }"
    )
    # What is deleted without GRAPH is deleted from the default graph, which is the graph given.
    given = with_dataset(text, ["urn:a"], [])
    store.update(given.replace("{ ?s ?p ?o }", "{ GRAPH <urn:a> { ?s ?p ?o } }", 1)
                 .replace("{?s ?p ?o}", "{ GRAPH <urn:a> { ?s ?p ?o } }", 1))  # fmt: skip
    values = [
        int(quad.object.value) for quad in store.quads() if isinstance(quad.object, ox.Literal)
    ]
    assert sorted(values) == left


def test_dataset_of_a_request_must_be_iris() -> None:
    with pytest.raises(FormatError, match="graph 'no iri'"):
        with_dataset("CLEAR ALL", ["no iri"], [])


# Graph store. Graphs are named by ?graph=; the path of a graph itself is not served.

TURTLE = "text/turtle"
PERSON = '<http://example.org/person> <http://xmlns.com/foaf/0.1/name> "%s" .'


def where(number: int) -> str:
    return "/store?" + urlencode({"graph": f"http://example.org/person/{number}.ttl"})


def test_graph_store_from_put_to_delete(server: RegistryServer) -> None:
    """PUT and GET of it, again on a graph that is there, POST, HEAD, DELETE, and what is gone."""
    path = where(1)
    assert send(server, "PUT", path, PERSON % "John", Content_Type=TURTLE).status == 201
    found = send(server, "GET", path, Accept=TURTLE + "; charset=utf-8")
    assert (found.status, found.kind) == (200, TURTLE) and '"John"' in found.body
    assert send(server, "PUT", path, PERSON % "Jane", Content_Type=TURTLE).status == 204
    found = send(server, "GET", path)
    assert '"Jane"' in found.body and '"John"' not in found.body
    assert send(server, "POST", path, PERSON % "Doe", Content_Type=TURTLE).status == 204
    found = send(server, "GET", path)
    assert '"Jane"' in found.body and '"Doe"' in found.body
    assert send(server, "POST", path, "", Content_Type=TURTLE).status == 204
    assert send(server, "GET", path).body == found.body
    head = send(server, "HEAD", path)
    assert (head.status, head.kind, head.body) == (200, TURTLE, "")
    assert send(server, "DELETE", path).status == 204
    assert send(server, "GET", path).status == 404
    assert send(server, "HEAD", path).status == 404
    assert send(server, "DELETE", path).status == 404


def test_graph_store_mismatched_payload(server: RegistryServer) -> None:
    found = send(server, "PUT", where(2), PERSON % "x", Content_Type="application/rdf+xml")
    assert found.status == 400
    assert send(server, "GET", where(2)).status == 404


def test_graph_store_takes_what_it_gives(server: RegistryServer) -> None:
    """Every media type, with relative IRIs taken from the name of the graph."""
    assert send(server, "PUT", where(3), '<#me> <urn:p> "x" .', Content_Type=TURTLE).status == 201
    for kind in (*TRIPLES, "application/ld+json"):
        found = send(server, "GET", where(3), Accept=kind)
        assert found.kind == kind
        assert send(server, "PUT", where(4), found.body, Content_Type=kind).status in (201, 204)
        same = send(server, "GET", where(4), Accept="application/n-triples").body
        assert same == send(server, "GET", where(3), Accept="application/n-triples").body


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        # Every graph of the registry has a name; nobody could say whose the default graph is.
        ("PUT", "/store?default", PERSON % "x", TURTLE, 400),
        ("GET", "/store?default", "", "", 400),
        # And for the same reason none is named by the service.
        ("POST", "/store", PERSON % "x", TURTLE, 400),
        # A blank node could never be replaced or taken back by its name.
        ("PUT", where(5), '[] <urn:p> "x" .', TURTLE, 400),
        ("POST", where(5), "--a", "multipart/form-data", 400),
        # A graph without triples is no graph: PUT of nothing removes it.
        ("GET", where(5), "", "", 404),
    ],
    ids=["put_default", "get_default", "post_new", "blank_node", "multipart", "empty"],
)
def test_what_is_otherwise_on_purpose(
    server: RegistryServer, method: str, path: str, body: str, kind: str, status: int
) -> None:
    headers = {"Content_Type": kind} if kind else {}
    found = send(server, method, path, body, **headers)
    assert found.status == status and found.body.count("\n") == 1, found


def test_put_of_an_empty_graph(server: RegistryServer) -> None:
    assert send(server, "PUT", where(6), PERSON % "x", Content_Type=TURTLE).status == 201
    assert send(server, "PUT", where(6), "", Content_Type=TURTLE).status == 204
    assert send(server, "GET", where(6)).status == 404


def test_service_description_has_its_endpoint(server: RegistryServer) -> None:
    """returns-rdf, has-endpoint-triple."""
    found = send(server, "GET", "/sparql", Accept=TURTLE)
    triples = list(ox.parse(found.body, format=ox.RdfFormat.TURTLE, base_iri=server.url))
    objects = {t.object.value for t in triples if t.predicate.value.endswith("#endpoint")}
    assert objects == {server.url + "sparql"}
