"""The federated part of the demo: each device alone, then all together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Part
from edgekit.demo.console import Step
from edgekit.demo.world import World
from edgekit.federated.codecs import HeadWeights
from edgekit.federated.orders import head_of_image
from edgekit.federated.rounds import Phase, RunPlan, RunState
from edgekit.formats.image_reader import read_image
from edgekit.runtime import Runner

ROUNDS = 8
EPOCHS = 2
RATE = 0.05
DECAY = 0.0
ROUND_S = 90.0
RUN = 1
RUN_ALONE = 101


@dataclass(frozen=True, slots=True)
class Learned:
    """What learning on the devices came to; accuracies on the held-out part.

    Attributes:
        alone: Per device, of the head that it reached without the others in as many rounds.
        together: The federated run.
    """

    before: float
    alone: dict[str, float]
    together: RunState

    @property
    def after(self) -> float:
        """Accuracy of the last global head."""
        return self.together.table[-1].accuracy or 0.0

    @property
    def best_alone(self) -> tuple[str, float]:
        """Name and accuracy of the best device of those that learned alone."""
        return max(self.alone.items(), key=lambda item: item[1])


def model_inputs(image: bytes, part: Part) -> NDArray[np.int8]:
    """Turn raw samples into model inputs by the image's own table, int8 [N, ...]."""
    table = np.frombuffer(read_image(image).features.table, dtype=np.int8)
    return table[part.raw]


def head_accuracy(image: bytes, part: Part) -> Callable[[HeadWeights], float]:
    """Return a function that measures a float head on the int8 features of a part."""
    head = read_image(image).head
    assert head is not None
    runner = Runner(image)
    quantized = runner.features(model_inputs(image, part))
    features = (quantized.reshape(len(part), -1).astype(np.float64) - head.zero_point) * head.scale

    def measure(weights: HeadWeights) -> float:
        logits = features @ weights.weights.T.astype(np.float64) + weights.bias
        return float(np.mean(logits.argmax(axis=1) == part.labels))

    return measure


def learn(world: World, image: bytes, part: Part, devices: tuple[str, ...], step: Step) -> Learned:
    """Let each device learn alone for as many rounds, then all of them together."""
    measure = head_accuracy(image, part)
    base = head_of_image(image)
    base_image = read_image(image).id.hex()

    def plan(run: int, members: tuple[str, ...]) -> RunPlan:
        return RunPlan(
            run=run,
            base_image=base_image,
            rounds=ROUNDS,
            devices=members,
            epochs=EPOCHS,
            rate=RATE,
            decay=DECAY,
            deadline_s=ROUND_S,
        )

    alone = {device: RUN_ALONE + i for i, device in enumerate(devices)}
    for device, run in alone.items():
        world.federated.start(plan(run, (device,)), base, evaluate=measure)
    _wait(world, tuple(alone.values()), step, begin=0.0, what="each device alone")
    world.federated.start(plan(RUN, devices), base, evaluate=measure)
    _wait(world, (RUN,), step, begin=0.5, what="all together")
    return Learned(
        before=measure(base),
        alone={d: measure(world.federated.status(run).head) for d, run in alone.items()},
        together=world.federated.status(RUN),
    )


def _wait(world: World, runs: tuple[int, ...], step: Step, *, begin: float, what: str) -> None:
    def finished() -> bool:
        states = [world.federated.status(run) for run in runs]
        rounds = sum(len(state.table) for state in states)
        step.update(begin + 0.5 * rounds / (ROUNDS * len(runs)), f"{what}: {rounds} rounds")
        return all(state.phase is Phase.FINISHED for state in states)

    world.wait_until(what, finished, step=Step(what), timeout_s=ROUNDS * ROUND_S)
