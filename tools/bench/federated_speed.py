"""How fast the server folds, and how many clients a simulation has in a minute."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from edgekit.federated.fast import FastRow, Rule, Shard, simulate_fast
from edgekit.federated.nets import DenseNet
from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import weighted_sum
from tools.bench.rows import Result, Row, row, row_of_least

UPDATES = 1_000
UPDATE_BYTES = 1_000_000
FILES = 50  # on the disk; each is read several times, as memory for all is not everywhere
CLIENTS, ROUNDS, SAMPLES = 10_000, 100, 16
NET = DenseNet((1, 32, 32, 1), loss="mse")
GOAL_S = 300.0


def measure() -> list[Result]:
    """Measure both; nothing is kept, since it is the machine that is measured."""
    return [_fold(), _simulate()]


def _fold() -> Result:
    """Fold stored updates, each read from its file."""
    size = UPDATE_BYTES // 4
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(1)
        paths = [Path(folder) / f"{index:03d}" for index in range(FILES)]
        for path in paths:
            path.write_bytes(rng.normal(size=size).astype("<f4").tobytes())
        times = []
        for _ in range(3):
            begin, used = time.perf_counter(), time.process_time()
            weighted_sum(
                (
                    (1 / UPDATES, np.memmap(paths[index % FILES], "<f4", "r"))
                    for index in range(UPDATES)
                ),
                size,
            )
            times.append((time.perf_counter() - begin, time.process_time() - used))
    wall, cpu = min(times)
    total = UPDATES * UPDATE_BYTES
    return {"set": "fold", "bytes": total, "seconds": wall, "cpu_seconds": cpu}


def _simulate() -> Result:
    rng = np.random.default_rng(1)
    shards = []
    for _ in range(CLIENTS):
        x = rng.uniform(-5, 5, (SAMPLES, 1)).astype(np.float32)
        y = rng.uniform(0.1, 5) * np.sin(x + rng.uniform(0, 2 * np.pi))
        shards.append(Shard(x, y.astype(np.float32)))
    told: list[FastRow] = []
    begin, used = time.perf_counter(), time.process_time()
    simulate_fast(
        NET,
        NET.start(rng),
        shards,
        strategy="reptile",
        settings=Settings(),
        rule=Rule(rate=0.01),
        rounds=ROUNDS,
        told=told.append,
    )
    return {
        "set": "simulate",
        "clients": CLIENTS,
        "parameters": NET.size,
        "rounds": len(told),
        "accepted": sum(each.accepted for each in told),
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - used,
    }


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    rows = []
    for each in results:
        if each.get("set") == "fold":
            # One thread that waits for nothing: what else runs on the machine is not its speed.
            speed = each["bytes"] / each["cpu_seconds"] / 1e9
            label = "folding 1,000 stored updates of 1 MB, per second of CPU"
            rows.append(row_of_least(label, speed, "GB/s", 1.0))
        if each.get("set") == "simulate":
            label = f"simulating {CLIENTS:,} clients x {NET.size:,} parameters x {ROUNDS} rounds"
            whole = each["accepted"] == CLIENTS * ROUNDS
            rows.append(row(label, each["seconds"], "s", GOAL_S, good=whole))
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    lines = []
    for each in results:
        if each.get("set") == "fold":
            wall, cpu = (each["bytes"] / each[name] / 1e9 for name in ("seconds", "cpu_seconds"))
            label = f"folding {UPDATES:,} stored updates of 1 MB"
            lines.append([label, f"{wall:.2f} GB/s, {cpu:.2f} GB per second of CPU"])
        if each.get("set") == "simulate":
            label = f"{CLIENTS:,} clients, {NET.size:,} parameters, {ROUNDS} rounds"
            lines.append([label, f"{each['seconds']:.0f} s, {each['cpu_seconds']:.0f} s of CPU"])
    return lines
