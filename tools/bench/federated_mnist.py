"""MNIST among ten clients with unlike labels: strategies beside each other, and a slow client.

20,000 images, split by Dirichlet(0.5) over labels; the small convolutional net of `federated_conv`,
which travels as real updates that are judged, clipped and folded as on a fleet.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.federated.aggregate import flat, head_of
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.nets import Float32Array
from edgekit.federated.plan import RunPlan
from edgekit.federated.settings import Settings
from edgekit.federated.simulate import simulate_answers
from edgekit.federated.state import RunState
from tools.bench import federated_conv as conv
from tools.bench.rows import Result, Row, row, row_of_least

Labels = npt.NDArray[np.integer]
CLIENTS = 10
ALPHA = 0.5
ROUNDS = 50
BATCH = 32
RATE = 0.02
MOMENTUM = 0.9
LAST = 5
"""Rounds whose mean accuracy is the accuracy of a run."""
SLOW = 10.0
BUFFER = 5
STRATEGIES: dict[str, Settings] = {
    "fedavg": Settings(),
    "fedprox": Settings(mu=0.01),
    "fedyogi": Settings(server_rate=0.01),
    "fedbuff": Settings(buffer=BUFFER),
}
TARGET = 97.5


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Inputs `[N, 28, 28, 1]`, about 0 and 1 in mean and spread, and labels."""

    x: Float32Array
    y: Labels


def load(data: Path) -> tuple[Images, Images]:
    """Return the train and the test part."""
    with np.load(data / "mnist" / "mnist.npz") as kept:
        parts = [
            Images(
                ((kept[f"X_{name}"].astype(np.float32) / 255 - 0.13) / 0.31)[..., None],
                kept[f"y_{name}"].astype(np.int64),
            )
            for name in ("train", "test")
        ]
    return parts[0], parts[1]


def dirichlet(labels: Labels, clients: int, alpha: float, seed: int) -> list[Labels]:
    """Split indices so that each class is divided by Dirichlet(alpha); nobody has fewer than 32.

    Source: Hsu et al., "Measuring the Effects of Non-Identical Data Distribution", 2019; with the
        floor of Li et al., "Federated Learning on Non-IID Data Silos", 2022
    """
    rng = np.random.default_rng([seed, 77])
    while True:
        shares: list[list[int]] = [[] for _ in range(clients)]
        for label in np.unique(labels):
            of_class = rng.permutation(np.flatnonzero(labels == label))
            cuts = (np.cumsum(rng.dirichlet([alpha] * clients)) * len(of_class)).astype(int)
            for share, part in zip(shares, np.split(of_class, cuts[:-1]), strict=True):
                share += part.tolist()
        if min(map(len, shares)) >= BATCH:
            return [np.array(share) for share in shares]


def local_update(
    base: Float32Array, part: Images, *, mu: float, seed: list[int]
) -> tuple[Float32Array, float]:
    """Train one epoch from the base; return the difference and the mean loss."""
    rng = np.random.default_rng(seed)
    values, speed, losses = base.copy(), np.zeros_like(base), []
    order = rng.permutation(len(part.x))
    for at in range(0, len(order), BATCH):
        chosen = order[at : at + BATCH]
        loss, slope = conv.gradient(values, part.x[chosen], part.y[chosen])
        if mu:
            slope += np.float32(mu) * (values - base)
        speed = np.float32(MOMENTUM) * speed + slope
        values -= np.float32(RATE) * speed
        losses.append(loss)
    return values - base, float(np.mean(losses))


def head(values: Float32Array) -> HeadWeights:
    """Return a vector as it travels: one class, P - 1 features."""
    return head_of(values, (1, len(values) - 1))


def measure_strategy(name: str, seed: int, data: Path, goal: float | None = None) -> Result:
    """Run one strategy; client 0 is `SLOW` times as slow as the others.

    Args:
        goal: Accuracy in per cent at whose reaching, as a mean of `LAST` steps, an asynchronous
            run ends.
    """
    train, test = load(data)
    shares = dirichlet(train.y, CLIENTS, ALPHA, seed)
    parts = {f"c{i:02d}": Images(train.x[s], train.y[s]) for i, s in enumerate(shares)}
    settings = STRATEGIES[name]
    mu = settings.mu if name == "fedprox" else 0.0
    plan = RunPlan(
        run=1,
        base_image="00" * 32,
        strategy=name,
        rounds=ROUNDS if name != "fedbuff" else ROUNDS * CLIENTS,
        devices=tuple(parts),
        epochs=1,
        rate=RATE,
        deadline_s=1e6,
        settings=settings,
    )
    times: list[float] = []

    def answer(device: str, round_: int, base: HeadWeights) -> list[bytes]:
        index = int(device[1:])
        delta, loss = local_update(flat(base), parts[device], mu=mu, seed=[seed, index, round_])
        sent = head(delta)
        update = Update(
            1, round_, len(parts[device].x), base.hash, loss, loss, sent.weights, sent.bias
        )
        return [update.encode()]

    def told(state: RunState) -> None:
        times.append(state.table[-1].seconds + (times[-1] if times else 0.0))
        if goal is not None and len(times) >= LAST and _mean_last(state) >= goal:
            raise StopIteration

    state = simulate_answers(
        plan,
        head(conv.start(np.random.default_rng([seed, 5]))),
        answer,
        present=plan.devices,
        seconds=lambda device: SLOW if device == "c00" else 1.0,
        evaluate=lambda made: conv.accuracy(flat(made), test.x, test.y),
        told=told,
    )
    return {
        "set": "mnist",
        "strategy": name,
        "seed": seed,
        "accuracy": _mean_last(state),
        "steps": len(times),
        "seconds": times[-1],
        "curve": [round(100 * (each.accuracy or 0), 2) for each in state.table],
        "rejected": sum(len(each.rejected) for each in state.table),
    }


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    found = {each["strategy"]: each for each in results if each.get("set") == "mnist"}
    if "fedavg" not in found:
        return []
    plain = found["fedavg"]
    label = f"MNIST, FedAvg, {ROUNDS} rounds, Dirichlet({ALPHA})"
    rows = [row_of_least(label, plain["accuracy"], "%", TARGET)]
    for name in ("fedprox", "fedyogi"):
        if name in found:
            behind = plain["accuracy"] - found[name]["accuracy"]
            rows.append(row(f"MNIST, {name}: behind FedAvg", behind, "points", 1.0, good=True))
    if "fedbuff" in found:
        buffered = found["fedbuff"]
        reached = buffered["accuracy"] >= plain["accuracy"]
        ratio = buffered["seconds"] / plain["seconds"]
        label = f"MNIST, FedBuff, one client {SLOW:g} x slower: simulated time to FedAvg's accuracy"
        rows.append(row(label, ratio, "x", 0.5, good=reached))
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    return [
        [
            each["strategy"],
            f"{each['accuracy']:.2f}",
            str(each["steps"]),
            f"{each['seconds']:.0f}",
            str(each["rejected"]),
        ]
        for each in results
        if each.get("set") == "mnist"
    ]


def _mean_last(state: RunState) -> float:
    return float(100 * np.mean([each.accuracy or 0.0 for each in state.table[-LAST:]]))
