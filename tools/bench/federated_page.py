"""Write `docs/results/federated.json` and, made from it, `docs/federated-results.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template

from edgekit.data.files import write_atomic
from tools.bench import federated
from tools.bench.rows import Result, Row, count, table

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parents[1] / "docs"
RESULTS = _DOCS / "results" / "federated.json"
PAGE = _DOCS / "federated-results.md"


def write_results(results: Sequence[Result], rows: Sequence[Row]) -> None:
    """Write the summary and the page anew."""
    facts = {"rows": [asdict(each) for each in rows], "runs": list(results)}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    write_atomic(PAGE, page().encode())


def runs() -> list[Result]:
    """Return the results that the page was made from."""
    if not RESULTS.is_file():
        return []
    found: list[Result] = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    return found


def page() -> str:
    """Return the text of the page, from the summary."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    template = Template((_HERE / "federated_results.md").read_text(encoding="utf-8"))
    tables = dict.fromkeys(federated.TABLES, "Not measured yet.")
    tables |= federated.tables(kept["runs"])
    return template.substitute(tables, rows=_rows([Row(**each) for each in kept["rows"]]))


def _rows(rows: Sequence[Row]) -> str:
    lines = [
        [
            each.figure,
            count(each.value),
            each.unit,
            count(each.target),
            "yes" if each.ok else "**no**",
        ]
        for each in rows
    ]
    return table(("figure", "measured", "unit", "target", "ok"), lines)
