"""One process that works on the store for `registry serve`, so that it can be ended at any moment.

The service writes a request to its standard input and reads the answer from its standard output:
each a JSON object and bytes, with the length of both before them. A reader opens the store as it is
on disk, anew when the service says that it has changed. A writer holds the store; if it is killed
within an update, nothing has changed.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import pyoxigraph as ox

from edgekit.errors import EdgekitError, FormatError, StoreError
from edgekit.journal.journal import Journal
from edgekit.registry.saved import run
from edgekit.registry.store import Results, Store, triples_of
from edgekit.registry.sync import STORE_FOLDER, catch_up
from edgekit.registry.terms import PREFIXES

MEMORY_BYTES = 2 * 1024**3
FOLLOWED_EVENTS = 2_000
"""Of the journal at a time: so many take seconds, and updates need not wait for all."""

Message = tuple[dict[str, Any], bytes]

_ROWS = {
    "application/sparql-results+json": ox.QueryResultsFormat.JSON,
    "application/sparql-results+xml": ox.QueryResultsFormat.XML,
    "text/csv": ox.QueryResultsFormat.CSV,
    "text/tab-separated-values": ox.QueryResultsFormat.TSV,
}
_TRIPLES = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
    "application/ld+json": ox.RdfFormat.JSON_LD,
}
ROW_TYPES, TRIPLE_TYPES = tuple(_ROWS), tuple(_TRIPLES)


class TooLargeError(EdgekitError):
    """A result is larger than the service sends."""


class AwayError(EdgekitError):
    """The store cannot be opened at this moment."""


def write_message(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """Write one message."""
    text = json.dumps(head).encode()
    stream.write(len(text).to_bytes(4, "little") + len(body).to_bytes(8, "little") + text + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Read one message; None at the end."""
    sizes = stream.read(12)
    if len(sizes) < 12:
        return None
    head = json.loads(stream.read(int.from_bytes(sizes[:4], "little")))
    return head, stream.read(int.from_bytes(sizes[4:], "little"))


class _Limited(io.BytesIO):
    """Bytes up to a limit."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most:
            raise TooLargeError(f"result has more than {self._most} bytes; add a LIMIT")
        return super().write(data)


class Worker:
    """Answers requests on one store.

    Args:
        root: The folder `.edgekit` of the project.
    """

    def __init__(self, root: Path, *, writer: bool) -> None:
        self._root = root
        self._writer = writer
        self._store: Store | None = None
        self._version = -1

    def answer(self, head: dict[str, Any], body: bytes) -> Message:
        """Do what a message asks; the answer's `status` is an HTTP status."""
        try:
            return self._tasks()[head["task"]](head, body)
        except FormatError as exc:
            return {"status": 400, "error": str(exc)}, b""
        except TooLargeError as exc:
            return {"status": 413, "error": str(exc)}, b""
        except AwayError as exc:
            return {"status": 503, "error": str(exc)}, b""
        except EdgekitError as exc:
            return {"status": 500, "error": str(exc)}, b""
        except OSError as exc:  # pyoxigraph wraps what the writer of a result raises
            return {"status": 413 if "add a LIMIT" in str(exc) else 500, "error": str(exc)}, b""

    def _tasks(self) -> dict[str, Callable[[dict[str, Any], bytes], Message]]:
        return {
            "query": self._query,
            "saved": self._saved,
            "update": self._update,
            "follow": self._follow,
            "graph_get": self._graph_get,
            "graph_put": self._graph_put,
        }

    def store(self, version: int = 0) -> Store:
        """Return the store, for a reader as it was at that version or later.

        Raises:
            AwayError: If a reader cannot have it now; the next request may.
            StoreError: If the writer cannot have it.
        """
        if self._writer:
            if self._store is None:
                self._store = Store.open(self._root / STORE_FOLDER)
            return self._store
        if self._store is None or self._version != version:
            try:
                self._store = Store.read_only(self._root / STORE_FOLDER)
            except StoreError as exc:
                raise AwayError(str(exc)) from exc
            self._version = version
        return self._store

    def _query(self, head: dict[str, Any], body: bytes) -> Message:
        results = self.store(head["version"]).query(
            body.decode(),
            default=head.get("default"),
            named=head.get("named"),
            base=head.get("base") or None,
        )
        return _written(results, head["accept"], head["most"])

    def _saved(self, head: dict[str, Any], body: bytes) -> Message:
        results = run(self.store(head["version"]), head["name"], head["values"])
        return _written(results, head["accept"], head["most"])

    def _update(self, head: dict[str, Any], body: bytes) -> Message:
        self.store().update(body.decode(), base=head.get("base") or None)
        return {"status": 204}, b""

    def _follow(self, head: dict[str, Any], body: bytes) -> Message:
        """Follow the journal for some events; say how many that were and whether there are more."""
        if not (self._root / "journal.db").is_file():
            self.store()
            return {"status": 200, "events": 0, "more": False}, b""
        with Journal.open(self._root) as journal:
            events = catch_up(self.store(), journal, FOLLOWED_EVENTS)
            return {"status": 200, "events": events, "more": events == FOLLOWED_EVENTS}, b""

    def _graph_get(self, head: dict[str, Any], body: bytes) -> Message:
        graph = _named(head["graph"])
        quads = self.store(head["version"]).quads(graph)
        triples = [quad.triple for quad in quads]
        if not triples:
            return {"status": 404, "error": f"no graph {graph}"}, b""
        kind = next(name for name in head["accept"] if name in _TRIPLES)
        out = _Limited(head["most"])
        _write_triples(triples, out, kind)
        return {"status": 200, "type": kind}, out.getvalue()

    def _graph_put(self, head: dict[str, Any], body: bytes) -> Message:
        """Replace a graph, or add to it; without content it is removed."""
        graph = _named(head["graph"])
        store = self.store()
        known = set(store.quads(graph))
        if head["method"] == "DELETE":
            if not known:
                return {"status": 404, "error": f"no graph {graph}"}, b""
            store.replace_graph(graph, ())
            return {"status": 204}, b""
        new = {
            ox.Quad(_no_blank(t.subject), t.predicate, _no_blank(t.object), graph)
            for t in _parsed(body, head["type"], graph)
        }
        store.replace_graph(graph, new | known if head["method"] == "POST" else new)
        return {"status": 204 if known else 201}, b""


