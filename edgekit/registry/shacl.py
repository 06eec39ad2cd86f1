"""SHACL at the door: what is wrong with a document, one line per violation.

Nothing is inferred, imported or fetched. Besides the shapes, every term in our own namespace must
be declared, so that a misspelt property is refused instead of ignored.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyoxigraph as ox
import pyshacl
import rdflib
from rdflib.namespace import RDF, SH

from edgekit import share
from edgekit.errors import RefusedError, ToolError
from edgekit.registry.conforms import Rules, compile_shapes
from edgekit.registry.documents import TURTLE, read_document
from edgekit.registry.terms import DOCUMENTS, EK, TYPE, shorten, term

_MAX_FOUND = 80
_TARGET_CLASS = term("sh:targetClass")
_KEY = ("focusNode", "resultPath", "value", "sourceShape")
_DECLARED = "a term that edgekit.ttl declares"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that is wrong.

    Attributes:
        focus: IRI of the node that is wrong.
        path: IRI of the property that is wrong, empty if it is the node itself.
        found: What is there.
        expected: What should be there.
        rule: The constraint that says so, for example `sh:MinCountConstraintComponent`; several
            are joined by a space.
    """

    focus: str
    path: str
    found: str
    expected: str
    rule: str = ""

    def __str__(self) -> str:
        where = " ".join(shorten(iri) for iri in (self.focus, self.path) if iri)
        return f"{where}: found {self.found}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Report:
    """The judgement of a document.

    Attributes:
        triples: How many triples it has.
        checked: How many nodes a shape was found for; a document may say nothing that we know.
    """

    triples: int
    checked: int
    violations: tuple[Violation, ...]

    def require(self, name: str) -> None:
        """Refuse the document unless nothing is wrong.

        Raises:
            RefusedError: With one line per violation.
        """
        if self.violations:
            lines = "\n".join(f"{name}: {violation}" for violation in self.violations)
            raise RefusedError(lines)


def check(
    quads: Iterable[ox.Quad], *, shapes: Path | None = None, known: Iterable[ox.Quad] = ()
) -> Report:
    """Judge the triples of a document.

    Args:
        quads: The document.
        shapes: A Turtle file of shapes, or a folder of them, in the place of edgekit's own.
        known: What the registry already says about the same things: the document must fit it too.
    """
    triples = {quad.triple for quad in quads}
    everything = triples | {quad.triple for quad in known}
    files = _shape_files(shapes or share.ontologies() / "shapes")
    rules = _read_rules(files)
    undeclared = sorted(_undeclared(triples))
    targets = _targets(files)
    checked = {
        triple.subject
        for triple in triples
        if triple.predicate == TYPE
        and isinstance(triple.object, ox.NamedNode)
        and triple.object.value in targets
    }
    if rules is not None and rules.accept(everything):
        return Report(len(triples), len(checked), tuple(undeclared))
    return Report(
        len(triples), len(checked), tuple(sorted({*_judge(everything, files), *undeclared}))
    )


def _judge(triples: Iterable[ox.Triple], files: tuple[Path, ...]) -> list[Violation]:
    """Let pyshacl say what is wrong."""
    shape_graph = _read_shapes(files)
    data = _rdflib(triples)
    with _quiet_literals():
        _, results, _ = pyshacl.validate(data, shacl_graph=shape_graph, inference="none")
    if not isinstance(results, rdflib.Graph):
        raise ToolError(f"pyshacl gave no report: {results!r:.200}")
    found: dict[tuple[rdflib.term.Node | None, ...], list[rdflib.term.Node]] = {}
    for result in results.subjects(RDF.type, SH.ValidationResult):
        # A value that breaks two rules of one property is one line: it states all of them.
        key = tuple(results.value(result, SH[name]) for name in _KEY)
        found.setdefault(key, []).append(result)
    return [_violation(data, shape_graph, results, *group) for group in found.items()]


def _violation(
    data: rdflib.Graph,
    shapes: rdflib.Graph,
    results: rdflib.Graph,
    key: tuple[rdflib.term.Node | None, ...],
    group: list[rdflib.term.Node],
) -> Violation:
    focus, path, value, shape = key
    rules = {results.value(result, SH.sourceConstraintComponent) for result in group}
    if rules == {SH.SPARQLConstraintComponent}:
        expected = str(results.value(group[0], SH.resultMessage))
    else:
        expected = _expected(shapes, shape)
    return Violation(
        str(focus),
        "" if path is None else str(path),
        _found(data, focus, path, value),
        expected,
        " ".join(sorted(shorten(str(rule)) for rule in rules)),
    )


