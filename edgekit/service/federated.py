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

from edgekit.errors import DeviceError, EdgekitError, StoreError
from edgekit.federated.accuracy import Labelled
from edgekit.federated.codecs import HeadWeights, decode_head
from edgekit.federated.orders import abort, begin, take_event, unknown_run
from edgekit.federated.payload import codec_number, kept
from edgekit.federated.rounds import (
    FINISHED,
    KINDS,
    ROUND_CLOSED,
    ROUND_OPENED,
    Fact,
    Phase,
    RunPlan,
    RunState,
    advance,
    receive,
    refused_by_device,
    reject,
)
from edgekit.federated.secure_rounds import PHASE
from edgekit.federated.settings import SPARSE
from edgekit.fleet.devices import DeviceView
from edgekit.journal import Event
from edgekit.link.messages import FederatedReport, FederatedState, FederatedTask
from edgekit.service.secure import late_reason, phase_tasks, wrong_size
from edgekit.service.server import FleetServer

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
        pulls: Attempts per device, round and phase.
        opened_s: When the current round was opened, by a clock that nobody sets.
        is_told: Whether the devices know of the last change; False after a full disk, say.
    """

    state: RunState
    evaluate: Evaluate | None = None
    pulling: set[str] = field(default_factory=set)
    pulls: dict[tuple[str, int, int], int] = field(default_factory=dict)
    opened_s: float = 0.0
    is_told: bool = True

    def now_s(self) -> float:
        """Unix seconds as of the clock that stood when the round was opened.

        The machine's clock may be set meanwhile; a deadline is not to be sooner or later for it.
        """
        return self.state.opened_s + time.monotonic() - self.opened_s

    def resume(self) -> None:
        """Take up a round that another server opened, by the machine's clock."""
        gone_s = time.time() - self.state.opened_s
        self.opened_s = time.monotonic() - min(max(gone_s, 0.0), self.state.longest_s)


