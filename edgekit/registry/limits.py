"""How long and how deep a query may be: what stands before a parser that recurses."""

from __future__ import annotations

import re

from edgekit.errors import FormatError

MAX_CHARACTERS = 65_536
MAX_DEPTH = 64
MAX_PATHS = 16
"""Closures (`+` and `*` after a path) in one query; each may walk the whole store."""

# What may hold brackets without nesting anything, as far as it can be told without a parser.
# Source: SPARQL 1.1 Query Language, 19.8 Grammar, productions 156-159 and comments in 19.4.
_STRINGS = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"",
    re.DOTALL,
)
_BRACKET = re.compile(r"[\[\](){}]")
_CLOSURE = re.compile(r"[\w>)][+*](?=[\s)/|?$<\"'])")


def check_text(text: str, what: str) -> None:
    """Refuse a text that is too long or too deep.

    Args:
        what: How the message calls it: query, update.

    Raises:
        FormatError: With what was found and the limit.
    """
    if len(text) > MAX_CHARACTERS:
        raise FormatError(
            f"{what}: {len(text)} characters, expected at most {MAX_CHARACTERS}; bind values"
            " instead of listing them"
        )
    bare = _STRINGS.sub("''", text)
    # Brackets of strings that were not recognised may count too: a query needs few of them.
    depth = 0
    for match in _BRACKET.finditer(bare):
        depth += 1 if match[0] in "[({" else -1
        if depth > MAX_DEPTH:
            line = bare.count("\n", 0, match.start()) + 1
            raise FormatError(f"{what}: line {line}: nested deeper than {MAX_DEPTH}")
    closures = len(_CLOSURE.findall(bare))
    if closures > MAX_PATHS:
        raise FormatError(f"{what}: {closures} paths with + or *, expected at most {MAX_PATHS}")
