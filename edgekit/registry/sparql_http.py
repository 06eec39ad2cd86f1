"""The engine elsewhere: any server of the SPARQL 1.1 Protocol and the Graph Store Protocol.

An address is `sparql+http://HOST:PORT/PATH`, to which `query`, `update` and `store` are appended;
`?query=NAME&update=NAME&data=NAME` names other endings (Fuseki calls the last one `data`). The
server must take the union of all graphs as the default graph of a query, as `edgekit registry
serve` and `oxigraph serve --union-default-graph` do.

Source: SPARQL 1.1 Protocol; SPARQL 1.1 Graph Store HTTP Protocol (W3C Recommendations 2013).
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pyoxigraph as ox

from edgekit.errors import FormatError, StoreError
from edgekit.registry.bind import bind_values
from edgekit.registry.embedded import Embedded
from edgekit.registry.engine import Results, Term
from edgekit.registry.terms import PREFIXES

TIMEOUT_S = 60.0
_BULK_QUADS = 10_000
_ENDINGS = {"query": "query", "update": "update", "data": "store"}
_TRIPLE_FORMS = re.compile(r"^\s*(CONSTRUCT|DESCRIBE)\b", re.IGNORECASE)
_PROLOGUE = "".join(f"PREFIX {name}: <{iri}>\n" for name, iri in PREFIXES.items())
_RESULTS = "application/sparql-results+json"
_TRIPLES = "application/n-triples"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is.

    Attributes:
        paths: Of query, update and data.
    """

    scheme: str
    host: str
    paths: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sparql+http://...` or `sparql+https://...`.

        Raises:
            FormatError: If it is another form.
        """
        parts = urlsplit(text)
        scheme = parts.scheme.removeprefix("sparql+")
        if not parts.scheme.startswith("sparql+") or scheme not in ("http", "https"):
            raise FormatError(f"store '{text}': expected sparql+http://HOST:PORT/PATH")
        if not parts.hostname or parts.username or parts.fragment:
            raise FormatError(f"store '{text}': expected a host, without user and fragment")
        given = dict(parse_qsl(parts.query))
        unknown = sorted(set(given) - set(_ENDINGS))
        if unknown:
            raise FormatError(f"store '{text}': found '{unknown[0]}', expected query, update, data")
        base = parts.path.rstrip("/")
        endings = _ENDINGS | given
        return cls(scheme, parts.netloc, {key: f"{base}/{end}" for key, end in endings.items()})


class SparqlHttp:
    """A SPARQL server; one request is one transaction of it."""

    local = False
    writable = True

    def __init__(self, text: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._address = Address.parse(text)
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self.place = f"registry {text}"

    def query(
        self,
        text: str,
        values: Mapping[str, Term],
        *,
        default: Sequence[str] | None = None,
        named: Sequence[str] | None = None,
        base: str | None = None,
    ) -> Results:
        # Parsed here first: so line and column are those of the text, whatever the server says.
        Embedded.memory().query(text, values, base=base)
        bound = _prologue(base) + bind_values(text, values)
        choice = [("default-graph-uri", iri) for iri in default or ()]
        choice += [("named-graph-uri", iri) for iri in named or ()]
        path = self._address.paths["query"]
        data = self._ask(
            "POST",
            f"{path}?{urlencode(choice)}" if choice else path,
            bound.encode(),
            {
                "Content-Type": "application/sparql-query",
                "Accept": f"{_RESULTS}, {_TRIPLES};q=0.9",
            },
            "query",
        )
        if data[1].startswith(_RESULTS):
            return ox.parse_query_results(data[0], format=ox.QueryResultsFormat.JSON)
        return (quad.triple for quad in ox.parse(data[0], format=ox.RdfFormat.N_TRIPLES))

    def update(self, text: str, *, base: str | None = None) -> None:
        self._ask(
            "POST",
            self._address.paths["update"],
            (_prologue(base) + text).encode(),
            {"Content-Type": "application/sparql-update"},
            "update",
        )

    def quads(
        self, subject: ox.NamedNode | None, value: ox.NamedNode | None, graph: ox.NamedNode | None
    ) -> Iterator[ox.Quad]:
        parts = {"s": subject, "o": value, "g": graph}
        values: dict[str, Term] = {name: node for name, node in parts.items() if node is not None}
        found = self.query("SELECT ?g ?s ?p ?o WHERE { GRAPH ?g { ?s ?p ?o } }", values)
        assert isinstance(found, ox.QuerySolutions)
        for row in found:
            s, p, o, g = row["s"], row["p"], row["o"], row["g"]
            assert isinstance(s, ox.NamedNode | ox.BlankNode)
            assert isinstance(p, ox.NamedNode) and isinstance(g, ox.NamedNode) and o is not None
            yield ox.Quad(s, p, o, g)

    def extend(self, quads: Iterable[ox.Quad]) -> None:
        self.update(_insert(quads))

    def bulk(self, source: Path | Iterable[ox.Quad]) -> None:
        if isinstance(source, Path):
            try:
                quads: Iterator[ox.Quad] = ox.parse(path=source, format=ox.RdfFormat.N_QUADS)
                self._bulk(quads)
            except SyntaxError as exc:
                raise FormatError(f"{source}: {exc}") from exc
            except OSError as exc:
                raise StoreError(f"{source}: cannot be read: {exc}") from exc
        else:
            self._bulk(iter(source))

    def _bulk(self, quads: Iterator[ox.Quad]) -> None:
        while some := list(islice(quads, _BULK_QUADS)):
            self.update(_insert(some))

    def put_graph(self, graph: ox.NamedNode, triples: Iterable[ox.Triple]) -> None:
        """Make the triples the content of a graph, by the Graph Store Protocol."""
        self._ask(
            "PUT",
            f"{self._address.paths['data']}?graph={quote(graph.value, safe='')}",
            ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b"",
            {"Content-Type": _TRIPLES},
            "graph",
        )

    def get_graph(self, graph: ox.NamedNode) -> Iterator[ox.Triple]:
        """Return the content of a graph, by the Graph Store Protocol."""
        path = f"{self._address.paths['data']}?graph={quote(graph.value, safe='')}"
        data, _ = self._ask("GET", path, None, {"Accept": _TRIPLES}, "graph")
        return (quad.triple for quad in ox.parse(data, format=ox.RdfFormat.N_TRIPLES))

    def backup(self, folder: Path) -> None:
        raise StoreError(f"{self.place}: its own server makes the backup of its folder")

    def size(self) -> int:
        found = self.query("SELECT (COUNT(*) AS ?n) WHERE { GRAPH ?g { ?s ?p ?o } }", {})
        assert isinstance(found, ox.QuerySolutions)
        return int(getattr(next(iter(found))["n"], "value", "0"))

    def health(self) -> None:
        """Prove that the server answers, and takes all graphs together as the default graph.

        Raises:
            StoreError: If not.
        """
        probe = "ASK { GRAPH ?g { ?s ?p ?o } FILTER NOT EXISTS { ?s ?p ?o } }"
        if bool(self.query(probe, {})):
            raise StoreError(
                f"{self.place}: its queries do not see the union of its graphs; start it so"
                " (oxigraph: --union-default-graph; Fuseki: tdb2:unionDefaultGraph true)"
            )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], what: str
    ) -> tuple[bytes, str]:
        """Send one request; return body and content type.

        A request on a connection that the server closed meanwhile is sent again once: it did not
        arrive, or it was one whose repetition changes nothing.
        """
        for again in (True, False):
            fresh = self._connection is None
            try:
                connection = self._connect()
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                data = response.read()
                break
            except (OSError, http.client.HTTPException) as exc:
                self.close()
                if fresh or not again:
                    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
                    raise StoreError(f"{self.place} cannot be reached: {reason}") from exc
        else:
            raise AssertionError("the second attempt returns or raises")
        if response.status >= 300:
            said = data.decode("utf-8", "replace").strip().split("\n")[0][:300]
            error = FormatError if response.status in (400, 413) else StoreError
            raise error(f"{self.place}: {what}: {response.status} {response.reason}: {said}")
        return data, response.headers.get("Content-Type", "")

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            secure = self._address.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = kind(self._address.host, timeout=self._timeout_s)
        return self._connection


def _prologue(base: str | None) -> str:
    return _PROLOGUE if base is None else f"BASE {ox.NamedNode(base)}\n{_PROLOGUE}"


def _insert(quads: Iterable[ox.Quad]) -> str:
    """Write quads as one operation; the serializer escapes every term."""
    blocks: dict[str, list[ox.Triple]] = {}
    for quad in quads:
        blocks.setdefault(str(quad.graph_name), []).append(quad.triple)
    texts = []
    for graph, triples in blocks.items():
        text = (ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b"").decode()
        texts.append(text if graph == "DEFAULT" else f"GRAPH {graph} {{\n{text}}}\n")
    return "INSERT DATA {\n" + "".join(texts) + "}"
