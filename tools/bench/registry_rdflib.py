"""rdflib in memory under the same fleet: what the engine that most projects take does with it.

`python -m tools.bench.registry_rdflib FILE DEVICES`; a question that has no answer in LIMIT_S
seconds is reported as that.
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

LIMIT_S = 90
UPDATES = 100

# All sensors: none that the model wants is missing on the board.
_FITS = """
  ?device ek:configuration/ek:ramFreeBytes ?free ; ek:board ?board .
  ?model a ek:ModelVersion ; ek:arenaBytes ?need . FILTER (?need <= ?free)
  FILTER NOT EXISTS {
    ?model ek:requiresSensorKind ?kind . FILTER NOT EXISTS { ?board ek:sensorKind ?kind }
  }"""


class _OverTimeError(Exception):
    pass


def main(arguments: list[str]) -> None:
    """Measure and print the facts."""
    file, fleet = Path(arguments[0]), Fleet(int(arguments[1]))
    graph = rdflib.Graph()
    with tempfile.NamedTemporaryFile(suffix=".nt") as plain:
        triples = (q.triple for q in ox.parse(path=file, format=ox.RdfFormat.N_QUADS))
        ox.serialize(triples, plain.name, format=ox.RdfFormat.N_TRIPLES)
        begin = time.process_time()
        graph.parse(plain.name, format="nt")
        facts: dict[str, Any] = {"engine": "rdflib", "load_cpu_s": time.process_time() - begin}
    facts |= {"quads": len(graph), "loaded_mb": memory_mb()[0]}
    device, model = thing("device", device_id(7)), thing("model", fleet.models()[7]["image_id"])
    site = query_text("site_telemetry").replace("?site ;", '"site-003" ;').replace(" ?site", "", 1)
    asked = {
        "models_for_device": f"SELECT ?model {{ BIND ({device} AS ?device) {_FITS} }}",
        "first_100": f"SELECT ?device {{ BIND ({model} AS ?model) {_FITS} }} LIMIT 100",
        "count_all": f"SELECT (COUNT(*) AS ?n) {{ BIND ({model} AS ?model) {_FITS} }}",
        "by_firmware": query_text("firmware_counts"),
        "site_telemetry": site,
    }
    for name, text in asked.items():
        facts[name] = _limited(partial(_ask, graph, text))
    facts["update"] = _limited(lambda: _update(graph), UPDATES)
    facts["steady_mb"], facts["peak_mb"] = memory_mb()
    print(json.dumps(facts))


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


def _limited(ask: Callable[[], object], times: int = 1) -> dict[str, float | bool]:
    """Return the processor's seconds, or the limit where there is no answer until then."""

    def stop(*_: object) -> None:
        raise _OverTimeError

    signal.signal(signal.SIGPROF, stop)
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        ask()
    except _OverTimeError:
        return {"cpu": LIMIT_S, "over": True}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {"cpu": (time.process_time() - begin) / times, "over": False}


if __name__ == "__main__":
    main(sys.argv[1:])
