"""The projection of the journal: a pure function from one event to the graphs that it rewrites.

Each aspect of a thing has a named graph of its own (a device: what it is, its presence, what it
reported, what is desired of it), and an event rewrites whole graphs only. So the state of a graph
is that of the last event about it, applying an event twice changes nothing, and no event needs to
know what was before.
"""

from __future__ import annotations

import pyoxigraph as ox

from edgekit.errors import EdgekitError, StoreError
from edgekit.journal.journal import Event
from edgekit.registry.describe import (
    benchmark_changes,
    board_changes,
    dataset_changes,
    model_changes,
    training_changes,
)
from edgekit.registry.documents import read_document
from edgekit.registry.facts import Changes, Facts, Rule, quads
from edgekit.registry.foreign import with_flat_terms
from edgekit.registry.project_devices import DEVICE_PROJECTIONS
from edgekit.registry.project_fleet import FLEET_PROJECTIONS
from edgekit.registry.terms import DOCUMENTS, GRAPH, JOURNAL, JOURNAL_GRAPH


def project(event: Event, blob: bytes | None = None) -> Changes:
    """Return the graphs that an event rewrites, with their whole new content.

    Args:
        event: From the journal, so its body fits its kind.
        blob: Bulk file of the event; read for `document.loaded` only.

    Raises:
        StoreError: If the event cannot be projected, with its number.
    """
    rule = PROJECTIONS.get(event.kind)
    if rule is None:
        return {}
    try:
        return rule(event, blob)
    except (EdgekitError, ValueError, KeyError, TypeError, OverflowError) as exc:
        raise StoreError(f"journal event {event.seq} ({event.kind}): {exc!s}") from exc


def position(seq: int) -> Changes:
    """Return the graph that says up to which event the store follows the journal."""
    facts: Facts = {"ek:projectedSequence": seq}
    return {JOURNAL_GRAPH: quads(JOURNAL_GRAPH, JOURNAL, "ek:Journal", facts)}


def _document(event: Event, blob: bytes | None) -> Changes:
    if blob is None:
        raise ValueError("document is missing")
    where = ox.NamedNode(event.body["graph"])
    if where.value.startswith(GRAPH) and not where.value.startswith(DOCUMENTS):
        raise ValueError(f"document for graph {where}, expected one under <{DOCUMENTS}>")
    quads = tuple(read_document(blob, event.body["media_type"], graph=where))
    return {where: with_flat_terms(quads, where)}


# Every kind of event of edgekit/journal/schema.py.
PROJECTIONS: dict[str, Rule] = {
    "board.described": board_changes,
    "model.registered": model_changes,
    "dataset.described": dataset_changes,
    "training.finished": training_changes,
    "benchmark.measured": benchmark_changes,
    **DEVICE_PROJECTIONS,
    **FLEET_PROJECTIONS,
    "document.loaded": _document,
}
