"""The registry under a fleet of 100,000 devices: pyoxigraph in memory and on disk, and rdflib.

Times are those of the processor, so that what else the machine does counts little; the clock's are
kept beside them. Restart and load are by the clock, too: they wait for the disk. With `--only
large` a fleet of 1,000,000 devices is loaded and asked, for how all this grows; it needs 6 GB of
memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from edgekit import share
from edgekit.errors import ConfigError, ToolError
from tools.bench.registry_fleet import Fleet
from tools.bench.rows import Result, Row, keep, kept, result_key, resumed, row, table

AREA = "registry"
DEVICES = 100_000
LARGE = 1_000_000
ENGINES = ("memory", "disk", "opened", "rdflib")
SETS = (*ENGINES, "large")
TIME_S = 3_600
LOADS = 3
"""Of a fleet of DEVICES; the fastest counts, the questions are asked after the first."""

# Of the processor, in memory; on disk four times as much is allowed.
QUESTIONS = {
    "models_for_device": ("models for one device, all sensors", 10.0),
    "first_100": ("devices for one model, first 100", 10.0),
    "count_all": ("devices for one model, count of all", 150.0),
    "by_firmware": ("count by firmware version", 100.0),
    "site_telemetry": ("latest telemetry of one site, a hundredth of the devices", 50.0),
    "update": ("device state checked, projected, graph replaced", 1.0),
}
"""Milliseconds."""
RDFLIB_ROWS = ("load", *QUESTIONS, "memory")
LOAD_S = {"memory": 6.0, "disk": 15.0}
"""Seconds for 1,000,000 quads."""
STEADY_MB = {"memory": 400.0, "opened": 150.0}
DOCUMENT_MS = 10.0
RESTART_S = 1.0
DISK_TIMES = 4.0

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("edgekit/registry/*.py", "edgekit/registry/queries/*.rq", "tools/bench/registry*.py")
_ELSEWHERE = frozenset(
    "backup.py bind.py export.py http_server.py page.py plot.py pool.py protocol.py render.py"
    " sparql_http.py tree.py worker.py".split()
)
"""What no figure depends on."""
_PROJECTION = (
    *("edgekit/registry/project*.py", "edgekit/registry/describe.py", "edgekit/registry/facts.py"),
    *("edgekit/registry/terms.py", "tools/bench/registry_fleet.py"),
)
"""What the quads of a fleet are made by."""


def measure(only: str = "", seed: int = 0) -> list[Result]:
    """Measure every engine, or one.

    Raises:
        ConfigError: If there is no such engine.
        ToolError: If one fails.
    """
    if only and only not in SETS:
        raise ConfigError(f"'{only}' is no set of the registry; there are {', '.join(SETS)}")
    if only == "large":
        return [_engine("memory", LARGE, seed), *_on_disk(LARGE, seed)]
    results = []
    if only in ("", "memory"):
        results.append(_engine("memory", DEVICES, seed))
    if only in ("", "disk", "opened"):
        results += _on_disk(DEVICES, seed)
    if only in ("", "rdflib"):
        results.append(_rdflib(DEVICES, seed))
    return results


def merged(results: Sequence[Result], known: Sequence[Result]) -> list[Result]:
    """Return what was measured now and, of fleets that were not, what is known, by size."""
    measured = {each["devices"] for each in results}
    rest = [each for each in known if each["devices"] not in measured]
    return sorted([*results, *rest], key=lambda each: each["devices"])


def _on_disk(devices: int, seed: int) -> list[Result]:
    """Load a folder, and open it in another process."""
    key = _key("disk", devices, seed)

    def run() -> Result:
        with tempfile.TemporaryDirectory(prefix="edgekit-registry-", dir=_folder()) as name:
            file, folder = _file(devices, seed), Path(name) / "store"
            loads = [
                _run("disk", file, devices, f"{folder}{turn}") for turn in range(_loads(devices))
            ]
            opened = _run("opened", file, devices, f"{folder}0")
            return {"disk": _fastest(loads), "opened": opened}

    both = resumed(AREA, f"disk-{devices}-{seed}", key, run)
    return [{**both[each], "devices": devices} for each in ("disk", "opened")]


def _engine(name: str, devices: int, seed: int) -> Result:
    key = _key(name, devices, seed)

    def run() -> Result:
        file = _file(devices, seed)
        loads = [_run("load", file, devices) for _ in range(_loads(devices) - 1)]
        return _fastest([_run(name, file, devices), *loads])

    return {**resumed(AREA, f"{name}-{devices}-{seed}", key, run), "devices": devices}


def _loads(devices: int) -> int:
    return LOADS if devices == DEVICES else 1


def _fastest(runs: Sequence[Result]) -> Result:
    """Return what the first run measured, with the times of the fastest load."""
    times = {name: min(each[name] for each in runs) for name in ("load_s", "load_cpu_s")}
    return {**runs[0], **times, "loads": len(runs)}


def _run(engine: str, file: Path, devices: int, *rest: str) -> dict[str, Any]:
    print(f"{engine}: {devices:,} devices", file=sys.stderr, flush=True)
    line = [sys.executable, "-m", "tools.bench.registry_measure"]
    line += [engine, str(file), str(devices), *rest]
    done = subprocess.run(line, capture_output=True, text=True, timeout=TIME_S, check=False)
    if done.returncode != 0:
        raise ToolError(f"registry on {engine}: {done.stderr.strip()[-300:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def _rdflib(devices: int, seed: int) -> Result:
    """Measure row by row: each is kept when it is known, for some take minutes."""
    file = _file(devices, seed)
    # Its answers depend on the data and on its own code, not on ours.
    own = (_ROOT / "tools/bench/registry_rdflib.py").read_bytes()
    key = result_key("rdflib", own, blake2b(file.read_bytes()).hexdigest())
    names = {each: f"rdflib-{each}-{devices}-{seed}" for each in RDFLIB_ROWS}
    found = {each: kept(AREA, name, key) for each, name in names.items()}
    wanted = [each for each, result in found.items() if result is None]
    if wanted:
        print(f"rdflib: {devices:,} devices: {', '.join(wanted)}", file=sys.stderr, flush=True)
        line = [sys.executable, "-m", "tools.bench.registry_rdflib", str(file), str(devices)]
        with subprocess.Popen([*line, *wanted], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for text in process.stdout:
                said = json.loads(text)
                found[said["row"]] = said["facts"]
                keep(AREA, names[said["row"]], key, said["facts"])
        if process.returncode != 0:
            raise ToolError(f"registry on rdflib: ended with {process.returncode}")
    facts: Result = {"engine": "rdflib", "devices": devices}
    for each, result in found.items():
        assert result is not None
        facts |= result if each in ("load", "memory") else {each: result}
    return facts


def _folder() -> Path:
    folder = share.cache_dir() / "bench" / AREA
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file(devices: int, seed: int) -> Path:
    """Return the N-Quads of a fleet, made once from the code as it is."""
    key = _key("fleet", devices, seed, _PROJECTION)
    path = _folder() / f"fleet-{devices}-{seed}-{key[:12]}.nq"
    if not path.is_file():
        free = shutil.disk_usage(path.parent).free
        if free < devices * 10_000:
            raise ToolError(f"{path.parent}: {free:,} bytes free, expected {devices * 10_000:,}")
        for old in path.parent.glob(f"fleet-{devices}-{seed}-*.nq"):
            old.unlink()
        print(f"fleet of {devices:,} devices", file=sys.stderr, flush=True)
        partial = path.with_suffix(".partial")
        Fleet(devices, seed).write(partial)
        partial.rename(path)
    return path


def _key(name: str, devices: int, seed: int, patterns: Sequence[str] = _CODE) -> str:
    files = [path for each in patterns for path in sorted(_ROOT.glob(each))]
    code = [path.read_bytes() for path in files if path.name not in _ELSEWHERE]
    return result_key(name, str(devices), str(seed), *code)


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures of what was measured; a fleet of another size has no targets."""
    rows: list[Row] = []
    for facts in results:
        engine, aimed = facts["engine"], facts["devices"] == DEVICES
        where = f"{engine}, {facts['devices']:,} devices"

        def add(
            figure: str, value: float, unit: str, target: float | None, there: str = where
        ) -> None:
            rows.append(row(f"{there}: {figure}", value, unit, target, good=True))

        ours = aimed and engine != "rdflib"
        if "load_cpu_s" in facts:
            quads = next(
                each["quads"]
                for each in (facts, *results)
                if "quads" in each and each["devices"] == facts["devices"]
            )
            aim = LOAD_S.get(engine) if ours else None
            # On disk two cores work at it, and who loads waits for the slower of them.
            by_clock = engine == "disk"
            clock, cpu = (facts[name] * 1e6 / quads for name in ("load_s", "load_cpu_s"))
            add("load of 1,000,000 quads", cpu, "s", None if by_clock else aim)
            add("load of 1,000,000 quads, by the clock", clock, "s", aim if by_clock else None)
        times = DISK_TIMES if engine == "opened" else 1.0
        for name, (figure, target) in QUESTIONS.items():
            if name in facts:
                more = ", stopped" if facts[name].get("over") else ""
                value = facts[name]["cpu"] * 1e3
                add(figure + more, value, "ms", times * target if ours else None)
        if "document" in facts and engine == "memory":
            aim = DOCUMENT_MS if ours else None
            add("foreign document through SHACL", facts["document"]["cpu"] * 1e3, "ms", aim)
        if "restart_s" in facts:
            add("restart, by the clock", facts["restart_s"], "s", RESTART_S if ours else None)
        add("memory, steady", facts["steady_mb"], "MB", STEADY_MB.get(engine) if ours else None)
        add("memory, peak", facts["peak_mb"], "MB", None)
    return rows


def text_of(results: list[Result]) -> str:
    """Return a table for each size of the fleet: a line a figure, a column an engine."""
    sizes = sorted({each["devices"] for each in results})
    return "\n\n".join(
        f"{size:,} devices:\n\n{_table([each for each in results if each['devices'] == size])}"
        for size in sizes
    )


def _table(results: list[Result]) -> str:
    rows = rows_of(results)
    columns = [each["engine"] for each in results]
    figures: dict[str, dict[str, str]] = {}
    for each in rows:
        where, figure = each.figure.split(": ", 1)
        value = _spelled(each.value, each.unit) + (" (!)" if not each.ok else "")
        if figure.endswith(", stopped"):
            figure, value = figure.removesuffix(", stopped"), f"> {value}"
        figures.setdefault(figure, {})[where.split(",")[0]] = value
    lines = [
        [figure, *(found.get(column, "-") for column in columns)]
        for figure, found in figures.items()
    ]
    return table(("figure", *columns), lines)


def _spelled(value: float | None, unit: str) -> str:
    """Spell a figure with three digits, long times in seconds."""
    if value is None:
        return "-"
    if unit == "ms" and value >= 1_000:
        value, unit = value / 1_000, "s"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} {unit}"
