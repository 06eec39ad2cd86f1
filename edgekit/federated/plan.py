"""What a run is to do, as it is asked for and as the journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import ConfigError
from edgekit.federated.aggregate import cohort_size, draw_cohort
from edgekit.federated.checks import MAX_SAMPLES
from edgekit.federated.combine import check
from edgekit.federated.settings import Settings
from edgekit.federated.strategies import STRATEGIES, Kind

MAX_EPOCHS = 1_000  # Twin: firmware/agent/ek_agent_learn.c, EPOCHS_MAX
MAX_DEADLINE_S = 2**31
MAX_RATE = 1e9  # devices read rate and decay as float32


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
        settings: Numbers of the strategy, defences, codec, cohort and privacy.
        select: How the devices were chosen, in words; they stay the same for the whole run.
        accept: Blob of labelled features that heads are measured on, empty if there is none.
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
    settings: Settings = field(default_factory=Settings)
    select: str = ""
    accept: str = ""

    def __post_init__(self) -> None:
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
        try:
            check(
                self.strategy,
                self.settings,
                devices=len(self.devices),
                min_updates=self.min_updates,
            )
        except ConfigError as exc:
            raise ValueError(str(exc)) from exc

    @property
    def asynchronous(self) -> bool:
        """Whether devices never wait for a round: one is then a buffer that gets full."""
        return STRATEGIES[self.strategy].kind is Kind.BUFFER

    @property
    def mu(self) -> float:
        """Proximal term of the devices' loss, 0 unless the strategy has one."""
        return self.settings.mu if "mu" in STRATEGIES[self.strategy].uses else 0.0

    @property
    def wanted(self) -> int:
        """Accepted updates at which a round closes; 0 waits for all that are invited."""
        return self.settings.buffer if self.asynchronous else self.target or self.settings.cohort

    @property
    def most_invited(self) -> int:
        """Devices that a round asks."""
        return cohort_size(len(self.devices), self.settings)

    def invited(self, round_: int) -> tuple[str, ...]:
        """Return the devices that a round asks, in the order of the plan."""
        return draw_cohort(self.devices, self.settings, round_)


def plan_body(plan: RunPlan) -> dict[str, Any]:
    """Return a plan as the journal keeps it."""
    said = {"select": plan.select, "accept": plan.accept}
    return {
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
        "settings": plan.settings.changes(),
        **{name: value for name, value in said.items() if value},
    }


def plan_of(body: Mapping[str, Any]) -> RunPlan:
    """Return the plan that the journal keeps."""
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
        settings=Settings.of(body.get("settings", {})),
        select=str(body.get("select", "")),
        accept=str(body.get("accept", "")),
    )