def _named(iri: str) -> ox.NamedNode:
    try:
        return ox.NamedNode(iri)
    except ValueError as exc:
        raise FormatError(f"graph '{iri:.200}': {exc}") from exc


def _parsed(body: bytes, kind: str, graph: ox.NamedNode) -> list[ox.Triple]:
    if kind not in _TRIPLES:
        raise FormatError(f"content type '{kind}', expected one of {', '.join(_TRIPLES)}")
    try:
        quads = list(ox.parse(body, format=_TRIPLES[kind], base_iri=graph.value))
    except SyntaxError as exc:
        raise FormatError(f"graph: line {exc.lineno}, column {exc.offset}: {exc.msg}") from exc
    return [quad.triple for quad in quads]


def _no_blank(node: Any) -> Any:
    if isinstance(node, ox.BlankNode):
        raise FormatError("graph: found a blank node, expected an IRI: nobody could name it again")
    return node


def _written(results: Results, accept: list[str], most: int) -> Message:
    """Write a result in the first form of the accepted that fits its kind."""
    out = _Limited(most)
    if isinstance(results, ox.QuerySolutions | ox.QueryBoolean):
        kind = next((name for name in accept if name in _ROWS), ROW_TYPES[0])
        if isinstance(results, ox.QueryBoolean) and kind.startswith("text/"):
            out.write(str(bool(results)).lower().encode())
        else:
            results.serialize(out, format=_ROWS[kind])
    else:
        kind = next((name for name in accept if name in _TRIPLES), TRIPLE_TYPES[0])
        _write_triples(triples_of(results), out, kind)
    return {"status": 200, "type": kind}, out.getvalue()


def _write_triples(triples: Iterable[ox.Triple], out: IO[bytes], kind: str) -> None:
    short = PREFIXES if kind in ("text/turtle", "application/rdf+xml") else None
    ox.serialize(triples, out, format=_TRIPLES[kind], prefixes=short)


def main(arguments: list[str]) -> int:
    """Answer until the input ends: FOLDER reader|writer."""
    root, role = Path(arguments[0]), arguments[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    worker = Worker(root, writer=role == "writer")
    out = sys.stdout.buffer
    try:
        worker.store()
    except (StoreError, AwayError) as exc:
        write_message(out, {"status": 503, "error": str(exc)})
        return 1
    write_message(out, {"status": 200})
    while (message := read_message(sys.stdin.buffer)) is not None:
        write_message(out, *worker.answer(*message))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
