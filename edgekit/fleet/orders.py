"""Rollouts as the journal tells them, and the orders that start, hold and end them.

An order is a fact in the journal like any other; the driver of a running server takes it up from
there, and a server that is started later does too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import ConfigError, RefusedError, StoreError
from edgekit.fleet.devices import DeviceView
from edgekit.fleet.releases import Release, releases
from edgekit.fleet.rollouts import (
    KINDS,
    Fact,
    Limits,
    Result,
    RolloutState,
    apply,
    follows,
    make_plan,
    start,
)
from edgekit.fleet.store import FleetStore
from edgekit.journal import Event, Journal
from edgekit.link.messages import Reported

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Live:
    """A rollout with what its state does not say.

    Attributes:
        seq: Number of the event that started it.
    """

    state: RolloutState
    release: Release
    seq: int


@dataclass(frozen=True, slots=True)
class Member:
    """What a rollout asks of a device before it includes it.

    Attributes:
        kernel_set_hash: As it reports it, None before its first report.
    """

    board: str
    claimed: bool
    revoked: bool
    kernel_set_hash: bytes | None


def member_of(view: DeviceView) -> Member:
    """Take from a device's view what a rollout asks."""
    kernels = None if view.reported is None else view.reported.kernel_set_hash
    return Member(view.board, view.claimed, view.revoked, kernels)


def members_of(store: FleetStore) -> dict[str, Member]:
    """Take from a fleet's store what a rollout asks of each device."""
    found: dict[str, Member] = {}
    for record in store.devices():
        said = None if record.reported is None else Reported.decode(record.reported)
        found[record.device] = Member(
            board=record.board,
            claimed=record.claim is not None,
            revoked=record.revoked,
            kernel_set_hash=None if said is None else said.kernel_set_hash,
        )
    return found


def open_journal(root: Path) -> Journal:
    """Open the journal of a project that has one.

    Args:
        root: The project's `.edgekit` folder.

    Raises:
        ConfigError: If there is none.
    """
    path = root / "journal.db"
    if not path.exists():
        raise ConfigError(f"{path} is not there; 'edgekit fleet up' makes it")
    return Journal.open(path)


def begin(
    release: Release,
    devices: Iterable[str] | None,
    *,
    members: Mapping[str, Member],
    lives: Mapping[str, Live],
    waves: Iterable[int | float],
    limits: Limits,
) -> tuple[str, Fact | None]:
    """Return the id of a rollout and the fact that starts it, None if it is under way already.

    Raises:
        RefusedError: If a device is unknown, of another class, or in another rollout.
    """
    manifest = release.manifest
    chosen = tuple(
        name
        for name, member in members.items()
        if member.claimed and not member.revoked and member.board == manifest.device_class
    )
    chosen = chosen if devices is None else tuple(devices)
    if not chosen:
        raise RefusedError(f"fleet has no claimed device of class '{manifest.device_class}'")
    for live in lives.values():
        plan = live.state.plan
        if live.state.active and live.release == release and set(plan.devices) == set(chosen):
            return plan.rollout, None
    for device in chosen:
        _check_device(device, members.get(device), release, lives)
    name = f"{manifest.device_class}-{manifest.counter}"
    again = sum(other == name or other.startswith(f"{name}.") for other in lives)
    plan = make_plan(
        rollout=f"{name}.{again + 1}" if again else name,
        image_id=release.image_id,
        counter=manifest.counter,
        device_class=manifest.device_class,
        devices=chosen,
        waves=waves,
        limits=limits,
    )
    return plan.rollout, start(plan)


def order(state: RolloutState, make: Callable[[RolloutState, str], Fact], reason: str) -> Fact:
    """Return the fact of an order: `pause`, `resume` or `abort`.

    Raises:
        RefusedError: If the rollout is not in a state for it.
    """
    try:
        return make(state, reason)
    except ValueError as exc:
        raise RefusedError(str(exc)) from exc


def find_rollout(lives: Mapping[str, Live], rollout: str) -> Live:
    """Return a rollout by its id.

    Raises:
        RefusedError: If there is none.
    """
    if rollout not in lives:
        raise RefusedError(f"rollout {rollout} is unknown, known are {', '.join(lives) or 'none'}")
    return lives[rollout]


def load_rollouts(journal: Journal) -> dict[str, Live]:
    """Replay all rollouts of a journal, by id, oldest first."""
    lives: dict[str, Live] = {}
    for event in journal.events(kinds=KINDS):
        take_event(lives, journal, event)
    return lives


def take_event(lives: dict[str, Live], journal: Journal, event: Event) -> Live | None:
    """Fold one event into the rollouts; None if it came too late to change anything."""
    live = lives.get(event.subject)
    state = None if live is None else live.state
    if not follows(state, event.kind):
        log.info("event %d, %s of %s, comes too late", event.seq, event.kind, event.subject)
        return None
    state = apply(state, event.kind, event.body, time_s=event.time_ms / 1000)
    if live is None:
        live = lives[event.subject] = Live(state, _release_of(journal, state), event.seq)
    live.state = state
    return live


def _release_of(journal: Journal, state: RolloutState) -> Release:
    plan = state.plan
    for release in releases(journal, plan.device_class):
        if (release.image_id, release.manifest.counter) == (plan.image_id, plan.counter):
            return release
    raise StoreError(f"rollout {plan.rollout}: journal has no release of {plan.image_id[:16]}")


def _check_device(
    device: str, member: Member | None, release: Release, lives: Mapping[str, Live]
) -> None:
    if member is None or member.revoked:
        raise RefusedError(f"device '{device}' is not in the fleet")
    expected, kernels = release.manifest.device_class, release.manifest.kernel_set_hash
    if member.board != expected:
        raise RefusedError(f"device '{device}' is a '{member.board}', release for '{expected}'")
    if member.kernel_set_hash is not None and member.kernel_set_hash != kernels:
        raise RefusedError(
            f"device '{device}' has kernel set {member.kernel_set_hash.hex()},"
            f" release needs {kernels.hex()}"
        )
    for live in lives.values():
        if live.state.active and device in live.state.plan.devices:
            raise RefusedError(f"device '{device}' is in rollout {live.state.plan.rollout}")


def state_body(state: RolloutState) -> dict[str, object]:
    """Return a rollout as JSON can say it."""
    plan = state.plan
    return {
        "rollout": plan.rollout,
        "image_id": plan.image_id,
        "counter": plan.counter,
        "device_class": plan.device_class,
        "phase": state.phase.value,
        "reason": state.reason,
        "wave": state.wave + 1,
        "waves": list(plan.waves),
        "counts": {result.value: state.count(result) for result in Result},
        "devices": {
            device: {"result": known.result.value, "status": int(known.status)}
            for device, known in state.devices.items()
        },
        "waiting": [device for device in plan.devices if device not in state.devices],
    }
