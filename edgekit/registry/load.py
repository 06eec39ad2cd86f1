"""Taking a foreign document into the registry: read, judge, write to the journal, project."""

from __future__ import annotations

from urllib.parse import quote

import pyoxigraph as ox

from edgekit.errors import FormatError, RefusedError
from edgekit.journal.journal import Journal
from edgekit.registry.documents import read_document
from edgekit.registry.foreign import with_flat_terms
from edgekit.registry.shacl import Report, check
from edgekit.registry.store import Store
from edgekit.registry.sync import catch_up
from edgekit.registry.terms import DOCUMENTS


def document_graph(name: str) -> ox.NamedNode:
    """Return the IRI of the graph that a document of this name fills."""
    if not name or len(name) > 64:
        raise FormatError(f"document name '{name:.80}' has {len(name)} characters, expected 1..64")
    return ox.NamedNode(DOCUMENTS + quote(name, safe=""))


def load_document(
    store: Store, journal: Journal, data: bytes, media_type: str, *, name: str, source: str
) -> tuple[Report, str]:
    """Take a document into journal and registry, in the place of the one of the same name.

    What the registry already says about the things in the document is judged with it: a document
    cannot give a board a second size.

    Args:
        store: Brought in step with the journal; if it is open for reading only, who writes to it
            does that.
        source: Where the document came from, for the journal.

    Returns:
        The judgement, and the IRI of the graph.

    Raises:
        FormatError: If it cannot be read.
        RefusedError: If a shape says no, with one line per violation; or if it says nothing.
    """
    graph = document_graph(name)
    quads = list(read_document(data, media_type, graph=graph, source=source))
    if not quads:
        raise RefusedError(f"{source}: found no triples, expected at least one")
    _follow(store, journal)
    quads = list(with_flat_terms(quads, graph))
    things = {quad.subject for quad in quads if isinstance(quad.subject, ox.NamedNode)}
    known = [quad for thing in things for quad in store.describe(thing) if quad.graph_name != graph]
    report = check(quads, known=known)
    report.require(source)
    body = {"graph": graph.value, "media_type": media_type, "source": source}
    journal.append("document.loaded", graph.value, body, blob=data)
    _follow(store, journal)
    return report, graph.value


def _follow(store: Store, journal: Journal) -> None:
    if store.writable:
        catch_up(store, journal)
