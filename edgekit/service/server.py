"""The fleet server: one thread that owns all state between journal, store and broker.

MQTT callbacks only put messages into a queue. A message counts only after its frame, its code and
its counter have been verified and the counter is durable (those of chunks and of requests for them
follow within a second); every change of a wish is in the journal before it is published. So a
server that is killed goes on from its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from edgekit.errors import DeviceError, EdgekitError, StoreError
from edgekit.fleet.devices import DeviceView, Presence, PresenceReport, is_news, reported_body
from edgekit.fleet.members import dismiss
from edgekit.fleet.store import SERVER_USER, FleetStore
from edgekit.journal import Journal
from edgekit.link.chunks import ChunkStore, object_id
from edgekit.link.frames import FrameType
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    FederatedTask,
    Learning,
    Log,
    Reported,
    SignedManifest,
    Telemetry,
    TextAnswer,
    TextQuestion,
)
from edgekit.link.mqtt import BrokerAddress, Connection, Handlers, Login
from edgekit.link.mqtt_loop import ThreadedConnection
from edgekit.link.seal import Sealed
from edgekit.link.status import Status, refuse
from edgekit.link.topics import FROM_DEVICE, fleet_filter
from edgekit.runtime.text import text_bytes
from edgekit.service import limits
from edgekit.service.devices import Device, Devices
from edgekit.service.incoming import Incoming
from edgekit.service.lock import lock_folder
from edgekit.service.loop import Loop
from edgekit.service.outgoing import Outgoing
from edgekit.service.pulls import PullDone, Pulls
from edgekit.service.texts import Questions
from edgekit.service.wishes import KEEP, Keep
from edgekit.started import Started

__all__ = ["HEARTBEAT_S", "KEEP", "FleetServer", "Keep"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 15
_STORE_CHECK_S = 0.5
_BLOB_WRITERS = 8  # threads; a disk that is asked for several files at once writes them together
_SAVE_S = 1.0

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
        self._loop = Loop(
            verify=lambda message, effects: self._incoming.verify(message, effects),
            save=lambda: self._incoming.save_counters(),
            tick=self._tick,
        )
        self.refused = self._loop.refused
        self._devices = Devices(self._store, fleet)
        self._pulls = Pulls(
            send=self._send_request, tell=self._tell_result, is_reachable=self._is_reachable
        )
        self._questions = Questions(self._send_question)
        self._chunks = ChunkStore(self._load_offer)
        self._writers = ThreadPoolExecutor(_BLOB_WRITERS, thread_name_prefix="edgekit-blob")
        self._listeners: list[Listener] = []
        self._lent: dict[str, dict[int, bytes]] = {}  # by owner
        self._news = limits.News(self.journal)
        self._next_store_check_s = self._next_save_s = 0.0
        self._connection = ThreadedConnection(
            Connection(
                address=broker,
                login=Login(SERVER_USER, self._store.server_password()),
                handlers=Handlers(
                    message=self._loop.hear,
                    up=lambda: self._loop.put(self._outgoing.wish_all_again),
                ),
                subscriptions=[(fleet_filter(fleet, channel), 0) for channel in FROM_DEVICE],
                plain=True,
            )
        )
        self._outgoing = Outgoing(
            fleet=fleet,
            devices=self._devices,
            store=self._store,
            journal=self.journal,
            publish=self._connection.publish,
            heartbeat_s=heartbeat_s,
            learning=learning,
        )
        self._incoming = Incoming(
            fleet=fleet,
            devices=self._devices,
            store=self._store,
            journal=self.journal,
            news=self._news,
            publish=self._connection.publish,
            take=self._take,
            take_presence=self._take_presence,
        )
        self._devices.load(self.journal, self._incoming.journal_claim)

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
        return self.call(lambda: self._outgoing.wish([device], model, task)[0])

    def set_task(self, devices: Sequence[str], task: FederatedTask | None) -> None:
        """Wish all of some devices the same task, in one step.

        Raises:
            DeviceError: If one is not in the fleet; then none has it.
        """
        self.call(lambda: self._outgoing.wish(devices, KEEP, task))

    def set_tasks(self, tasks: Mapping[str, FederatedTask]) -> None:
        """Wish each of some devices a task of its own, in one step.

        Raises:
            DeviceError: If one is not in the fleet; then none has it.
        """
        self.call(lambda: self._outgoing.wish_tasks(tasks))

    def lend(self, owner: str, objects: Iterable[bytes]) -> None:
        """Put objects on offer to every claimed device, instead of those that an owner had there.

        They are not kept on disk: after a restart the owner lends them anew.
        """
        made = {object_id(data): data for data in objects}
        self.call(lambda: self._lent.update({owner: made}))

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

    def flush(self) -> None:
        """Put on disk what devices have reported, for others to read; on the service thread."""
        self._loop.guarded(self._incoming.save)
        self._loop.guarded(self._news.tell)

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._loop.guarded(self._news.tell)
        if now_s >= self._next_save_s:
            self._next_save_s = now_s + _SAVE_S
            self._loop.guarded(self._incoming.save)
        if now_s >= self._next_store_check_s:
            self._next_store_check_s = now_s + _STORE_CHECK_S
            self._devices.refresh_if_changed()
        self._pulls.ask()
        self._questions.ask(self._is_reachable)

    def _load_offer(self, number: int) -> bytes | None:
        for objects in self._lent.values():
            if number in objects:
                return objects[number]
        blob = self._store.offer(number)
        return None if blob is None else self.journal.blob(blob)

    # From devices

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
        self._incoming.note_reported(name, sealed.content)
        self._devices.show(device, reported=reported)
        self._outgoing.wish_again(device, boot=sealed.boot, version=reported.desired_version)
        self._tell(device)

    def _tell(self, device: Device) -> None:
        for listener in self._listeners:
            self._loop.guarded(lambda fn=listener: fn(device.name, device.view))  # type: ignore[misc]

    # Objects

    def _answer(self, device: Device, request: ChunkRequest) -> None:
        chunk = self._chunks.answer(request)
        self._outgoing.respond(device, FrameType.CHUNK, chunk.encode())

    def _is_reachable(self, name: str) -> bool | None:
        device = self._devices[name]
        if device.key is None:
            return None
        return device.view.boot != 0  # nothing can be sealed for it before it has spoken

    def _tell_result(self, done: PullDone, result: bytes | EdgekitError) -> None:
        self._loop.guarded(lambda: done(result))

    def _send_question(self, name: str, question: TextQuestion) -> None:
        self._outgoing.respond(self._devices[name], FrameType.TEXT_QUESTION, question.encode())

    def _send_request(self, name: str, request: ChunkRequest) -> None:
        self._outgoing.respond(self._devices[name], FrameType.CHUNK_REQUEST, request.encode())
