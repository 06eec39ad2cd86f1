"""A federated run as a state machine: what has happened, and what is to happen next.

Nothing here reads a clock, sends or stores. Every step is a `Fact` for the journal; `apply` folds
facts into the state, `advance` names the next fact that is due. A state that is replayed from the
journal goes on with the same bytes as one that was never interrupted.

    OPEN ──first answer──► COLLECTING ──target, deadline or all answered──► CLOSED ──► OPEN ...
                                                                              └──► FINISHED
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from edgekit.errors import RefusedError
from edgekit.federated.aggregate import STRATEGIES, fold
from edgekit.federated.checks import MAX_SAMPLES, Terms, judge, norm_bound
from edgekit.federated.codecs import HeadWeights, Update, decode_head, decode_update
from edgekit.link.status import Status

OPENED = "federated.opened"
ROUND_OPENED = "federated.round_opened"
UPDATE = "federated.update"
ROUND_CLOSED = "federated.round_closed"
FINISHED = "federated.finished"
KINDS = (OPENED, ROUND_OPENED, UPDATE, ROUND_CLOSED, FINISHED)

MAX_EPOCHS = 1_000  # Twin: firmware/agent/ek_agent_learn.c, EPOCHS_MAX
MAX_DEADLINE_S = 2**31
MAX_RATE = 1e9  # devices read rate and decay as float32
MAX_EMPTY_ROUNDS = 2  # in a row, then a run gives up


@dataclass(frozen=True, slots=True)
class Fact:
    """An event that is to enter the journal."""

    kind: str
    body: dict[str, Any]
    blob: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run is to do.

    Attributes:
        run: Number of the run, unsigned 64 bits; never used twice.
        base_image: Image whose head is trained, in hex; devices must run it.
        strategy: Name in STRATEGIES.
        rate: Learning rate on the devices.
        decay: L2 decay on the devices.
        deadline_s: A round closes this long after it was opened, whoever is missing.
        target: A round closes when this many updates are accepted; 0 waits for all.
        min_updates: With fewer accepted updates a round leaves the head as it is.
        max_samples: Largest number of samples a device may claim.
    """

    run: int
    base_image: str
    strategy: str = "fedavg"
    rounds: int
    devices: tuple[str, ...]
    epochs: int
    rate: float
    decay: float = 0.0
    deadline_s: float
    target: int = 0
    min_updates: int = 1
    max_samples: int = MAX_SAMPLES

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"strategy {self.strategy!r} is unknown, known are {', '.join(STRATEGIES)}"
            )
        if not self.devices or len(set(self.devices)) != len(self.devices):
            raise ValueError(f"run {self.run} needs devices, each once, got {self.devices}")
        if not 0 < self.run < 2**64:
            raise ValueError(f"run {self.run} is outside 1 .. 2**64-1")
        if min(self.rounds, self.epochs, self.min_updates) < 1 or self.deadline_s <= 0:
            raise ValueError(f"run {self.run} needs rounds, epochs, updates and a deadline above 0")
        if self.epochs > MAX_EPOCHS or not self.deadline_s <= MAX_DEADLINE_S:
            raise ValueError(
                f"run {self.run} has {self.epochs} epochs and a deadline of {self.deadline_s:g} s,"
                f" at most {MAX_EPOCHS} and {MAX_DEADLINE_S}"
            )
        for name, value in (("rate", self.rate), ("decay", self.decay)):
            if not 0 <= value <= MAX_RATE:
                raise ValueError(f"run {self.run} has {name} {value}, expected 0 .. {MAX_RATE:g}")
        if self.min_updates > len(self.devices) or not 0 <= self.target <= len(self.devices):
            raise ValueError(
                f"run {self.run} has {len(self.devices)} devices, too few for"
                f" {max(self.min_updates, self.target)} updates"
            )


