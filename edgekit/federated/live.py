"""A run as it goes: rounds, answers and bytes as the journal's events tell them.

Nothing is folded here and no update is read, so that looking at a run costs little beside it, also
when it has had a thousand devices for a hundred rounds.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.federated import secure_rounds
from edgekit.federated.codecs import decode_head
from edgekit.federated.plan import RunPlan, plan_of
from edgekit.federated.rounds import FINISHED, KINDS, OPENED, ROUND_CLOSED, ROUND_OPENED, UPDATE
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.state import Phase, RoundRow, longest_s
from edgekit.journal import Event, Journal

_RECENT = 5  # rounds that the time to the end is guessed from


@dataclass(slots=True)
class Secure:
    """Where a round of secure aggregation is.

    Attributes:
        members: Who is asked in this phase.
        heard: Why an answer of this phase does not count, empty if it does, by device.
        masked: Devices whose masked update is in the sum.
        count: Updates that count.
        losses: First and last, of all that count; only their sum is ever known.
    """

    members: tuple[str, ...]
    phase: str = SecurePhase.KEYS.text
    heard: dict[str, str] = field(default_factory=dict)
    masked: set[str] = field(default_factory=set)
    count: int = 0
    losses: tuple[float | None, float | None] = (None, None)

    def counted(self, failed: str) -> set[str]:
        """Return whose answers count when the round is closed."""
        return {d for d, reason in self.heard.items() if not reason} if failed else self.masked

    def take(self, body: Mapping[str, Any]) -> None:
        """Take in an answer."""
        device, phase = str(body["device"]), str(body["phase"])
        if phase == self.phase and device in self.members and device not in self.heard:
            self.heard[device] = str(body.get("reason") or "")
        if body["accepted"] and phase == SecurePhase.MASKED.text:
            self.masked.add(device)
            self.count = len(self.masked)


@dataclass(slots=True)
class Round:
    """One round, open or closed.

    Attributes:
        opened_s: Unix seconds, as `closed_s`; that is None while it is open.
        accepted: Samples, first and last loss of each device whose update counts.
        refused: Reason of each device whose first answer does not count.
        rejected: Device and reason of every rejected answer while it was open, in order.
        late: The same of those that came when it was closed.
        secure: Where a round of secure aggregation is; None for others.
        down_bytes: The head, to each device that was asked; without frames and repeats.
        up_bytes: The updates that came, counted or not.
    """

    number: int
    opened_s: float
    invited: tuple[str, ...]
    accepted: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    late: list[tuple[str, str]] = field(default_factory=list)
    down_bytes: int = 0
    up_bytes: int = 0
    closed_s: float | None = None
    head_hash: str = ""
    accuracy: float | None = None
    left_out: tuple[str, ...] = ()
    failed: str = ""
    secure: Secure | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Devices that are asked, in this phase of a secure round, and have not answered."""
        if self.secure is not None and self.closed_s is None:
            return tuple(d for d in self.secure.members if d not in self.secure.heard)
        if self.secure is not None:
            known = {device for device, _ in self.rejected} | self.secure.counted(self.failed)
            return tuple(device for device in self.invited if device not in known)
        return tuple(d for d in self.invited if d not in self.accepted and d not in self.refused)

    @property
    def answered(self) -> int:
        """How many of those that are asked have answered."""
        now = None if self.closed_s is not None else self.secure
        return len(self.invited if now is None else now.members) - len(self.missing)

    @property
    def counted(self) -> int:
        """Updates that count."""
        return len(self.accepted) if self.secure is None else self.secure.count

    def row(self) -> RoundRow:
        """Return the round as reports show it; of an open one, what is known so far."""
        seconds = 0.0 if self.closed_s is None else max(0.0, self.closed_s - self.opened_s)
        return RoundRow(
            round=self.number,
            accepted=self.counted,
            rejected=tuple(self.rejected),
            silent=self.missing,
            left_out=self.left_out,
            head_hash=self.head_hash,
            accuracy=self.accuracy,
            loss_first=self._mean(1),
            loss_last=self._mean(2),
            seconds=seconds,
            failed=self.failed,
        )

    def _mean(self, which: int) -> float | None:
        """Return a loss, weighted by samples in the order of the device ids."""
        if self.secure is not None:
            return self.secure.losses[which - 1]
        total = sum(answer[0] for answer in self.accepted.values())
        if not total:
            return None
        return sum(a[0] * a[which] for _, a in sorted(self.accepted.items())) / total


