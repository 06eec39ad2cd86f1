"""Binding terms to the variables of a query for a server that cannot be told them apart from it.

The query is cut into tokens, and the token `?name` gives way to the term, written by the serializer
of terms; a value can so be no more than one term, whatever text it holds. Where a query names its
results, `?name` becomes `(term AS ?name)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekit.errors import FormatError
from edgekit.registry.engine import Term

# Source: SPARQL 1.1 Query Language, 19.8 Grammar, productions 139-166; comments: 19.4.
TOKENS = re.compile(
    r"(?P<skip>\#[^\n]*|<[^<>\"{}|^`\\\x00-\x20]*>|'''.*?'''|\"\"\".*?\"\"\""
    r"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")"
    r"|[?$](?P<name>\w+)|(?P<word>[A-Za-z_][\w.-]*:?)|(?P<mark>[{}()])",
    re.DOTALL,
)


def bind_values(text: str, values: Mapping[str, Term]) -> str:
    r"""Return the query with terms in the places of variables.

    Raises:
        FormatError: If a variable to bind is assigned in the query, too.

    >>> import pyoxigraph as ox
    >>> bind_values("SELECT ?a ?b WHERE { ?a ?p ?b }", {"a": ox.Literal('x" . }')})
    'SELECT ("x\\" . }" AS ?a) ?b WHERE { "x\\" . }" ?p ?b }'
    """
    if not values:
        return text
    pieces: list[str] = []
    at, last, place = 0, "", _Place()
    for match in TOKENS.finditer(text):
        pieces.append(text[at : match.start()])
        at = match.end()
        token, name = match[0], match["name"]
        if name in values:
            if last in ("AS", "VALUES"):
                raise FormatError(f"query: assigns ?{name}, expected to be given its value")
            token = place.write(str(values[name]), name)
        elif name is None and not match["skip"]:
            last = token.upper()
            place.enter(last)
        if name is not None:
            last = ""
        pieces.append(token)
    pieces.append(text[at:])
    return "".join(pieces)


class _Place:
    """Where in a query a token stands."""

    def __init__(self) -> None:
        self._heading = False  # between SELECT and its WHERE
        self._ordering = False  # after GROUP BY and ORDER BY
        self._depth = 0  # of parentheses since then
        self._inside = 0  # of braces: a SELECT within another is deeper

    def enter(self, word: str) -> None:
        if word == "SELECT":
            self._heading, self._ordering, self._depth = True, False, 0
        elif word in ("GROUP", "ORDER"):
            self._heading, self._ordering, self._depth = False, True, 0
        elif word in ("WHERE", "FROM", "{", "}"):
            self._heading = self._ordering = False
            self._inside += {"{": 1, "}": -1}.get(word, 0)
        elif word in ("(", ")"):
            self._depth += 1 if word == "(" else -1

    def write(self, term: str, name: str) -> str:
        if self._depth == 0 and self._heading:
            # The outer query has the term in its own places, and the name for its own result.
            return f"({term} AS ?{name}{'_inner' * bool(self._inside)})"
        return f"({term})" if self._depth == 0 and self._ordering else term