class Phase(Enum):
    """Where a run is."""

    OPEN = "open"
    COLLECTING = "collecting"
    CLOSED = "closed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one device answered in the current round; `update` is None if it does not count."""

    update: Update | None
    reason: str


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A closed round, for reports."""

    round: int
    accepted: int
    rejected: tuple[tuple[str, str], ...]
    silent: tuple[str, ...]
    head_hash: str
    accuracy: float | None
    loss_first: float | None
    loss_last: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RunState:
    """All that is known of a run.

    Attributes:
        head: The global head; base of the current round, result of the last closed one.
        round: Number of the current round, 0 before the first.
        opened_s: When the current round was opened, Unix seconds.
        answers: First answer of each device in the current round.
        rejected: Device and reason, in order, of the current round.
        settled: Devices and rounds that have their judgement.
        empty: Closed rounds in a row with too few accepted updates.
    """

    plan: RunPlan
    head: HeadWeights
    phase: Phase = Phase.CLOSED
    round: int = 0
    opened_s: float = 0.0
    answers: Mapping[str, Answer] = field(default_factory=dict)
    rejected: tuple[tuple[str, str], ...] = ()
    settled: frozenset[tuple[str, int]] = frozenset()
    empty: int = 0
    table: tuple[RoundRow, ...] = ()
    reason: str = ""

    @property
    def collecting(self) -> bool:
        """Whether updates of the current round still count."""
        return self.phase in (Phase.OPEN, Phase.COLLECTING)

    @property
    def accepted(self) -> dict[str, Update]:
        """Accepted updates of the current round, by device id."""
        return {device: a.update for device, a in self.answers.items() if a.update is not None}

    @property
    def missing(self) -> tuple[str, ...]:
        """Devices without an answer in the current round."""
        return tuple(device for device in self.plan.devices if device not in self.answers)

    def terms(self) -> Terms:
        """Return what the current round expects of an update."""
        return Terms(
            run=self.plan.run,
            round=self.round,
            base_hash=self.head.hash,
            classes=self.head.classes,
            features=self.head.features,
            devices=frozenset(self.plan.devices),
            max_norm=norm_bound(self.head),
            max_samples=self.plan.max_samples,
        )


def open_run(plan: RunPlan, head: HeadWeights) -> Fact:
    """Return the fact that starts a run from a head."""
    body = {
        "run": plan.run,
        "base_image": plan.base_image,
        "strategy": plan.strategy,
        "rounds": plan.rounds,
        "devices": list(plan.devices),
        "epochs": plan.epochs,
        "rate": plan.rate,
        "decay": plan.decay,
        "deadline_s": plan.deadline_s,
        "target": plan.target,
        "min_updates": plan.min_updates,
        "max_samples": plan.max_samples,
    }
    return Fact(OPENED, body, head.encode())


def receive(state: RunState, device: str, data: bytes) -> Fact:
    """Judge the update object that a device delivered."""
    body: dict[str, Any] = {"run": state.plan.run, "round": state.round, "device": device}
    if not state.collecting:
        reason = f"late: round {state.round} is closed"
        return Fact(UPDATE, body | _rejection(reason, None), data)
    verdict = judge(data, device=device, terms=state.terms(), answered=state.answers)
    if not verdict.accepted or verdict.update is None:
        return Fact(UPDATE, body | _rejection(verdict.reason, verdict.update), data)
    update = verdict.update
    body |= {
        "samples": update.samples,
        "accepted": True,
        "loss_first": update.loss_first,
        "loss_last": update.loss_last,
    }
    return Fact(UPDATE, body, data)


def reject(state: RunState, device: str, round_: int, reason: str) -> Fact | None:
    """Return the fact that a device's answer does not count without its bytes being looked at.

    None if the device has its judgement for that round, or is not asked.
    """
    if device not in state.plan.devices or not 1 <= round_ <= state.round:
        return None
    if (device, round_) in state.settled:
        return None
    body = {"run": state.plan.run, "round": round_, "device": device}
    return Fact(UPDATE, body | _rejection(reason, None))


def refused_by_device(status: Status) -> str:
    """Return the reason under which a device's own refusal of its task is recorded."""
    return f"device refused the task: {status.text} ({int(status)})"


def advance(state: RunState, now_s: float) -> Fact | None:
    """Return the next fact that is due, None if there is nothing but to wait."""
    if state.phase is Phase.FINISHED:
        return None
    if state.collecting:
        return _close(state) if due(state, now_s) else None
    if state.empty >= MAX_EMPTY_ROUNDS:
        least = state.plan.min_updates
        return finish(state, f"{state.empty} rounds in a row with fewer than {least} updates")
    if state.round == state.plan.rounds:
        return finish(state, "all rounds done")
    body = {
        "run": state.plan.run,
        "round": state.round + 1,
        "base_hash": state.head.hash.hex(),
        "devices": list(state.plan.devices),
        "deadline_s": state.plan.deadline_s,
    }
    return Fact(ROUND_OPENED, body, state.head.encode())


def due(state: RunState, now_s: float) -> str:
    """Say why the current round is to close, empty if it is not."""
    if 0 < state.plan.target <= len(state.accepted):
        return "target"
    if not state.missing:
        return "all answered"
    if now_s - state.opened_s >= state.plan.deadline_s:
        return "deadline"
    return ""


def finish(state: RunState, reason: str) -> Fact:
    """Return the fact that ends a run."""
    rounds = len(state.table)
    head_hash = state.head.hash.hex()
    body = {"run": state.plan.run, "rounds": rounds, "head_hash": head_hash, "reason": reason}
    return Fact(FINISHED, body)


def follows(state: RunState | None, kind: str) -> bool:
    """Say whether a fact can follow on a state.

    The end of a run may be ordered from elsewhere and overtake other facts; these change nothing.
    """
    if state is None or kind == OPENED:
        return state is None and kind == OPENED
    return state.phase is not Phase.FINISHED


