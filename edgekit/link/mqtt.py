"""The MQTT connection: the only place that knows paho.

`Connection` lives in somebody else's selectors loop, see `mqtt_loop`.
Nothing is kept over a lost connection: each attempt is a fresh client with a clean session, because
paho forgets its in-flight limit on reconnect and repeats what the broker may already have. What
must not be lost is repeated by its owner when `Handlers.up` says so.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

MAX_INFLIGHT = 20
_FIRST_DELAY_S = 0.1
_MAX_DELAY_S = 5.0
_CONNECT_TIMEOUT_S = 3.0
_NOBODY_HEARD = 0x10  # MQTT 5, table 3-5: no matching subscribers


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password; the client id is the user name.

    The password is kept out of `repr`, so that it cannot slip into a log.
    """

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a connection tells its owner; called in the loop's thread, and must not raise.

    Attributes:
        message: Topic, payload, whether it was retained.
        up: Connected and subscribed.
        down: No longer connected, with the reason.
        acknowledged: The broker has a QoS 1 message, by the number that `publish` gave; False if it
            said that nobody was there to hear it.
    """

    message: Callable[[str, bytes, bool], None]
    up: Callable[[], None] = lambda: None
    down: Callable[[str], None] = lambda reason: None
    acknowledged: Callable[[int, bool], None] = lambda number, heard: None


class Connection:
    """One MQTT connection in a foreign loop; reconnects by itself in `tick`.

    Args:
        plain: Speak MQTT 3.1.1: half the work per message, as there are no properties to read. The
            broker then neither says that nobody heard a message nor why it refused one, and no
            `close` can ask for the will.
    """

    def __init__(
        self,
        *,
        address: BrokerAddress,
        login: Login,
        handlers: Handlers,
        subscriptions: Sequence[tuple[str, int]] = (),
        will: Will | None = None,
        keepalive_s: int = 20,
        plain: bool = False,
    ) -> None:
        if plain and will is not None:
            raise ValueError("a plain connection has no will")
        self.address = address
        self._login = login
        self._handlers = handlers
        self._subscriptions = list(subscriptions)
        self._will = will
        self._keepalive_s = keepalive_s
        self._plain = plain
        self._client: paho.Client | None = None
        self._is_up = False
        self._closed = False
        self._delay_s = _FIRST_DELAY_S
        self._next_attempt_s = 0.0
        self._last_complaint = ""
        self.before_close: Callable[[], None] = lambda: None

    @property
    def is_up(self) -> bool:
        """Whether it is connected and subscribed."""
        return self._is_up

    def socket(self) -> socket.socket | None:
        """The socket to watch, None while there is none."""
        sock = self._client.socket() if self._client is not None else None
        return sock if isinstance(sock, socket.socket) else None

    def wants_write(self) -> bool:
        """Whether there is something to be written."""
        return self._client is not None and self._client.want_write()

    def tick(self, now_s: float) -> None:
        """Keep alive, or try to connect if it is time; to be called every second or so."""
        if self._closed:
            return
        if self._client is None:
            if now_s >= self._next_attempt_s:
                self._connect(now_s)
            return
        self._after(self._client, self._client.loop_misc())

    def readable(self) -> None:
        """Take what has arrived."""
        if self._client is not None:
            self._after(self._client, self._client.loop_read())

    def writable(self) -> None:
        """Write what is waiting."""
        if self._client is not None:
            self._after(self._client, self._client.loop_write())

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        """Hand a message to the broker; 0 if there is no connection, else its number."""
        if self._client is None or not self._is_up:
            return 0
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else 0

    def close(self, *, publish_will: bool = False) -> None:
        """Say goodbye and close; with `publish_will` the broker publishes the will all the same."""
        self._closed = True
        client, self._client = self._client, None
        self._is_up = False
        if client is None or client.socket() is None:
            return
        if self._plain:
            client.disconnect()
        else:
            properties = Properties(PacketTypes.DISCONNECT)
            reason = ReasonCode(
                PacketTypes.DISCONNECT,
                "Disconnect with will message" if publish_will else "Normal disconnection",
            )
            client.disconnect(reason, properties)
        deadline_s = time.monotonic() + 1.0
        while client.want_write() and time.monotonic() < deadline_s:
            if client.loop_write() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        self._close_socket(client)

    def _close_socket(self, client: paho.Client) -> None:
        self.before_close()
        if (sock := client.socket()) is not None:
            with contextlib.suppress(OSError):
                sock.close()

    def _connect(self, now_s: float) -> None:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._login.user,
            clean_session=True if self._plain else None,
            protocol=paho.MQTTv311 if self._plain else paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.username_pw_set(self._login.user, self._login.password)
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        if not self._plain:  # paho makes properties for it, also where there are none
            client.on_publish = self._published
        client.on_socket_close = lambda *arguments: self.before_close()
        client.on_socket_register_write = _leave_writing_to_the_loop
        self._client = client
        fresh = paho.MQTT_CLEAN_START_FIRST_ONLY if self._plain else True  # the former: as it is
        try:
            client.connect(
                self.address.host, self.address.port, keepalive=self._keepalive_s, clean_start=fresh
            )
        except OSError as exc:
            self._lose(f"cannot connect: {exc.strerror or exc}", now_s)

    def _after(self, client: paho.Client, code: MQTTErrorCode) -> None:
        if client is not self._client:
            return
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.socket() is None:
            self._lose(paho.error_string(code), time.monotonic())

    def _lose(self, reason: str, now_s: float) -> None:
        client, self._client = self._client, None
        was_up, self._is_up = self._is_up, False
        if client is not None:
            self._close_socket(client)
        self._next_attempt_s = now_s + self._delay_s * random.uniform(0.5, 1.0)
        self._delay_s = min(self._delay_s * 2.0, _MAX_DELAY_S)
        if reason != self._last_complaint:
            self._last_complaint = reason
            logger.warning(
                "broker %s:%d, user '%s': %s",
                self.address.host,
                self.address.port,
                self._login.user,
                reason,
            )
        if was_up:
            self._handlers.down(reason)

    def _connected(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._client is None or client is not self._client:
            return
        if reason.is_failure:
            self._lose(f"refused: {reason}", time.monotonic())
        elif self._subscriptions:
            self._client.subscribe(self._subscriptions)
        else:
            self._become_up()

    def _subscribed(
        self,
        client: paho.Client,
        userdata: object,
        number: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        if client is not self._client:
            return
        refused = [
            name
            for (name, _), reason in zip(self._subscriptions, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._lose(f"may not subscribe to {', '.join(refused)}", time.monotonic())
        else:
            self._become_up()

    def _become_up(self) -> None:
        self._is_up = True
        self._delay_s = _FIRST_DELAY_S
        self._last_complaint = ""
        self._handlers.up()

    def _message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if client is self._client:
            self._handlers.message(message.topic, bytes(message.payload), message.retain)

    def _published(
        self,
        client: paho.Client,
        userdata: object,
        number: int,
        reason: ReasonCode,
        properties: Properties,
    ) -> None:
        if client is not self._client:
            return
        if reason.is_failure:
            logger.warning(
                "broker refused message %d of '%s': %s", number, self._login.user, reason
            )
        self._handlers.acknowledged(number, reason.value != _NOBODY_HEARD)


def _leave_writing_to_the_loop(client: paho.Client, userdata: object, sock: object) -> None:
    """Keep paho from writing inside `publish`: with this handler set, only the loop writes."""
