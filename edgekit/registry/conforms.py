"""A quick yes to documents that are fit: shapes compiled to plain rules.

It knows the part of SHACL that edgekit's shapes use. Where it meets more, in a shape or in a
document, and where a rule is broken, it says no; then pyshacl judges and words the report. So it
never decides that something is wrong, and a yes is what pyshacl would say, a hundred times sooner.

Source: Shapes Constraint Language (SHACL), W3C Recommendation 2017, sections 2.1 and 4.1 to 4.8.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyoxigraph as ox

from edgekit.registry.terms import PREFIXES, TYPE, term

_SH = PREFIXES["sh"]
_XSD = PREFIXES["xsd"]
_RDF = PREFIXES["rdf"]
_SUBCLASS = term("rdfs:subClassOf")
Check = Callable[[Any], bool]
Facts = Mapping[Any, Mapping[str, Sequence[Any]]]

# What a datatype may look like; what is not here is left to pyshacl.
# Source: XML Schema 1.1 Part 2, section 3.
_LEXICAL: dict[str, re.Pattern[str]] = {
    "string": re.compile(r".*", re.DOTALL),
    "boolean": re.compile(r"true|false|0|1"),
    "integer": re.compile(r"[+-]?\d{1,18}"),
    "decimal": re.compile(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})"),
    "double": re.compile(r"[+-]?(\d{1,15}(\.\d{0,15})?|\.\d{1,15})([eE][+-]?\d{1,2})?"),
    "dateTime": re.compile(
        r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
        r"(Z|[+-](0\d|1[0-3]):[0-5]\d)?"
    ),
}
_OTHER_TARGETS = ("targetNode", "targetSubjectsOf", "targetObjectsOf")
_NUMBERS = ("integer", "decimal", "double")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a shape asks of the values of one property."""

    path: str
    least: int
    most: int | None
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Compiled shapes.

    Attributes:
        by_class: Checks of a node and rules of its properties, by IRI of its class; None where a
            shape asks for more than is known here.
        others: Nodes and predicates that are targets themselves: documents with one are not judged
            here.
    """

    by_class: Mapping[str, Sequence[tuple[tuple[Check, ...], tuple[_Rule, ...]]] | None]
    others: frozenset[Any] = frozenset()

    def accept(self, triples: Iterable[ox.Triple]) -> bool:
        """Whether a document surely fits; False says nothing."""
        facts: defaultdict[Any, defaultdict[str, list[Any]]]
        facts = defaultdict(lambda: defaultdict(list))
        focus: list[tuple[Any, str]] = []
        for triple in triples:
            if triple.predicate == _SUBCLASS or not self.others.isdisjoint(
                (triple.subject, triple.predicate, triple.object)
            ):
                return False
            facts[triple.subject][triple.predicate.value].append(triple.object)
            if triple.predicate == TYPE and isinstance(triple.object, ox.NamedNode):
                focus.append((triple.subject, triple.object.value))
        return all(self._fits(node, kind, facts[node]) for node, kind in focus)

    def _fits(self, node: Any, kind: str, facts: Mapping[str, Sequence[Any]]) -> bool:
        shapes = self.by_class.get(kind, ())
        if shapes is None:
            return False
        for checks, rules in shapes:
            if not all(check(node) for check in checks):
                return False
            for rule in rules:
                values = facts.get(rule.path, ())
                if len(values) < rule.least or (rule.most is not None and len(values) > rule.most):
                    return False
                if not all(check(value) for check in rule.checks for value in values):
                    return False
        return True


class _UnknownError(Exception):
    """A shape asks for what this file does not know."""


def compile_shapes(triples: Iterable[ox.Triple]) -> Rules | None:
    """Compile a graph of shapes; None if it has targets of a kind that is not known here."""
    facts: dict[Any, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for triple in triples:
        facts[triple.subject][triple.predicate.value].append(triple.object)
    by_class: dict[str, list[tuple[tuple[Check, ...], tuple[_Rule, ...]]] | None] = {}
    others: set[Any] = set()
    for said in list(facts.values()):
        targets = {name.removeprefix(_SH) for name in said if name.startswith(_SH + "target")}
        if not targets <= {"targetClass", *_OTHER_TARGETS}:
            return None
        for name in _OTHER_TARGETS:
            others |= set(said.get(_SH + name, ()))
        for target in said.get(_SH + "targetClass", ()):
            shapes = by_class.setdefault(target.value, [])
            try:
                found = _shape(said, facts)
            except _UnknownError:
                by_class[target.value] = None
            else:
                if shapes is not None:
                    shapes.append(found)
    return Rules(by_class, frozenset(others))


def _shape(said: Mapping[str, Sequence[Any]], facts: Facts) -> tuple[Any, tuple[_Rule, ...]]:
    own = {
        name: values
        for name, values in said.items()
        if name not in (_SH + "targetClass", _SH + "property", TYPE.value)
    }
    rules = tuple(_rule(facts[node], facts) for node in said.get(_SH + "property", ()))
    return _checks(own, facts), rules


def _rule(said: Mapping[str, Sequence[Any]], facts: Facts) -> _Rule:
    rest = dict(said)
    path = rest.pop(_SH + "path")[0]
    least = rest.pop(_SH + "minCount", None)
    most = rest.pop(_SH + "maxCount", None)
    rest.pop(_SH + "message", None)
    rest.pop(TYPE.value, None)
    if not isinstance(path, ox.NamedNode):
        raise _UnknownError
    return _Rule(
        path.value,
        int(least[0].value) if least else 0,
        int(most[0].value) if most else None,
        _checks(rest, facts),
    )


def _checks(said: Mapping[str, Sequence[Any]], facts: Facts) -> tuple[Check, ...]:
    found = []
    for name, values in said.items():
        make = _CHECKS.get(name.removeprefix(_SH))
        if make is None or len(values) != 1:
            raise _UnknownError
        found.append(make(values[0], facts))
    return tuple(found)


def _datatype(node: Any, facts: Facts) -> Check:
    pattern = _LEXICAL.get(node.value.removeprefix(_XSD))
    if pattern is None:
        raise _UnknownError
    return lambda value: (
        isinstance(value, ox.Literal)
        and value.datatype == node
        and pattern.fullmatch(value.value) is not None
    )


def _node_kind(node: Any, facts: Facts) -> Check:
    kinds = {_SH + "IRI": ox.NamedNode, _SH + "Literal": ox.Literal}
    if node.value not in kinds:
        raise _UnknownError
    kind = kinds[node.value]
    return lambda value: isinstance(value, kind)


def _number(value: Any) -> float | None:
    """Return the value of a number, None if it is not surely one."""
    if not isinstance(value, ox.Literal) or not value.datatype.value.startswith(_XSD):
        return None
    kind = value.datatype.value.removeprefix(_XSD)
    if kind not in _NUMBERS or _LEXICAL[kind].fullmatch(value.value) is None:
        return None
    return int(value.value) if kind == "integer" else float(value.value)


def _compared(holds: Callable[[float, float], bool]) -> Callable[[Any, Facts], Check]:
    def make(node: Any, facts: Facts) -> Check:
        limit = _number(node)
        if limit is None:
            raise _UnknownError

        def check(value: Any) -> bool:
            number = _number(value)
            return number is not None and holds(number, limit)

        return check

    return make


def _sized(holds: Callable[[int, int], bool]) -> Callable[[Any, Facts], Check]:
    def make(node: Any, facts: Facts) -> Check:
        limit = int(node.value)
        return lambda value: not isinstance(value, ox.BlankNode) and holds(len(value.value), limit)

    return make


def _pattern(node: Any, facts: Facts) -> Check:
    pattern = re.compile(node.value)
    return lambda value: (
        isinstance(value, ox.NamedNode | ox.Literal) and pattern.search(value.value) is not None
    )


def _in(node: Any, facts: Facts) -> Check:
    choice = set()
    while node.value != _RDF + "nil":
        choice.add(facts[node][_RDF + "first"][0])
        node = facts[node][_RDF + "rest"][0]
    return lambda value: value in choice


_CHECKS: dict[str, Callable[[Any, Facts], Check]] = {
    "datatype": _datatype,
    "nodeKind": _node_kind,
    "minInclusive": _compared(lambda value, limit: value >= limit),
    "maxInclusive": _compared(lambda value, limit: value <= limit),
    "minExclusive": _compared(lambda value, limit: value > limit),
    "maxExclusive": _compared(lambda value, limit: value < limit),
    "minLength": _sized(lambda size, limit: size >= limit),
    "maxLength": _sized(lambda size, limit: size <= limit),
    "pattern": _pattern,
    "in": _in,
}
