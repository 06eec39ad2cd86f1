"""Driving rollouts: the state machine of `fleet/rollouts.py` between journal, fleet and clock.

All state lives on the server's thread. A fact enters the journal before anything is sent, and what
is sent follows from the state alone, so a server that was killed takes up where it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edgekit.errors import DeviceError, EdgekitError, RefusedError
from edgekit.fleet.devices import DeviceView
from edgekit.fleet.manifests import block_list
from edgekit.fleet.releases import Release, releases
from edgekit.fleet.rollouts import (
    DEFAULT_WAVES,
    KINDS,
    STARTED,
    WAVE,
    Fact,
    Limits,
    Observation,
    Phase,
    Result,
    RolloutState,
    abort,
    apply,
    make_plan,
    observe,
    pause,
    resume,
    start,
    step,
    wanted,
)
from edgekit.journal import Journal
from edgekit.link.messages import SignedManifest
from edgekit.service.server import FleetServer

log = logging.getLogger(__name__)

TICK_S = 0.5


@dataclass(slots=True)
class _Live:
    """A rollout with what its state does not say.

    Attributes:
        seq: Number of the event that started it.
    """

    state: RolloutState
    release: Release
    seq: int


class RolloutDriver:
    """Runs the rollouts of one server; takes up those that its journal holds."""

    def __init__(self, server: FleetServer) -> None:
        self._server = server
        self._lives: dict[str, _Live] = {}
        self._owners: dict[str, str] = {}  # device -> the rollout that reached it last
        self._desired: dict[str, tuple[int, SignedManifest | None]] = {}
        self._changed = threading.Condition()
        server.call(self._load)
        server.add_listener(self._on_device)
        server.add_ticker(TICK_S, self._on_tick)

    def start(
        self,
        release: Release,
        devices: Iterable[str] | None = None,
        *,
        waves: Iterable[int | float] = DEFAULT_WAVES,
        limits: Limits | None = None,
    ) -> str:
        """Start a rollout and return its id; the same one again if it is under way already.

        Args:
            devices: Device ids; all devices of the release's class if None.

        Raises:
            RefusedError: If a device is unknown, of another class, or in another rollout.
        """
        chosen = None if devices is None else tuple(devices)
        steps = tuple(waves)
        return self._server.call(lambda: self._start(release, chosen, steps, limits or Limits()))

    def pause(self, rollout: str, reason: str = "by hand") -> None:
        """Let no further wave begin."""
        self._server.call(lambda: self._order(rollout, pause, reason))

    def resume(self, rollout: str, reason: str = "by hand") -> None:
        """Go on after a pause."""
        self._server.call(lambda: self._order(rollout, resume, reason))

    def abort(self, rollout: str, reason: str = "by hand") -> None:
        """Halt for good; devices that do not run the release yet get back what they had."""
        self._server.call(lambda: self._order(rollout, abort, reason))

    def status(self, rollout: str) -> RolloutState:
        """Return the state of a rollout.

        Raises:
            RefusedError: If there is none of that id.
        """
        return self._server.call(lambda: self._live(rollout).state)

    def wait(self, rollout: str, timeout_s: float) -> RolloutState:
        """Wait until a rollout has finished or halted, and return its state.

        Raises:
            DeviceError: If it has not within the time.
        """
        give_up_s = time.monotonic() + timeout_s
        while True:
            state = self.status(rollout)
            if not state.active:
                return state
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                raise DeviceError(
                    f"rollout {rollout} is in wave {state.wave + 1} of {len(state.plan.waves)}"
                    f" after {timeout_s:g} s"
                )
            with self._changed:
                self._changed.wait(min(left_s, 0.2))

    # What follows runs on the server's thread.

    def _load(self) -> None:
        self._lives = load_rollouts(self._server.journal)
        for name in sorted(self._lives, key=lambda name: self._lives[name].seq):
            self._owners |= dict.fromkeys(self._lives[name].state.devices, name)
        for live in self._lives.values():
            if live.state.phase is not Phase.FINISHED:
                self._offer(live.release)
                self._reconcile(live, live.state.devices)

    def _start(
        self,
        release: Release,
        devices: tuple[str, ...] | None,
        waves: tuple[int | float, ...],
        limits: Limits,
    ) -> str:
        views = self._server.devices()
        manifest = release.manifest
        if devices is None:
            devices = tuple(
                name
                for name, view in views.items()
                if view.claimed and not view.revoked and view.board == manifest.device_class
            )
        if not devices:
            raise RefusedError(f"fleet has no device of class '{manifest.device_class}'")
        for live in self._lives.values():
            plan = live.state.plan
            same = plan.image_id == release.image_id and plan.counter == manifest.counter
            if live.state.active and same and set(plan.devices) == set(devices):
                return plan.rollout
        for device in devices:
            self._check_device(device, views.get(device), release)
        name = f"{manifest.device_class}-{manifest.counter}"
        again = sum(other == name or other.startswith(f"{name}.") for other in self._lives)
        plan = make_plan(
            rollout=f"{name}.{again + 1}" if again else name,
            image_id=release.image_id,
            counter=manifest.counter,
            devices=devices,
            waves=waves,
            limits=limits,
        )
        self._offer(release)
        fact = start(plan)
        event = self._server.journal.append(fact.kind, plan.rollout, fact.body)
        state = apply(None, fact.kind, fact.body, time_s=event.time_ms / 1000)
        self._lives[plan.rollout] = _Live(state, release, event.seq)
        self._advance(self._lives[plan.rollout])
        return plan.rollout

    def _check_device(self, device: str, view: DeviceView | None, release: Release) -> None:
        if view is None or view.revoked:
            raise RefusedError(f"device '{device}' is not in the fleet")
        expected = release.manifest.device_class
        if view.board != expected:
            raise RefusedError(f"device '{device}' is a '{view.board}', release for '{expected}'")
        kernels = release.manifest.kernel_set_hash
        if view.reported is not None and view.reported.kernel_set_hash != kernels:
            raise RefusedError(
                f"device '{device}' has kernel set {view.reported.kernel_set_hash.hex()},"
                f" release needs {kernels.hex()}"
            )
        for live in self._lives.values():
            if live.state.active and device in live.state.plan.devices:
                raise RefusedError(f"device '{device}' is in rollout {live.state.plan.rollout}")

    def _order(self, rollout: str, make: Callable[[RolloutState, str], Fact], reason: str) -> None:
        live = self._live(rollout)
        try:
            fact = make(live.state, reason)
        except ValueError as exc:
            raise RefusedError(str(exc)) from exc
        self._enter(live, fact)
        self._follow(live, live.state.devices)

    def _on_device(self, device: str, view: DeviceView) -> None:
        name = self._owners.get(device)
        if name is not None and view.reported is not None:
            self._advance(self._lives[name], {device: observe(view.reported)})

    def _on_tick(self, now_s: float) -> None:
        for live in self._lives.values():
            if live.state.phase is Phase.RUNNING:
                self._advance(live)

    def _advance(self, live: _Live, seen: Mapping[str, Observation] | None = None) -> None:
        observations = seen or {}
        while True:
            _, facts = step(live.state, observations, time.time())
            if not facts:
                return
            for fact in facts:
                self._enter(live, fact)
            reached = [d for fact in facts if fact.kind == WAVE for d in fact.body["devices"]]
            self._owners |= dict.fromkeys(reached, live.state.plan.rollout)
            halted = live.state.phase is Phase.HALTED
            self._follow(live, live.state.devices if halted else reached)
            # Devices of a new wave may run the image already.
            observations = self._reports(reached)

    def _enter(self, live: _Live, fact: Fact) -> None:
        name = live.state.plan.rollout
        event = self._server.journal.append(fact.kind, name, fact.body)
        live.state = apply(live.state, fact.kind, fact.body, time_s=event.time_ms / 1000)
        log.info("%s: %s", fact.kind, fact.body)

    def _reports(self, devices: Iterable[str]) -> dict[str, Observation]:
        views = self._server.devices()
        known = {device: views[device].reported for device in devices if device in views}
        return {device: observe(r) for device, r in known.items() if r is not None}

    def _follow(self, live: _Live, devices: Iterable[str]) -> None:
        self._reconcile(live, devices)
        with self._changed:
            self._changed.notify_all()

    def _reconcile(self, live: _Live, devices: Iterable[str]) -> None:
        """Wish of devices what the state says; nothing is sent where that is so already."""
        name = live.state.plan.rollout
        wishes = wanted(live.state)
        for device in devices:
            if self._owners.get(device) != name:
                continue
            has_it = wishes[device]
            bad = live.release.signed
            now = self._desired_now(device)
            if has_it:
                wish: SignedManifest | None = bad
            elif now == bad:
                wish = self._desired_before(device, live.seq, bad)
            else:
                continue
            if now == wish:
                continue
            try:
                self._server.set_desired(device, model=wish)
            except EdgekitError as exc:
                # Revoked meanwhile, say: it stays silent and counts as that.
                log.warning("rollout %s: device %s: %s", name, device, exc)

    def _desired_now(self, device: str) -> SignedManifest | None:
        """Return what the newest desired document of a device names."""
        seq, signed = self._desired.get(device, (0, None))
        journal = self._server.journal
        for event in journal.events(seq, ("device.desired",), subject=device):
            seq, signed = event.seq, _signed(event.body)
        self._desired[device] = (seq, signed)
        return signed

    def _desired_before(self, device: str, seq: int, bad: SignedManifest) -> SignedManifest | None:
        """Return what a device was to run before a rollout started."""
        found: SignedManifest | None = None
        for event in self._server.journal.events(0, ("device.desired",), subject=device):
            if event.seq > seq:
                break
            found = _signed(event.body)
        return None if found == bad else found

    def _offer(self, release: Release) -> None:
        image = self._server.journal.blob(release.blob)
        self._server.offer(image)
        self._server.offer(block_list(image))

    def _live(self, rollout: str) -> _Live:
        if rollout not in self._lives:
            raise RefusedError(f"rollout {rollout} is unknown, known are {sorted(self._lives)}")
        return self._lives[rollout]


def load_rollouts(journal: Journal) -> dict[str, _Live]:
    """Replay all rollouts of a journal."""
    known = {(r.image_id, r.manifest.counter): r for r in releases(journal)}
    lives: dict[str, _Live] = {}
    for event in journal.events(kinds=KINDS):
        time_s = event.time_ms / 1000
        if event.kind == STARTED:
            release = known[event.body["image_id"], event.body["counter"]]
            state = apply(None, event.kind, event.body, time_s=time_s)
            lives[event.subject] = _Live(state, release, event.seq)
        else:
            live = lives[event.subject]
            live.state = apply(live.state, event.kind, event.body, time_s=time_s)
    return lives


def rollout_states(journal: Journal) -> dict[str, RolloutState]:
    """Return the state of each rollout of a journal, by id, oldest first."""
    return {name: live.state for name, live in load_rollouts(journal).items()}


def state_body(state: RolloutState) -> dict[str, object]:
    """Return a rollout as JSON can say it."""
    plan = state.plan
    return {
        "rollout": plan.rollout,
        "image_id": plan.image_id,
        "counter": plan.counter,
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


def _signed(body: Mapping[str, object]) -> SignedManifest | None:
    manifest, signature = body.get("manifest"), body.get("signature")
    if not isinstance(manifest, str) or not isinstance(signature, str):
        return None
    return SignedManifest(bytes.fromhex(manifest), bytes.fromhex(signature))
