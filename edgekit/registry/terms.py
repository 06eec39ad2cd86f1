"""The RDF terms that edgekit uses, and the IRIs of its things and graphs.

A term of our own is declared in `ontologies/edgekit.ttl`; a test compares. IRIs of things carry the
percent-encoded name, so no text from outside can break out of one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from urllib.parse import quote

from pyoxigraph import Literal, NamedNode

EK = "https://w3id.org/edgekit/ontology#"
ID = "https://w3id.org/edgekit/id/"
GRAPH = "https://w3id.org/edgekit/graph/"
SPDX_LICENSES = "https://spdx.org/licenses/"

PREFIXES: dict[str, str] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "ek": EK,
    "id": ID,
    "mls": "http://www.w3.org/ns/mls#",
    "prov": "http://www.w3.org/ns/prov#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "s3n": "http://w3id.org/s3n/",
    "schema": "https://schema.org/",
    "sh": "http://www.w3.org/ns/shacl#",
    "sosa": "http://www.w3.org/ns/sosa/",
    "ssn": "http://www.w3.org/ns/ssn/",
    "ssn-system": "http://www.w3.org/ns/ssn/systems/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


@cache
def term(name: str) -> NamedNode:
    """Return the node of a prefixed name.

    >>> term("ek:ramBytes").value
    'https://w3id.org/edgekit/ontology#ramBytes'
    """
    prefix, local = name.split(":", 1)
    return NamedNode(PREFIXES[prefix] + local)


def shorten(iri: str) -> str:
    """Return the prefixed name of an IRI, or the IRI itself if no prefix fits.

    >>> shorten("https://w3id.org/edgekit/ontology#ramBytes")
    'ek:ramBytes'
    """
    for prefix, namespace in sorted(PREFIXES.items(), key=lambda item: -len(item[1])):
        if iri.startswith(namespace) and len(iri) > len(namespace):
            return f"{prefix}:{iri[len(namespace) :]}"
    return iri


TYPE = term("rdf:type")
XSD_DATETIME = term("xsd:dateTime")


def thing(kind: str, *names: object) -> NamedNode:
    """Return the IRI of a thing: its kind, then its names.

    >>> thing("rollout", "r1", "device", "line 7").value
    'https://w3id.org/edgekit/id/rollout/r1/device/line%207'
    """
    return NamedNode(ID + _path(kind, *names))


def graph(kind: str, *names: object) -> NamedNode:
    """Return the IRI of the named graph that describes one aspect of a thing."""
    return NamedNode(GRAPH + _path(kind, *names))


def _path(*names: object) -> str:
    parts = [quote(str(name), safe="") for name in names]
    if "" in parts or "." in parts or ".." in parts:
        raise ValueError(f"name in {names!r} cannot be part of an IRI")
    return "/".join(parts)


def moment(time_ms: int) -> Literal:
    """Return Unix milliseconds as xsd:dateTime in UTC.

    >>> moment(1_500).value
    '1970-01-01T00:00:01.500Z'
    """
    at = datetime.fromtimestamp(time_ms // 1000, UTC)
    text = f"{at:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    return Literal(text, datatype=XSD_DATETIME)


JOURNAL = NamedNode(ID + "journal")
JOURNAL_GRAPH = NamedNode(GRAPH + "journal")
DOCUMENTS = GRAPH + "document/"
