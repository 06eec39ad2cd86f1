"""Meta-learning on sines: what a device needs to send so that others adapt in a few steps.

The task is y = A sin(x + phase), A in 0.1 .. 5, phase in 0 .. 2 pi, x in -5 .. 5. The net has
1-32-32-1 neurons with tanh; one device a round has 32 samples and sees each once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgekit.federated import payload
from edgekit.federated.aggregate import step
from edgekit.federated.codecs import UPDATE_HEADER_BYTES
from edgekit.federated.nets import DenseNet, Float32Array
from edgekit.federated.settings import SPARSE, Settings
from edgekit.federated.strategies import Contribution, Global
from edgekit.federated.strategies.base import Float64Array
from edgekit.runtime.net import DenseNet as DeviceNet
from tools.bench.rows import Result, Row, row, row_of_least

NET = DenseNet((1, 32, 32, 1), loss="mse")
LAST = NET.layer_sizes[-1]
BODY = DenseNet(NET.sizes[:-1])
SAMPLES = 32
SHOTS = 10
TASKS = 100
TEST_RATE = 0.02
STEPS = (0, 1, 8, 32)
GRID = np.linspace(-5, 5, 50, dtype=np.float32)[None, :, None]
ROUNDS = 10_000
SEEDS = (1, 2, 3, 4, 5, 6)
TARGETS = {8: 0.10, 32: 0.06}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration.

    Attributes:
        head_samples: Of the stream, on which the device fits the local part first.
        head_rate: Rate of that fit.
        fleet: Devices that a round's is drawn from, which keep what they did not send and add it
            the next time; 0: each is new.
    """

    strategy: str
    settings: Settings
    rate: float = 0.01
    head_samples: int = 0
    head_rate: float = 0.01
    fleet: int = 0


TOP = Settings(codec="top_p", share=0.25)
CASES = {
    "TinyReptile": Case(strategy="tiny_reptile", settings=Settings()),
    "TinyReptile, top 25 %": Case(
        strategy="tiny_reptile", settings=replace(TOP, server_rate=0.8), rate=0.012
    ),
    "TinyReptile, top 25 %, error feedback": Case(
        strategy="tiny_reptile", settings=replace(TOP, feedback=True), fleet=100
    ),
    "TinyMetaFed": Case(
        strategy="tiny_metafed",
        settings=replace(TOP, local=LAST),
        head_samples=4,
        head_rate=0.02,
    ),
}
"""Rates were chosen on other sines, starts and seeds than those that the bench measures."""
WITHIN = {
    "TinyReptile, top 25 %": 1.5,
    "TinyReptile, top 25 %, error feedback": 1.5,
    "TinyMetaFed": 2.5,
}


def uplink(settings: Settings) -> int:
    """Return the bytes of one update object."""
    size = NET.size - settings.local
    return UPDATE_HEADER_BYTES + payload.payload_bytes(settings.codec, size, settings.share)


def learn(case: Case, seed: int, rounds: int) -> Float32Array:
    """Return the parameters that a run learned, `[P]`; each device trains with its own C code."""
    rng, draw = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 3])
    state = Global(_start(rng, case.settings.local))
    device = DeviceNet(NET.sizes, hidden=NET.activation, loss="square")
    left = np.zeros((case.fleet, NET.size - case.settings.local), np.float32)
    for round_ in range(rounds):
        task = _task(rng)
        x = rng.uniform(-5, 5, (SAMPLES, 1)).astype(np.float32)
        base = state.values.astype(np.float32)
        device.parameters = _reconstructed(case, base, x, _sine(task, x))
        begin = case.head_samples
        device.train(x[begin:], _sine(task, x[begin:]), rate=case.rate)
        delta = device.parameters - base
        kept = left[draw.integers(case.fleet)] if case.fleet else None
        part = _travelled(delta, case.settings, round_, kept)
        state = step(case.strategy, state, [part], case.settings, progress=round_ / rounds)
    return state.values.astype(np.float32)


def _start(rng: np.random.Generator, local: int) -> Float64Array:
    """Return the parameters that a run begins with; what stays on devices begins at 0."""
    values = NET.start(rng).astype(np.float64)
    values[NET.size - local :] = 0
    return values


def _reconstructed(
    case: Case, base: Float32Array, x: Float32Array, y: Float32Array
) -> Float32Array:
    """Return the base with its last layer fitted to the first samples, the rest frozen."""
    if not case.head_samples:
        return base
    inputs = np.tanh(BODY.outputs(base[None, :-LAST], x[None, : case.head_samples])[0])
    head = DeviceNet((NET.sizes[-2], NET.sizes[-1]), loss="square", parameters=base[-LAST:])
    head.train(inputs, y[: case.head_samples], rate=case.head_rate)
    return np.concatenate([base[:-LAST], head.parameters])


