"""All that is known of a run at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from edgekit.federated.aggregate import Moments
from edgekit.federated.checks import Terms, norm_bound
from edgekit.federated.codecs import HeadWeights, Update
from edgekit.federated.plan import RunPlan
from edgekit.federated.secure_state import SecureRound
from edgekit.federated.strategies.defences import Record


class Phase(Enum):
    """Where a run is."""

    OPEN = "open"
    COLLECTING = "collecting"
    CLOSED = "closed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Fact:
    """An event that is to enter the journal."""

    kind: str
    body: dict[str, Any]
    blob: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one device answered in the current round; `update` is None if it does not count."""

    update: Update | None
    reason: str


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A closed round, for reports.

    Attributes:
        left_out: Devices whose accepted updates the defences did not fold.
        failed: Why it left the head as it was, if that is not for a lack of updates alone.
    """

    round: int
    accepted: int
    rejected: tuple[tuple[str, str], ...]
    silent: tuple[str, ...]
    head_hash: str
    accuracy: float | None
    loss_first: float | None
    loss_last: float | None
    seconds: float
    left_out: tuple[str, ...] = ()
    failed: str = ""


def longest_s(plan: RunPlan) -> float:
    """Return how long a round takes at most."""
    return plan.deadline_s + (3 * plan.settings.phase_s if plan.settings.secure else 0.0)


@dataclass(frozen=True, slots=True)
class RunState:
    """All that is known of a run.

    Attributes:
        head: The global head; base of the current round, result of the last closed one.
        round: Number of the current round, 0 before the first.
        opened_s: When the current round was opened, Unix seconds.
        answers: First answer of each device in the current round.
        rejected: Device and reason, in order, of the current round.
        settled: Devices that have their judgement, by round.
        empty: Closed rounds in a row with too few accepted updates.
        invited: Devices that the current round asks.
        busy: Round of the task that each device is at; without those that have answered.
        bases: Hashes of the heads that an update may start from, by round.
        moments: What the strategy remembers of earlier rounds.
        secure: Where the round of a secure run is; None between rounds, and for other runs.
        records: How often the updates of each device pointed away from those of the others.
    """

    plan: RunPlan
    head: HeadWeights
    phase: Phase = Phase.CLOSED
    round: int = 0
    opened_s: float = 0.0
    answers: Mapping[str, Answer] = field(default_factory=dict)
    rejected: tuple[tuple[str, str], ...] = ()
    settled: Mapping[int, frozenset[str]] = field(default_factory=dict)
    empty: int = 0
    table: tuple[RoundRow, ...] = ()
    reason: str = ""
    invited: tuple[str, ...] = ()
    busy: Mapping[str, int] = field(default_factory=dict)
    bases: Mapping[int, bytes] = field(default_factory=dict)
    moments: Moments = ()
    secure: SecureRound | None = None
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def doubted(self) -> frozenset[str]:
        """Devices whose updates are compared with the others', but not folded."""
        return frozenset(device for device, record in self.records.items() if record.doubted)

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
        """Devices that are asked in the current round, or its phase, and have not answered."""
        if self.secure is not None:
            return self.secure.missing
        return tuple(device for device in self.invited if device not in self.answers)

    @property
    def counted(self) -> int:
        """Updates of the current round that count."""
        return len(self.accepted) if self.secure is None else len(self.secure.masked)

    @property
    def longest_s(self) -> float:
        """How long a round takes at most."""
        return longest_s(self.plan)

    def awaits(self, device: str, round_: int, phase: int = 0) -> bool:
        """Whether a device's answer to the task of a round, or its phase, would be judged now."""
        if self.secure is not None:
            current = (round_, phase) == (self.round, self.secure.phase)
            return self.collecting and current and self.secure.awaits(device)
        return self.collecting and device not in self.answers and self.busy.get(device, 0) == round_

    def terms(self) -> Terms:
        """Return what the current round expects of an update."""
        return Terms(
            run=self.plan.run,
            round=self.round,
            bases=self.bases,
            classes=self.head.classes,
            features=self.head.features,
            devices=frozenset(self.invited),
            asked=self.busy,
            max_norm=norm_bound(self.head),
            max_samples=self.plan.max_samples,
            codec=self.plan.settings.codec,
            share=self.plan.settings.share,
            local=self.plan.settings.local,
        )
