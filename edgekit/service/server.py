"""The fleet server: one thread that owns all state between journal, store and broker.

MQTT callbacks only put messages into a queue. A message counts only after its frame, its code and
its counter have been verified and the counter is durable (those of chunks and of requests for them
follow within a second); every change of a wish is in the journal before it is published. So a
server that is killed goes on from its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from edgekit.errors import DeviceError, EdgekitError, LinkError, SecurityError, StoreError
from edgekit.fleet.devices import DeviceView, Presence, PresenceReport, is_news, reported_body
from edgekit.fleet.identity import answer_claim, claim_response
from edgekit.fleet.members import dismiss
from edgekit.fleet.store import SERVER_USER, FleetStore
from edgekit.journal import Entry, Journal
from edgekit.link.chunks import ChunkStore, object_id
from edgekit.link.frames import FrameType, decode_frame, encode_frame
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimRequest,
    FederatedTask,
    Learning,
    Log,
    Reported,
    SignedManifest,
    Telemetry,
    TextAnswer,
    TextQuestion,
)
from edgekit.link.mqtt import BrokerAddress, Connection, Handlers, Login, ThreadedConnection
from edgekit.link.seal import Direction, Sealed, open_frame, seal_frame
from edgekit.link.status import Status, refuse
from edgekit.link.topics import (
    CHANNEL_OF_FRAME,
    FROM_DEVICE,
    Channel,
    fleet_filter,
    parse_topic,
    topic,
)
from edgekit.runtime.text import text_bytes
from edgekit.service import limits
from edgekit.service.devices import Device, Devices
from edgekit.service.lock import lock_folder
from edgekit.service.loop import Loop, Message, Step
from edgekit.service.pulls import PullDone, Pulls
from edgekit.service.texts import Questions
from edgekit.service.wishes import KEEP, Keep, Wish
from edgekit.started import Started

__all__ = ["HEARTBEAT_S", "KEEP", "FleetServer", "Keep"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15
_STORE_CHECK_S = 0.5
_REPEATABLE = (FrameType.CHUNK, FrameType.CHUNK_REQUEST)  # heard twice, they change nothing
_BLOB_WRITERS = 8  # threads; a disk that is asked for several files at once writes them together
_SAVE_S = 1.0
_REPEAT_S = 1.0  # the same wish is not published to a device more often

T = TypeVar("T")
Listener = Callable[[str, DeviceView], None]


class FleetServer(Started):
    """The server of one fleet.

    `call`, `set_desired`, `offer`, `pull`, `revoke` and `add_listener` may be used from any thread;
    what they are given to call back runs on the service thread.

    Args:
        root: The project's `.edgekit` folder.
        heartbeat_s: How often devices are asked to report.
        learning: How devices learn by themselves; None: they do not.
    """

    def __init__(
        self,
        *,
        root: Path,
        fleet: str,
        broker: BrokerAddress,
        heartbeat_s: int = HEARTBEAT_S,
        learning: Learning | None = None,
    ) -> None:
        self.fleet = fleet
        self._root = root
        with ExitStack() as opened:
            opened.enter_context(lock_folder(root))
            self.journal = opened.enter_context(Journal.open(root / "journal.db"))
            self._store = opened.enter_context(FleetStore.open(root, fleet=fleet))
            self._opened = opened.pop_all()
        self._heartbeat_s = heartbeat_s
        self._learning = learning
        self._loop = Loop(verify=self._verify, save=self._save_heard, tick=self._tick)
        self.refused = self._loop.refused
        self._devices = Devices(self._store, fleet)
        self._pulls = Pulls(
            send=self._send_request, tell=self._tell_result, is_reachable=self._is_reachable
        )
        self._questions = Questions(self._send_question)
        self._chunks = ChunkStore(self._load_offer)
        self._writers = ThreadPoolExecutor(_BLOB_WRITERS, thread_name_prefix="edgekit-blob")
        self._listeners: list[Listener] = []
        self._dirty: dict[str, int] = {}
        self._later: dict[str, int] = {}  # counters that are kept with the next others, or tick
        self._reported: dict[str, tuple[bytes, float]] = {}
        self._news = limits.News(self.journal)
        self._next_store_check_s = self._next_save_s = 0.0
        self._connection = ThreadedConnection(
            Connection(
                address=broker,
                login=Login(SERVER_USER, self._store.server_password()),
                handlers=Handlers(
                    message=self._loop.hear, up=lambda: self._loop.put(self._reassert)
                ),
                subscriptions=[(fleet_filter(fleet, channel), 0) for channel in FROM_DEVICE],
            )
        )
        self._devices.load(self.journal, self._journal_claim)

    # Life

    def start(self) -> None:
        """Start the service thread and connect in the background."""
        self._loop.start()
        self._connection.start()

    def close(self) -> None:
        """Stop both threads and close journal and store."""
        self._connection.close()
        self._writers.shutdown(cancel_futures=True)
        if self._loop.stop():
            self.flush()
        self._opened.close()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.is_up

    def call(self, fn: Callable[[], T]) -> T:
        """Run a function on the service thread and return its result, or raise its exception."""
        return self._loop.call(fn)

    def add_listener(self, fn: Listener) -> None:
        """Have a function called after each verified Reported and each change of presence."""
        self.call(lambda: self._listeners.append(fn))

    def add_ticker(self, period_s: float, fn: Callable[[float], None]) -> None:
        """Have a function called every so often, with the time in Unix seconds."""
        self.call(lambda: self._loop.add_ticker(period_s, fn))

    # What the fleet is asked

    def devices(self) -> Mapping[str, DeviceView]:
        """Return all devices of the fleet; for the service thread, or inside `call`."""
        self._devices.refresh_if_changed()
        return self._devices.views

    def wished_task(self, device: str) -> FederatedTask | None:
        """Return the task that a device has; for the service thread, or inside `call`.

        Raises:
            DeviceError: If the device is not in the fleet.
        """
        wish = self._devices[device].wish
        return None if wish is None else wish.task

    def set_desired(
        self,
        device: str,
        *,
        model: SignedManifest | Keep | None = KEEP,
        task: FederatedTask | Keep | None = KEEP,
    ) -> int:
        """Wish a device a model or a task; return the version of the document.

        Raises:
            DeviceError: If the device is not in the fleet.
        """
        return self.call(lambda: self._set_desired([device], model, task)[0])

    def set_task(self, devices: Sequence[str], task: FederatedTask | None) -> None:
        """Wish all of some devices the same task, in one step.

        Raises:
            DeviceError: If one is not in the fleet; then none has it.
        """
        self.call(lambda: self._set_desired(devices, KEEP, task))

    def offer(self, data: bytes) -> int:
        """Put an object on offer to every claimed device, durably; return its id on the link."""

        def work() -> int:
            number = object_id(data)
            self._store.add_offer(number, self.journal.blobs.write(data))
            return number

        return self.call(work)

    def write_blob(self, data: bytes, done: Callable[[StoreError | None], None]) -> None:
        """Keep bytes beside the journal, in another thread; `done` gets the error, if one."""

        def tell(written: Future[str]) -> None:
            if not written.cancelled():
                error = written.exception()
                if error is not None and not isinstance(error, StoreError):
                    raise error
                self._loop.put(lambda: done(error))

        self._writers.submit(self.journal.blobs.write, data).add_done_callback(tell)

    def pull(
        self, device: str, *, object_id: int, total: int, digest: bytes, done: PullDone
    ) -> None:
        """Fetch an object from a device; `done` gets its bytes, or the error.

        Args:
            digest: BLAKE2b-256 that the bytes must have.

        Raises:
            DeviceError: If the device is not claimed, or names an object by another hash's id.
        """

        def work() -> None:
            if self._devices[device].key is None:
                raise DeviceError(f"device '{device}' is not claimed")
            self._pulls.start(device, object_id=object_id, total=total, digest=digest, done=done)
            self._pulls.ask()

        self.call(work)

    def ask_text(self, device: str, text: str | bytes, *, timeout_s: float = 10.0) -> TextAnswer:
        """Have a device's model classify a text; for threads other than the service's.

        Raises:
            DeviceError: If the device is not claimed, or does not answer in time.
            RefusedError: If the text is longer than a message.
        """

        def work() -> tuple[int, Future[TextAnswer]]:
            if self._devices[device].key is None:
                raise DeviceError(f"device '{device}' is not claimed")
            started = self._questions.start(device, text_bytes(text))
            self._questions.ask(self._is_reachable)
            return started

        number, answer = self.call(work)
        try:
            return answer.result(timeout_s)
        except TimeoutError as exc:
            raise DeviceError(f"device '{device}' gave no answer within {timeout_s:g} s") from exc
        finally:
            self.call(lambda: self._questions.drop(number))

    def revoke(self, device: str, reason: str) -> None:
        """Take a device's key and password; its messages are refused from now on.

        Raises:
            ConfigError: If it is not in the fleet.
        """

        def work() -> None:
            dismiss(self._root, self._store, self.journal, device, reason)
            self._devices.refresh()

        self.call(work)

    # The thread

    def _save_heard(self) -> None:
        if self._dirty:
            self._save_all()

    def flush(self) -> None:
        """Put on disk what devices have reported, for others to read; on the service thread."""
        self._loop.guarded(self._save_all)
        self._loop.guarded(self._news.tell)

    def _save_all(self) -> None:
        if self._dirty or self._later or self._reported:
            counters = self._later | self._dirty
            reported, self._reported, self._dirty, self._later = self._reported, {}, {}, {}
            self._store.save_heard(counters, reported)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._loop.guarded(self._news.tell)
        if now_s >= self._next_save_s:
            self._next_save_s = now_s + _SAVE_S
            self._loop.guarded(self._save_all)
        if now_s >= self._next_store_check_s:
            self._next_store_check_s = now_s + _STORE_CHECK_S
            self._devices.refresh_if_changed()
        self._pulls.ask()
        self._questions.ask(self._is_reachable)

    def _load_offer(self, number: int) -> bytes | None:
        blob = self._store.offer(number)
        return None if blob is None else self.journal.blob(blob)

    # From devices

    def _verify(self, message: Message, effects: list[Step]) -> None:
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
            self._journal_claim(name, record.token.id.hex())
            logger.info("device '%s' is claimed", name)
        response = encode_frame(
            FrameType.CLAIM_RESPONSE, claim_response(record.token, name, claim).encode()
        )
        self._connection.publish(topic(self.fleet, name, Channel.RESPONSE), response)

    def _journal_claim(self, name: str, token: str) -> None:
        self.journal.append("device.claimed", name, {"device": name, "token": token}, actor=name)

    def _take_presence(self, device: Device, presence: PresenceReport) -> None:
        view, name = device.view, device.name
        # Anybody can claim a boot before the gateway; a sealed message has proven its own.
        is_gone = presence.state is not Presence.ONLINE and presence.boot < view.presence_boot
        if presence.boot < view.boot or is_gone:
            return
        if (presence.boot, presence.state) == (view.presence_boot, view.presence):
            return
        self._devices.show(device, presence=presence.state, presence_boot=presence.boot)
        body = {"device": name, "state": presence.state.value, "boot": presence.boot}
        self._news.note(name, "device.presence", body)
        self._tell(device)

    def _take(self, device: Device, sealed: Sealed) -> None:
        self._devices.show(device, boot=sealed.boot, last_seen_s=time.time())
        if sealed.type is FrameType.CHUNK_REQUEST:
            self._answer(device, ChunkRequest.decode(sealed.content))
        elif sealed.type is FrameType.CHUNK:
            self._pulls.take(device.name, Chunk.decode(sealed.content))
        elif sealed.type is FrameType.REPORTED:
            self._take_reported(device, sealed)
        elif sealed.type is FrameType.TELEMETRY:
            device.telemetry = Telemetry.decode(sealed.content)
        elif sealed.type is FrameType.TEXT_ANSWER:
            self._questions.take(device.name, TextAnswer.decode(sealed.content))
        elif sealed.type is FrameType.LOG:
            limits.log_line(device.lines, device.name, Log.decode(sealed.content))

    def _take_reported(self, device: Device, sealed: Sealed) -> None:
        name = device.name
        reported = Reported.decode(sealed.content)
        if reported.boot != sealed.boot:
            raise refuse(
                Status.RANGE,
                f"device '{name}' reports boot {reported.boot}, its seal {sealed.boot}",
            )
        body = reported_body(name, reported)
        if is_news(body, device.body):
            self._news.note(name, "device.reported", body)
            device.body = body
        self._reported[name] = sealed.content, time.time()
        self._devices.show(device, reported=reported)
        wish = device.wish
        if wish is not None:
            is_late = reported.desired_version < wish.version
            is_repeat = time.monotonic() - device.wished_s < _REPEAT_S
            if sealed.boot != device.wished_boot or (is_late and not is_repeat):
                self._publish_wish(device)
        self._tell(device)

    def _tell(self, device: Device) -> None:
        for listener in self._listeners:
            self._loop.guarded(lambda fn=listener: fn(device.name, device.view))  # type: ignore[misc]

    # To devices

    def _reassert(self) -> None:
        """The broker is there, perhaps with nothing in its memory: publish every wish again."""
        logger.info("broker is there; %d devices", len(self._devices))
        for device in self._devices:
            self._publish_wish(device)

    def _set_desired(
        self,
        names: Sequence[str],
        model: SignedManifest | Keep | None,
        task: FederatedTask | Keep | None,
    ) -> list[int]:
        devices, now_s = [self._devices[name] for name in names], time.time()
        wishes = [
            (device.wish or Wish()).changed(model=model, task=task, now_s=now_s)
            for device in devices
        ]
        for wish in wishes:  # what cannot be said must not enter the journal
            wish.document(now_s=now_s, heartbeat_s=self._heartbeat_s).encode()
        self.journal.append_all(
            [
                Entry("device.desired", name, wish.body(name))
                for name, wish in zip(names, wishes, strict=True)
            ]
        )
        for device, wish in zip(devices, wishes, strict=True):
            device.wish = wish
            self._devices.show(device, desired_version=wish.version)
        for device in devices:
            self._publish_wish(device)
        return [wish.version for wish in wishes]

    def _reserve(self) -> None:
        """Reserve counters for messages, for all devices that have none, as one write does."""
        needy = {d.name: d for d in self._devices if d.key is not None and not d.counters}
        for name, counters in self._store.reserve_counters(needy).items():
            needy[name].counters = counters

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
        self._send(
            device, Channel.DESIRED, FrameType.DESIRED, document.encode(), qos=1, retain=True
        )

    def _send(
        self,
        device: Device,
        channel: Channel,
        kind: FrameType,
        content: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
    ) -> None:
        if device.key is None:
            return
        name = device.name
        if not device.counters:
            self._reserve()
        counter = device.view.boot << 32 | device.counters[0]
        device.counters = device.counters[1:]
        frame = seal_frame(device.key, Direction.TO_DEVICE, kind, content, counter)
        self._connection.publish(topic(self.fleet, name, channel), frame, qos=qos, retain=retain)

    # Objects

    def _answer(self, device: Device, request: ChunkRequest) -> None:
        chunk = self._chunks.answer(request)
        self._send(device, Channel.RESPONSE, FrameType.CHUNK, chunk.encode())

    def _is_reachable(self, name: str) -> bool | None:
        device = self._devices[name]
        if device.key is None:
            return None
        return device.view.boot != 0  # nothing can be sealed for it before it has spoken

    def _tell_result(self, done: PullDone, result: bytes | EdgekitError) -> None:
        self._loop.guarded(lambda: done(result))

    def _send_question(self, name: str, question: TextQuestion) -> None:
        device = self._devices[name]
        self._send(device, Channel.RESPONSE, FrameType.TEXT_QUESTION, question.encode())

    def _send_request(self, name: str, request: ChunkRequest) -> None:
        device = self._devices[name]
        self._send(device, Channel.RESPONSE, FrameType.CHUNK_REQUEST, request.encode())
