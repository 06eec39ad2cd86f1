"""The ontology: every term explained, shaped and used as declared; every example as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pyoxigraph as ox
import pytest

from edgekit import share
from edgekit.registry import terms
from edgekit.registry.documents import TURTLE, read_document
from edgekit.registry.shacl import check, declared_terms
from edgekit.registry.store import Store, query_text
from edgekit.registry.terms import EK, term

ROOT = share.ontologies()
SOURCES = Path(terms.__file__).parent
SHAPES = sorted(path.stem for path in (ROOT / "shapes").glob("*.ttl"))
QUERIES = sorted(path.stem for path in (SOURCES / "queries").glob("*.rq"))
EXAMPLES = sorted((ROOT / "examples").glob("*.ttl"))


def load(*paths: Path) -> Store:
    store = Store.memory()
    for number, path in enumerate(paths):
        graph = ox.NamedNode(f"https://example.org/{number}")
        store.replace_graph(graph, read_document(path.read_bytes(), TURTLE, graph=graph))
    return store


def test_every_term_has_label_and_comment() -> None:
    store = load(ROOT / "edgekit.ttl")
    for iri in declared_terms():
        said = {
            quad.predicate.value.rsplit("#")[-1]: quad.object
            for quad in store.describe(ox.NamedNode(iri))
        }
        assert len(said["label"].value) > 2, iri
        assert said["comment"].value.endswith("."), iri


def test_every_term_has_a_shape() -> None:
    store = load(*(ROOT / "shapes").glob("*.ttl"))
    shaped = {
        quad.object.value
        for quad in store.quads()
        if quad.predicate in (term("sh:path"), term("sh:targetClass"))
    }
    assert declared_terms() <= shaped
    assert {iri for iri in shaped if iri.startswith(EK)} <= declared_terms()


def test_every_class_has_one_shape_file_named_after_it() -> None:
    classes = {iri.removeprefix(EK) for iri in declared_terms() if iri[len(EK)].isupper()}
    files = {"".join(word.capitalize() for word in stem.split("_")) for stem in SHAPES}
    assert files == classes | {"TdThing"}  # the W3C's class, with a shape of ours


def test_domains_and_ranges_are_declared() -> None:
    store = load(ROOT / "edgekit.ttl")
    for quad in store.quads():
        if quad.predicate in (
            term("rdfs:domain"),
            term("rdfs:range"),
        ) and quad.object.value.startswith(EK):
            assert quad.object.value in declared_terms()


def test_python_and_queries_use_declared_terms_only() -> None:
    used: set[str] = set()
    for path in [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.rq"), *ROOT.rglob("*.rq")]:
        used |= set(re.findall(r"\bek:(\w+)", path.read_text()))
    # A doctest's example and the misspelt term of a message are declared terms too.
    assert {EK + name for name in used} <= declared_terms()


@pytest.mark.parametrize("stem", SHAPES)
def test_shape_has_one_valid_and_one_invalid_example(stem: str) -> None:
    names = {path.name for path in EXAMPLES if path.name.startswith(f"{stem}-")}
    assert names == {f"{stem}-valid.ttl", f"{stem}-invalid.ttl"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_judged_as_it_says(path: Path) -> None:
    """An invalid example fails with exactly the focus nodes and paths in its `# expect:` lines."""
    data = path.read_bytes()
    expected = sorted(re.findall(r"^# expect: (\S+) (\S+)$", data.decode(), re.MULTILINE))
    report = check(read_document(data, TURTLE, graph=ox.NamedNode("https://example.org/g")))
    found = sorted((v.focus, re.split(r"[#/]", v.path)[-1]) for v in report.violations)
    assert report.checked == 1
    assert found == expected
    assert bool(expected) == path.stem.endswith("-invalid")


@pytest.mark.parametrize("name", QUERIES)
def test_query_parses_and_has_no_slow_form(name: str) -> None:
    """NOT EXISTS within NOT EXISTS does not end on a large store."""
    text = query_text(name)
    list(Store.memory().select(text))
    depth, inside = 0, []
    for token in re.findall(r"NOT EXISTS|[{}]", text):
        if token == "NOT EXISTS":
            assert not inside, name
            inside.append(depth)
        elif token == "{":
            depth += 1
        else:
            depth -= 1
            inside = [start for start in inside if start < depth]
    assert text.startswith("# ")


def test_long_form_round_trip() -> None:
    """The SSN form of a board, read back, says the same bytes."""
    store = load(ROOT / "examples" / "board-valid.ttl")
    long = ox.NamedNode("https://example.org/long")
    export = (ROOT / "alignments" / "ssn_export.rq").read_text()
    triples = list(store.query(export))
    assert any(t.predicate == term("ssn-system:hasSystemCapability") for t in triples)
    other = Store.memory()
    other.replace_graph(long, [ox.Quad(t.subject, t.predicate, t.object, long) for t in triples])
    back = set(other.query((ROOT / "alignments" / "ssn_import.rq").read_text()))
    wanted = {"ramBytes", "flashBytes", "sensorKind"}
    assert back == {
        quad.triple for quad in store.quads() if quad.predicate.value.removeprefix(EK) in wanted
    }


def test_import_reads_the_kilobytes_of_older_descriptions() -> None:
    old = b"""
    @prefix ext: <http://tinyml-schema.org/s3n_extend/> .
    @prefix om: <http://www.ontology-of-units-of-measure.org/resource/om-2/> .
    @prefix s3n: <http://w3id.org/s3n/> .
    @prefix schema: <https://schema.org/> .
    @prefix sosa_e: <https://w3id.org/tinyml-schema/neural-network-schema/sosa_extend/> .
    @prefix ssn: <http://www.w3.org/ns/ssn/> .
    @prefix sys: <http://www.w3.org/ns/ssn/systems/> .
    <https://example.org/nano> ssn:hasSubSystem [ a sosa_e:Microphone ] , [
        a s3n:MicroController ;
        s3n:hasSystemCapability [ sys:hasSystemProperty
            [ a ext:RAM ; schema:value 172 ; schema:unitCode om:kilobyte ] ,
            [ a ext:Flash ; schema:value 628 ; schema:unitCode om:kilobyte ] ] ] .
    """
    graph = ox.NamedNode("https://example.org/g")
    store = Store.memory()
    store.replace_graph(graph, read_document(old, TURTLE, graph=graph))
    text = (ROOT / "alignments" / "ssn_import.rq").read_text()
    found = {(t.predicate.value.removeprefix(EK), t.object.value) for t in store.query(text)}
    assert found == {("ramBytes", "172000"), ("flashBytes", "628000"), ("sensorKind", "microphone")}
