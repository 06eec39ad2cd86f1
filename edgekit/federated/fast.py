"""Simulation of a run on this machine, mode "fast": all clients of a round in batched NumPy.

The same strategies, defences, codecs and cohorts as a real run; judging is that of values (finite,
norm). Nothing is signed, sent or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.errors import ConfigError, RefusedError
from edgekit.federated import payload
from edgekit.federated.aggregate import draw_cohort, stepped
from edgekit.federated.checks import NORM_FACTOR, NORM_FLOOR
from edgekit.federated.codecs import rounding_seed
from edgekit.federated.combine import check
from edgekit.federated.nets import DenseNet, Float32Array
from edgekit.federated.settings import SPARSE, Settings
from edgekit.federated.strategies import STRATEGIES, Contribution, Global, Kind
from edgekit.federated.strategies.defences import Record, norm

CHUNK_BYTES = 1 << 20
"""Parameters that are trained at a time; they stay in a cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """The samples of one client: inputs `[N, in]`, labels `[N]` or targets `[N, out]`."""

    x: Float32Array
    y: npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How every client trains: in the order of its samples, epoch after epoch.

    Attributes:
        batch: Samples of a step; a device takes 1.
        order: Seed by which samples are put in another order each epoch; 0: as they lie.
    """

    rate: float
    epochs: int = 1
    batch: int = 1
    decay: float = 0.0
    order: int = 0


@dataclass(frozen=True, slots=True)
class FastRow:
    """A round: accepted, rejected with reason, loss before the steps, bytes up, accuracy."""

    round: int
    accepted: int
    rejected: tuple[tuple[str, str], ...]
    loss: float
    uplink_bytes: int
    accuracy: float | None


@dataclass(frozen=True, slots=True, eq=False)
class FastRun:
    """The parameters at the end, `[P]`, and the rounds."""

    values: Float32Array
    table: tuple[FastRow, ...]


def train(
    net: DenseNet,
    start: Float32Array,
    shards: Sequence[Shard],
    rule: Rule,
    *,
    mu: float = 0.0,
    local: int = 0,
    round_: int = 1,
) -> tuple[Float32Array, Float32Array]:
    """Train each client from the same parameters; return differences `[C, P]` and losses `[C]`.

    Args:
        mu: Proximal term of FedProx.
        local: Parameters at the end that TinyMetaFed fits first, on the first half of the samples.
        round_: Decides, with the rule's seed, the order of samples.
    """
    deltas = np.empty((len(shards), net.size), np.float32)
    losses = np.zeros(len(shards), np.float32)
    order = sorted(range(len(shards)), key=lambda index: -len(shards[index].x))
    at_once = max(1, CHUNK_BYTES // (4 * net.size))
    head = local_layers(net, local)
    for begin in range(0, len(order), at_once):
        chosen = order[begin : begin + at_once]
        parts = [shards[index] for index in chosen]
        counts = np.array([len(part.x) for part in parts])
        values = np.tile(start, (len(parts), 1))
        x, y = _padded(parts, counts)
        total = np.zeros(len(parts), np.float32)
        taken = np.zeros(len(parts), np.int64)
        for epoch in range(rule.epochs):
            if rule.order:
                x, y = _shuffled(x, y, counts, [rule.order, round_, epoch, begin])
            for at in range(0, int(counts[0]), rule.batch):
                # Whole batches run together; the last, shorter ones by themselves.
                for low, high, size, early in _spans(counts, at, rule.batch):
                    total[low:high] += net.sgd(
                        values[low:high],
                        x[low:high, at : at + size],
                        y[low:high, at : at + size],
                        rate=rule.rate,
                        decay=rule.decay,
                        mu=mu,
                        base=start,
                        layers=head if local and early else slice(None),
                    )
                    taken[low:high] += 1
        deltas[chosen] = values - start
        losses[chosen] = total / np.maximum(taken, 1)
    if local:
        deltas[:, net.size - local :] = 0  # never leaves the device
    return deltas, losses


def simulate_fast(
    net: DenseNet,
    start: Float32Array,
    shards: Sequence[Shard],
    *,
    strategy: str,
    settings: Settings,
    rule: Rule,
    rounds: int,
    evaluate: Callable[[Float32Array], float] | None = None,
    told: Callable[[FastRow], None] | None = None,
) -> FastRun:
    """Run all rounds of a plan.

    Args:
        evaluate: Accuracy of parameters, 0 .. 1, after each round.
        told: Is given each round's row.

    Raises:
        ConfigError: If the settings do not combine, or the strategy is asynchronous.
    """
    check(strategy, settings, devices=len(shards), min_updates=min(3, len(shards)))
    if STRATEGIES[strategy].kind is Kind.BUFFER:
        raise ConfigError(f"{strategy} has no rounds; simulate it with mode exact")
    if settings.secure:
        raise ConfigError("masks change no number; simulate secure aggregation with mode exact")
    if start.shape != (net.size,):
        raise ConfigError(f"start has {start.size} parameters, the net {net.size}")
    names = [f"{index:06d}" for index in range(len(shards))]
    state = Global(start.astype(np.float64))
    table: list[FastRow] = []
    residuals: dict[str, Float32Array] = {}
    records: dict[str, Record] = {}
    mu = settings.mu if strategy == "fedprox" else 0.0
    for round_ in range(1, rounds + 1):
        asked = draw_cohort(names, settings, round_)[: settings.cohort or None]
        indices = [int(name) for name in asked]
        base = state.values.astype(np.float32)
        deltas, losses = train(
            net,
            base,
            [shards[index] for index in indices],
            rule,
            mu=mu,
            local=settings.local,
            round_=round_,
        )
        parts, rejected = _judged(base, deltas, asked, indices, shards)
        parts = [(name, _sent(part, settings, residuals, name, round_)) for name, part in parts]
        try:
            state, bounded = stepped(
                strategy,
                state,
                [part for _, part in parts],
                settings,
                progress=(round_ - 1) / rounds,
                noise_round=round_,
                expected=settings.cohort or len(shards),
                doubted=[
                    at
                    for at, (name, _) in enumerate(parts)
                    if name in records and records[name].doubted
                ],
            )
            if bounded.compared:
                for at, (name, _) in enumerate(parts):
                    records[name] = records.get(name, Record()).after(away=at in bounded.away)
        except RefusedError as exc:
            rejected.append(("", str(exc)))
        state = Global(state.values.astype(np.float32).astype(np.float64), state.moments)
        size = payload.payload_bytes(settings.codec, net.size - settings.local, settings.share)
        row = FastRow(
            round_,
            len(parts),
            tuple(rejected),
            float(losses.mean()),
            len(parts) * size,
            None if evaluate is None else evaluate(state.values.astype(np.float32)),
        )
        table.append(row)
        if told is not None:
            told(row)
    return FastRun(state.values.astype(np.float32), tuple(table))


def _judged(
    base: Float32Array,
    deltas: Float32Array,
    asked: Sequence[str],
    indices: Sequence[int],
    shards: Sequence[Shard],
) -> tuple[list[tuple[str, Contribution]], list[tuple[str, str]]]:
    most = max(NORM_FLOOR, NORM_FACTOR * norm(base))
    good, bad = [], []
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.square(deltas, dtype=np.float64).sum(axis=1))
    for row, (name, index) in enumerate(zip(asked, indices, strict=True)):
        if not np.isfinite(norms[row]):
            bad.append((name, "update has values that are not finite"))
        elif norms[row] > most:
            bad.append((name, f"norm of the update is {norms[row]:.6g}, at most {most:.6g}"))
        else:
            good.append((name, Contribution(deltas[row], len(shards[index].x))))
    return good, bad


def _sent(
    part: Contribution,
    settings: Settings,
    residuals: dict[str, Float32Array],
    name: str,
    round_: int,
) -> Contribution:
    """Return a contribution as the server reads it; what TinyMetaFed keeps does not travel."""
    if settings.codec == "float32":
        return part
    end = len(part.delta) - settings.local
    values = part.delta[:end].astype(np.float32)
    seed = rounding_seed(name, 1, round_)
    if settings.feedback:
        left = residuals.get(name, np.zeros_like(values))
        data, residuals[name] = payload.with_feedback(
            values, left, settings.codec, share=settings.share, seed=seed
        )
    else:
        data = payload.encode(values, settings.codec, share=settings.share, seed=seed)
    received = payload.decode(data, settings.codec, end)
    delta = np.zeros(len(part.delta), np.float32)
    delta[:end] = received.values
    sent = None
    if settings.codec in SPARSE and received.sent is not None:
        sent = np.zeros(len(delta), bool)
        sent[:end] = received.sent
    return Contribution(delta, part.samples, sent=sent)


def local_layers(net: DenseNet, local: int) -> slice:
    """Return the layers at the end that have `local` parameters.

    Raises:
        ConfigError: If no whole layers have.
    """
    sizes = net.layer_sizes
    for count in range(len(sizes)):
        if sum(sizes[len(sizes) - count :]) == local:
            return slice(len(sizes) - count, None)
    raise ConfigError(f"local part of {local} parameters is not whole layers of {list(sizes)}")


def _padded(
    parts: Sequence[Shard], counts: npt.NDArray[np.integer]
) -> tuple[Float32Array, npt.NDArray[np.generic]]:
    most = int(counts[0])
    x = np.zeros((len(parts), most, *parts[0].x.shape[1:]), np.float32)
    y = np.zeros((len(parts), most, *parts[0].y.shape[1:]), parts[0].y.dtype)
    for index, part in enumerate(parts):
        x[index, : len(part.x)], y[index, : len(part.y)] = part.x, part.y
    return x, y


def _shuffled(
    x: Float32Array,
    y: npt.NDArray[np.generic],
    counts: npt.NDArray[np.integer],
    seed: Sequence[int],
) -> tuple[Float32Array, npt.NDArray[np.generic]]:
    rng = np.random.default_rng(list(seed))
    x, y = x.copy(), y.copy()
    for index, count in enumerate(counts):
        order = rng.permutation(count)
        x[index, :count], y[index, :count] = x[index, order], y[index, order]
    return x, y


def _spans(
    counts: npt.NDArray[np.integer], at: int, batch: int
) -> list[tuple[int, int, int, bool]]:
    """Group clients, which lie by falling counts, by the size of their batch at a position.

    Returns:
        First and last + 1 of each group, its batch, whether it is in the first half of its samples.
    """
    sizes, early = np.clip(counts - at, 0, batch), 2 * at < counts
    spans, low = [], 0
    while low < len(sizes) and sizes[low] > 0:
        alike = (sizes[low:] == sizes[low]) & (early[low:] == early[low])
        high = low + int(alike.sum())
        spans.append((low, high, int(sizes[low]), bool(early[low])))
        low = high
    return spans
