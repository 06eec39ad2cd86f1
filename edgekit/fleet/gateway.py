"""The gateway: UDP frames of devices on one side, one MQTT connection per device on the other.

It checks version, length, CRC and rate, and forwards frames unchanged with the device's own broker
credential. It holds no device key: whoever controls it can drop messages, but neither learn a
token's secret nor forge a message. One selectors loop does everything.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import selectors
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.errors import EdgekitError, LinkError, StoreError, ToolError
from edgekit.fleet.devices import Presence, PresenceReport
from edgekit.fleet.gateway_config import Credentials, GatewayConfig, load_config
from edgekit.fleet.handles import allow_connections
from edgekit.fleet.outbox import Outbox, SavedSession, Waiting, waiting
from edgekit.fleet.rates import Bucket
from edgekit.link.frames import (
    MAX_FRAME_BYTES,
    SEALED_TYPES,
    Frame,
    FrameType,
    decode_frame,
    encode_frame,
)
from edgekit.link.messages import Hello, Ping, Pong, Welcome
from edgekit.link.mqtt import (
    MAX_INFLIGHT,
    BrokerAddress,
    Connection,
    Handlers,
    Login,
    Will,
)
from edgekit.link.mqtt_loop import Watched
from edgekit.link.seal import SEAL_BYTES
from edgekit.link.topics import CHANNEL_OF_FRAME, TO_DEVICE, Channel, parse_topic, topic

logger = logging.getLogger(__name__)

FRAMES_PER_S = 2_000.0
HELLOS_PER_S = 200.0
_TICK_S = 0.25
_REPEAT_S = 0.5  # when the server was not there to hear
_PATH_S = 30.0  # a device pings every 20 s; until then its address is its own
_REBOOT_S = 1.0  # a device does not boot more often
_DATAGRAMS_PER_TURN = 64
_RECEIVE_BUFFER_BYTES = 1 << 20
_TYPES_TO_DEVICE = {
    Channel.DESIRED: (FrameType.DESIRED,),
    Channel.RESPONSE: (
        FrameType.CLAIM_RESPONSE,
        FrameType.CHUNK,
        FrameType.CHUNK_REQUEST,
        FrameType.TEXT_QUESTION,
    ),
}

Address = tuple[str, int]


class _Session:
    """A device that is there: its address, its connection, and what is under way to the broker."""

    def __init__(self, device: str, boot: int, address: Address, now_s: float) -> None:
        self.device = device
        self.boot = boot
        self.address = address
        self.heard_s = self.begun_s = now_s
        self.bucket = Bucket(FRAMES_PER_S, now_s)
        self.inflight: dict[int, Waiting] = {}
        self.has_outbox = True  # until the first flush has shown that there is nothing
        self.flush_after_s = 0.0
        self.window = 1  # of the outbox; opened when the server has heard the first one
        self.connection: Connection
        self.watched: Watched


class Gateway:
    """One gateway; `start` and `close` run it in a thread, `run` in the caller's.

    Attributes:
        port: UDP port that it listens on.
        refused: What was dropped, by reason.
        failure: What its thread has stopped with, None while all is well.

    Raises:
        ToolError: If its UDP port is taken.
        StoreError: If its outbox cannot be opened.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.refused: Counter[str] = Counter()
        self._credentials = Credentials(config.credentials)
        self._outbox = Outbox(config.outbox)
        self._sessions: dict[str, _Session] = {}
        self._by_address: dict[Address, _Session] = {}
        self._hellos = Bucket(HELLOS_PER_S, time.monotonic())
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.failure: EdgekitError | None = None
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self._udp.bind((config.host, config.port))
        except OSError as exc:
            self._release()
            raise ToolError(
                f"gateway cannot listen on UDP {config.host}:{config.port}: {exc.strerror}"
            ) from exc
        self._udp.setblocking(False)
        self.port = int(self._udp.getsockname()[1])
        self._selector.register(self._udp, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="edgekit-gateway", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let `run` come to its end; may be called from a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\x00")

    def close(self) -> None:
        """Stop the thread: devices become offline, sockets and files are closed."""
        self.stop()
        if self._thread is None:
            self._release()
        else:
            self._thread.join()

    def run(self) -> None:
        """Work until `stop`."""
        try:
            for saved in self._outbox.sessions():
                address = (saved.host, saved.port)
                if self._credentials.password(saved.device) is not None:
                    self._begin(saved.device, saved.boot, address, time.monotonic())
            next_tick_s = 0.0
            while not self._stopping:
                now_s = time.monotonic()
                if now_s >= next_tick_s:
                    next_tick_s = now_s + _TICK_S
                    self._tick(now_s)
                for key, events in self._selector.select(max(0.0, next_tick_s - now_s)):
                    if key.fileobj is self._udp:
                        self._receive()
                    elif key.fileobj is self._wake_reader:
                        self._wake_reader.recv(64)
                    else:
                        key.data.handle(events)
                        key.data.update()
            for session in list(self._sessions.values()):
                self._say(session, Presence.OFFLINE)
                session.connection.close()
        finally:
            self._release()

    def _run(self) -> None:
        try:
            self.run()
        except EdgekitError as exc:
            self.failure = exc
            logger.error("gateway stopped: %s", exc)
        except Exception as exc:  # a bug of ours; whoever looks at `failure` has to hear of it
            self.failure = ToolError(f"gateway stopped: {exc!r}")
            logger.exception("gateway stopped")

    def _release(self) -> None:
        for closing in (self._selector, self._udp, self._wake_reader, self._wake_writer):
            closing.close()
        self._outbox.close()

    def _tick(self, now_s: float) -> None:
        for session in list(self._sessions.values()):
            if now_s - session.heard_s > self.config.silence_s:
                logger.info("device '%s' is lost", session.device)
                self._end(session)
                with self._storing():
                    self._outbox.remove_session(session.device)
                continue
            session.connection.tick(now_s)
            if session.has_outbox and session.connection.is_up:
                self._flush(session)
            session.watched.update()

    # From devices

    def _receive(self) -> None:
        now_s = time.monotonic()
        for _ in range(_DATAGRAMS_PER_TURN):
            try:
                data, address = self._udp.recvfrom(MAX_FRAME_BYTES + 1)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier datagram of ours found no listener
            try:
                self._take(data, address, now_s)
            except LinkError as exc:
                self.refused["frame"] += 1
                logger.debug("datagram of %s refused: %s", address, exc)

    def _take(self, data: bytes, address: Address, now_s: float) -> None:
        session = self._by_address.get(address)
        if session is not None and not session.bucket.take(now_s):
            self.refused["rate"] += 1
            return
        frame = decode_frame(data)
        if frame.type is FrameType.HELLO:
            self._hello(frame, address, now_s)
        elif session is None:
            self.refused["stranger"] += 1
        elif frame.type is FrameType.PING:
            if Ping.decode(frame.body).boot == session.boot:
                session.heard_s = now_s
                self._send(session, encode_frame(FrameType.PONG, Pong(session.boot).encode()))
        elif frame.type in CHANNEL_OF_FRAME:
            if frame.type in SEALED_TYPES and len(frame.body) < SEAL_BYTES:
                self.refused["frame"] += 1
                return
            session.heard_s = now_s
            self._forward(session, CHANNEL_OF_FRAME[frame.type], data)
        else:
            self.refused["type"] += 1

    def _hello(self, frame: Frame, address: Address, now_s: float) -> None:
        if not self._hellos.take(now_s):
            self.refused["rate"] += 1
            return
        hello = Hello.decode(frame.body)
        if self._credentials.password(hello.device) is None:
            self.refused["unknown device"] += 1
            logger.debug("device '%s' has no credential", hello.device)
            return
        session = self._sessions.get(hello.device)
        if session is not None and session.boot != hello.boot:
            if now_s - session.begun_s < _REBOOT_S:
                self.refused["rate"] += 1
                return
            self._end(session)
            session = None
        if session is None:
            session = self._begin(hello.device, hello.boot, address, now_s)
        elif session.address != address:
            if now_s - session.heard_s < _PATH_S:
                self.refused["address"] += 1
                return
            self._by_address.pop(session.address, None)
            session.address = address
            self._by_address[address] = session
        session.heard_s = now_s
        with self._storing():
            self._outbox.save_session(SavedSession(session.device, session.boot, *address))
        self._send(session, encode_frame(FrameType.WELCOME, Welcome(session.boot).encode()))

    def _begin(self, device: str, boot: int, address: Address, now_s: float) -> _Session:
        session = _Session(device, boot, address, now_s)
        if (other := self._by_address.get(address)) is not None:
            self._end(other)
        config = self.config
        session.connection = Connection(
            address=BrokerAddress(config.broker_host, config.broker_port),
            login=Login(device, self._credentials.password(device) or ""),
            handlers=Handlers(
                message=lambda name, payload, retained: self._deliver(session, name, payload),
                up=lambda: self._up(session),
                down=lambda reason: self._down(session),
                acknowledged=lambda number, heard: self._acknowledged(session, number, heard),
            ),
            subscriptions=[(topic(config.fleet, device, channel), 0) for channel in TO_DEVICE],
            will=Will(
                topic(config.fleet, device, Channel.PRESENCE),
                PresenceReport(boot, Presence.LOST).encode(),
            ),
        )
        session.watched = Watched(self._selector, session.connection)
        self._sessions[device] = session
        self._by_address[address] = session
        session.connection.tick(now_s)
        session.watched.update()
        return session

    def _end(self, session: _Session) -> None:
        """Leave a device; the broker publishes its will."""
        session.connection.close(publish_will=True)
        self._down(session)
        self._sessions.pop(session.device, None)
        if self._by_address.get(session.address) is session:
            del self._by_address[session.address]

    # To the broker

    def _forward(self, session: _Session, channel: Channel, frame: bytes) -> None:
        if channel is Channel.REQUEST:
            # Asked again by the device; and it may not overtake what waits in the outbox.
            if session.connection.is_up and not session.has_outbox:
                session.connection.publish(topic(self.config.fleet, session.device, channel), frame)
                session.watched.update()
            return
        item = waiting(channel, frame)
        if (
            session.has_outbox
            or len(session.inflight) >= MAX_INFLIGHT
            or not self._publish(session, item)
        ):
            self._keep(session, item)
        session.watched.update()

    def _publish(self, session: _Session, item: Waiting) -> bool:
        number = session.connection.publish(
            topic(self.config.fleet, session.device, item.channel),
            item.frame,
            qos=1,
            retain=item.channel is Channel.REPORTED,
        )
        if number:
            session.inflight[number] = item
        return number != 0

    def _keep(self, session: _Session, item: Waiting) -> None:
        session.has_outbox = True
        with self._storing():
            self._outbox.put(session.device, item)

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        """Go on without the outbox where the disk is full, say; what was to be kept is lost."""
        try:
            yield
        except StoreError as exc:
            self.refused["outbox"] += 1
            logger.error("%s", exc)

    def _flush(self, session: _Session) -> None:
        """Publish from the outbox what the window allows; rows go when they are acknowledged.

        Frames must reach the server in the order of their counters, or they count as replays; so
        the first one goes alone until the server is known to be there.
        """
        if time.monotonic() < session.flush_after_s:
            return
        under_way = {item.number for item in session.inflight.values()}
        with self._storing():
            rows = self._outbox.first(session.device, MAX_INFLIGHT)
            for item in rows:
                if len(session.inflight) < session.window and item.number not in under_way:
                    self._publish(session, item)
            session.has_outbox = bool(rows)

    def _up(self, session: _Session) -> None:
        self._say(session, Presence.ONLINE)
        session.flush_after_s, session.window = 0.0, 1
        self._flush(session)

    def _down(self, session: _Session) -> None:
        for item in session.inflight.values():
            self._keep(session, item)
        session.inflight.clear()

    def _acknowledged(self, session: _Session, number: int, heard: bool) -> None:
        item = session.inflight.pop(number, None)
        if item is None:
            return
        session.window = MAX_INFLIGHT if heard else 1
        if not heard and item.channel is not Channel.REPORTED:  # that one is retained
            self._keep(session, item)
            session.flush_after_s = time.monotonic() + _REPEAT_S
        elif session.has_outbox:
            with self._storing():
                self._outbox.remove(session.device, item.number)
            self._flush(session)

    def _say(self, session: _Session, state: Presence) -> None:
        session.connection.publish(
            topic(self.config.fleet, session.device, Channel.PRESENCE),
            PresenceReport(session.boot, state).encode(),
            qos=1,
            retain=True,
        )

    # To devices

    def _deliver(self, session: _Session, name: str, payload: bytes) -> None:
        try:
            parsed = parse_topic(name)
            frame = decode_frame(payload)
        except LinkError as exc:
            self.refused["downlink"] += 1
            logger.debug("message on %s refused: %s", name, exc)
            return
        if parsed.device != session.device or frame.type not in _TYPES_TO_DEVICE.get(
            parsed.channel, ()
        ):
            self.refused["downlink"] += 1
            return
        self._send(session, payload)

    def _send(self, session: _Session, frame: bytes) -> None:
        try:
            self._udp.sendto(frame, session.address)
        except OSError as exc:  # full, or an address that nobody can answer: whoever lacks it asks
            self.refused["send"] += 1
            logger.debug("datagram to %s: %s", session.address, exc)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway as a process of its own until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m edgekit.fleet.gateway")
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(parser.parse_args(arguments).config)
        allow_connections(len(Credentials(config.credentials)))
        gateway = Gateway(config)
    except EdgekitError as exc:
        logger.error("%s", exc)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: gateway.stop())
    logger.info("listening on UDP %s:%d", gateway.config.host, gateway.port)
    try:
        gateway.run()
    except EdgekitError as exc:
        logger.error("%s", exc)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
