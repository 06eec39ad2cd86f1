"""One engine of the registry under the fleet, in a process of its own: times and memory as JSON.

`python -m tools.bench.registry_measure ENGINE FILE DEVICES [FOLDER]`; engines: memory, load (does
no more than that), disk (loads the folder), opened (reads the folder that disk left). A figure is
the median of its turns; the first turn, when nothing is kept yet, is reported beside it.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from edgekit import share
from edgekit.fleet.devices import reported_body
from edgekit.journal.journal import Event
from edgekit.journal.schema import check_body
from edgekit.link.messages import FederatedReport, FreeBytes, Reported, UpdateReport
from edgekit.registry import match
from edgekit.registry.project import project
from edgekit.registry.store import Store
from tools.bench.registry_fleet import Fleet, device_id, site_of

TURNS = 15
UPDATES = 3_000
DOCUMENTS = 60


def main(arguments: list[str]) -> None:
    """Measure one engine and print the facts."""
    engine, file, devices = arguments[0], Path(arguments[1]), int(arguments[2])
    folder = Path(arguments[3]) if len(arguments) > 3 else None
    facts: dict[str, Any] = {"engine": engine, "start_mb": memory_mb()[0]}
    begin, cpu = time.perf_counter(), time.process_time()
    if engine in ("memory", "load") or folder is None:
        store = Store.memory()
    elif engine == "disk":
        store = Store.open(folder)
    else:
        store = Store.open(folder)
        rows = list(store.select(f'SELECT ?d {{ ?d dcterms:identifier "{device_id(0)}" }}'))
        assert len(rows) == 1
        facts["restart_s"] = time.perf_counter() - begin
    if engine in ("memory", "load", "disk"):
        store.fill(file)
        facts |= {"load_s": time.perf_counter() - begin, "load_cpu_s": time.process_time() - cpu}
    gc.collect()
    facts["loaded_mb"] = memory_mb()[0]
    if engine == "load":
        store.close()
    elif engine == "disk":
        store.close()
        facts["folder_mb"] = sum(f.stat().st_size for f in folder.iterdir()) / 1e6 if folder else 0
    else:
        facts["quads"] = len(store)
        facts |= questions(store, Fleet(devices))
        facts |= updates(store, Fleet(devices))
        facts["document"] = documents()
        store.close()
    facts["steady_mb"], facts["peak_mb"] = (facts["loaded_mb"], memory_mb()[1])
    if "after_mb" in facts:
        facts["steady_mb"] = facts["after_mb"]
    print(json.dumps(facts))


def memory_mb() -> tuple[float, float]:
    """Return what this process has in memory now and had at most, in megabytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(found["VmRSS"]) * 1024 / 1e6, int(found["VmHWM"]) * 1024 / 1e6


def questions(store: Store, fleet: Fleet) -> dict[str, Any]:
    """Ask what the issue asks, with other things in each turn."""
    models = [body["image_id"] for body in fleet.models()]
    some = [device_id(number * 37 % fleet.devices) for number in range(TURNS)]
    boards, bodies = fleet.boards(), fleet.models()
    counts: list[int] = []

    def count(turn: int) -> None:
        # A device reports before each count, so that nothing kept of the fleet is still true.
        store.replace_graphs(project(fleet.reported(turn, boards, bodies, turn=turn + 1)))
        counts.append(match.count_devices(store, models[turn * 7]))

    facts: dict[str, Any] = {
        "models_for_device": _timed(lambda turn: match.fitting_models(store, device=some[turn])),
        "first_100": _timed(lambda turn: match.first_devices(store, models[turn * 7], 100)),
        "count_all": _timed(count),
        "counted": counts[:3],
    }
    facts["by_firmware"] = _timed(lambda turn: list(store.named("firmware_counts")), 5)
    site = {"site": ox.Literal(site_of(3))}
    facts["site_telemetry"] = _timed(lambda turn: list(store.named("site_telemetry", site)), 9)
    facts["site_rows"] = len(list(store.named("site_telemetry", site)))
    gc.collect()
    facts["after_mb"] = memory_mb()[0]
    return facts


def updates(store: Store, fleet: Fleet) -> dict[str, Any]:
    """Take reports as the server does: message, checked body, projection, graphs replaced."""
    messages = list(_reports(fleet))
    begin, cpu = time.perf_counter(), time.process_time()
    for number, data in messages:
        body = reported_body(device_id(number), Reported.decode(data))
        check_body("device.reported", body, has_blob=False)
        event = Event(0, 1_790_000_000_000 + number, "device.reported", "", "", body, None, "", "")
        store.replace_graphs(project(event))
    return {
        "update": {
            "cpu": (time.process_time() - cpu) / len(messages),
            "wall": (time.perf_counter() - begin) / len(messages),
        }
    }


def documents() -> dict[str, float]:
    """Judge foreign documents, a board each."""
    # Only here: what judges is no part of the memory that questions take.
    from edgekit.registry.documents import TURTLE, read_document
    from edgekit.registry.shacl import check

    source = (share.ontologies() / "examples" / "board-valid.ttl").read_text(encoding="utf-8")
    graph = ox.NamedNode("https://example.org/document")
    texts = [source.replace("nucleo", f"n{number}").encode() for number in range(DOCUMENTS)]
    assert check(read_document(texts[0], TURTLE, graph=graph)).violations == ()
    return _timed(lambda turn: check(read_document(texts[turn], TURTLE, graph=graph)), DOCUMENTS)


def _reports(fleet: Fleet) -> Iterator[tuple[int, bytes]]:
    boards, models = fleet.boards(), fleet.models()
    for turn in range(UPDATES):
        number = turn * 31 % fleet.devices
        body = fleet.reported(number, boards, models, turn=turn).body
        message = Reported(
            boot=body["boot"],
            desired_version=0,
            board=body["board"],
            firmware=body["firmware"],
            kernel_set_hash=bytes.fromhex(body["kernel_set_hash"]),
            active_image=bytes.fromhex(body["active_image"]),
            counter=0,
            update=UpdateReport(),
            free=FreeBytes(ram=body["ram_free"], slot=body["slot_free"]),
            federated=FederatedReport(),
            uptime_s=body["uptime_s"],
            head_hash=None,
        )
        yield number, message.encode()


def _timed(ask: Callable[[int], object], turns: int = TURNS) -> dict[str, float]:
    """Return medians of the processor's time and of the clock's, and the first of the clock's."""
    cpu, wall = [], []
    for turn in range(turns):
        begin, begun = time.perf_counter(), time.process_time()
        ask(turn)
        cpu.append(time.process_time() - begun)
        wall.append(time.perf_counter() - begin)
    return {"cpu": statistics.median(cpu), "wall": statistics.median(wall), "first": wall[0]}


if __name__ == "__main__":
    main(sys.argv[1:])