def adapted(start: Float32Array, seed: int) -> dict[int, float]:
    """Return the error on unseen tasks after so many steps on `SHOTS` samples, by steps."""
    rng = np.random.default_rng([seed, 2])
    tasks = [_task(rng) for _ in range(TASKS)]
    x = rng.uniform(-5, 5, (TASKS, SHOTS, 1)).astype(np.float32)
    y = np.stack([_sine(task, part) for task, part in zip(tasks, x, strict=True)])
    grid = np.broadcast_to(GRID, (TASKS, *GRID.shape[1:]))
    wanted = np.stack([_sine(task, GRID[0]) for task in tasks])
    values = np.tile(start, (TASKS, 1))
    errors = {}
    for done in range(max(STEPS) + 1):
        if done in STEPS:
            errors[done] = float(((NET.outputs(values, grid) - wanted) ** 2).mean())
        NET.sgd(values, x, y, rate=TEST_RATE)
    return errors


def measure_case(name: str, seeds: tuple[int, ...], rounds: int = ROUNDS) -> list[Result]:
    """Learn and test each seed."""
    case = CASES[name]
    return [
        {
            "set": "sine",
            "case": name,
            "seed": seed,
            "rounds": rounds,
            "uplink_bytes": uplink(case.settings),
            "mse": {str(at): error for at, error in errors.items()},
        }
        for seed in seeds
        for errors in [adapted(learn(case, seed, rounds), seed)]
    ]


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    rows = []
    plain = _of(results, "TinyReptile")
    for steps, target in TARGETS.items():
        reached = sum(each["mse"][str(steps)] <= target for each in plain)
        label = f"sine, TinyReptile: seeds with {steps}-step MSE <= {target}"
        rows.append(row_of_least(label, reached if plain else None, "of 6 seeds", 5))
    for name, factor in WITHIN.items():
        found = _of(results, name)
        if not (found and plain):
            continue
        for steps in TARGETS:
            ratio = _mean(found, steps) / _mean(plain, steps)
            label = f"sine, {name}: {steps}-step MSE beside TinyReptile"
            rows.append(row(label, ratio, "x", factor, good=True))
        fewer = uplink(Settings()) / found[0]["uplink_bytes"]
        label = f"sine, {name}: fewer uplink bytes than float32"
        rows.append(row_of_least(label, fewer, "x", 3.5))
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table: mean over seeds, worst seed."""
    lines = []
    for name in CASES:
        found = _of(results, name)
        if not found:
            continue
        cells = []
        for steps in STEPS:
            worst = max(each["mse"][str(steps)] for each in found)
            cells.append(f"{_mean(found, steps):.3f} ({worst:.3f})")
        lines.append([name, str(len(found)), *cells, f"{found[0]['uplink_bytes']:,}"])
    return lines


def _of(results: list[Result], name: str) -> list[Result]:
    return [each for each in results if each.get("set") == "sine" and each["case"] == name]


def _mean(found: list[Result], steps: int) -> float:
    return float(np.mean([each["mse"][str(steps)] for each in found]))


def _task(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(0.1, 5)), float(rng.uniform(0, 2 * np.pi))


def _sine(task: tuple[float, float], x: npt.NDArray[np.floating]) -> Float32Array:
    made: Float32Array = (task[0] * np.sin(x + task[1])).astype(np.float32)
    return made


def _travelled(
    delta: Float32Array, settings: Settings, round_: int, left: Float32Array | None
) -> Contribution:
    """Return an update as the server reads it; the local part stays on the device.

    Args:
        left: What the device did not send before, changed in place; None: it keeps nothing.
    """
    end = len(delta) - settings.local
    if left is None:
        data = payload.encode(delta[:end], settings.codec, share=settings.share, seed=round_)
    else:
        data, left[:] = payload.with_feedback(
            delta[:end], left, settings.codec, share=settings.share, seed=round_
        )
    received = payload.decode(data, settings.codec, end)
    whole = np.zeros(len(delta), np.float32)
    whole[:end] = received.values
    if settings.codec not in SPARSE or received.sent is None:
        return Contribution(whole, SAMPLES)
    sent = np.zeros(len(delta), bool)
    sent[:end] = received.sent
    return Contribution(whole, SAMPLES, sent=sent)
