"""The quick yes to documents: never where pyshacl says no."""

from __future__ import annotations

import random

import pyoxigraph as ox
import pytest

from edgekit import share
from edgekit.registry import shacl
from edgekit.registry.conforms import compile_shapes
from edgekit.registry.documents import TURTLE, read_document
from edgekit.registry.store import Store
from edgekit.registry.terms import PREFIXES, TYPE, term

ROOT = share.ontologies()
FILES = shacl._shape_files(ROOT / "shapes")
G = ox.NamedNode("https://example.org/g")
SHACL = PREFIXES["sh"]
EXAMPLES = sorted((ROOT / "examples").glob("*.ttl"))


def triples_of(path: object) -> set[ox.Triple]:
    return {q.triple for q in read_document(path.read_bytes(), TURTLE, graph=G)}  # type: ignore[attr-defined]


def accepts(triples: set[ox.Triple]) -> bool:
    rules = shacl._read_rules(FILES)
    assert rules is not None
    return rules.accept(triples)


def test_classes_beyond_the_quick_yes_are_named() -> None:
    rules = shacl._read_rules(FILES)
    assert rules is not None
    slow = {iri.rsplit("#")[-1] for iri, shapes in rules.by_class.items() if shapes is None}
    assert slow == {"Layer", "Thing"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_accepted_as_they_say(path: object) -> None:
    name = path.stem  # type: ignore[attr-defined]
    expected = name.endswith("-valid") and not name.startswith(("layer", "td_thing"))
    assert accepts(triples_of(path)) == expected


def test_projections_are_accepted(fleet: Store) -> None:
    triples = {quad.triple for quad in fleet.quads() if "/document/" not in str(quad.graph_name)}
    kinds = {t.object for t in triples if t.predicate == TYPE}
    for kind in kinds - {term("ek:Layer")}:
        nodes = {t.subject for t in triples if t.object == kind}
        assert accepts({t for t in triples if t.subject in nodes}), kind
    assert len(kinds) > 5


def test_yes_to_a_changed_document_is_what_pyshacl_says() -> None:
    """Values are removed, doubled and exchanged: no yes where there is a violation."""
    rng = random.Random(5)
    values = [ox.Literal(t) for t in (0, -1, 1.5, "", "x" * 300, "a\n", True, "2026-01-01")]
    values += [ox.Literal("x", language="en"), G, ox.Literal("07", datatype=ox.NamedNode("urn:d"))]
    values += [ox.Literal("1e3", datatype=ox.Literal(0).datatype)]
    yes = 0
    for turn in range(60):
        path = rng.choice([path for path in EXAMPLES if path.stem.endswith("-valid")])
        triples = sorted(triples_of(path), key=str)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(triples))
            old = triples[at]
            if turn % 3 == 0:
                del triples[at]
            else:
                new = ox.Triple(old.subject, old.predicate, rng.choice(values))
                triples[at : at + turn % 3 - 1] = [new]
        if accepts(set(triples)):
            yes += 1
            assert shacl._judge(triples, FILES) == [], path
    assert yes > 3


@pytest.mark.parametrize("target", ["targetNode", "targetSubjectsOf", "targetObjectsOf"])
def test_documents_with_other_targets_are_left_to_pyshacl(target: str) -> None:
    text = f"<urn:s> a <{SHACL}NodeShape> ; <{SHACL}{target}> <urn:p> ; <{SHACL}nodeKind> <urn:k> ."
    rules = compile_shapes(q.triple for q in ox.parse(text, format=ox.RdfFormat.TURTLE))
    assert rules is not None
    p = ox.NamedNode("urn:p")
    assert not rules.accept({ox.Triple(p if target == "targetNode" else G, p, G)})
    assert rules.accept({ox.Triple(G, G, G)})


def test_targets_of_another_kind_are_left_to_pyshacl() -> None:
    text = f"<urn:s> a <{SHACL}NodeShape> ; <{SHACL}target> <urn:t> ."
    assert compile_shapes(q.triple for q in ox.parse(text, format=ox.RdfFormat.TURTLE)) is None


def test_subclasses_in_a_document_are_left_to_pyshacl() -> None:
    sub = ox.NamedNode("http://www.w3.org/2000/01/rdf-schema#subClassOf")
    assert not accepts({ox.Triple(G, sub, G)})
    assert accepts(set())
