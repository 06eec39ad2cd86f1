"""A rollout as a state machine: waves, deadlines, soaking, and halting by itself.

Nothing here reads a clock, sends or stores. `step` takes what devices reported and says which facts
are due; `wanted` says what each device is to run in a state, so that sending is a reconciliation
that may be repeated. A state replayed from the journal equals one that was never interrupted.

What counts is the image that a device reports to run, never that something was sent to it; silence
until the deadline is a failure, and a device that leaves the new image again is one too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from edgekit.link.messages import Reported, UpdateState
from edgekit.link.status import Status

STARTED = "rollout.started"
WAVE = "rollout.wave"
DEVICE = "rollout.device"
PAUSED = "rollout.paused"
RESUMED = "rollout.resumed"
HALTED = "rollout.halted"
FINISHED = "rollout.finished"
KINDS = (STARTED, WAVE, DEVICE, PAUSED, RESUMED, HALTED, FINISHED)

DEFAULT_WAVES = (1, 0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event that is to enter the journal."""

    kind: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a rollout waits, goes on, or halts.

    Attributes:
        deadline_s: From the offer to the report of the new image; then a device counts as silent.
        soak_s: From the end of a wave to the begin of the next.
        min_success: Part of a wave, 0 .. 1, that must have installed.
        max_failures: Refused and silent devices of the whole rollout that are still tolerated;
            None leaves it to min_success.
    """

    deadline_s: float = 600.0
    soak_s: float = 600.0
    min_success: float = 0.95
    max_failures: int | None = None

    def __post_init__(self) -> None:
        if self.deadline_s <= 0 or self.soak_s < 0 or (self.max_failures or 0) < 0:
            raise ValueError(f"limits {self} need a deadline above 0 and nothing negative")
        if not 0 <= self.min_success <= 1:
            raise ValueError(f"min_success is {self.min_success}, expected 0 .. 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """Which release goes to which devices, and in which steps.

    Attributes:
        image_id: In hex.
        counter: Release counter; counts within the device class.
        devices: In the order of their buckets.
        waves: Number of devices reached after each wave, rising, the last one all.
    """

    rollout: str
    image_id: str
    counter: int
    device_class: str
    devices: tuple[str, ...]
    waves: tuple[int, ...]
    limits: Limits

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.waves), self.waves, strict=False))
        if not rising or not self.waves or self.waves[-1] != len(self.devices):
            raise ValueError(
                f"waves {self.waves} do not rise to the {len(self.devices)} devices of the rollout"
            )

    def wave_devices(self, wave: int) -> tuple[str, ...]:
        """Return the devices that wave number 0, 1, ... adds."""
        begin = self.waves[wave - 1] if wave else 0
        return self.devices[begin : self.waves[wave]]


class Phase(Enum):
    """Where a rollout is."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    FINISHED = "finished"


class Result(Enum):
    """What became of a device."""

    OFFERED = "offered"
    INSTALLED = "installed"
    REFUSED = "refused"
    SILENT = "silent"


FAILURES = (Result.REFUSED, Result.SILENT)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device that the rollout has reached."""

    result: Result
    since_s: float
    status: Status = Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a device reported, as far as a rollout cares; image ids in hex."""

    active_image: str | None
    update_state: UpdateState
    update_image: str | None
    status: Status = Status.OK


@dataclass(frozen=True, slots=True)
class RolloutState:
    """All that is known of a rollout.

    Attributes:
        wave: Number of the current wave, -1 before the first.
        settled_s: When the last device of the current wave got its result; None before.
        paused_s: When it was paused.
    """

    plan: RolloutPlan
    phase: Phase = Phase.RUNNING
    wave: int = -1
    settled_s: float | None = None
    paused_s: float = 0.0
    devices: Mapping[str, DeviceState] = field(default_factory=dict)
    reason: str = ""

    @property
    def active(self) -> bool:
        """Whether the rollout may still change."""
        return self.phase in (Phase.RUNNING, Phase.PAUSED)

    def count(self, *results: Result) -> int:
        """Return how many devices have one of these results."""
        return sum(device.result in results for device in self.devices.values())


def bucket(rollout: str, device: str) -> int:
    """Return a device's place in a rollout: a fixed number, so raising a part only adds devices."""
    digest = hashlib.blake2b(f"{rollout}\0{device}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def make_plan(
    *,
    rollout: str,
    image_id: str,
    counter: int,
    device_class: str,
    devices: Iterable[str],
    waves: Iterable[int | float] = DEFAULT_WAVES,
    limits: Limits | None = None,
) -> RolloutPlan:
    """Order the devices and turn waves into numbers of devices.

    Args:
        waves: Cumulative; an int is a number of devices, a float a part of all in (0, 1]. What
            follows always reaches all devices.
    """
    order = tuple(sorted(set(devices), key=lambda device: (bucket(rollout, device), device)))
    if not order:
        raise ValueError(f"rollout {rollout} has no devices")
    counts: list[int] = []
    for wave in (*waves, 1.0):
        if wave <= 0 or (isinstance(wave, float) and wave > 1):
            raise ValueError(f"wave {wave} is neither a number of devices nor a part in (0, 1]")
        reach = math.ceil(wave * len(order)) if isinstance(wave, float) else wave
        if (reach := min(reach, len(order))) > (counts[-1] if counts else 0):
            counts.append(reach)
    return RolloutPlan(
        rollout=rollout,
        image_id=image_id,
        counter=counter,
        device_class=device_class,
        devices=order,
        waves=tuple(counts),
        limits=limits or Limits(),
    )


