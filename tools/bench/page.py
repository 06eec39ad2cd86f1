"""Write `docs/results/AREA.json` and, made from all of them, `docs/performance.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template

from edgekit.data.files import write_atomic
from tools.bench import host, registry
from tools.bench.mcu import TITLES, line_of
from tools.bench.mcu_data import BOARDS, ESTIMATE_SOURCE, ESTIMATES, PEER_SOURCE, PEERS, TARGETS
from tools.bench.models import NETWORKS
from tools.bench.rows import Result, Row, count, table

_HERE = Path(__file__).resolve().parent
_DOCS = _HERE.parents[1] / "docs"
RESULTS = {area: _DOCS / "results" / f"{area}.json" for area in ("mcu", host.AREA, registry.AREA)}
PAGE = _DOCS / "performance.md"


def write_results(area: str, results: Sequence[Result], rows: Sequence[Row]) -> None:
    """Write the summary of an area, and the page anew."""
    facts = {"rows": [asdict(each) for each in rows], "runs": list(results)}
    RESULTS[area].parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS[area], (json.dumps(facts, indent=1) + "\n").encode())
    write_atomic(PAGE, page().encode())


def page() -> str:
    """Return the text of the page, from the summaries of all areas."""
    runs, host_runs, registry_runs = (runs_of(area) for area in RESULTS)
    template = Template((_HERE / "performance.md").read_text(encoding="utf-8"))
    return template.substitute(
        boards="\n".join(_board(name, runs) for name in BOARDS),
        work=_work(runs),
        host=host.text_of(host_runs),
        registry=registry.text_of(registry_runs) if registry_runs else "Not measured yet.",
        peer_source=PEER_SOURCE,
        estimate_source=ESTIMATE_SOURCE,
        peers=_peers(),
    )


def runs_of(area: str) -> list[Result]:
    """Return what an area measured; nothing if it never was."""
    path = RESULTS[area]
    if not path.is_file():
        return []
    found: list[Result] = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return found


def _board(name: str, runs: Sequence[Result]) -> str:
    chosen = [run for run in runs if run["board"] == name]
    families = sorted({run["family"] for run in chosen if "family" in run})
    head = f"## {BOARDS[name]}: {name}\n\nKernels: {', '.join(families) or 'not measured'}.\n\n"
    missing = [f"\n{run['model']}: {run['missing']}\n" for run in chosen if "missing" in run]
    return head + table(TITLES, [line_of(run) for run in chosen]) + "\n" + "".join(missing)


def _work(runs: Sequence[Result]) -> str:
    first = {run["model"]: run for run in reversed(runs) if "macs" in run}
    lines = [
        [name, count(run["nominal_macs"]), count(run["macs"])]
        for name, run in ((name, first[name]) for name in TARGETS if name in first)
    ]
    return table(("model", "nominal", "executed"), lines)


def _peers() -> str:
    places = {**BOARDS, "arena": "arena bytes", "flash": "flash without model"}
    lines = [[peer.name, places[peer.place], *map(count, peer.values)] for peer in PEERS]
    estimates = [count(ESTIMATES[name]) for name in NETWORKS]
    lines.append(["closed engines, estimated", "Cortex-M4", *estimates])
    return table(("engine", "figure", *NETWORKS), lines)
