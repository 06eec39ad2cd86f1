"""Foreign RDF documents: Turtle and JSON-LD, read within limits and without fetching anything.

Blank nodes get IRIs in the order in which they appear, below the IRI of the graph: the same bytes
give the same quads, and everything in the store can be named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from edgekit import share
from edgekit.errors import FormatError

TURTLE = "text/turtle"
JSON_LD = "application/ld+json"
# A Thing Description is JSON-LD under a media type of its own.
_FORMATS = {
    TURTLE: ox.RdfFormat.TURTLE,
    JSON_LD: ox.RdfFormat.JSON_LD,
    "application/td+json": ox.RdfFormat.JSON_LD,
}
_SUFFIXES = {
    ".ttl": TURTLE,
    ".jsonld": JSON_LD,
    ".json": JSON_LD,
    ".td": "application/td+json",
}

MAX_BYTES = 4 * 1024 * 1024
MAX_TRIPLES = 20_000
MAX_DEPTH = 32

# Contexts of the Web of Things; `ontologies/contexts/td.jsonld` stands for both.
# Source: Web of Things Thing Description 1.1, section 8 and appendix C.
TD_CONTEXTS = ("https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2019/wot/td/v1")

# What may hold brackets without nesting anything.
# Source: Turtle 1.1, 6.5 Grammar, productions 18 and 22-25; RFC 8259 section 7.
_TURTLE_OPAQUE = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|<[^<>\"\s]*>|\#[^\n]*",
    re.DOTALL,
)
_JSON_OPAQUE = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\](){}]")


def media_type_of(path: Path) -> str:
    """Return the media type that a file's name promises.

    Raises:
        FormatError: If it promises none that is read here.
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        expected = ", ".join(sorted(_SUFFIXES))
        raise FormatError(f"{path.name}: suffix '{path.suffix}', expected one of {expected}")
    return found


def read_document(
    data: bytes, media_type: str, *, graph: ox.NamedNode, source: str = "document"
) -> Iterator[ox.Quad]:
    """Yield the triples of a document as quads of one graph; relative IRIs start at the graph's.

    Raises:
        FormatError: If it is too large or too deep, is malformed, names another graph, or needs
            something from elsewhere.
    """
    known = _FORMATS.get(media_type.split(";")[0].strip().lower())
    if known is None:
        expected = ", ".join(_FORMATS)
        raise FormatError(f"{source}: media type '{media_type}', expected one of {expected}")
    if len(data) > MAX_BYTES:
        raise FormatError(f"{source}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FormatError(f"{source}: byte {exc.start} is not UTF-8") from exc
    if known == ox.RdfFormat.JSON_LD:
        _check_depth(_JSON_OPAQUE.sub("", text), source)
        text = _with_contexts(text, source)
    else:
        _check_depth(_TURTLE_OPAQUE.sub("", text), source)
    names: dict[str, ox.NamedNode] = {}

    def name(node: ox.BlankNode) -> ox.NamedNode:
        return names.setdefault(node.value, ox.NamedNode(f"{graph.value}#b{len(names) + 1}"))

    count = 0
    try:
        for quad in ox.parse(text, format=known, base_iri=graph.value):
            count += 1
            if count > MAX_TRIPLES:
                raise FormatError(f"{source}: more than {MAX_TRIPLES} triples")
            if quad.graph_name != ox.DefaultGraph():
                raise FormatError(
                    f"{source}: names graph {quad.graph_name}, expected none: a document is one"
                )
            subject, value = quad.subject, quad.object
            if isinstance(subject, ox.BlankNode):
                subject = name(subject)
            if isinstance(value, ox.BlankNode):
                value = name(value)
            yield ox.Quad(subject, quad.predicate, value, graph)
    except SyntaxError as exc:
        raise FormatError(f"{source}: {exc}") from exc


def _check_depth(text: str, source: str) -> None:
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[({" else -1
        if depth > MAX_DEPTH:
            raise FormatError(f"{source}: nested deeper than {MAX_DEPTH}")


def _with_contexts(text: str, source: str) -> str:
    """Write out the contexts that edgekit has; refuse what would have to be fetched."""
    try:
        document = json.loads(text)
    except ValueError as exc:
        raise FormatError(f"{source}: {exc}") from exc
    document = _resolved(document)
    for context in _contexts(document):
        remote = context if isinstance(context, str) else context.get("@import")
        if remote is not None:
            raise FormatError(
                f"{source}: '@context' names {remote!r:.200}, expected the terms themselves:"
                " nothing is fetched"
            )
    return json.dumps(document)


def _resolved(node: Any) -> Any:
    """Return the document with the contexts of Thing Descriptions written out."""
    if isinstance(node, list):
        return [_resolved(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _resolved(value) for key, value in node.items() if key != "@context"}
    if "@context" in node:
        given = node["@context"]
        several = given if isinstance(given, list) else [given]
        known = [
            _td_context() if isinstance(one, str) and one in TD_CONTEXTS else one for one in several
        ]
        # A context comes before what it explains.
        found = {"@context": known} | found
    return found


@cache
def _td_context() -> dict[str, Any]:
    text = (share.ontologies() / "contexts" / "td.jsonld").read_text("utf-8")
    context: dict[str, Any] = json.loads(text)["@context"]
    return context


def _contexts(node: Any) -> Iterator[str | dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _contexts(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "@context":
                for context in value if isinstance(value, list) else [value]:
                    if isinstance(context, str | dict):
                        yield context
            yield from _contexts(value)
