"""Query results as text: a table to read, or SPARQL's own JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence

import pyoxigraph as ox

from edgekit.errors import FormatError
from edgekit.registry.store import Results
from edgekit.registry.terms import shorten

_MAX_CELL = 48


def as_json(results: Results) -> str:
    """Write rows or a truth value as SPARQL 1.1 results JSON, triples as Turtle."""
    return _serialize(results, ox.QueryResultsFormat.JSON)


def as_csv(results: Results) -> str:
    """Write rows as SPARQL 1.1 results CSV, a truth value as a word, triples as Turtle."""
    if isinstance(results, ox.QueryBoolean):
        return str(bool(results)).lower()
    return _serialize(results, ox.QueryResultsFormat.CSV)


def as_table(results: Results) -> str:
    """Write rows as columns with prefixed names, a truth value as a word, triples as Turtle."""
    if isinstance(results, ox.QueryBoolean):
        return str(bool(results)).lower()
    if not isinstance(results, ox.QuerySolutions):
        return as_csv(results)
    return table(*as_rows(results))


def as_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns and the rows, with prefixed names.

    Raises:
        FormatError: If the query was no SELECT.
    """
    if not isinstance(results, ox.QuerySolutions):
        raise FormatError("query: found another form, expected SELECT")
    names = [variable.value for variable in results.variables]
    rows = [
        ["" if term is None else shorten(getattr(term, "value", str(term))) for term in row]
        for row in results
    ]
    return names, rows


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out columns; a long cell is cut, one of the last column never is."""
    cut = [[*(_cut(cell) for cell in row[:-1]), row[-1]] for row in rows if row]
    lines = [list(names), *cut]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _serialize(results: Results, form: ox.QueryResultsFormat) -> str:
    if isinstance(results, ox.QuerySolutions | ox.QueryBoolean):
        data = results.serialize(format=form)
    else:
        data = ox.serialize(results, format=ox.RdfFormat.TURTLE)
    return (data or b"").decode().rstrip("\r\n")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"
