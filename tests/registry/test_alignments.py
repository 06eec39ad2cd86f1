"""What the ontology is beside other vocabularies, and the pages made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyoxigraph as ox
import pytest
import rdflib.namespace as known

from edgekit import share
from edgekit.registry.documents import TURTLE, read_document
from edgekit.registry.shacl import declared_terms
from edgekit.registry.terms import EK, term

ROOT = share.ontologies()
FILES = sorted((ROOT / "alignments").glob("*.ttl"))
# Vocabularies whose terms rdflib lists one by one, and refuses others.
CLOSED = {str(space): space for space in (known.SOSA, known.SSN, known.PROV, known.DCAT)}


def triples(path: Path) -> list[ox.Quad]:
    graph = ox.NamedNode("https://example.org/g")
    return list(read_document(path.read_bytes(), TURTLE, graph=graph))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_alignment_joins_our_terms_to_theirs(path: Path) -> None:
    for quad in triples(path):
        assert quad.subject.value in declared_terms(), quad
        assert not quad.object.value.startswith(EK), quad


def test_published_terms_exist_where_we_can_look_them_up() -> None:
    seen = 0
    for path in [*FILES, ROOT / "edgekit.ttl"]:
        for quad in triples(path):
            if not isinstance(quad.object, ox.NamedNode):
                continue
            for start, space in CLOSED.items():
                local = quad.object.value.removeprefix(start)
                if local != quad.object.value and "/" not in local:
                    assert local in space, quad
                    seen += 1
    assert seen > 20


def test_every_class_is_aligned() -> None:
    aligned = {quad.subject.value for path in FILES for quad in triples(path)}
    classes = {iri for iri in declared_terms() if iri.removeprefix(EK)[0].isupper()}
    assert classes - aligned <= {EK + "Configuration"}


def test_version_is_in_the_change_log() -> None:
    said = {quad.predicate: quad.object.value for quad in triples(ROOT / "edgekit.ttl")}
    iri = "http://www.w3.org/2002/07/owl#"
    version = said[ox.NamedNode(iri + "versionInfo")]
    assert said[ox.NamedNode(iri + "versionIRI")].endswith(f"/ontology/{version}")
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_domain_of_a_property_is_among_the_classes_that_use_it() -> None:
    """A property with a domain stands in the shape of that class and of no other."""
    users: dict[str, set[str]] = {}
    for path in (ROOT / "shapes").glob("*.ttl"):
        target = next(
            q.object.value for q in triples(path) if q.predicate == term("sh:targetClass")
        )
        for quad in triples(path):
            if quad.predicate == term("sh:path"):
                users.setdefault(quad.object.value, set()).add(target)
    for quad in triples(ROOT / "edgekit.ttl"):
        if quad.predicate == term("rdfs:domain"):
            assert users[quad.subject.value] == {quad.object.value}, quad.subject


def test_page_has_every_term(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.ontology", "--out", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.endswith(" kB)\n")
    page = (tmp_path / "edgekit.html").read_text()
    assert [iri for iri in declared_terms() if iri not in page] == []