def observe(reported: Reported) -> Observation:
    """Take from a report what a rollout cares for."""
    update = reported.update
    return Observation(
        active_image=None if reported.active_image is None else reported.active_image.hex(),
        update_state=update.state,
        update_image=None if update.image_id is None else update.image_id.hex(),
        status=update.status,
    )


def start(plan: RolloutPlan) -> Fact:
    """Return the fact that starts a rollout."""
    limits = plan.limits
    body: dict[str, Any] = {
        "rollout": plan.rollout,
        "image_id": plan.image_id,
        "counter": plan.counter,
        "device_class": plan.device_class,
        "waves": list(plan.waves),
        "devices": list(plan.devices),
        "limits": {
            "deadline_s": limits.deadline_s,
            "soak_s": limits.soak_s,
            "min_success": limits.min_success,
            "max_failures": limits.max_failures,
        },
    }
    return Fact(STARTED, body)


def step(
    state: RolloutState, observations: Mapping[str, Observation], now_s: float
) -> tuple[RolloutState, tuple[Fact, ...]]:
    """Take in what was observed and the time; return the new state and the facts that led there.

    A finished rollout no longer changes, a paused one only records results, and a halted one only
    that a device had installed the release after all.
    """
    facts: list[Fact] = []

    def add(kind: str, **body: Any) -> None:
        nonlocal state
        fact = Fact(kind, {"rollout": state.plan.rollout, **body})
        state = apply(state, fact.kind, fact.body, time_s=now_s)
        facts.append(fact)

    if state.phase is Phase.FINISHED:
        return state, ()
    for device, seen in observations.items():
        known = state.devices.get(device)
        result = None if known is None else _judge(state.plan, known, seen)
        if result is None or (state.phase is Phase.HALTED and result[0] is not Result.INSTALLED):
            continue
        add(DEVICE, device=device, result=result[0].value, status=int(result[1]))
    if state.phase is not Phase.RUNNING:
        return state, tuple(facts)
    deadline_s = state.plan.limits.deadline_s
    for device, known in state.devices.items():
        if known.result is Result.OFFERED and now_s - known.since_s >= deadline_s:
            add(DEVICE, device=device, result=Result.SILENT.value, status=int(Status.TIMEOUT))
    reason = _halt_reason(state)
    if reason:
        add(HALTED, reason=reason)
        return state, tuple(facts)
    if state.wave < 0:
        add(WAVE, wave=0, devices=list(state.plan.wave_devices(0)))
    elif state.settled_s is not None and now_s - state.settled_s >= state.plan.limits.soak_s:
        if state.wave + 1 == len(state.plan.waves):
            add(FINISHED, reason=_summary(state))
        else:
            wave = state.wave + 1
            add(WAVE, wave=wave, devices=list(state.plan.wave_devices(wave)))
    return state, tuple(facts)


def pause(state: RolloutState, reason: str) -> Fact:
    """Return the fact that no further wave begins and no deadline passes for a while.

    Raises:
        ValueError: If the rollout is not running.
    """
    if state.phase is not Phase.RUNNING:
        raise ValueError(f"rollout {state.plan.rollout} is {state.phase.value}, expected running")
    return Fact(PAUSED, {"rollout": state.plan.rollout, "reason": reason})


def resume(state: RolloutState, reason: str) -> Fact:
    """Return the fact that a paused rollout goes on; its deadlines move by the length of the pause.

    Raises:
        ValueError: If the rollout is not paused.
    """
    if state.phase is not Phase.PAUSED:
        raise ValueError(f"rollout {state.plan.rollout} is {state.phase.value}, expected paused")
    return Fact(RESUMED, {"rollout": state.plan.rollout, "reason": reason})


def abort(state: RolloutState, reason: str) -> Fact:
    """Return the fact that somebody halted the rollout.

    Raises:
        ValueError: If it has ended already.
    """
    if not state.active:
        raise ValueError(f"rollout {state.plan.rollout} is {state.phase.value}, expected running")
    return Fact(HALTED, {"rollout": state.plan.rollout, "reason": f"aborted: {reason}"})


def wanted(state: RolloutState) -> dict[str, bool]:
    """Say for each device reached whether it is to have the new release or to go back.

    After a halt, devices that run the new release keep it as their wish: they would refuse any
    lower counter. All others get what they had before.
    """
    halted = state.phase is Phase.HALTED
    return {
        device: not halted or known.result is Result.INSTALLED
        for device, known in state.devices.items()
    }


