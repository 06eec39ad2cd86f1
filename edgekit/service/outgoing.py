"""What goes to devices: wishes and messages, sealed with each device's key and published."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from edgekit.fleet.store import FleetStore
from edgekit.journal import Entry, Journal
from edgekit.link.frames import FrameType
from edgekit.link.messages import FederatedTask, Learning, SignedManifest
from edgekit.link.seal import Direction, seal_frame
from edgekit.link.topics import Channel, topic
from edgekit.service.devices import Device, Devices
from edgekit.service.wishes import Keep, Wish

logger = logging.getLogger(__name__)

_REPEAT_S = 1.0  # the same wish is not published to a device more often


class Publish(Protocol):
    """Hands a message to the broker."""

    def __call__(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish soon; a message that finds no connection is lost."""


class Outgoing:
    """Everything that a server says to the devices of its fleet; for its thread only.

    Args:
        heartbeat_s: How often devices are asked to report.
        learning: How devices learn by themselves; None: they do not.
    """

    def __init__(
        self,
        *,
        fleet: str,
        devices: Devices,
        store: FleetStore,
        journal: Journal,
        publish: Publish,
        heartbeat_s: int,
        learning: Learning | None,
    ) -> None:
        self._fleet = fleet
        self._devices = devices
        self._store = store
        self._journal = journal
        self._publish = publish
        self._heartbeat_s = heartbeat_s
        self._learning = learning

    def wish(
        self,
        names: Sequence[str],
        model: SignedManifest | Keep | None,
        task: FederatedTask | Keep | None,
    ) -> list[int]:
        """Wish devices a model or a task, in one step; return the versions of their documents.

        Raises:
            DeviceError: If one is not in the fleet; then none has it.
        """
        return self._wish([(self._devices[name], model, task) for name in names])

    def wish_tasks(self, tasks: Mapping[str, FederatedTask]) -> None:
        """Wish each device a task of its own, in one step.

        Raises:
            DeviceError: If one is not in the fleet; then none has it.
        """
        self._wish([(self._devices[name], Keep.KEEP, task) for name, task in tasks.items()])

    def _wish(
        self,
        asked: Sequence[tuple[Device, SignedManifest | Keep | None, FederatedTask | Keep | None]],
    ) -> list[int]:
        devices, now_s = [device for device, *_ in asked], time.time()
        wishes = [
            (device.wish or Wish()).changed(model=model, task=task, now_s=now_s)
            for device, model, task in asked
        ]
        for wish in wishes:  # what cannot be said must not enter the journal
            wish.document(now_s=now_s, heartbeat_s=self._heartbeat_s).encode()
        self._journal.append_all(
            [
                Entry("device.desired", device.name, wish.body(device.name))
                for device, wish in zip(devices, wishes, strict=True)
            ]
        )
        for device, wish in zip(devices, wishes, strict=True):
            device.wish = wish
            self._devices.show(device, desired_version=wish.version)
        for device in devices:
            self._publish_wish(device)
        return [wish.version for wish in wishes]

    def wish_all_again(self) -> None:
        """Publish every wish: the broker is there, perhaps with nothing in its memory."""
        logger.info("broker is there; %d devices", len(self._devices))
        for device in self._devices:
            self._publish_wish(device)

    def wish_again(self, device: Device, *, boot: int, version: int) -> None:
        """Publish a device's wish if it has booted since, or reports an older document."""
        wish = device.wish
        if wish is None:
            return
        is_repeat = time.monotonic() - device.wished_s < _REPEAT_S
        if boot != device.wished_boot or (version < wish.version and not is_repeat):
            self._publish_wish(device)

    def send(
        self,
        device: Device,
        channel: Channel,
        kind: FrameType,
        content: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
    ) -> None:
        """Seal a message for a device's present boot and publish it; nothing to the unclaimed."""
        if device.key is None:
            return
        if not device.counters:
            self._reserve()
        counter = device.view.boot << 32 | device.counters[0]
        device.counters = device.counters[1:]
        frame = seal_frame(device.key, Direction.TO_DEVICE, kind, content, counter)
        self._publish(topic(self._fleet, device.name, channel), frame, qos=qos, retain=retain)

    def respond(self, device: Device, kind: FrameType, content: bytes) -> None:
        """Send a message that nobody keeps."""
        self.send(device, Channel.RESPONSE, kind, content)

    def _publish_wish(self, device: Device) -> None:
        """Publish what a device is to be, sealed for its present boot."""
        wish = device.wish if self._learning is None else device.wish or Wish()
        if wish is None or device.key is None or device.view.boot == 0:
            return
        document = wish.document(
            now_s=time.time(), heartbeat_s=self._heartbeat_s, learning=self._learning
        )
        device.wished_boot = device.view.boot
        device.wished_s = time.monotonic()
        self.send(device, Channel.DESIRED, FrameType.DESIRED, document.encode(), qos=1, retain=True)

    def _reserve(self) -> None:
        """Reserve counters for messages, for all devices that have none, as one write does."""
        needy = {d.name: d for d in self._devices if d.key is not None and not d.counters}
        for name, counters in self._store.reserve_counters(needy).items():
            needy[name].counters = counters
