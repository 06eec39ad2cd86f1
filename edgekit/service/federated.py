"""Driving federated runs: the state machine of `federated/rounds.py` between journal and fleet.

All state lives on the server's thread. An update is fetched only after its size and hash are what
the round allows, judged, and kept in the journal before it counts; a server that was killed takes
up a run where it was. The samples of the devices never come here.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgekit.errors import DeviceError, EdgekitError, RefusedError
from edgekit.federated.codecs import HeadWeights, decode_head, update_bytes
from edgekit.federated.rounds import (
    FINISHED,
    KINDS,
    OPENED,
    ROUND_CLOSED,
    ROUND_OPENED,
    Fact,
    Phase,
    RunPlan,
    RunState,
    advance,
    apply,
    finish,
    open_run,
    receive,
    refused_by_device,
    reject,
)
from edgekit.fleet.devices import DeviceView
from edgekit.journal import Journal
from edgekit.link.messages import FederatedReport, FederatedState, FederatedTask
from edgekit.service.server import KEEP, FleetServer

log = logging.getLogger(__name__)

TICK_S = 0.25
MAX_PULLS = 3  # attempts to fetch one update

Evaluate = Callable[[HeadWeights], float]


@dataclass(slots=True)
class _Live:
    """A run with what its state does not say.

    Attributes:
        evaluate: Accuracy of a head, 0 .. 1; None leaves it out.
        pulling: Devices whose update is under way.
        pulls: Attempts per device and round.
    """

    state: RunState
    evaluate: Evaluate | None = None
    pulling: set[str] = field(default_factory=set)
    pulls: dict[tuple[str, int], int] = field(default_factory=dict)


class FederatedDriver:
    """Runs the federated runs of one server; takes up those that its journal holds.

    Args:
        evaluate: Accuracy of a head, 0 .. 1, for runs that are taken up again. Like that of `start`
            it is called on the server's thread and holds up everything else there.
    """

    def __init__(self, server: FleetServer, *, evaluate: Evaluate | None = None) -> None:
        self._server = server
        self._evaluate = evaluate
        self._lives: dict[int, _Live] = {}
        self._changed = threading.Condition()
        server.call(self._load)
        server.add_listener(self._on_device)
        server.add_ticker(TICK_S, self._on_tick)

    def run(
        self,
        plan: RunPlan,
        head: HeadWeights,
        *,
        timeout_s: float,
        evaluate: Evaluate | None = None,
    ) -> RunState:
        """Start a run and wait for its end: the final head and a table of rounds.

        Raises:
            RefusedError: If the number was used, or a device is unknown or in another run.
            DeviceError: If it has not finished within the time.
        """
        self.start(plan, head, evaluate=evaluate)
        return self.wait(plan.run, timeout_s)

    def start(self, plan: RunPlan, head: HeadWeights, *, evaluate: Evaluate | None = None) -> None:
        """Start a run from a head.

        Raises:
            RefusedError: If the number was used, or a device is unknown or in another run.
        """
        self._server.call(lambda: self._start(plan, head, evaluate or self._evaluate))

    def abort(self, run: int, reason: str = "by hand") -> None:
        """End a run; its head is that of the last closed round."""

        def order() -> None:
            live = self._live(run)
            if live.state.phase is Phase.FINISHED:
                raise RefusedError(f"run {run} has finished: {live.state.reason}")
            self._enter(live, finish(live.state, f"aborted: {reason}"))

        self._server.call(order)

    def status(self, run: int) -> RunState:
        """Return the state of a run.

        Raises:
            RefusedError: If there is none of that number.
        """
        return self._server.call(lambda: self._live(run).state)

    def wait(self, run: int, timeout_s: float) -> RunState:
        """Wait until a run has finished, and return its state.

        Raises:
            DeviceError: If it has not within the time.
        """
        give_up_s = time.monotonic() + timeout_s
        while True:
            state = self.status(run)
            if state.phase is Phase.FINISHED:
                return state
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                raise DeviceError(
                    f"run {run} is in round {state.round} of {state.plan.rounds} after"
                    f" {timeout_s:g} s; no answer from {', '.join(state.missing) or 'nobody'}"
                )
            with self._changed:
                self._changed.wait(min(left_s, 0.2))

    # What follows runs on the server's thread.

    def _load(self) -> None:
        for run, state in run_states(self._server.journal).items():
            self._lives[run] = _Live(state, self._evaluate)
            if state.phase is not Phase.FINISHED:
                if state.collecting:
                    self._tell_devices(self._lives[run])
                self._advance(self._lives[run])

    def _start(self, plan: RunPlan, head: HeadWeights, evaluate: Evaluate | None) -> None:
        if plan.run in self._lives:
            raise RefusedError(f"run {plan.run} exists already, expected a new number")
        views = self._server.devices()
        for device in plan.devices:
            view = views.get(device)
            if view is None or not view.claimed or view.revoked:
                raise RefusedError(f"device '{device}' is not a claimed device of the fleet")
            for run, live in self._lives.items():
                if live.state.phase is not Phase.FINISHED and device in live.state.plan.devices:
                    raise RefusedError(f"device '{device}' is in run {run}")
        fact = open_run(plan, head)
        event = self._server.journal.append(fact.kind, str(plan.run), fact.body, blob=fact.blob)
        state = apply(None, fact.kind, fact.body, time_s=event.time_ms / 1000, blob=fact.blob)
        self._lives[plan.run] = _Live(state, evaluate)
        self._advance(self._lives[plan.run])

    def _on_device(self, device: str, view: DeviceView) -> None:
        report = None if view.reported is None else view.reported.federated
        live = None if report is None else self._lives.get(report.run)
        if report is None or live is None or live.state.phase is Phase.FINISHED:
            return
        state = live.state
        if report.state is FederatedState.REFUSED and report.round == state.round:
            self._reject(live, device, report.round, refused_by_device(report.status))
        elif report.state is FederatedState.READY and report.round < state.round:
            self._reject(live, device, report.round, f"late: round {report.round} is closed")
        elif report.state is FederatedState.READY and report.round == state.round:
            self._fetch(live, device, report)
        self._advance(live)

    def _on_tick(self, now_s: float) -> None:
        views = self._server.devices()
        for live in self._lives.values():
            if live.state.phase is Phase.FINISHED:
                continue
            for device in live.state.missing:
                if device in views:
                    self._on_device(device, views[device])
            self._advance(live)

    def _fetch(self, live: _Live, device: str, report: FederatedReport) -> None:
        state = live.state
        if not state.collecting or device not in state.missing or device in live.pulling:
            return
        allowed = update_bytes(state.head.classes, state.head.features)
        if report.update_bytes != allowed or report.update_hash is None:
            reason = f"update of {report.update_bytes} bytes is on offer, expected {allowed}"
            self._reject(live, device, report.round, reason)
            return
        round_ = state.round

        def done(result: bytes | EdgekitError) -> None:
            live.pulling.discard(device)
            if live.state.phase is Phase.FINISHED:
                return
            if isinstance(result, EdgekitError):
                self._failed(live, device, round_, result)
            else:
                self._enter(live, receive(live.state, device, result))
            self._advance(live)

        live.pulling.add(device)
        try:
            self._server.pull(
                device,
                object_id=report.update_object,
                total=report.update_bytes,
                digest=report.update_hash,
                done=done,
            )
        except DeviceError as exc:
            live.pulling.discard(device)
            self._reject(live, device, round_, str(exc))

    def _failed(self, live: _Live, device: str, round_: int, error: EdgekitError) -> None:
        count = live.pulls[device, round_] = live.pulls.get((device, round_), 0) + 1
        log.warning("run %d: update of %s: %s", live.state.plan.run, device, error)
        if count >= MAX_PULLS:
            self._reject(live, device, round_, f"update could not be fetched: {error}")

    def _reject(self, live: _Live, device: str, round_: int, reason: str) -> None:
        fact = reject(live.state, device, round_, reason)
        if fact is not None:
            self._enter(live, fact)

    def _advance(self, live: _Live) -> None:
        while (fact := advance(live.state, time.time())) is not None:
            if fact.kind == ROUND_CLOSED and fact.blob is not None and live.evaluate is not None:
                fact.body["accuracy"] = live.evaluate(decode_head(fact.blob))
            self._enter(live, fact)

    def _enter(self, live: _Live, fact: Fact) -> None:
        plan = live.state.plan
        event = self._server.journal.append(fact.kind, str(plan.run), fact.body, blob=fact.blob)
        live.state = apply(
            live.state, fact.kind, fact.body, time_s=event.time_ms / 1000, blob=fact.blob
        )
        log.info("%s: %s", fact.kind, fact.body)
        if fact.kind == ROUND_OPENED:
            self._tell_devices(live)
        elif fact.kind == FINISHED:
            for device in plan.devices:
                self._wish(live, device, None)
        with self._changed:
            self._changed.notify_all()

    def _tell_devices(self, live: _Live) -> None:
        """Give the task of the current round to all that have not answered."""
        state, plan = live.state, live.state.plan
        head = state.head.encode()
        left_s = state.opened_s + plan.deadline_s - time.time()
        task = FederatedTask(
            run=plan.run,
            round=state.round,
            base_head_hash=state.head.hash,
            head_object=self._server.offer(head),
            head_bytes=len(head),
            epochs=plan.epochs,
            rate=plan.rate,
            decay=plan.decay,
            deadline_s=max(1, math.ceil(left_s)),
        )
        for device in state.missing:
            self._wish(live, device, task)

    def _wish(self, live: _Live, device: str, task: FederatedTask | None) -> None:
        try:
            self._server.set_desired(device, model=KEEP, task=task)
        except EdgekitError as exc:
            # Removed meanwhile, say: the round closes without it.
            log.warning("run %d: device %s: %s", live.state.plan.run, device, exc)

    def _live(self, run: int) -> _Live:
        if run not in self._lives:
            raise RefusedError(f"run {run} is unknown, known are {sorted(self._lives)}")
        return self._lives[run]


def head_of_image(image: bytes) -> HeadWeights:
    """Return the trainable head of a model image, where a run starts.

    Raises:
        RefusedError: If it has none.
    """
    from edgekit.formats.image import read_image

    content = read_image(image)
    if content.head is None:
        raise RefusedError(f"image '{content.meta.name}' has no trainable head")
    return HeadWeights(content.head.weights, content.head.bias)


def run_states(journal: Journal) -> dict[int, RunState]:
    """Replay the runs of a journal, by number, oldest first."""
    states: dict[int, RunState] = {}
    for event in journal.events(kinds=KINDS):
        run = int(event.body["run"])
        before = None if event.kind == OPENED else states[run]
        blob = None if event.blob is None else journal.blob(event.blob)
        states[run] = apply(before, event.kind, event.body, time_s=event.time_ms / 1000, blob=blob)
    return states


def run_body(state: RunState) -> dict[str, object]:
    """Return a run as JSON can say it."""
    plan = state.plan
    return {
        "run": plan.run,
        "base_image": plan.base_image,
        "strategy": plan.strategy,
        "phase": state.phase.value,
        "reason": state.reason,
        "round": state.round,
        "rounds": plan.rounds,
        "devices": list(plan.devices),
        "head_hash": state.head.hash.hex(),
        "missing": list(state.missing) if state.collecting else [],
        "table": [
            {
                "round": row.round,
                "accepted": row.accepted,
                "rejected": [{"device": d, "reason": reason} for d, reason in row.rejected],
                "silent": list(row.silent),
                "accuracy": row.accuracy,
                "loss_first": row.loss_first,
                "loss_last": row.loss_last,
                "seconds": round(row.seconds, 3),
                "head_hash": row.head_hash,
            }
            for row in state.table
        ],
    }
