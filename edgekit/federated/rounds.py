"""A federated run as a state machine: what has happened, and what is to happen next.

Nothing here reads a clock, sends or stores. Every step is a `Fact` for the journal; `apply` folds
facts into the state, `advance` names the next fact that is due. A state that is replayed from the
journal goes on with the same bytes as one that was never interrupted.

    OPEN ──first answer──► COLLECTING ──target, deadline or all answered──► CLOSED ──► OPEN ...
                                                                              └──► FINISHED
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from edgekit.errors import RefusedError
from edgekit.federated import secure_rounds
from edgekit.federated.aggregate import Folded, Moments, fold, fold_mean
from edgekit.federated.checks import judge
from edgekit.federated.codecs import HeadWeights, Update, decode_head, decode_update
from edgekit.federated.plan import RunPlan, plan_body, plan_of
from edgekit.federated.secure_quantize import Sum
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.state import Answer, Fact, Phase, RoundRow, RunState
from edgekit.federated.strategies import STRATEGIES
from edgekit.federated.strategies.defences import Record
from edgekit.link.status import Status

__all__ = [
    "Answer",
    "Fact",
    "Phase",
    "RoundRow",
    "RunPlan",
    "RunState",
    "advance",
    "apply",
    "due",
    "finish",
    "follows",
    "open_run",
    "receive",
    "refused_by_device",
    "reject",
    "replay",
]

OPENED = "federated.opened"
ROUND_OPENED = "federated.round_opened"
UPDATE = "federated.update"
ROUND_CLOSED = "federated.round_closed"
FINISHED = "federated.finished"
KINDS = (OPENED, ROUND_OPENED, UPDATE, *secure_rounds.KINDS, ROUND_CLOSED, FINISHED)

MAX_EMPTY_ROUNDS = 2  # in a row, then a run gives up


def open_run(plan: RunPlan, head: HeadWeights) -> Fact:
    """Return the fact that starts a run from a head."""
    return Fact(OPENED, plan_body(plan), head.encode())


def receive(state: RunState, device: str, data: bytes, phase: int = 0) -> Fact:
    """Judge the object that a device delivered: its update, or its answer to a phase."""
    if phase:
        return secure_rounds.receive(state, device, SecurePhase(phase), data)
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


def reject(state: RunState, device: str, round_: int, reason: str, phase: int = 0) -> Fact | None:
    """Return the fact that a device's answer does not count without its bytes being looked at.

    None if the device has its judgement for that round, or is not asked.
    """
    if device not in state.plan.devices or not 1 <= round_ <= state.round:
        return None
    if phase:
        current = round_ == state.round and state.secure is not None
        named = SecurePhase(phase)
        return secure_rounds.reject(state, device, named, reason) if current else None
    if device in state.settled.get(round_, ()):
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
    if state.secure is not None:
        return _secure_step(state, now_s) if secure_rounds.due(state, now_s) else None
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
        "devices": list(state.plan.invited(state.round + 1)),
        "deadline_s": state.plan.deadline_s,
    }
    return Fact(ROUND_OPENED, body, state.head.encode())


def due(state: RunState, now_s: float) -> str:
    """Say why the current round is to close, empty if it is not."""
    if 0 < state.plan.wanted <= len(state.accepted):
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
        return RunState(plan_of(body), decode_head(blob))
    if body["run"] != state.plan.run:
        raise ValueError(f"{kind} is of run {body['run']}, not {state.plan.run}")
    if kind == ROUND_OPENED:
        if state.collecting or body["round"] != state.round + 1:
            raise ValueError(f"round {body['round']} opened, {state.round} is {state.phase.value}")
        return _opened(state, tuple(body["devices"]), time_s)
    if kind == UPDATE:
        return _apply_update(state, body, blob)
    if kind == secure_rounds.ANSWER:
        return secure_rounds.apply_answer(state, body, blob)
    if kind == secure_rounds.PHASE:
        return secure_rounds.apply_phase(state, body)
    if kind == ROUND_CLOSED:
        if not state.collecting or body["round"] != state.round or blob is None:
            raise ValueError(f"round {body['round']} closed, {state.round} is {state.phase.value}")
        return replace(
            state,
            phase=Phase.CLOSED,
            head=decode_head(blob),
            moments=_moments(state, body),
            secure=None,
            empty=0 if body["accepted"] >= state.plan.min_updates else state.empty + 1,
            table=(*state.table, _row(state, body, time_s)),
            records=_records(state, body),
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


def _opened(state: RunState, invited: tuple[str, ...], time_s: float) -> RunState:
    """Begin a round; an asynchronous one leaves devices at tasks that are not too old."""
    round_ = state.round + 1
    oldest = round_ - state.plan.settings.max_staleness if state.plan.asynchronous else round_
    busy = {device: max(round_ if at < oldest else at, 1) for device, at in state.busy.items()}
    bases = {at: known for at, known in state.bases.items() if at >= oldest}
    begun = replace(
        state,
        phase=Phase.OPEN,
        round=round_,
        opened_s=time_s,
        answers={},
        rejected=(),
        invited=invited,
        busy={device: busy.get(device, round_) for device in invited},
        bases=bases | {round_: state.head.hash},
    )
    return replace(begun, secure=secure_rounds.first(begun))


def _fold(state: RunState) -> Folded:
    plan = state.plan
    return fold(
        plan.strategy,
        state.head,
        state.accepted,
        plan.settings,
        moments=state.moments,
        round_=state.round,
        rounds=plan.rounds,
        expected=plan.wanted or len(plan.devices),
        doubted=state.doubted,
    )


def _moments(state: RunState, body: Mapping[str, Any]) -> Moments:
    """Return what the strategy remembers after the current round, whose end the body tells."""
    counts = body["accepted"] >= state.plan.min_updates
    if not counts or not STRATEGIES[state.plan.strategy].remembers:
        return state.moments
    if state.secure is not None:
        outcome = secure_rounds.following(state, state.opened_s)
        return _fold_sum(state, outcome)[1] if isinstance(outcome, Sum) else state.moments
    return _fold(state).moments


def _secure_step(state: RunState, now_s: float) -> Fact:
    """Return what follows on a phase that is due."""
    outcome = secure_rounds.following(state, now_s)
    if isinstance(outcome, Fact):
        return outcome
    head = state.head
    body: dict[str, Any] = {"failed": outcome, "accepted": 0}
    if isinstance(outcome, Sum):
        body = {"accepted": state.counted}
        body |= {"loss_first": outcome.loss_first, "loss_last": outcome.loss_last}
        try:
            head, _ = _fold_sum(state, outcome)
        except RefusedError as exc:
            return finish(state, str(exc))
    body |= {
        "run": state.plan.run,
        "round": state.round,
        "rejected": len(state.rejected),
        "head_hash": head.hash.hex(),
    }
    return Fact(ROUND_CLOSED, body, head.encode())


def _fold_sum(state: RunState, made: Sum) -> tuple[HeadWeights, Moments]:
    plan = state.plan
    return fold_mean(
        plan.strategy,
        state.head,
        made.mean,
        made.weight,
        plan.settings,
        moments=state.moments,
        progress=min(1.0, (state.round - 1) / plan.rounds),
    )


def _close(state: RunState) -> Fact:
    accepted = state.accepted
    head = state.head
    found: dict[str, Any] = {"left_out": []}
    if len(accepted) >= state.plan.min_updates:
        try:
            made = _fold(state)
        except RefusedError as exc:
            return finish(state, str(exc))
        head = made.head
        found = {"left_out": list(made.left_out)}
        if made.compared:
            found["away"] = list(made.away)
    body = {
        "run": state.plan.run,
        "round": state.round,
        "accepted": len(accepted),
        "rejected": len(state.rejected),
        "head_hash": head.hash.hex(),
    }
    body |= found
    return Fact(ROUND_CLOSED, body, head.encode())


def _apply_update(state: RunState, body: Mapping[str, Any], blob: bytes | None) -> RunState:
    device, round_ = str(body["device"]), int(body["round"])
    settled = {**state.settled, round_: state.settled.get(round_, frozenset()) | {device}}
    if body["accepted"]:
        current = state.collecting and round_ == state.round and device not in state.answers
        if not current or blob is None:
            raise ValueError(f"update of {device} for round {round_} was accepted out of turn")
        answer = Answer(decode_update(blob), "")
        answers = {**state.answers, device: answer}
        return replace(
            state,
            phase=Phase.COLLECTING,
            answers=answers,
            settled=settled,
            busy=_without(state.busy, device),
        )
    reason = str(body["reason"])
    if not state.collecting or round_ != state.round:
        return replace(state, settled=settled)
    rejected = (*state.rejected, (device, reason))
    if device in state.answers or device not in state.invited:
        return replace(state, rejected=rejected)
    answers = {**state.answers, device: Answer(None, reason)}
    return replace(
        state,
        phase=Phase.COLLECTING,
        answers=answers,
        rejected=rejected,
        settled=settled,
        busy=_without(state.busy, device),
    )


def _without(busy: Mapping[str, int], device: str) -> dict[str, int]:
    return {other: at for other, at in busy.items() if other != device}


def _records(state: RunState, body: Mapping[str, Any]) -> Mapping[str, Record]:
    """Return what is known of the devices after the current round, whose end the body tells."""
    away = body.get("away")
    if away is None:
        return state.records
    compared = {
        device: state.records.get(device, Record()).after(away=device in away)
        for device in state.accepted
    }
    return {**state.records, **compared}


def _row(state: RunState, body: Mapping[str, Any], time_s: float) -> RoundRow:
    if state.secure is not None:
        return _secure_row(state, body, time_s)
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
        left_out=tuple(body.get("left_out", ())),
        head_hash=str(body["head_hash"]),
        accuracy=body.get("accuracy"),
        loss_first=mean("loss_first"),
        loss_last=mean("loss_last"),
        seconds=max(0.0, time_s - state.opened_s),  # clocks are set back
    )


def _secure_row(state: RunState, body: Mapping[str, Any], time_s: float) -> RoundRow:
    known = {device for device, _ in state.rejected}
    failed = str(body.get("failed") or "")
    if state.secure is not None:
        known |= set(state.secure.counted if failed else state.secure.masked)
    return RoundRow(
        round=state.round,
        accepted=int(body["accepted"]),
        rejected=state.rejected,
        silent=tuple(device for device in state.invited if device not in known),
        head_hash=str(body["head_hash"]),
        accuracy=body.get("accuracy"),
        loss_first=body.get("loss_first"),
        loss_last=body.get("loss_last"),
        seconds=max(0.0, time_s - state.opened_s),
        failed=failed,
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