def apply(
    state: RunState | None, kind: str, body: Mapping[str, Any], *, time_s: float, blob: bytes | None
) -> RunState:
    """Fold one fact, as it stands in the journal, into the state.

    Raises:
        ValueError: If the fact cannot follow on this state.
    """
    if not follows(state, kind):
        raise ValueError(f"{kind} of run {body['run']} does not follow on its state")
    if state is None:
        if blob is None:
            raise ValueError(f"{kind} of run {body['run']} has no head")
        return RunState(_plan(body), decode_head(blob))
    if body["run"] != state.plan.run:
        raise ValueError(f"{kind} is of run {body['run']}, not {state.plan.run}")
    if kind == ROUND_OPENED:
        if state.collecting or body["round"] != state.round + 1:
            raise ValueError(f"round {body['round']} opened, {state.round} is {state.phase.value}")
        return replace(
            state,
            phase=Phase.OPEN,
            round=state.round + 1,
            opened_s=time_s,
            answers={},
            rejected=(),
        )
    if kind == UPDATE:
        return _apply_update(state, body, blob)
    if kind == ROUND_CLOSED:
        if not state.collecting or body["round"] != state.round or blob is None:
            raise ValueError(f"round {body['round']} closed, {state.round} is {state.phase.value}")
        return replace(
            state,
            phase=Phase.CLOSED,
            head=decode_head(blob),
            empty=0 if body["accepted"] >= state.plan.min_updates else state.empty + 1,
            table=(*state.table, _row(state, body, time_s)),
        )
    if kind == FINISHED:
        return replace(state, phase=Phase.FINISHED, reason=str(body["reason"]))
    raise ValueError(f"{kind} is not a fact of a run")


def replay(facts: Iterable[tuple[Fact, float]]) -> RunState | None:
    """Fold facts with their times, Unix seconds, into a state; None if there are none."""
    state: RunState | None = None
    for fact, time_s in facts:
        state = apply(state, fact.kind, fact.body, time_s=time_s, blob=fact.blob)
    return state


def _close(state: RunState) -> Fact:
    accepted = state.accepted
    head = state.head
    if len(accepted) >= state.plan.min_updates:
        try:
            head = fold(state.plan.strategy, state.head, accepted)
        except RefusedError as exc:
            return finish(state, str(exc))
    body = {
        "run": state.plan.run,
        "round": state.round,
        "accepted": len(accepted),
        "rejected": len(state.rejected),
        "head_hash": head.hash.hex(),
    }
    return Fact(ROUND_CLOSED, body, head.encode())


def _apply_update(state: RunState, body: Mapping[str, Any], blob: bytes | None) -> RunState:
    device, round_ = str(body["device"]), int(body["round"])
    settled = state.settled | {(device, round_)}
    if body["accepted"]:
        current = state.collecting and round_ == state.round and device not in state.answers
        if not current or blob is None:
            raise ValueError(f"update of {device} for round {round_} was accepted out of turn")
        answer = Answer(decode_update(blob), "")
        answers = {**state.answers, device: answer}
        return replace(state, phase=Phase.COLLECTING, answers=answers, settled=settled)
    reason = str(body["reason"])
    if not state.collecting or round_ != state.round:
        return replace(state, settled=settled)
    rejected = (*state.rejected, (device, reason))
    if device in state.answers or device not in state.plan.devices:
        return replace(state, rejected=rejected)
    answers = {**state.answers, device: Answer(None, reason)}
    return replace(
        state, phase=Phase.COLLECTING, answers=answers, rejected=rejected, settled=settled
    )


def _row(state: RunState, body: Mapping[str, Any], time_s: float) -> RoundRow:
    updates = state.accepted
    total = sum(update.samples for update in updates.values())

    def mean(name: str) -> float | None:
        if not total:
            return None
        parts = ((updates[d].samples, getattr(updates[d], name)) for d in sorted(updates))
        return float(sum(samples * value for samples, value in parts) / total)

    return RoundRow(
        round=state.round,
        accepted=int(body["accepted"]),
        rejected=state.rejected,
        silent=state.missing,
        head_hash=str(body["head_hash"]),
        accuracy=body.get("accuracy"),
        loss_first=mean("loss_first"),
        loss_last=mean("loss_last"),
        seconds=time_s - state.opened_s,
    )


def _plan(body: Mapping[str, Any]) -> RunPlan:
    return RunPlan(
        run=int(body["run"]),
        base_image=str(body["base_image"]),
        strategy=str(body["strategy"]),
        rounds=int(body["rounds"]),
        devices=tuple(body["devices"]),
        epochs=int(body["epochs"]),
        rate=float(body["rate"]),
        decay=float(body["decay"]),
        deadline_s=float(body["deadline_s"]),
        target=int(body["target"]),
        min_updates=int(body["min_updates"]),
        max_samples=int(body["max_samples"]),
    )


def _rejection(reason: str, update: Update | None) -> dict[str, Any]:
    # Losses of a rejected update may not be finite, which JSON cannot say.
    samples = 0 if update is None else update.samples
    return {
        "samples": samples,
        "accepted": False,
        "reason": reason,
        "loss_first": None,
        "loss_last": None,
    }
