"""What a bench answers: rows of figures, and results that are kept to be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit import share
from edgekit.data.files import write_atomic

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        figure: What was measured, and where.
        target: Largest value that is good, of `row_of_least` the least; None: there is none.
        value: What was measured; None: nothing could be.
        ok: Measured, trustworthy and not past the target.
    """

    figure: str
    target: float | None
    value: float | None
    unit: str
    ok: bool


def row(figure: str, value: float | None, unit: str, target: float | None, *, good: bool) -> Row:
    """Return a row that is ok if its value is there, good, and not above the target."""
    reached = value is not None and (target is None or value <= target)
    return Row(figure, target, value, unit, reached and good)


def row_of_least(figure: str, value: float | None, unit: str, target: float) -> Row:
    """Return a row that is ok if its value is there and not below the target."""
    return Row(figure, target, value, unit, value is not None and value >= target)


def rows_json(rows: Sequence[Row]) -> str:
    """Return the rows as the JSON that every bench prints."""
    return json.dumps({"rows": [asdict(each) for each in rows]}, indent=1)


def count(value: float | None) -> str:
    """Spell a figure: whole numbers with separators, a dash if it is missing."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.3f}"


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are flush right."""
    widths = [max(len(line[at]) for line in (titles, *lines)) for at in range(len(titles))]

    def spell(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([spell(titles), spell(rule), *map(spell, lines)])


def result_key(*parts: bytes | str) -> str:
    """Return the hash of everything that a result depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def kept(area: str, name: str, key: str) -> Result | None:
    """Return a kept result if it was made from the same key.

    Args:
        name: Of the set, with its seed; one result is kept for each.
        key: Of configuration and code, as `result_key` makes it.
    """
    try:
        found = json.loads(_path(area, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    result: Result | None = found["result"] if found.get("key") == key else None
    return result


def keep(area: str, name: str, key: str, result: Result) -> None:
    """Keep a result for `kept`."""
    path = _path(area, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"key": key, "result": result}, indent=1).encode())


def resumed(area: str, name: str, key: str, measure: Callable[[], Result]) -> Result:
    """Return a kept result if it was made from the same key, else measure and keep it."""
    found = kept(area, name, key)
    if found is None:
        found = measure()
        keep(area, name, key, found)
    return found


def _path(area: str, name: str) -> Path:
    return share.cache_dir() / "bench" / area / f"{name}.json"
