"""What the server holds of each device, taken from store and journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from edgekit.errors import DeviceError
from edgekit.fleet.devices import DeviceView
from edgekit.fleet.rates import Bucket
from edgekit.fleet.store import DeviceRecord, FleetStore
from edgekit.journal import Journal
from edgekit.link.messages import Reported, Telemetry
from edgekit.service import limits
from edgekit.service.wishes import Wish, wish_of


@dataclass(slots=True)
class Device:
    """What the service thread holds of one device."""

    record: DeviceRecord
    view: DeviceView
    heard_counter: int
    body: dict[str, Any] | None = None  # of its last device.reported
    wish: Wish | None = None
    wished_boot: int = 0  # boot counter that the wish was last sealed for
    wished_s: float = 0.0
    counters: range = field(default_factory=lambda: range(0))
    telemetry: Telemetry | None = None
    lines: Bucket = field(default_factory=limits.lines)
    claims: Bucket = field(default_factory=limits.claims)

    @property
    def name(self) -> str:
        return self.record.device

    @property
    def key(self) -> bytes | None:
        """Its key; None if it is not claimed, or revoked."""
        claim = self.record.claim
        return None if claim is None or self.record.revoked else claim.device_key


class Devices:
    """All devices of a fleet; for the service thread only.

    Attributes:
        views: What others are shown, by name.
    """

    def __init__(self, store: FleetStore, fleet: str) -> None:
        self._store = store
        self._fleet = fleet
        self._devices: dict[str, Device] = {}
        self._views: dict[str, DeviceView] = {}
        self._change_number = -1
        self.views: Mapping[str, DeviceView] = MappingProxyType(self._views)

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def __len__(self) -> int:
        return len(self._devices)

    def __getitem__(self, name: str) -> Device:
        """Return a device, looking into the store if it is new.

        Raises:
            DeviceError: If it is not in the fleet.
        """
        device = self._devices.get(name)
        if device is None:
            self.refresh()
            device = self._devices.get(name)
        if device is None:
            raise DeviceError(f"device '{name}' is not in fleet '{self._fleet}'")
        return device

    def show(self, device: Device, **changes: Any) -> None:
        """Change what others are shown of a device."""
        device.view = replace(device.view, **changes)
        self._views[device.name] = device.view

    def load(self, journal: Journal, journal_claim: Callable[[str, str], None]) -> None:
        """Take up where the last server stopped.

        Args:
            journal_claim: Called with device and token where the last server was killed between
                binding a claim and its event.
        """
        self.refresh()
        for event in journal.events(kinds=["device.desired"]):
            if (device := self._devices.get(event.subject)) is not None:
                device.wish = wish_of(event)
                self.show(device, desired_version=device.wish.version)
        for event in journal.events(kinds=["device.reported"]):
            if (device := self._devices.get(event.subject)) is not None:
                device.body = dict(event.body)
        events = journal.events(kinds=["device.claimed"])
        claimed = {(event.subject, event.body["token"]) for event in events}
        for device in self:
            claim, token = device.record.claim, device.record.token.id.hex()
            if claim is not None and claim.device_public and (device.name, token) not in claimed:
                journal_claim(device.name, token)

    def refresh_if_changed(self) -> None:
        """Refresh if anybody has changed the store."""
        if self._store.change_number() != self._change_number:
            self.refresh()

    def refresh(self) -> None:
        """Take over what the store says about devices: new ones, revoked ones, new tokens."""
        self._change_number = self._store.change_number()
        for record in self._store.devices():
            device = self._devices.get(record.device)
            if device is None:
                device = self._devices[record.device] = _device_of(record)
            device.record = record
            self.show(
                device,
                board=record.board,
                claimed=device.key is not None,
                revoked=record.revoked,
                boot=device.heard_counter >> 32,
            )


def _device_of(record: DeviceRecord) -> Device:
    view = DeviceView(device=record.device, board=record.board)
    if record.reported is not None:
        reported = Reported.decode(record.reported)
        view = replace(view, reported=reported, last_seen_s=record.reported_s)
    return Device(record, view, record.heard_counter)
