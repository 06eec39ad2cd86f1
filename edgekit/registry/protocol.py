"""What a request of the SPARQL 1.1 Protocol and of the Graph Store Protocol asks for.

Source: SPARQL 1.1 Protocol, sections 2.1 and 2.2; SPARQL 1.1 Graph Store HTTP Protocol, section 5;
RFC 9110, 12.5.1 (Accept).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from edgekit.errors import EdgekitError, FormatError
from edgekit.registry.using import with_dataset
from edgekit.registry.worker import ROW_TYPES, TRIPLE_TYPES

FORM = "application/x-www-form-urlencoded"
QUERY = "application/sparql-query"
UPDATE = "application/sparql-update"
_SHORT = {
    "json": ROW_TYPES[0],
    "xml": ROW_TYPES[1],
    "csv": ROW_TYPES[2],
    "tsv": ROW_TYPES[3],
    "turtle": TRIPLE_TYPES[0],
    "ntriples": TRIPLE_TYPES[1],
}


class RequestError(EdgekitError):
    """A request that the protocol refuses.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived.

    Attributes:
        kind: Content type of the body, without parameters.
        host: By which the service was called, with its port.
    """

    method: str
    path: str
    parameters: Mapping[str, Sequence[str]]
    kind: str
    accept: str
    body: bytes
    host: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        writes: Whether it changes the store.
    """

    head: dict[str, Any]
    body: bytes = b""
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """Parameters of the address and, if it is a form, of the body."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """Return the only value of a name, None if there is none.

        Raises:
            RequestError: If there are several.
        """
        found = self.values.get(name, [])
        if len(found) > 1:
            raise RequestError(400, f"found '{name}' {len(found)} times, expected once")
        return found[0] if found else None


def sparql_task(request: Request, *, most: int, may_write: bool, base: str = "") -> Task:
    """Read a request to the query or update address.

    Args:
        most: Bytes of a result.
        base: What relative IRIs are taken from; empty refuses them.

    Raises:
        RequestError: With the HTTP status that fits.
    """
    form = Form({key: list(values) for key, values in request.parameters.items()})
    text: str | None = None
    name = "query"
    if request.method == "GET":
        text = form.one("query")
        if "update" in form.values:
            raise RequestError(405, "an update is sent by POST")
    elif request.method != "POST":
        raise RequestError(405, f"method {request.method}, expected GET or POST")
    elif request.kind == FORM:
        for key, values in _form(request.body).items():
            form.values.setdefault(key, []).extend(values)
        name = "update" if "update" in form.values else "query"
        if "update" in form.values and "query" in form.values:
            raise RequestError(400, "found query and update, expected one of them")
        text = form.one(name)
    elif request.kind in (QUERY, UPDATE):
        name = "query" if request.kind == QUERY else "update"
        text = _text(request.body)
    else:
        raise RequestError(
            415, f"content type '{request.kind}', expected {FORM}, {QUERY}, {UPDATE}"
        )
    if text is None:
        raise RequestError(400, f"found no '{name}'")
    if name == "update":
        if not may_write:
            raise RequestError(403, "this service only reads; 'edgekit registry serve --write'")
        default, named = (form.values.get(f"using-{word}graph-uri", []) for word in ("", "named-"))
        if default or named:
            try:
                text = with_dataset(text, default, named)
            except FormatError as exc:
                raise RequestError(400, str(exc)) from exc
        return Task({"task": "update", "base": base}, text.encode(), writes=True)
    head = {
        "task": "query",
        "base": base,
        "accept": accepted(request.accept, form.one("format"), (*ROW_TYPES, *TRIPLE_TYPES)),
        "most": most,
    }
    for key, word in (("default", "default-graph-uri"), ("named", "named-graph-uri")):
        if word in form.values:
            head[key] = form.values[word]
    return Task(head, text.encode())


def graph_task(request: Request, *, most: int, may_write: bool) -> Task:
    """Read a request to the graph store address.

    Raises:
        RequestError: With the HTTP status that fits.
    """
    form = Form({key: list(values) for key, values in request.parameters.items()})
    graph = form.one("graph")
    if "default" in form.values or graph is None:
        raise RequestError(400, "expected ?graph=IRI: this store has named graphs only")
    if request.method in ("GET", "HEAD"):
        accept = accepted(request.accept, form.one("format"), TRIPLE_TYPES)
        return Task({"task": "graph_get", "graph": graph, "accept": accept, "most": most})
    if request.method not in ("PUT", "POST", "DELETE"):
        raise RequestError(405, f"method {request.method}, expected GET, HEAD, PUT, POST, DELETE")
    if not may_write:
        raise RequestError(403, "this service only reads; 'edgekit registry serve --write'")
    head = {"task": "graph_put", "graph": graph, "method": request.method, "type": request.kind}
    return Task(head, request.body, writes=True)


def accepted(header: str, short: str | None, offered: Sequence[str]) -> list[str]:
    """Return the offered media types that are accepted, the most wanted first.

    Args:
        header: Accept; empty accepts all.
        short: Value of `format` in the address, for people: json, csv, turtle, ...

    Raises:
        RequestError: With 406 if there is none.

    >>> accepted("text/turtle;q=0.5, text/csv", None, ("text/csv", "text/turtle", "a/b"))
    ['text/csv', 'text/turtle']
    """
    if short is not None:
        if _SHORT.get(short) not in offered:
            raise RequestError(406, f"format '{short}', expected one of {', '.join(_SHORT)}")
        return [_SHORT[short]]
    wanted: dict[str, float] = {}
    for part in (header or "*/*").split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        wanted[name] = weight

    def weight_of(kind: str) -> float:
        general = kind.split("/")[0] + "/*"
        return wanted.get(kind, wanted.get(general, wanted.get("*/*", 0.0)))

    found = sorted((kind for kind in offered if weight_of(kind) > 0), key=weight_of, reverse=True)
    if not found:
        raise RequestError(406, f"Accept '{header:.200}', expected one of {', '.join(offered)}")
    return found


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(_text(body), keep_blank_values=True, max_num_fields=64)
    except ValueError as exc:
        raise RequestError(400, f"form: {exc}") from exc


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise RequestError(400, f"byte {exc.start} is not UTF-8") from exc