def follows(state: RolloutState | None, kind: str) -> bool:
    """Say whether a fact can follow on a state.

    Orders come from elsewhere and may be overtaken, as a pause by the end; then nothing changes.
    """
    if state is None or kind == STARTED:
        return state is None and kind == STARTED
    if kind == DEVICE:
        return state.phase is not Phase.FINISHED
    if kind == RESUMED:
        return state.phase is Phase.PAUSED
    if kind in (WAVE, PAUSED, FINISHED):
        return state.phase is Phase.RUNNING
    return state.active


def apply(
    state: RolloutState | None, kind: str, body: Mapping[str, Any], *, time_s: float
) -> RolloutState:
    """Fold one fact, as it stands in the journal, into the state.

    Raises:
        ValueError: If the fact cannot follow on this state.
    """
    if not follows(state, kind):
        raise ValueError(f"{kind} of rollout {body['rollout']} does not follow on its state")
    if state is None:
        return RolloutState(_plan(body))
    if body["rollout"] != state.plan.rollout:
        raise ValueError(f"{kind} is of rollout {body['rollout']}, not {state.plan.rollout}")
    if kind == WAVE:
        offered = {device: DeviceState(Result.OFFERED, time_s) for device in body["devices"]}
        devices = {**state.devices, **offered}
        return replace(state, wave=int(body["wave"]), settled_s=None, devices=devices)
    if kind == DEVICE:
        known = DeviceState(Result(body["result"]), time_s, Status(int(body["status"])))
        devices = {**state.devices, str(body["device"]): known}
        settled = state.settled_s
        if settled is None and not any(d.result is Result.OFFERED for d in devices.values()):
            settled = time_s
        return replace(state, devices=devices, settled_s=settled)
    if kind == PAUSED:
        return replace(state, phase=Phase.PAUSED, paused_s=time_s, reason=str(body["reason"]))
    if kind == RESUMED:
        return _resumed(state, time_s)
    if kind in (HALTED, FINISHED):
        phase = Phase.HALTED if kind == HALTED else Phase.FINISHED
        return replace(state, phase=phase, reason=str(body["reason"]))
    raise ValueError(f"{kind} is not a fact of a rollout")


def _judge(
    plan: RolloutPlan, known: DeviceState, seen: Observation
) -> tuple[Result, Status] | None:
    """Return a new result with its status, None if nothing changes."""
    if seen.active_image == plan.image_id:
        return None if known.result is Result.INSTALLED else (Result.INSTALLED, Status.OK)
    if seen.update_image == plan.image_id and seen.update_state is UpdateState.REFUSED:
        if known.result is Result.REFUSED and known.status is seen.status:
            return None
        return Result.REFUSED, seen.status
    if known.result is Result.INSTALLED:
        return Result.REFUSED, Status.STATE  # it went back by itself
    return None


def _halt_reason(state: RolloutState) -> str:
    limits, failures = state.plan.limits, state.count(*FAILURES)
    if limits.max_failures is not None and failures > limits.max_failures:
        return f"{failures} devices failed, at most {limits.max_failures} may: {_causes(state)}"
    if state.wave < 0:
        return ""
    # A part of the wave that is lost for sure is not waited for.
    wave = state.plan.wave_devices(state.wave)
    failed = sum(state.devices[device].result in FAILURES for device in wave)
    if len(wave) - failed < limits.min_success * len(wave):
        return (
            f"wave {state.wave + 1}: {failed} of {len(wave)} devices failed, success must reach"
            f" {limits.min_success:.0%}: {_causes(state)}"
        )
    return ""


def _causes(state: RolloutState) -> str:
    counts: dict[str, int] = {}
    for device in state.devices.values():
        if device.result in FAILURES:
            silent = device.result is Result.SILENT
            text = "silent" if silent else f"refused, {device.status.text} ({int(device.status)})"
            counts[text] = counts.get(text, 0) + 1
    return ", ".join(f"{count} {text}" for text, count in sorted(counts.items()))


def _summary(state: RolloutState) -> str:
    failures = state.count(*FAILURES)
    text = f"{state.count(Result.INSTALLED)} of {len(state.plan.devices)} devices installed"
    return f"{text}, {failures} failed" if failures else text


def _resumed(state: RolloutState, time_s: float) -> RolloutState:
    gone = time_s - state.paused_s
    devices = {
        device: replace(known, since_s=known.since_s + gone)
        if known.result is Result.OFFERED
        else known
        for device, known in state.devices.items()
    }
    settled = state.settled_s
    if settled is not None:
        settled += time_s - max(settled, state.paused_s)
    return replace(state, phase=Phase.RUNNING, devices=devices, settled_s=settled, reason="")


def _plan(body: Mapping[str, Any]) -> RolloutPlan:
    return RolloutPlan(
        rollout=str(body["rollout"]),
        image_id=str(body["image_id"]),
        counter=int(body["counter"]),
        device_class=str(body["device_class"]),
        devices=tuple(body["devices"]),
        waves=tuple(int(wave) for wave in body["waves"]),
        limits=Limits(**body["limits"]),
    )
