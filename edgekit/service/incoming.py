"""What comes from devices: every message is proven here, and counted, before it takes effect."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edgekit.errors import LinkError, SecurityError
from edgekit.fleet.devices import PresenceReport
from edgekit.fleet.identity import answer_claim, claim_response
from edgekit.fleet.store import FleetStore
from edgekit.journal import Journal
from edgekit.link.frames import FrameType, decode_frame, encode_frame
from edgekit.link.messages import ClaimRequest
from edgekit.link.seal import Direction, Sealed, open_frame
from edgekit.link.status import Status, refuse
from edgekit.link.topics import CHANNEL_OF_FRAME, Channel, parse_topic, topic
from edgekit.service.devices import Device, Devices
from edgekit.service.limits import News
from edgekit.service.loop import Message, Step
from edgekit.service.outgoing import Publish

logger = logging.getLogger(__name__)

_REPEATABLE = (FrameType.CHUNK, FrameType.CHUNK_REQUEST)  # heard twice, they change nothing


class Incoming:
    """Judges messages of devices, and keeps what was heard until it is on disk.

    For the service thread only.

    Args:
        take: Gets what a device has said, once its counter is durable.
        take_presence: Gets what the broker says of a device's connection.
    """

    def __init__(
        self,
        *,
        fleet: str,
        devices: Devices,
        store: FleetStore,
        journal: Journal,
        news: News,
        publish: Publish,
        take: Callable[[Device, Sealed], None],
        take_presence: Callable[[Device, PresenceReport], None],
    ) -> None:
        self._fleet = fleet
        self._devices = devices
        self._store = store
        self._journal = journal
        self._news = news
        self._publish = publish
        self._take = take
        self._take_presence = take_presence
        self._dirty: dict[str, int] = {}
        self._later: dict[str, int] = {}  # counters that are kept with the next others, or tick
        self._reported: dict[str, tuple[bytes, float]] = {}

    def verify(self, message: Message, effects: list[Step]) -> None:
        """Judge a message and add what it is to cause to a list of steps.

        Raises:
            LinkError: If it is damaged, out of place, not sealed by the device, or was heard.
            SecurityError: If it claims a place with a token that is not its own.
            DeviceError: If its device is not in the fleet.
        """
        parsed = parse_topic(message.topic)
        device = self._devices[parsed.device]
        if parsed.channel is Channel.PRESENCE:
            presence = PresenceReport.decode(message.payload)
            effects.append(lambda: self._take_presence(device, presence))
            return
        frame = decode_frame(message.payload)
        if CHANNEL_OF_FRAME.get(frame.type) is not parsed.channel:
            raise refuse(Status.RANGE, f"{message.topic}: {frame.type.name} does not belong here")
        if frame.type is FrameType.CLAIM_REQUEST:
            self._claim(device, ClaimRequest.decode(frame.body))
            return
        if device.key is None:
            raise refuse(Status.STATE, f"{message.topic}: device is not claimed, or revoked")
        try:
            sealed = open_frame(device.key, Direction.TO_SERVER, frame, after=device.heard_counter)
        except LinkError as exc:
            if message.retained and exc.status == Status.REPLAY:
                return  # the broker's copy of what is known
            raise LinkError(f"{message.topic}: {exc}", status=exc.status) from exc
        device.heard_counter = sealed.counter
        if sealed.type in _REPEATABLE:
            self._later[parsed.device] = sealed.counter
        else:
            self._dirty[parsed.device] = sealed.counter
        effects.append(lambda: self._take(device, sealed))

    def note_reported(self, device: str, content: bytes) -> None:
        """Keep a device's report for the next save."""
        self._reported[device] = content, time.time()

    def save_counters(self) -> None:
        """Put on disk what must be there before messages take effect."""
        if self._dirty:
            self.save()

    def save(self) -> None:
        """Put on disk all that was heard."""
        if self._dirty or self._later or self._reported:
            counters = self._later | self._dirty
            reported, self._reported, self._dirty, self._later = self._reported, {}, {}, {}
            self._store.save_heard(counters, reported)

    def journal_claim(self, name: str, token: str) -> None:
        """Enter into the journal that a device has taken its place."""
        self._journal.append("device.claimed", name, {"device": name, "token": token}, actor=name)

    def _claim(self, device: Device, request: ClaimRequest) -> None:
        name = device.name
        if not device.claims.take(time.monotonic()):
            raise refuse(Status.STATE, f"device '{name}' claims too often")
        if request.token_id != device.record.token.id:
            self._devices.refresh()  # it may have been enrolled anew a moment ago
        record = device.record
        if record.revoked or request.token_id != record.token.id:
            raise SecurityError(f"device '{name}': claim with a token that is not its own")
        bound = record.claim if record.claim and record.claim.device_public else None
        claim = answer_claim(record.token, name, request, bound)
        if bound is None:
            self._store.bind(name, claim)
            device.heard_counter = 0
            for kept in (self._dirty, self._later, self._reported):
                kept.pop(name, None)
            device.body = None
            self._news.forget(name)
            self._devices.refresh()
            self._devices.show(device, reported=None, boot=0, presence_boot=0)
            self.journal_claim(name, record.token.id.hex())
            logger.info("device '%s' is claimed", name)
        response = encode_frame(
            FrameType.CLAIM_RESPONSE, claim_response(record.token, name, claim).encode()
        )
        self._publish(topic(self._fleet, name, Channel.RESPONSE), response)
