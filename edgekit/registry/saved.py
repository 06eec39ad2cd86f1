"""The queries that come with edgekit, each with its question and parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import pyoxigraph as ox

from edgekit.errors import FormatError
from edgekit.registry.names import find
from edgekit.registry.store import Results, Store, Term
from edgekit.registry.terms import XSD_DATETIME

_QUESTION = re.compile(r"^# (?:Question: )?(.+)$", re.MULTILINE)
_PARAMETER = re.compile(r"^# Parameter: (\w+) (\w+)(?: (.*))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a query is to be given.

    Attributes:
        kind: board, chip, device, model, run: a name of such a thing; text, integer or moment.
    """

    name: str
    kind: str
    example: str


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query with the question that it answers."""

    name: str
    question: str
    text: str
    parameters: tuple[Parameter, ...]


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Return all queries, by name."""
    folder = resources.files("edgekit.registry") / "queries"
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".rq"):
            text = file.read_text("utf-8")
            question = _QUESTION.search(text)
            parameters = tuple(Parameter(*match) for match in _PARAMETER.findall(text))
            name = file.name.removesuffix(".rq")
            found.append(SavedQuery(name, question[1] if question else name, text, parameters))
    return tuple(found)


def run(store: Store, name: str, values: Mapping[str, str]) -> Results:
    """Run a query with the values that people write.

    Raises:
        FormatError: If there is no such query, or a value is missing or of another kind.
        StoreError: If the registry knows no thing of that name.
    """
    query = next((each for each in saved_queries() if each.name == name), None)
    if query is None:
        raise FormatError(f"no saved query '{name:.80}'")
    terms: dict[str, Term] = {}
    for parameter in query.parameters:
        text = values.get(parameter.name)
        if not text:
            raise FormatError(f"query '{name}' needs {parameter.name}, a {parameter.kind}")
        terms[parameter.name] = _term(store, parameter, text)
    return store.query(query.text, terms)


def _term(store: Store, parameter: Parameter, text: str) -> Term:
    if parameter.kind == "text":
        return ox.Literal(text)
    if parameter.kind == "moment":
        return ox.Literal(text, datatype=XSD_DATETIME)
    if parameter.kind != "integer":
        return find(store, text, parameter.kind)
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise FormatError(f"{parameter.name}: found '{text:.80}', expected a whole number")
    return ox.Literal(int(text))
