"""Twelve attacks by a fifth of the clients, against the defences that every run has by default.

20 clients with MNIST, a dense net 784-32-10. Each update is a real object that is judged as on a
fleet; what passes is clipped and weighed as `Settings()` says, and folded by the default strategy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.federated.aggregate import flat
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.fast import Rule, Shard, train
from edgekit.federated.nets import DenseNet, Float32Array
from edgekit.federated.plan import RunPlan
from edgekit.federated.simulate import simulate_answers
from tools.bench.federated_mnist import Images, dirichlet, head, load
from tools.bench.rows import Result, Row, row

NET = DenseNet((784, 32, 10), activation="relu")
CLIENTS = 20
LIARS = tuple(f"c{i:02d}" for i in (2, 7, 11, 18))
ALPHA = 0.5
ROUNDS = 25
RULE = Rule(rate=0.05, batch=32, order=1)
DEADLINE_S = 60.0
WITHIN = 2.0  # points


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What a liar knows: its honest update, the base, what it sent in the last round."""

    honest: Update
    base: HeadWeights
    last: bytes | None


Attack = Callable[[Turn], list[bytes]]


def _filled(turn: Turn, value: float) -> list[bytes]:
    size = turn.honest.weights.size
    return [_of(turn.honest, np.full(size + 1, value, np.float32)).encode()]


def _times(turn: Turn, factor: float) -> list[bytes]:
    lie = _of(turn.honest, np.float32(factor) * flat(turn.honest))
    return [replace(lie, samples=1_000_000).encode()]


def _one_more(turn: Turn) -> list[bytes]:
    longer = np.append(flat(turn.honest), np.float32(0))
    return [_of(turn.honest, longer).encode()]


def _honest(turn: Turn) -> list[bytes]:
    return [turn.honest.encode()]


ATTACKS: dict[str, Attack] = {
    "NaN": lambda turn: _filled(turn, float("nan")),
    "infinite": lambda turn: _filled(turn, float("inf")),
    "1e6": lambda turn: _filled(turn, 1e6),
    "sign flip": lambda turn: _times(turn, -1.0),
    "scaled": lambda turn: _times(turn, -10.0),
    "zero": lambda turn: _times(turn, 0.0),
    "wrong shape": _one_more,
    "oversize": lambda turn: [turn.honest.encode() + bytes(1 << 20)],
    "duplicate": lambda turn: _times(turn, -1.0) * 5,
    "late": _honest,
    "previous round": lambda turn: _honest(turn) if turn.last is None else [turn.last],
    "label flip": _honest,
}
"""By name; of "late" the time is the lie, of "label flip" the labels."""


def measure_attack(name: str, seed: int, data: Path) -> Result:
    """Run all rounds under an attack; the empty name is the clean run."""
    trained, test = load(data)
    shares = dirichlet(trained.y, CLIENTS, ALPHA, seed)
    devices = tuple(f"c{i:02d}" for i in range(CLIENTS))
    shards = [
        _shard(Images(trained.x[share], trained.y[share]), flip=name == "label flip" and d in LIARS)
        for d, share in zip(devices, shares, strict=True)
    ]
    plan = RunPlan(
        run=1,
        base_image="00" * 32,
        rounds=ROUNDS,
        devices=devices,
        epochs=1,
        rate=RULE.rate,
        deadline_s=DEADLINE_S,
    )
    kept: dict[int, list[Update]] = {}
    last: dict[str, bytes] = {}

    def honest(device: str, round_: int, base: HeadWeights) -> Update:
        if round_ not in kept:
            kept.clear()
            kept[round_] = _updates(shards, base, round_)
        return kept[round_][devices.index(device)]

    def answer(device: str, round_: int, base: HeadWeights) -> list[bytes]:
        update = honest(device, round_, base)
        if device not in LIARS or not name:
            return [update.encode()]
        sent = ATTACKS[name](Turn(update, base, last.get(device)))
        last[device] = update.encode()
        return sent

    late = DEADLINE_S + 1
    state = simulate_answers(
        plan,
        head(NET.start(np.random.default_rng([seed, 6]))),
        answer,
        present=devices,
        seconds=lambda device: late if name == "late" and device in LIARS else 1.0,
    )
    reasons = sorted({reason for each in state.table for _, reason in each.rejected})
    named = {device for each in state.table for device, _ in each.rejected}
    return {
        "set": "attacks",
        "attack": name,
        "seed": seed,
        "accuracy": _accuracy(flat(state.head), test),
        "rounds": len(state.table),
        "rejected": sum(len(each.rejected) for each in state.table),
        "honest_rejected": len(named - set(LIARS)),
        "silent": sum(len(each.silent) for each in state.table),
        "reason": reasons[0] if reasons else "",
    }


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    found = {each["attack"]: each for each in results if each.get("set") == "attacks"}
    if "" not in found:
        return []
    clean = found[""]["accuracy"]
    rows = []
    for name in ATTACKS:
        each = found.get(name)
        lost = None if each is None else clean - each["accuracy"]
        good = each is not None and each["honest_rejected"] == 0
        label = f"attack '{name}' by {len(LIARS)} of {CLIENTS}: points lost"
        rows.append(row(label, lost, "points", WITHIN, good=good))
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    return [
        [
            each["attack"] or "none",
            f"{each['accuracy']:.2f}",
            str(each["rejected"]),
            str(each["silent"]),
            each["reason"] or "-",
        ]
        for each in results
        if each.get("set") == "attacks"
    ]


def _updates(shards: list[Shard], base: HeadWeights, round_: int) -> list[Update]:
    deltas, losses = train(NET, flat(base), shards, RULE, round_=round_)
    made = []
    for delta, loss, shard in zip(deltas, losses, shards, strict=True):
        sent = head(delta)
        made.append(
            Update(
                1,
                round_,
                len(shard.x),
                base.hash,
                float(loss),
                float(loss),
                sent.weights,
                sent.bias,
            )
        )
    return made


def _shard(part: Images, *, flip: bool) -> Shard:
    labels = 9 - part.y if flip else part.y
    return Shard(part.x.reshape(len(part.x), -1), labels)


def _of(update: Update, values: Float32Array) -> Update:
    made = head(values)
    return replace(update, weights=made.weights, bias=made.bias)


def _accuracy(values: Float32Array, test: Images) -> float:
    out = NET.outputs(values[None], test.x.reshape(1, len(test.x), -1))[0]
    return float(100 * (out.argmax(axis=1) == test.y).mean())
