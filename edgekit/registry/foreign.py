"""Foreign vocabularies: what SSN, S3N and the TinyML schema say, said again in our flat terms.

The document stays as it is; the flat terms are added to its graph by the CONSTRUCT queries of
`ontologies/alignments/`, so that a foreign board is matched like one of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyoxigraph as ox

from edgekit import share
from edgekit.registry.store import Store, triples_of
from edgekit.registry.terms import term

_NNET = "https://w3id.org/tinyml-schema/neural-network-schema"
_S3N = "http://w3id.org/s3n/"

# Older data uses other namespaces for the same terms, the longest first.
_RENAMED: tuple[tuple[str, str], ...] = (
    ("http://tinyml-schema.org/networkschema#", f"{_NNET}#"),
    ("http://tinyml-schema.org/s3n_extend/", f"{_NNET}/s3n_extend/"),
    ("http://tinyml-schema.org/sosa_extend/", f"{_NNET}/sosa_extend/"),
    ("http://tinyml-schema.org/ssn_extend/", f"{_NNET}/ssn_extend/"),
    (f"{_S3N}hasSystemCapability", term("ssn-system:hasSystemCapability").value),
    ("http://schema.org/", "https://schema.org/"),
)
# What a document must say for a query to find something.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (term("ssn:hasSubSystem").value, ("ssn_import",)),
    (f"{_S3N}SmartSensor", ("board_import",)),
    (f"{_NNET}#NeuralNetwork", ("nnet_import", "nnet_layers_import")),
)
# An IRI that stands for an unknown value in older data.
_NOTHING = ("None", "nan", "unknown")


def with_flat_terms(quads: Sequence[ox.Quad], graph: ox.NamedNode) -> tuple[ox.Quad, ...]:
    """Return the quads of a document, and what they say in our terms.

    Args:
        quads: All of one graph, without blank nodes.
        graph: Its IRI.
    """
    renamed = [_renamed(quad) for quad in quads]
    said = {getattr(quad.object, "value", "") for quad in renamed}
    said |= {quad.predicate.value for quad in renamed}
    queries = [name for sign, names in _SIGNS if sign in said for name in names]
    if not queries:
        return tuple(quads)
    store = Store.memory()
    store.fill(quad for quad in renamed if not _is_nothing(quad.object))
    found: dict[ox.Quad, None] = dict.fromkeys(quads)
    for name in queries:
        text = (share.ontologies() / "alignments" / f"{name}.rq").read_text("utf-8")
        new = [
            ox.Quad(triple.subject, triple.predicate, triple.object, graph)
            for triple in triples_of(store.query(text))
        ]
        # A query sees what the one before found.
        store.fill(new)
        found |= dict.fromkeys(new)
    return tuple(found)


def _renamed(quad: ox.Quad) -> ox.Quad:
    value = quad.object
    if isinstance(value, ox.NamedNode):
        value = _name(value)
    return ox.Quad(quad.subject, _name(quad.predicate), value, quad.graph_name)


def _name(node: ox.NamedNode) -> ox.NamedNode:
    for old, new in _RENAMED:
        if node.value.startswith(old):
            return ox.NamedNode(new + node.value[len(old) :])
    return node


def _is_nothing(value: object) -> bool:
    return isinstance(value, ox.NamedNode) and value.value.rsplit("/", 1)[-1] in _NOTHING