@dataclass(slots=True)
class Run:
    """A run as far as it is.

    Attributes:
        head_hash: Of the head of the last closed round, or the one it began with.
        rounds: By number.
    """

    plan: RunPlan
    head_hash: str
    rounds: dict[int, Round] = field(default_factory=dict)
    phase: Phase = Phase.CLOSED
    reason: str = ""

    @property
    def round(self) -> int:
        """Number of the newest round, 0 before the first."""
        return max(self.rounds, default=0)

    @property
    def current(self) -> Round | None:
        """The round that collects answers, None if none does."""
        return self.rounds[self.round] if self.phase in (Phase.OPEN, Phase.COLLECTING) else None

    @property
    def table(self) -> tuple[RoundRow, ...]:
        """The closed rounds."""
        return tuple(each.row() for each in self.rounds.values() if each.closed_s is not None)

    def rejections(self) -> dict[str, Counter[str]]:
        """Count the reasons of all rejected answers by device, the most rejected first."""
        found: dict[str, Counter[str]] = {}
        for each in self.rounds.values():
            for device, reason in (*each.rejected, *each.late):
                found.setdefault(device, Counter())[reason] += 1
        return dict(sorted(found.items(), key=lambda pair: (-pair[1].total(), pair[0])))

    def deadline_s(self) -> float | None:
        """Return when the current round closes at the latest, Unix seconds."""
        now = self.current
        return None if now is None else now.opened_s + longest_s(self.plan)

    def left_s(self, now_s: float) -> float | None:
        """Guess the seconds to the end of the run by its last rounds; None before the first."""
        times = [row.seconds for row in self.table][-_RECENT:]
        if self.phase is Phase.FINISHED or not times:
            return None
        each = statistics.median(times)
        now = self.current
        done = 0.0 if now is None else min(each, max(0.0, now_s - now.opened_s))
        return max(0.0, (self.plan.rounds - len(self.table)) * each - done)

    def take(self, event: Event, size: int) -> None:
        """Take in an event that follows on the run.

        Args:
            size: Bytes of the event's blob, 0 if it has none.
        """
        body = event.body
        if event.kind == ROUND_OPENED:
            number, invited = int(body["round"]), tuple(body["devices"])
            self.rounds[number] = Round(number, event.time_ms / 1000, invited)
            self.rounds[number].down_bytes = size * len(invited)
            if self.plan.settings.secure:
                self.rounds[number].secure = Secure(invited)
            self.phase = Phase.OPEN
        elif event.kind == UPDATE:
            self._take_update(self.rounds[int(body["round"])], body, size)
        elif event.kind == secure_rounds.ANSWER:
            self._take_secure(self.rounds[int(body["round"])], body, size)
        elif event.kind == secure_rounds.PHASE:
            begun = self.rounds[int(body["round"])].secure
            assert begun is not None  # the state machine has none in other runs
            begun.phase, begun.members, begun.heard = body["phase"], tuple(body["members"]), {}
        elif event.kind == ROUND_CLOSED:
            closed = self.rounds[int(body["round"])]
            closed.failed = str(body.get("failed") or "")
            if closed.secure is not None:
                closed.secure.count = int(body["accepted"])
                closed.secure.losses = body.get("loss_first"), body.get("loss_last")
            closed.closed_s = event.time_ms / 1000
            closed.head_hash = self.head_hash = str(body["head_hash"])
            closed.accuracy = body.get("accuracy")
            closed.left_out = tuple(body.get("left_out", ()))
            self.phase = Phase.CLOSED
        elif event.kind == FINISHED:
            self.phase, self.reason = Phase.FINISHED, str(body["reason"])

    def _take_update(self, asked: Round, body: Mapping[str, Any], size: int) -> None:
        device = str(body["device"])
        asked.up_bytes += size
        if body["accepted"]:
            losses = float(body["loss_first"]), float(body["loss_last"])
            asked.accepted[device] = int(body["samples"]), *losses
        elif asked is not self.current:
            asked.late.append((device, str(body["reason"])))
            return
        else:
            asked.rejected.append((device, str(body["reason"])))
            if device in asked.missing:
                asked.refused[device] = str(body["reason"])
        self.phase = Phase.COLLECTING

    def _take_secure(self, asked: Round, body: Mapping[str, Any], size: int) -> None:
        asked.up_bytes += size
        if not body["accepted"]:
            said = asked.rejected if asked is self.current else asked.late
            said.append((str(body["device"]), str(body["reason"])))
        if asked is self.current and asked.secure is not None:
            asked.secure.take(body)
            self.phase = Phase.COLLECTING


