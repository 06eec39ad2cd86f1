"""Driving rollouts: the state machine of `fleet/rollouts.py` between journal, fleet and clock.

All state lives on the server's thread. A fact enters the journal before anything is sent, and what
is sent follows from the state alone, so a server that was killed takes up where it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from edgekit.errors import DeviceError, EdgekitError
from edgekit.fleet.devices import DeviceView
from edgekit.fleet.manifests import block_list
from edgekit.fleet.orders import Live, begin, find_rollout, member_of, order, take_event
from edgekit.fleet.releases import Release
from edgekit.fleet.rollouts import (
    DEFAULT_WAVES,
    DEVICE,
    FINISHED,
    HALTED,
    KINDS,
    STARTED,
    WAVE,
    Fact,
    Limits,
    Observation,
    Phase,
    RolloutState,
    abort,
    observe,
    pause,
    resume,
    step,
    wanted,
)
from edgekit.journal import Event
from edgekit.link.messages import SignedManifest
from edgekit.service.server import FleetServer

log = logging.getLogger(__name__)

TICK_S = 0.5


class RolloutDriver:
    """Runs the rollouts of one server; takes up those that its journal holds."""

    def __init__(self, server: FleetServer) -> None:
        self._server = server
        self._seq = 0  # last event taken in
        self._lives: dict[str, Live] = {}
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
        for event in self._server.journal.events(kinds=KINDS):
            self._take(event)
        for live in self._lives.values():
            if live.state.phase is not Phase.FINISHED:
                self._offer(live.release)
                self._reconcile(live, live.state.devices)

    def _tail(self) -> None:
        """Take in what has entered the journal, by this driver or by an order from elsewhere."""
        for event in self._server.journal.events(self._seq, KINDS):
            live = self._take(event)
            if live is None:
                continue
            if event.kind == STARTED:
                self._offer(live.release)
            elif event.kind == WAVE:
                self._reconcile(live, event.body["devices"])
            elif event.kind == HALTED:
                self._reconcile(live, live.state.devices)
            elif event.kind == DEVICE and live.state.phase is Phase.HALTED:
                self._reconcile(live, (event.body["device"],))
            log.info("%s: %s", event.kind, event.body)
        with self._changed:
            self._changed.notify_all()

    def _take(self, event: Event) -> Live | None:
        self._seq = event.seq
        live = take_event(self._lives, self._server.journal, event)
        if live is not None and event.kind == WAVE:
            self._owners |= dict.fromkeys(event.body["devices"], event.subject)
        return live

    def _start(
        self,
        release: Release,
        devices: tuple[str, ...] | None,
        waves: tuple[int | float, ...],
        limits: Limits,
    ) -> str:
        members = {name: member_of(view) for name, view in self._server.devices().items()}
        name, fact = begin(
            release, devices, members=members, lives=self._lives, waves=waves, limits=limits
        )
        if fact is not None:
            self._server.journal.append(fact.kind, name, fact.body)
            self._tail()
            self._advance(self._live(name))
        return name

    def _order(self, rollout: str, make: Callable[[RolloutState, str], Fact], reason: str) -> None:
        fact = order(self._live(rollout).state, make, reason)
        self._server.journal.append(fact.kind, rollout, fact.body)
        self._tail()

    def _on_device(self, device: str, view: DeviceView) -> None:
        name = self._owners.get(device)
        if name is not None and view.reported is not None:
            self._advance(self._lives[name], {device: observe(view.reported)})

    def _on_tick(self, now_s: float) -> None:
        self._tail()
        for live in list(self._lives.values()):
            if live.state.phase is Phase.RUNNING:
                self._advance(live)

    def _advance(self, live: Live, seen: Mapping[str, Observation] | None = None) -> None:
        observations = seen or {}
        while True:
            _, facts = step(live.state, observations, time.time())
            if not facts:
                return
            name = live.state.plan.rollout
            if any(fact.kind == FINISHED for fact in facts):
                self._server.flush()  # who waits for the end finds what the devices run
            for fact in facts:
                self._server.journal.append(fact.kind, name, fact.body)
            self._tail()
            # Devices of a new wave may run the image already.
            observations = self._reports(
                device for fact in facts if fact.kind == WAVE for device in fact.body["devices"]
            )

    def _reports(self, devices: Iterable[str]) -> dict[str, Observation]:
        views = self._server.devices()
        known = {device: views[device].reported for device in devices if device in views}
        return {device: observe(r) for device, r in known.items() if r is not None}

    def _reconcile(self, live: Live, devices: Iterable[str]) -> None:
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

    def _live(self, rollout: str) -> Live:
        return find_rollout(self._lives, rollout)


def _signed(body: Mapping[str, object]) -> SignedManifest | None:
    manifest, signature = body.get("manifest"), body.get("signature")
    if not isinstance(manifest, str) or not isinstance(signature, str):
        return None
    return SignedManifest(bytes.fromhex(manifest), bytes.fromhex(signature))
