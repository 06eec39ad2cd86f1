"""Personal models on held-out people, from a start that others learned together.

Each client is a person: a drawer, a subject, a speaker. After federated meta-training a person who
took no part adapts the start with K samples of each class; other samples are the test.
Two starts stand beside it: the random one that the training began with, and one that a single
person trained alone for as many rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.federated.aggregate import step
from edgekit.federated.fast import Rule, Shard, train
from edgekit.federated.nets import DenseNet, Float32Array
from edgekit.federated.settings import Settings
from edgekit.federated.strategies import Contribution, Global
from tools.bench import federated_people as people
from tools.bench.federated_people import Person
from tools.bench.rows import Result, Row, row_of_least

SEEDS = (1, 2, 3, 4, 5)
T95 = 2.776
"""Student's t for 5 values, two-sided 95 %."""
GAIN = 5.0
QUERIES = 10  # of each class


@dataclass(frozen=True, slots=True, kw_only=True)
class Few:
    """One set.

    Attributes:
        read: (data folder, seed) -> people that train, people that are held out.
        ways: Classes, known to all.
        shots: Samples of each class that a held-out person adapts with.
        seen: Samples of each class that a person has in a round of training.
        rate: Of training and of adapting.
        steps: Of adapting, on all shots at once.
        tasks: Per held-out person.
    """

    read: Callable[[Path, int], tuple[list[Person], list[Person]]]
    sizes: tuple[int, ...]
    ways: int
    shots: int
    seen: int
    cohort: int = 5
    rounds: int = 400
    rate: float = 0.05
    adapt_rate: float = 0.1
    epochs: int = 2
    steps: int = 30
    tasks: int = 20


SETS = {
    "omniglot": Few(
        read=people.drawers,
        sizes=(784, 64, 24),
        ways=24,
        shots=1,
        seen=2,
        tasks=5,
    ),
    "har": Few(read=people.subjects, sizes=(people.HAR_FEATURES, 32, 6), ways=6, shots=5, seen=10),
    "fsdd": Few(
        read=people.speakers, sizes=(people.FSDD_FEATURES, 32, 10), ways=10, shots=5, seen=10
    ),
}
NAMES = {"omniglot": "drawers", "har": "subjects", "fsdd": "speakers"}


def measure_personal(name: str, seed: int, data: Path) -> Result:
    """Train and test one seed; returns accuracies in per cent by start."""
    chosen = SETS[name]
    members, held_out = chosen.read(data, seed)
    net = DenseNet(chosen.sizes)
    first = net.start(np.random.default_rng([seed, 11]))
    lone = members[int(np.random.default_rng([seed, 12]).integers(len(members)))]
    starts = {
        "random": first,
        "alone": meta_train(net, first, [lone], chosen, seed),
        "federated": meta_train(net, first, members, chosen, seed),
    }
    tasks = test_tasks(held_out, chosen, seed)
    found = {start: adapted(net, values, tasks, chosen) for start, values in starts.items()}
    return {"set": name, "seed": seed, "people": len(held_out), "tasks": len(tasks), **found}


def meta_train(
    net: DenseNet, first: Float32Array, members: Sequence[Person], chosen: Few, seed: int
) -> Float32Array:
    """Run Reptile in cohorts, each person with fresh samples of a task in each round."""
    rng = np.random.default_rng([seed, 13])
    rule = Rule(rate=chosen.rate, epochs=chosen.epochs, batch=chosen.ways)
    state = Global(first.astype(np.float64))
    count = min(chosen.cohort, len(members))
    for round_ in range(chosen.rounds):
        asked = sorted(rng.choice(len(members), count, replace=False))
        shards = []
        for index in asked:
            support, _ = members[index].task(rng, chosen.ways, chosen.seen, 0)
            order = rng.permutation(len(support.x))
            shards.append(Shard(support.x[order], support.y[order]))
        deltas, _ = train(net, state.values.astype(np.float32), shards, rule)
        parts = [Contribution(delta) for delta in deltas]
        state = step("reptile", state, parts, Settings(), progress=round_ / chosen.rounds)
    return state.values.astype(np.float32)


def test_tasks(held_out: Sequence[Person], chosen: Few, seed: int) -> list[tuple[Shard, Shard]]:
    """Return support and query of each task of each held-out person; equal for all starts."""
    rng = np.random.default_rng([seed, 14])
    return [
        person.task(rng, chosen.ways, chosen.shots, QUERIES)
        for person in held_out
        for _ in range(chosen.tasks)
    ]


def adapted(
    net: DenseNet, start: Float32Array, tasks: Sequence[tuple[Shard, Shard]], chosen: Few
) -> float:
    """Return the mean accuracy in per cent after adapting to each task."""
    values = np.tile(start, (len(tasks), 1))
    x = np.stack([support.x for support, _ in tasks])
    y = np.stack([support.y for support, _ in tasks])
    for _ in range(chosen.steps):
        net.sgd(values, x, y, rate=chosen.adapt_rate)
    right = [
        float((net.outputs(own[None], query.x[None])[0].argmax(axis=1) == query.y).mean())
        for own, (_, query) in zip(values, tasks, strict=True)
    ]
    return float(100 * np.mean(right))


def gain(results: Sequence[Result], name: str, over: str) -> tuple[float, float] | None:
    """Return mean and half-width of the 95 % interval of the gain in points; None: seeds miss."""
    found = [each["federated"] - each[over] for each in results if each.get("set") == name]
    if len(found) < len(SEEDS):
        return None
    return float(np.mean(found)), float(T95 * np.std(found, ddof=1) / np.sqrt(len(found)))


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    rows = []
    for name, who in NAMES.items():
        if not any(each.get("set") == name for each in results):
            continue
        found = gain(results, name, "random")
        label = f"{name}, held-out {who}: points over the start, mean of 5 seeds"
        rows.append(row_of_least(label, None if found is None else found[0], "points", GAIN))
        low = None if found is None else found[0] - found[1]
        label = f"{name}, held-out {who}: lower end of the 95 % interval"
        rows.append(row_of_least(label, low, "points", 0.0))
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    lines = []
    for name, who in NAMES.items():
        found: list[Result] = [each for each in results if each.get("set") == name]
        if not found:
            continue
        cells = [f"{np.mean([each[s] for each in found]):.1f}" for s in _STARTS]
        for over in ("random", "alone"):
            change = gain(results, name, over)
            cells.append("-" if change is None else f"{change[0]:+.1f} ± {change[1]:.1f}")
        lines.append([f"{name}, {who}, {SETS[name].shots} shots", *cells])
    return lines


_STARTS = ("random", "alone", "federated")
