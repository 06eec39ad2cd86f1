"""Many MQTT connections in one asyncio process: the little of MQTT 3.1.1 that devices need.

Source: MQTT Version 3.1.1, OASIS Standard, 2014, sections 2 and 3
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ = 1, 2, 3, 4, 8, 9, 12
_KEEPALIVE_S = 600


class MqttClient(asyncio.Protocol):
    """One connection: a clean session, subscriptions with QoS 0, and publishing.

    Args:
        message: Called with topic and payload of each message.
        up: Called when it is connected and subscribed.
    """

    def __init__(
        self,
        user: str,
        password: str,
        topics: Sequence[str],
        *,
        message: Callable[[str, bytes], None],
        up: Callable[[], None],
    ) -> None:
        self.received = self.sent = 0
        self.lost: Exception | None = None
        self._user, self._password, self._topics = user, password, topics
        self._message, self._up = message, up
        self._buffer = bytearray()
        self._number = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who this is."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        flags = 0x80 | 0x40 | 0x02  # user name, password, clean session
        head = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", _KEEPALIVE_S)
        self._write(CONNECT << 4, head + _text(self._user) * 2 + _text(self._password))

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that it is gone."""
        self.lost = exc or ConnectionError("the broker closed the connection")

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send a message; the broker's acknowledgement is not waited for."""
        head = _text(topic)
        if qos:
            self._number = self._number % 65_535 + 1
            head += struct.pack(">H", self._number)
        self.sent += 1
        self._write(PUBLISH << 4 | qos << 1 | int(retain), head + payload)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take packets apart."""
        self._buffer += data
        at = 0
        while (packet := _packet(self._buffer, at)) is not None:
            first, start, at = packet
            self._take(first, bytes(self._buffer[start:at]))
        del self._buffer[:at]

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == CONNACK:
            if body[1]:
                raise ConnectionError(f"broker refuses '{self._user}' with {body[1]}")
            filters = b"".join(_text(topic) + b"\x00" for topic in self._topics)
            self._write(SUBSCRIBE << 4 | 2, b"\x00\x01" + filters)
        elif kind == SUBACK:
            if any(code & 0x80 for code in body[2:]):
                raise ConnectionError(f"broker refuses the subscriptions of '{self._user}'")
            self._up()
        elif kind == PUBLISH:
            self.received += 1
            length = int.from_bytes(body[:2], "big")
            start = 2 + length
            if qos := first >> 1 & 3:
                if qos == 1:
                    self._write(PUBACK << 4, body[start : start + 2])
                start += 2
            self._message(body[2 : 2 + length].decode(), body[start:])

    def _write(self, first: int, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes([first]) + _length(len(body)) + body)


def _packet(buffer: bytearray, at: int) -> tuple[int, int, int] | None:
    """First byte, start and end of the body of the packet at an offset; None if it is not whole."""
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(buffer))):
        length |= (buffer[place] & 0x7F) << shift
        shift += 7
        if buffer[place] < 0x80:
            end = place + 1 + length
            return (buffer[at], place + 1, end) if end <= len(buffer) else None
    return None


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | 0x80 if value else byte)
        if not value:
            return bytes(out)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data
