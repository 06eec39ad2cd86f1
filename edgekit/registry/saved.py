"""The saved queries: SPARQL files with a question and typed parameters, bound as terms.

A file `queries/*.rq` begins with `# Question: ...` and has a line `# Parameter: NAME KIND EXAMPLE`
for each variable that is bound from outside. A value becomes a term of its kind before the query
sees it; no text of a caller is ever pasted into SPARQL.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources

import pyoxigraph as ox

from edgekit.errors import FormatError
from edgekit.registry.names import find
from edgekit.registry.store import Results, Store, Term, query_text
from edgekit.registry.terms import XSD_DATETIME, moment

THINGS = ("board", "chip", "device", "model", "dataset", "run", "training")
KINDS = (*THINGS, "iri", "text", "integer", "number", "moment")

_PARAMETER = re.compile(r"# Parameter: (\w+) (\w+)(?: (.+))?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_AGO = re.compile(r"(\d{1,6})\s*(s|min|h|d)")
_AGO_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Parameter:
    """A variable that is bound from outside.

    Attributes:
        kind: One of KINDS.
        example: A value that people may know.
    """

    name: str
    kind: str
    example: str = ""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A query with its question.

    Attributes:
        name: As people type it: words joined by hyphens.
        text: SPARQL, without values.
    """

    name: str
    question: str
    text: str
    parameters: tuple[Parameter, ...]


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Return all queries that have a question, by name."""
    folder = resources.files("edgekit.registry") / "queries"
    stems = sorted(path.name.removesuffix(".rq") for path in folder.iterdir())
    found = (_read(stem) for stem in stems)
    return tuple(query for query in found if query is not None)


def _read(stem: str) -> SavedQuery | None:
    text = query_text(stem)
    first, *lines = text.splitlines()
    if not first.startswith("# Question: "):
        return None
    found = (_PARAMETER.fullmatch(line) for line in lines)
    parameters = tuple(Parameter(m[1], m[2], m[3] or "") for m in found if m is not None)
    return SavedQuery(stem.replace("_", "-"), first.removeprefix("# Question: "), text, parameters)


def saved_query(name: str) -> SavedQuery:
    """Return a saved query by name; hyphens and underscores are the same.

    Raises:
        FormatError: If there is none.
    """
    wanted = name.replace("_", "-")
    for query in saved_queries():
        if query.name == wanted:
            return query
    known = ", ".join(query.name for query in saved_queries())
    raise FormatError(f"no saved query '{name:.64}'; there are {known}")


def run(
    store: Store, name: str, values: Mapping[str, str], *, now_ms: int | None = None
) -> Results:
    """Run a saved query.

    Args:
        values: Text of each parameter, by name.
        now_ms: Unix milliseconds that `30min` is counted back from; the clock's by default.

    Raises:
        FormatError: If there is no such query, or a parameter is missing, unknown or malformed.
        StoreError: If nothing, or more than one thing, has a name.
    """
    query = saved_query(name)
    wanted = {parameter.name for parameter in query.parameters}
    for what, names in (("needs", wanted - set(values)), ("has no", set(values) - wanted)):
        if names:
            raise FormatError(f"query '{query.name}' {what} parameter '{min(names):.64}'")
    now = int(time.time() * 1000) if now_ms is None else now_ms
    bound = {
        parameter.name: as_term(store, parameter, values[parameter.name], now_ms=now)
        for parameter in query.parameters
    }
    return store.query(query.text, bound)


def as_term(store: Store, parameter: Parameter, value: str, *, now_ms: int) -> Term:
    """Return the term that the text of a parameter stands for.

    Raises:
        FormatError: If it is none of its kind.
        StoreError: If nothing, or more than one thing, has this name.
    """
    where = f"parameter '{parameter.name}'"
    if len(value) > _MAX_TEXT:
        raise FormatError(f"{where} has {len(value)} characters, expected at most {_MAX_TEXT}")
    if parameter.kind in THINGS:
        return find(store, value, parameter.kind)
    if parameter.kind == "iri":
        try:
            return ox.NamedNode(value)
        except ValueError as exc:
            raise FormatError(f"{where} is '{value:.64}', expected an IRI") from exc
    if parameter.kind == "moment":
        return _moment(where, value, now_ms)
    if parameter.kind in ("integer", "number"):
        return _number(where, value, whole=parameter.kind == "integer")
    return ox.Literal(value)


def _number(where: str, value: str, *, whole: bool) -> ox.Literal:
    kind = "a whole number" if whole else "a number"
    try:
        found = math.nan if whole and not _WHOLE.fullmatch(value) else float(value)
        found = int(value) if whole and math.isfinite(found) else found
    except ValueError:
        found = math.nan
    if not math.isfinite(found) or abs(found) >= 2**63:
        raise FormatError(f"{where} is '{value:.64}', expected {kind}")
    return ox.Literal(found)


def _moment(where: str, value: str, now_ms: int) -> ox.Literal:
    ago = _AGO.fullmatch(value.strip())
    if ago is not None:
        return moment(max(0, now_ms - int(ago[1]) * _AGO_SECONDS[ago[2]] * 1000))
    try:
        at = datetime.fromisoformat(value)
    except ValueError as exc:
        expected = "a time such as 2026-11-20T08:00:00Z, or how long ago: 30min, 2h, 3d"
        raise FormatError(f"{where} is '{value:.64}', expected {expected}") from exc
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    utc = at - (at.utcoffset() or timedelta())
    return ox.Literal(f"{utc:%Y-%m-%dT%H:%M:%S}Z", datatype=XSD_DATETIME)
