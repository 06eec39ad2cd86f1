"""Write `docs/results/text.json` and, made from it, `docs/text-results.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template

from edgekit.data.files import write_atomic
from tools.bench import text
from tools.bench import text_memory as memory
from tools.bench.rows import Result, Row, table
from tools.bench.text_sets import RECIPE, SETS, SIZES

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parents[1] / "docs"
RESULTS = _DOCS / "results" / "text.json"
PAGE = _DOCS / "text-results.md"


def write_results(results: Sequence[Result], rows: Sequence[Row]) -> None:
    """Write the summary and the page anew."""
    facts = {"rows": [asdict(each) for each in rows], "runs": list(results)}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS, (json.dumps(facts, indent=1) + "\n").encode())
    write_atomic(PAGE, page().encode())


def page() -> str:
    """Return the text of the page, from the summary."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"]
    template = Template((_HERE / "text_results.md").read_text(encoding="utf-8"))
    counted = [each for each in results if "instructions" in each]
    return template.substitute(
        accuracy=text.accuracy_text(results),
        recipes=_recipes(results),
        others=text.others_text(results),
        memory=memory.memory_text([each for each in results if "total_bytes" in each]),
        instructions="\n\n".join(memory.instruction_text(each) for each in counted),
    )


def _recipes(results: Sequence[Result]) -> str:
    lines = []
    for name, chosen in SETS.items():
        runs = text.runs_of(results, name)
        if not runs:
            continue
        settings = {**RECIPE, **chosen.recipe}
        differ = [f"{key} {value}" for key, value in chosen.sizes.items() if SIZES[key] != value]
        differ += [f"word dropout {value}" for key, value in chosen.recipe.items() if "word" in key]
        lines.append(
            [
                name,
                ", ".join(differ) or "-",
                chosen.teacher or "-",
                str(settings["epochs"]),
                f"{max(each['vocab'] for each in runs):,}",
                f"{max(each['parameters'] for each in runs):,}",
            ]
        )
    return table(("set", "differs in", "teacher", "epochs", "tokens", "parameters"), lines)