@cache
def declared_terms() -> frozenset[str]:
    """Return the IRIs of the classes and properties that `edgekit.ttl` declares."""
    graph = ox.NamedNode(DOCUMENTS + "ontology")
    data = (share.ontologies() / "edgekit.ttl").read_bytes()
    return frozenset(
        quad.subject.value
        for quad in read_document(data, TURTLE, graph=graph)
        if quad.predicate == TYPE
        and isinstance(quad.subject, ox.NamedNode)
        and quad.subject.value.startswith(EK)
    )


def _undeclared(triples: Iterable[ox.Triple]) -> Iterator[Violation]:
    known = declared_terms()
    for triple in triples:
        used = [triple.predicate]
        if triple.predicate == TYPE and isinstance(triple.object, ox.NamedNode):
            used.append(triple.object)
        for node in used:
            if node.value.startswith(EK) and node.value not in known:
                near = difflib.get_close_matches(node.value, known, n=1)
                hint = f"; did you mean {shorten(near[0])}" if near else ""
                focus = getattr(triple.subject, "value", str(triple.subject))
                yield Violation(focus, "", shorten(node.value), _DECLARED + hint, "declared")


def _shape_files(path: Path) -> tuple[Path, ...]:
    files = sorted(path.glob("*.ttl")) if path.is_dir() else [path]
    if not files:
        raise ToolError(f"{path}: no shapes; expected files *.ttl")
    return tuple(files)


@cache
def _shape_triples(files: tuple[Path, ...]) -> tuple[ox.Triple, ...]:
    triples: list[ox.Triple] = []
    for number, file in enumerate(files):
        graph = ox.NamedNode(f"{DOCUMENTS}shapes/{number}")
        try:
            data = file.read_bytes()
        except OSError as exc:
            raise ToolError(f"{file}: cannot be read: {exc.strerror}") from exc
        triples.extend(quad.triple for quad in read_document(data, TURTLE, graph=graph))
    return tuple(triples)


@cache
def _read_rules(files: tuple[Path, ...]) -> Rules | None:
    return compile_shapes(_shape_triples(files))


@cache
def _read_shapes(files: tuple[Path, ...]) -> rdflib.Graph:
    return _rdflib(_shape_triples(files))


@cache
def _targets(files: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(
        triple.object.value
        for triple in _shape_triples(files)
        if triple.predicate == _TARGET_CLASS and isinstance(triple.object, ox.NamedNode)
    )


def _rdflib(triples: Iterable[ox.Triple]) -> rdflib.Graph:
    """Copy triples into the memory of rdflib, which pyshacl reads."""
    text = ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES) or b""
    with _quiet_literals():
        return rdflib.Graph().parse(data=text, format="nt")


@contextmanager
def _quiet_literals() -> Iterator[None]:
    """Keep rdflib from logging an ill-typed literal: it becomes a violation."""
    logger = logging.getLogger("rdflib.term")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _found(
    data: rdflib.Graph,
    focus: rdflib.term.Node | None,
    path: rdflib.term.Node | None,
    value: rdflib.term.Node | None,
) -> str:
    if value is None:
        if focus is None or path is None:
            return "something else"
        count = len(list(data.objects(focus, path)))
        return "nothing" if count == 0 else f"{count} values"
    if isinstance(value, rdflib.Literal):
        text = f'"{value!s:.{_MAX_FOUND}}"'
        return text if value.datatype is None else f"{text} ({shorten(str(value.datatype))})"
    return shorten(str(value))


def _expected(shapes: rdflib.Graph, shape: rdflib.term.Node | None) -> str:
    """Say in words everything that a shape asks of a value."""
    if shape is None:
        return "what its shape says"

    def given(name: str) -> rdflib.term.Node | None:
        return shapes.value(shape, SH[name])

    least, most = given("minCount"), given("maxCount")
    words: list[str] = []
    if least is not None and most is not None and str(least) == str(most):
        words.append(f"exactly {least}")
    else:
        words += [f"at least {least}"] if least is not None else []
        words += [f"at most {most}"] if most is not None else []
    kind = given("datatype") or given("class") or given("nodeKind")
    words.append("value" if kind is None else shorten(str(kind)))
    rules = (
        ("minInclusive", ">="),
        ("maxInclusive", "<="),
        ("minExclusive", ">"),
        ("maxExclusive", "<"),
        ("minLength", "of length >="),
        ("maxLength", "of length <="),
        ("pattern", "like"),
        ("hasValue", "equal to"),
    )
    words += [f"{text} {given(name)}" for name, text in rules if given(name) is not None]
    choice = given("in")
    if choice is not None:
        words.append("of " + ", ".join(str(item) for item in shapes.items(choice)))
    return " ".join(words)