class Follower:
    """Reads a journal once and then only what is new.

    Attributes:
        runs: By number, oldest first.
    """

    def __init__(self, journal: Journal) -> None:
        self.runs: dict[int, Run] = {}
        self._journal = journal
        self._seq = 0

    def poll(self) -> bool:
        """Take in what is new; False if there was nothing."""
        before = self._seq
        for event in self._journal.events(self._seq, KINDS):
            self._seq = event.seq
            self._take(event)
        return self._seq != before

    def _take(self, event: Event) -> None:
        number = int(event.body["run"])
        run = self.runs.get(number)
        if run is None:
            if event.kind == OPENED and event.blob is not None:
                head = decode_head(self._journal.blob(event.blob))
                self.runs[number] = Run(plan_of(event.body), head.hash.hex())
            return
        if event.kind == OPENED or run.phase is Phase.FINISHED:
            return  # comes too late to change anything
        blob = event.blob
        run.take(event, 0 if blob is None else self._journal.blobs.path(blob).stat().st_size)


def is_over(run: Run) -> bool:
    """Say whether nothing more will change."""
    return run.phase is Phase.FINISHED


def live_body(run: Run, now_s: float) -> dict[str, object]:
    """Return where a run is now, as one line of JSON can say it.

    Answers are those of the newest round, loss and accuracy of the last round that has them.

    Args:
        now_s: Unix seconds.
    """
    shown = run.rounds.get(run.round) or Round(0, now_s, ())
    losses = [row.loss_last for row in run.table if row.loss_last is not None]
    scores = [row.accuracy for row in run.table if row.accuracy is not None]
    deadline_s, left_s = run.deadline_s(), run.left_s(now_s)
    return {
        "run": run.plan.run,
        "phase": run.phase.value,
        "round": run.round,
        "rounds": run.plan.rounds,
        "joined": len(shown.invited),
        "answered": shown.answered,
        "accepted": shown.counted,
        "secure_phase": None if shown.secure is None else shown.secure.phase,
        "rejected": dict(Counter(reason for _, reason in shown.rejected)),
        "rejected_devices": {d: reasons.total() for d, reasons in run.rejections().items()},
        "down_bytes": sum(each.down_bytes for each in run.rounds.values()),
        "up_bytes": sum(each.up_bytes for each in run.rounds.values()),
        "loss": losses[-1] if losses else None,
        "accuracy": scores[-1] if scores else None,
        "closes_in_s": None if deadline_s is None else round(max(0.0, deadline_s - now_s), 1),
        "eta_s": None if left_s is None else round(left_s, 1),
        "reason": run.reason,
    }


def run_body(run: Run) -> dict[str, object]:
    """Return a run with all its rounds, as JSON can say it."""
    plan, now = run.plan, run.current
    return {
        "run": plan.run,
        "base_image": plan.base_image,
        "strategy": plan.strategy,
        "phase": run.phase.value,
        "reason": run.reason,
        "round": run.round,
        "rounds": plan.rounds,
        "devices": list(plan.devices),
        "head_hash": run.head_hash,
        "missing": [] if now is None else list(now.missing),
        "rejected": {device: dict(reasons) for device, reasons in run.rejections().items()},
        "table": [_row_body(each) for each in run.rounds.values() if each.closed_s is not None],
    }


def _row_body(closed: Round) -> dict[str, object]:
    row = closed.row()
    said = (*closed.rejected, *closed.late)
    return {
        "round": row.round,
        "joined": len(closed.invited),
        "accepted": row.accepted,
        "rejected": [{"device": device, "reason": reason} for device, reason in said],
        "silent": list(row.silent),
        "left_out": list(row.left_out),
        "failed": row.failed,
        "accuracy": row.accuracy,
        "loss_first": row.loss_first,
        "loss_last": row.loss_last,
        "down_bytes": closed.down_bytes,
        "up_bytes": closed.up_bytes,
        "seconds": round(row.seconds, 3),
        "head_hash": row.head_hash,
    }
