"""Simulation of a run on this machine: the same rounds, with each client trained by the device's C.

Mode "exact": the heads have the same bytes as those of devices that hold the same samples.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.federated.codecs import (
    HeadWeights,
    Update,
    compressed,
    compressed_with_feedback,
    decode_head,
    rounding_seed,
)
from edgekit.federated.rounds import (
    OPENED,
    ROUND_CLOSED,
    ROUND_OPENED,
    Fact,
    Phase,
    RunPlan,
    RunState,
    advance,
    apply,
    open_run,
    receive,
)
from edgekit.federated.secure_simulate import simulate_secure
from edgekit.runtime.head import HeadTrainer


@dataclass(frozen=True, slots=True, eq=False)
class Client:
    """What one device holds, as its model sees it.

    Attributes:
        features: int8 `[N, h]`, the tensor that the head reads, in the order of the samples.
        labels: Classes, `[N]`.
        scale: Step of the features: x = (q - zero_point) * scale.
    """

    features: npt.NDArray[np.int8]
    labels: npt.NDArray[np.integer]
    scale: float
    zero_point: int


def train(client: Client, plan: RunPlan, round_: int, head: HeadWeights) -> Update:
    """Return the update that a device with these samples would offer in a round.

    Twin: firmware/learn/ek_exchange.c, ek_update_write
    """
    trainer = HeadTrainer(head.weights, head.bias)
    losses = trainer.train(
        client.features,
        client.labels,
        scale=client.scale,
        zero_point=client.zero_point,
        rate=plan.rate,
        decay=plan.decay,
        mu=plan.mu,
        local=plan.settings.local,
        epochs=plan.epochs,
    )
    return Update(
        run=plan.run,
        round=round_,
        samples=len(client.labels),
        base_hash=head.hash,
        loss_first=losses[0],
        loss_last=losses[-1],
        weights=trainer.weights - head.weights,
        bias=trainer.bias - head.bias,
    )


class Coder:
    """Writes the updates of a plan's devices, and remembers what each left out."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._left_out: dict[str, npt.NDArray[np.float32]] = {}

    def encode(self, device: str, update: Update) -> bytes:
        """Return an update as its device would send it."""
        settings, plan = self._plan.settings, self._plan
        seed = rounding_seed(device, plan.run, update.round)
        if not settings.feedback:
            sent = compressed(
                update, settings.codec, share=settings.share, seed=seed, local=settings.local
            )
            return sent.encode()
        sent, self._left_out[device] = compressed_with_feedback(
            update,
            self._left_out.get(device),
            settings.codec,
            share=settings.share,
            seed=seed,
            local=settings.local,
        )
        return sent.encode()


def simulate(
    plan: RunPlan,
    head: HeadWeights,
    clients: Mapping[str, Client],
    *,
    evaluate: Callable[[HeadWeights], float] | None = None,
    told: Callable[[RunState], None] | None = None,
) -> RunState:
    """Run all rounds of a plan; devices of the plan without a client stay silent.

    Args:
        evaluate: Accuracy of a head, 0 .. 1, for the table of rounds.
        told: Is given the state after each round.
    """
    coder = Coder(plan)

    def answer(device: str, round_: int, base: HeadWeights) -> list[bytes]:
        return [coder.encode(device, train(clients[device], plan, round_, base))]

    return simulate_answers(
        plan, head, answer, present=clients.keys(), evaluate=evaluate, told=told
    )


Answer = Callable[[str, int, HeadWeights], list[bytes]]
"""(device, round, base) -> update objects that it delivers, usually one."""


def simulate_answers(
    plan: RunPlan,
    head: HeadWeights,
    answer: Answer,
    *,
    present: Collection[str],
    seconds: Callable[[str], float] = lambda device: 0.0,
    evaluate: Callable[[HeadWeights], float] | None = None,
    told: Callable[[RunState], None] | None = None,
) -> RunState:
    """Run all rounds of a plan on a clock of its own, with devices that answer as they like.

    Args:
        answer: What a device delivers for its task; only asked when its time has come.
        present: Devices that answer at all.
        seconds: Simulated time from task to answer.
        evaluate: Accuracy of a head, 0 .. 1, for the table of rounds.
        told: Is given the state after each round; raises StopIteration to end the run.
    """
    if plan.settings.secure:
        return simulate_secure(plan, head, answer, present=present, evaluate=evaluate, told=told)
    now_s = 0.0
    first = open_run(plan, head)
    state = apply(None, OPENED, first.body, time_s=now_s, blob=first.blob)
    waiting: list[tuple[float, int, str, int, HeadWeights]] = []
    numbers = itertools.count()

    def take(fact: Fact) -> None:
        nonlocal state
        state = apply(state, fact.kind, fact.body, time_s=now_s, blob=fact.blob)

    while state.phase is not Phase.FINISHED:
        fact = advance(state, now_s)
        if fact is None:
            end_s = state.opened_s + plan.deadline_s
            if not waiting or waiting[0][0] > end_s:  # somebody is silent
                now_s = end_s
                continue
            now_s, _, device, round_, base = heapq.heappop(waiting)
            for data in answer(device, round_, base):
                if state.collecting:
                    take(receive(state, device, data))
            continue
        if fact.kind == ROUND_CLOSED and evaluate is not None and fact.blob is not None:
            fact.body["accuracy"] = evaluate(decode_head(fact.blob))
        take(fact)
        if fact.kind == ROUND_CLOSED and told is not None:
            try:
                told(state)
            except StopIteration:
                break
        if fact.kind == ROUND_OPENED:
            for device in state.missing:
                if device in present and state.busy.get(device) == state.round:
                    due_s = now_s + seconds(device)
                    task = (due_s, next(numbers), device, state.round, state.head)
                    heapq.heappush(waiting, task)
    return state
