"""A run as it goes: its state and what travelled, kept up to date from the journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from edgekit.federated.orders import take_event
from edgekit.federated.rounds import KINDS, ROUND_OPENED, UPDATE, Phase
from edgekit.federated.state import RunState
from edgekit.journal import Event, Journal


@dataclass(slots=True)
class Traffic:
    """What one round moved, without frames and repeats.

    Attributes:
        down_bytes: The head, to each device that was asked.
        up_bytes: The updates that came, counted or not.
    """

    down_bytes: int = 0
    up_bytes: int = 0


@dataclass(slots=True)
class Run:
    """A run with what its rounds moved, by number of the round."""

    state: RunState
    traffic: dict[int, Traffic] = field(default_factory=dict)


class Follower:
    """Reads a journal once and then only what is new."""

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
        run = int(event.body["run"])
        known = self.runs.get(run)
        state = take_event(None if known is None else known.state, self._journal, event)
        if state is None:
            return
        if known is None:
            known = self.runs[run] = Run(state)
        known.state = state
        if event.blob is None:
            return
        if event.kind == ROUND_OPENED:
            size = len(event.body["devices"]) * self._bytes(event.blob)
            known.traffic[int(event.body["round"])] = Traffic(down_bytes=size)
        elif event.kind == UPDATE:
            moved = known.traffic.setdefault(int(event.body["round"]), Traffic())
            moved.up_bytes += self._bytes(event.blob)

    def _bytes(self, blob: str) -> int:
        return self._journal.blobs.path(blob).stat().st_size


def live_body(run: Run) -> dict[str, object]:
    """Return where a run is now, as one line of JSON can say it.

    Loss and accuracy are those of the last round that has them.
    """
    state = run.state
    open_ = state.collecting
    last = state.table[-1] if state.table else None
    rejected = state.rejected if open_ or last is None else last.rejected
    losses = [row.loss_last for row in state.table if row.loss_last is not None]
    scores = [row.accuracy for row in state.table if row.accuracy is not None]
    accepted = state.counted if open_ else 0 if last is None else last.accepted
    missing = state.missing if open_ else () if last is None else last.silent
    return {
        "run": state.plan.run,
        "phase": state.phase.value,
        "round": state.round,
        "rounds": state.plan.rounds,
        "joined": len(state.invited),
        "answered": len(state.invited) - len(missing),
        "accepted": accepted,
        "rejected": dict(Counter(reason for _, reason in rejected)),
        "down_bytes": sum(moved.down_bytes for moved in run.traffic.values()),
        "up_bytes": sum(moved.up_bytes for moved in run.traffic.values()),
        "loss": losses[-1] if losses else None,
        "accuracy": scores[-1] if scores else None,
        "reason": state.reason,
    }


def is_over(run: Run) -> bool:
    """Say whether nothing more will change."""
    return run.state.phase is Phase.FINISHED
