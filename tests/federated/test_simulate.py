"""Simulated runs with the device's own training: learning, silence, and attackers among many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.federated.codecs import HeadWeights
from edgekit.federated.rounds import RunPlan
from edgekit.federated.simulate import Client, simulate, simulate_answers, train

pytestmark = pytest.mark.cc

CLASSES, FEATURES, SCALE = 5, 16, 0.05
CENTRES = np.random.default_rng(7).integers(-60, 60, (CLASSES, FEATURES))
START = HeadWeights(np.zeros((CLASSES, FEATURES), np.float32), np.zeros(CLASSES, np.float32))


def client(seed: int, classes: list[int], count: int = 40) -> Client:
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, count)
    noisy = CENTRES[labels] + rng.normal(0, 25, (count, FEATURES))
    return Client(np.clip(noisy, -128, 127).astype(np.int8), labels, SCALE, 0)


def flipped(honest: Client) -> Client:
    return Client(honest.features, (honest.labels + 1) % CLASSES, SCALE, 0)


def accuracy(head: HeadWeights) -> float:
    test = client(999, list(range(CLASSES)), 500)
    x = test.features.astype(np.float64) * SCALE
    return float(((x @ head.weights.T + head.bias).argmax(axis=1) == test.labels).mean())


def plan(clients: dict[str, Client], **changes: object) -> RunPlan:
    values: dict[str, object] = {
        "run": 1,
        "base_image": "ab" * 32,
        "rounds": 6,
        "devices": tuple(clients),
        "epochs": 2,
        "rate": 0.01,
        "deadline_s": 60.0,
    }
    return RunPlan(**(values | changes))  # type: ignore[arg-type]


def test_clients_that_each_miss_classes_learn_all_of_them() -> None:
    clients = {f"dev-{i}": client(i, [i, (i + 1) % CLASSES]) for i in range(CLASSES)}
    state = simulate(plan(clients), START, clients, evaluate=accuracy)
    alone = simulate(plan({"dev-0": clients["dev-0"]}), START, {"dev-0": clients["dev-0"]})
    assert [row.accuracy for row in state.table][-1] == accuracy(state.head)
    assert accuracy(state.head) > 0.9 > accuracy(alone.head) + 0.3


def test_silent_clients_do_not_stop_a_run_nor_change_its_bytes() -> None:
    clients = {f"dev-{i}": client(i, list(range(CLASSES))) for i in range(4)}
    there = {name: clients[name] for name in ("dev-0", "dev-2")}
    state = simulate(plan(clients), START, there)
    assert state.reason == "all rounds done"
    assert state.table[0].silent == ("dev-1", "dev-3") and state.table[0].seconds == 60
    assert state.head.encode() == simulate(plan(there), START, there).head.encode()


@pytest.mark.parametrize("strategy", ["median", "trimmed_mean"])
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_of_label_flippers_costs_robust_strategies_little(strategy: str, seed: int) -> None:
    clients = {f"dev-{i}": client(100 * seed + i, list(range(CLASSES))) for i in range(10)}
    attacked = clients | {name: flipped(clients[name]) for name in ("dev-3", "dev-8")}
    clean = simulate(plan(clients, strategy=strategy), START, clients)
    dirty = simulate(plan(attacked, strategy=strategy), START, attacked)
    assert accuracy(clean.head) > 0.9
    assert accuracy(dirty.head) >= accuracy(clean.head) - 0.02


def test_liar_that_turned_its_updates_round_is_out_for_the_rest_of_the_run() -> None:
    """In later rounds honest updates differ so much that directions alone tell little."""
    clients = {f"dev-{i}": client(i, [i % CLASSES, (i + 1) % CLASSES]) for i in range(10)}
    devices = plan(clients, rounds=12)

    def answer(device: str, round_: int, base: HeadWeights) -> list[bytes]:
        update = train(clients[device], devices, round_, base)
        if device == "dev-4":
            update = replace(update, weights=-update.weights, bias=-update.bias)
        return [update.encode()]

    state = simulate_answers(devices, START, answer, present=clients)
    assert all("dev-4" in row.left_out for row in state.table)
    assert state.doubted == {"dev-4"} and state.records["dev-4"].rounds == 12
    assert accuracy(state.head) > 0.9
