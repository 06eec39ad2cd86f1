"""Spelling out what is wrong with a query or an update."""

from __future__ import annotations

import re

_POSITION = re.compile(r"^error at (\d+):(\d+): ")
_CLASS = re.compile(r"\[[^\]\[]*\]")
"""A class of characters, as the grammar writes it: some go over several lines."""
_MOST = 8
_SHOWN = 24


def spelled(exc: SyntaxError, text: str) -> str:
    """Say in one line where a text is wrong, what was expected there, and what was found.

    Args:
        exc: Of the engine, whose words are those of its grammar.
        text: The query or update.

    >>> spelled(SyntaxError("error at 1:5: expected one of LIMIT, ['0' ..= '9'], [_]"), "ASK ]")
    'line 1, column 5: expected LIMIT, found ]'
    """
    said = str(exc)
    place = _POSITION.match(said)
    if place is None:
        return " ".join(said.split())
    line, column = int(place[1]), int(place[2])
    rest = said[place.end() :].removeprefix("expected ").removeprefix("one of ")
    words = [word.strip() for word in _CLASS.sub("", rest).split(", ")]
    words = list(filter(None, words))
    # The engine puts what it says in sentences among the words of the grammar.
    sentences = [word for word in words if " " in word]
    where = f"line {line}, column {column}"
    if sentences:
        return f"{where}: {sentences[0]}"
    more = ", ..." if len(words) > _MOST else ""
    listed = ", ".join(words[:_MOST]) + more
    expected = f"one of {listed}" if len(words) > 1 else listed or "something else"
    return f"{where}: expected {expected}, found {_found(text, line, column)}"


def _found(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]]) if line <= len(lines) else ""
    words = " ".join(rest.split())
    return words[:_SHOWN] + "..." * (len(words) > _SHOWN) if words else "the end"