class FederatedDriver:
    """Runs the federated runs of one server; takes up those that its journal holds.

    Args:
        evaluate: Accuracy of a head, 0 .. 1, for runs that are taken up again. Like that of `start`
            it is called on the server's thread and holds up everything else there.
    """

    def __init__(self, server: FleetServer, *, evaluate: Evaluate | None = None) -> None:
        self._server = server
        self._evaluate = evaluate
        self._evaluates: dict[int, Evaluate] = {}  # of runs that are about to start
        self._seq = 0  # last event taken in
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
        """End a run; its head is that of the last closed round.

        Raises:
            RefusedError: If there is none of that number, or it has finished.
        """

        def order() -> None:
            live = self._live(run)
            self._enter(live, abort(live.state, reason))

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
        for event in self._server.journal.events(kinds=KINDS):
            self._take(event)
        for live in self._lives.values():
            live.resume()
            self._tell(live)

    def _tail(self) -> None:
        """Take in what has entered the journal, by this driver or by an order from elsewhere."""
        for event in self._server.journal.events(self._seq, KINDS):
            live = self._take(event)
            if live is None:
                continue
            if event.kind == ROUND_OPENED:
                live.opened_s = time.monotonic()
            if event.kind in (ROUND_OPENED, PHASE, FINISHED):
                self._tell(live)
            log.info("%s: %s", event.kind, event.body)
        with self._changed:
            self._changed.notify_all()

    def _take(self, event: Event) -> _Live | None:
        self._seq = event.seq
        run = int(event.body["run"])
        live = self._lives.get(run)
        state = take_event(None if live is None else live.state, self._server.journal, event)
        if state is None:
            return None
        if live is None:
            evaluate = self._evaluates.pop(run, None) or self._measure(state.plan)
            live = self._lives[run] = _Live(state, evaluate)
        live.state = state
        return live

    def _measure(self, plan: RunPlan) -> Evaluate | None:
        """Return how a run's heads are measured: by the labelled samples it came with, if any."""
        if not plan.accept:
            return self._evaluate
        try:
            return Labelled.decode(self._server.journal.blob(plan.accept)).accuracy
        except EdgekitError as exc:
            log.error("run %d: accuracy of its heads is left out: %s", plan.run, exc)
            return None

    def _start(self, plan: RunPlan, head: HeadWeights, evaluate: Evaluate | None) -> None:
        claimed = {
            name
            for name, view in self._server.devices().items()
            if view.claimed and not view.revoked
        }
        states = {run: live.state for run, live in self._lives.items()}
        skills = {
            name: () if view.reported is None else view.reported.skills
            for name, view in self._server.devices().items()
        }
        fact = begin(plan, head, claimed=claimed, states=states, skills=skills)
        if evaluate is not None:
            self._evaluates[plan.run] = evaluate
        self._server.journal.append(fact.kind, str(plan.run), fact.body, blob=fact.blob)
        self._tail()
        self._advance(self._live(plan.run))

    def _on_device(self, device: str, view: DeviceView) -> None:
        live = self._hear(device, view)
        if live is not None:
            self._advance(live)

    def _hear(self, device: str, view: DeviceView) -> _Live | None:
        """Take a device's report; return the run that it is about, if it goes on."""
        report = None if view.reported is None else view.reported.federated
        live = None if report is None else self._lives.get(report.run)
        if report is None or live is None or live.state.phase is Phase.FINISHED:
            return None
        state = live.state
        awaited = state.awaits(device, report.round, report.phase)
        if report.state is FederatedState.REFUSED and awaited:
            self._reject(live, device, report, refused_by_device(report.status))
        elif report.state is FederatedState.READY and awaited:
            self._fetch(live, device, report)
        elif report.state is FederatedState.READY and report.phase:
            if reason := late_reason(state, device, report):
                self._reject(live, device, report, reason)
        elif report.state is FederatedState.READY and report.round < state.round:
            self._reject(live, device, report, f"late: round {report.round} is closed")
        return live

    def _on_tick(self, now_s: float) -> None:
        views = self._server.devices()
        self._tail()
        for live in list(self._lives.values()):
            if not live.is_told:
                self._tell(live)
            if live.state.phase is Phase.FINISHED:
                continue
            for device in live.state.missing:
                if device in views and not views[device].revoked:
                    self._hear(device, views[device])
                else:
                    self._leave(live, device)
            self._advance(live)

    def _fetch(self, live: _Live, device: str, report: FederatedReport) -> None:
        state = live.state
        if device in live.pulling:
            return
        reason = wrong_size(state, device, report.update_bytes)
        if reason or report.update_hash is None:
            self._reject(live, device, report, reason or "update has no hash")
            return
        round_, phase = report.round, report.phase

        def fetched(result: bytes | EdgekitError) -> None:
            if isinstance(result, bytes) and live.state.awaits(device, round_, phase):
                self._server.write_blob(result, lambda error: done(error or result))
            else:
                done(result)

        def done(result: bytes | EdgekitError) -> None:
            live.pulling.discard(device)
            if live.state.phase is Phase.FINISHED:
                return
            if not live.state.awaits(device, round_, phase):
                # The device may answer the next round yet; this is no answer to that one.
                late = late_reason(live.state, device, report)
                self._reject(live, device, report, late or f"late: round {round_} is closed")
            elif isinstance(result, EdgekitError):
                self._failed(live, device, report, result)
            else:
                self._enter(live, receive(live.state, device, result, phase))
            self._advance(live)

        live.pulling.add(device)
        try:
            self._server.pull(
                device,
                object_id=report.update_object,
                total=report.update_bytes,
                digest=report.update_hash,
                done=fetched,
            )
        except DeviceError as exc:
            live.pulling.discard(device)
            self._reject(live, device, report, str(exc))

    def _failed(
        self, live: _Live, device: str, report: FederatedReport, error: EdgekitError
    ) -> None:
        if isinstance(error, StoreError):  # no fault of the device, which holds it ready
            log.error("run %d: update of %s: %s", live.state.plan.run, device, error)
            return
        key = device, report.round, report.phase
        count = live.pulls[key] = live.pulls.get(key, 0) + 1
        log.warning("run %d: update of %s: %s", live.state.plan.run, device, error)
        if count >= MAX_PULLS:
            self._reject(live, device, report, f"update could not be fetched: {error}")

    def _leave(self, live: _Live, device: str) -> None:
        """Let nobody wait for a device that the fleet has no more."""
        secure, reason = live.state.secure, "device has left the fleet"
        phase = 0 if secure is None else secure.phase
        fact = reject(live.state, device, live.state.round, reason, phase)
        if fact is not None:
            self._enter(live, fact)

    def _reject(self, live: _Live, device: str, report: FederatedReport, reason: str) -> None:
        fact = reject(live.state, device, report.round, reason, report.phase)
        if fact is not None:
            self._enter(live, fact)

    def _advance(self, live: _Live) -> None:
        while (fact := advance(live.state, live.now_s())) is not None:
            if fact.kind == ROUND_CLOSED and fact.blob is not None and live.evaluate is not None:
                fact.body["accuracy"] = self._accuracy(live, live.evaluate, fact.blob)
            self._enter(live, fact)

    def _accuracy(self, live: _Live, evaluate: Evaluate, head: bytes) -> float | None:
        """Evaluate a head; what goes wrong there must not hold up the run."""
        try:
            value = float(evaluate(decode_head(head)))
        except Exception:
            log.exception("run %d: accuracy of its head is left out", live.state.plan.run)
            return None
        return value if math.isfinite(value) else None

    def _enter(self, live: _Live, fact: Fact) -> None:
        run = str(live.state.plan.run)
        self._server.journal.append(fact.kind, run, fact.body, blob=fact.blob)
        self._tail()

    def _tell(self, live: _Live) -> None:
        """Let the devices know what is asked of them now; what fails is tried again."""
        try:
            if live.state.collecting:
                self._tell_devices(live)
            elif live.state.phase is Phase.FINISHED:
                self._release(live)
            live.is_told = True
        except EdgekitError as exc:
            if live.is_told:
                log.warning("run %d: its devices are not told yet: %s", live.state.plan.run, exc)
            live.is_told = False

    def _tell_devices(self, live: _Live) -> None:
        """Give the task of the current round to all that are to be at it and have not answered."""
        state, plan = live.state, live.state.plan
        head, settings = state.head.encode(), plan.settings
        size = state.head.classes * (state.head.features + 1) - settings.local
        left_s = state.opened_s + plan.deadline_s - live.now_s()
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
            codec=codec_number(settings.codec),
            entries=kept(size, settings.share) if settings.codec in SPARSE else 0,
            mu=plan.mu,
            local=settings.local,
            feedback=int(settings.feedback),
        )
        # An older task may go on where it counts.
        views = self._server.devices()  # without those that were removed meanwhile
        asked = [d for d in state.missing if state.busy.get(d) == state.round and d in views]
        if state.secure is not None:
            tasks, objects = phase_tasks(state, task, asked, live.now_s())
            self._server.lend(f"run {plan.run}", objects)
            self._server.set_tasks(tasks)
            return
        self._server.set_task(asked, task)

    def _release(self, live: _Live) -> None:
        """Take the task of a run that has ended from all that still have it."""
        plan, views = live.state.plan, self._server.devices()
        tasks = {name: self._server.wished_task(name) for name in plan.devices if name in views}
        done = [name for name, task in tasks.items() if task and task.run == plan.run]
        self._server.lend(f"run {plan.run}", ())
        self._server.set_task(done, None)

    def _live(self, run: int) -> _Live:
        if run not in self._lives:
            raise unknown_run(run, self._lives)
        return self._lives[run]
