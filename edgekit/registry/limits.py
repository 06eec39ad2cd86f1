"""How long and how deep a query may be: what stands before a parser that recurses."""

from __future__ import annotations

import re

from edgekit.errors import FormatError

MAX_CHARACTERS = 65_536
MAX_UPDATE_CHARACTERS = 4 * 1024 * 1024
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


# A text may not make this process ask another server. The parser offers no switch for it, and knows
# keywords without space around them, so the words are refused wherever they stand, in strings too:
# what is a string can be told only by a parser.
_SERVICE = re.compile(r"service", re.IGNORECASE)
_FETCH = re.compile(r"service|\bload\b", re.IGNORECASE)
# Source: SPARQL 1.1 Query Language, 19.2 Codepoint Escape Sequences.
_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U00([0-9A-Fa-f]{6})")


def check_query(text: str) -> None:
    """Refuse a query that is too long or too deep, or asks another server.

    Raises:
        FormatError: With what was found and the limit.
    """
    _check_words(text, _SERVICE, "query")
    _check_size(text, "query", MAX_CHARACTERS)


def check_update(text: str) -> None:
    """Refuse an update that is too long or too deep, or fetches something.

    Raises:
        FormatError: With what was found and the limit.
    """
    _check_words(text, _FETCH, "update")
    _check_size(text, "update", MAX_UPDATE_CHARACTERS)


def _check_words(text: str, words: re.Pattern[str], what: str) -> None:
    found = words.search(_ESCAPE.sub(_unescaped, text))
    if found is not None:
        raise FormatError(f"{what}: found '{found[0]}', expected one of this registry only")


def _unescaped(match: re.Match[str]) -> str:
    number = int(match[1] or match[2], 16)
    return chr(number) if number < 0x110000 else ""


def _check_size(text: str, what: str, most: int) -> None:
    if len(text) > most:
        raise FormatError(f"{what}: {len(text)} characters, expected at most {most}")
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
