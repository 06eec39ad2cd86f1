"""rdflib in memory under the same fleet: what the engine that most projects take does with it.

`python -m tools.bench.registry_rdflib FILE DEVICES ROW ...`; a question that has no answer in
LIMIT_S seconds of the processor is reported as that. A line of JSON is printed for each row.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyoxigraph as ox
import rdflib

from edgekit.registry.store import query_text
from edgekit.registry.terms import PREFIXES, thing
from tools.bench.registry_fleet import Fleet, device_id
from tools.bench.registry_measure import memory_mb

LIMIT_S = 120
UPDATES = 100

Facts = dict[str, Any]

# All sensors: none that the model wants is missing on the board.
_FITS = """
  ?device ek:configuration/ek:ramFreeBytes ?free ; ek:board ?board .
  ?model a ek:ModelVersion ; ek:arenaBytes ?need . FILTER (?need <= ?free)
  FILTER NOT EXISTS {
    ?model ek:requiresSensorKind ?kind . FILTER NOT EXISTS { ?board ek:sensorKind ?kind }
  }"""


class _OverTimeError(BaseException):
    """No `Exception`, so that nothing between a question and its caller takes it for its own."""


def main(arguments: list[str]) -> None:
    """Measure the rows that are asked for, and print each as soon as it is known."""
    file, fleet, wanted = Path(arguments[0]), Fleet(int(arguments[1])), arguments[2:]
    graph = rdflib.Graph()
    with tempfile.NamedTemporaryFile(suffix=".nt", dir=file.parent) as plain:
        triples = (q.triple for q in ox.parse(path=file, format=ox.RdfFormat.N_QUADS))
        ox.serialize(triples, plain.name, format=ox.RdfFormat.N_TRIPLES)
        begin, cpu = time.perf_counter(), time.process_time()
        graph.parse(plain.name, format="nt")
        loaded: Facts = {
            "load_cpu_s": time.process_time() - cpu,
            "load_s": time.perf_counter() - begin,
            "quads": len(graph),
        }
    loaded["loaded_mb"] = memory_mb()[0]
    device, model = thing("device", device_id(7)), thing("model", fleet.models()[7]["image_id"])
    site = query_text("site_telemetry").replace("?site ;", '"site-003" ;').replace(" ?site", "", 1)
    asked = {
        "models_for_device": f"SELECT ?model {{ BIND ({device} AS ?device) {_FITS} }}",
        "first_100": f"SELECT ?device {{ BIND ({model} AS ?model) {_FITS} }} LIMIT 100",
        "count_all": f"SELECT (COUNT(*) AS ?n) {{ BIND ({model} AS ?model) {_FITS} }}",
        "by_firmware": query_text("firmware_counts"),
        "site_telemetry": site,
    }
    measures: dict[str, Callable[[], Facts]] = {
        "load": lambda: loaded,
        **{name: partial(_limited, partial(_ask, graph, text)) for name, text in asked.items()},
        "update": lambda: _limited(lambda: _update(graph), UPDATES),
        "memory": lambda: dict(zip(("steady_mb", "peak_mb"), memory_mb(), strict=True)),
    }
    for name in wanted:
        print(json.dumps({"row": name, "facts": measures[name]()}), flush=True)


def _ask(graph: rdflib.Graph, text: str) -> None:
    list(graph.query(text, initNs=PREFIXES))


def _update(graph: rdflib.Graph) -> None:
    seen = f"<{PREFIXES['ek']}lastSeen>"
    for number in range(UPDATES):
        device = thing("device", device_id(number))
        graph.update(
            f"DELETE {{ {device} {seen} ?t }} INSERT {{ {device} {seen} {number} }}"
            f" WHERE {{ {device} {seen} ?t }}"
        )


def _limited(ask: Callable[[], object], times: int = 1) -> Facts:
    """Return the processor's seconds, or the limit where there is no answer until then."""

    def stop(*_: object) -> None:
        raise _OverTimeError

    signal.signal(signal.SIGPROF, stop)
    begin = time.process_time()
    # Again and again: what is raised in a destructor is lost.
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S, 1.0)
    try:
        ask()
    except _OverTimeError:
        return {"cpu": LIMIT_S, "over": True}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return {"cpu": (time.process_time() - begin) / times, "over": False}


if __name__ == "__main__":
    main(sys.argv[1:])
