"""Where MQTT connections live: in a selectors loop of their owner, or in a thread of their own."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque

from edgekit.link.mqtt import Connection

_TICK_S = 0.25


class ThreadedConnection:
    """A connection with a thread of its own; `publish` may be called from any thread.

    Args:
        connection: Not yet used by anybody else; its handlers are called in this thread.
    """

    def __init__(self, connection: Connection, *, name: str = "edgekit-mqtt") -> None:
        self._connection = connection
        self._waiting: deque[tuple[str, bytes, int, bool]] = deque(maxlen=100_000)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_up(self) -> bool:
        """Whether it is connected and subscribed."""
        return self._connection.is_up

    def start(self) -> None:
        """Start the thread; it connects in the background."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Publish soon, if there is a connection; otherwise the message is dropped."""
        if self._connection.is_up:
            self._waiting.append((topic, payload, qos, retain))
            self._wake()

    def close(self) -> None:
        """Write what is waiting, say goodbye and end the thread."""
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self._reader.close()
        self._writer.close()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._writer.send(b"\x00")

    def _run(self) -> None:
        connection = self._connection
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            watched = Watched(selector, connection)
            next_tick_s = 0.0
            while not self._stopping:
                now_s = time.monotonic()
                if now_s >= next_tick_s:
                    connection.tick(now_s)
                    next_tick_s = now_s + _TICK_S
                self._publish_waiting()
                watched.update()
                for key, events in selector.select(max(0.0, next_tick_s - time.monotonic())):
                    if key.fileobj is self._reader:
                        with contextlib.suppress(BlockingIOError):
                            self._reader.recv(4_096)
                    else:
                        watched.handle(events)
            self._publish_waiting()
            connection.close()

    def _publish_waiting(self) -> None:
        while self._waiting:
            topic, payload, qos, retain = self._waiting.popleft()
            self._connection.publish(topic, payload, qos=qos, retain=retain)


class Watched:
    """A connection's socket as registered with a selector, kept up to date."""

    def __init__(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        self._selector = selector
        self._connection = connection
        self._socket: socket.socket | None = None
        self._number = -1
        self._events = 0
        connection.before_close = self.forget

    def update(self) -> None:
        """Register, change or unregister, as the connection needs it."""
        sock = self._connection.socket()
        if sock is None:
            self.forget()
            return
        events = selectors.EVENT_READ
        if self._connection.wants_write():
            events |= selectors.EVENT_WRITE
        if sock is self._socket and events == self._events:
            return
        if sock is not self._socket:
            self.forget()
            self._selector.register(sock, events, data=self)
            self._number = sock.fileno()
        else:
            self._selector.modify(self._number, events, data=self)
        self._socket, self._events = sock, events

    def forget(self) -> None:
        """Unregister, before the number of the socket can be another's."""
        if self._socket is not None:
            self._selector.unregister(self._number)
        self._socket, self._number, self._events = None, -1, 0

    def handle(self, events: int) -> None:
        """Read and write as the selector found it possible."""
        if events & selectors.EVENT_READ:
            self._connection.readable()
        if events & selectors.EVENT_WRITE or self._connection.wants_write():
            self._connection.writable()
