"""The agent: a client of the protocol on an MQTT connection of its own, in one thread."""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.agent.client import About, Client
from edgekit.agent.credentials import Credentials
from edgekit.agent.machine import Machine
from edgekit.errors import EdgekitError, LinkError, SecurityError, ToolError
from edgekit.fleet.devices import Presence, PresenceReport
from edgekit.link.messages import FederatedReport, UpdateReport
from edgekit.link.mqtt import BrokerAddress, Connection, Handlers, Login, Will
from edgekit.link.mqtt_loop import Watched
from edgekit.link.topics import TO_DEVICE, Channel, topic
from edgekit.started import Started

logger = logging.getLogger(__name__)

_TICK_S = 0.1


class Agent(Started):
    """One device; `start` and `close` run it in a thread, `run` in the caller's.

    Args:
        broker: Where the broker listens.
        folder: Where it keeps keys and model.
        samples: File of labelled samples, None if it has none.

    Attributes:
        failure: What its thread has stopped with, None while all is well.

    Raises:
        StoreError: If its files cannot be read or written.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        broker: BrokerAddress,
        folder: Path,
        samples: Path | None = None,
    ) -> None:
        self.failure: EdgekitError | None = None
        self._machine = Machine(credentials, folder, samples=samples)
        identity = self._machine.identity()
        self._boot = identity.boot
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="edgekit-agent-work")
        about = About(
            board=credentials.board,
            firmware=f"edgekit {__version__}",
            kernel_set_hash=credentials.kernels,
            release_key=credentials.release_key,
        )
        self._client = Client(
            identity, about, self._machine, submit=self._submit, now_s=time.monotonic()
        )
        self._topics = {
            channel: topic(credentials.fleet, credentials.device, channel) for channel in Channel
        }
        lost = PresenceReport(self._boot, Presence.LOST)
        self._connection = Connection(
            address=broker,
            login=Login(credentials.device, credentials.password),
            handlers=Handlers(message=self._hear, up=self._up),
            subscriptions=[(self._topics[channel], 0) for channel in TO_DEVICE],
            will=Will(self._topics[Channel.PRESENCE], lost.encode()),
        )
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_claimed(self) -> bool:
        """Whether it has its device key."""
        return self._client.seals.key is not None

    @property
    def federated(self) -> FederatedReport:
        """Where it stands with its federated task."""
        return self._client.federated

    @property
    def update(self) -> UpdateReport:
        """Where it stands with its release."""
        return self._client.update

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="edgekit-agent", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let `run` come to its end; may be called from a signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Stop the thread: the device is offline."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Work until `stop`.

        Raises:
            StoreError: If the device key cannot be kept.
        """
        connection = self._connection
        try:
            with selectors.DefaultSelector() as selector:
                watched = Watched(selector, connection)
                while not self._stopping.is_set():
                    now_s = time.monotonic()
                    connection.tick(now_s)
                    if connection.is_up:
                        self._client.tick(now_s)
                        self._say()
                    watched.update()
                    for _, events in selector.select(_TICK_S):
                        watched.handle(events)
                if connection.is_up:
                    self._presence(Presence.OFFLINE)
                connection.close()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _run(self) -> None:
        try:
            self.run()
        except EdgekitError as exc:
            self.failure = exc
            logger.error("agent stopped: %s", exc)
        except Exception as exc:  # a bug of ours; whoever looks at `failure` has to hear of it
            self.failure = ToolError(f"agent stopped: {exc!r}")
            logger.exception("agent stopped")

    def _submit(self, work: Callable[[], Any]) -> Future[Any]:
        return self._pool.submit(work)

    def _up(self) -> None:
        self._presence(Presence.ONLINE)
        self._client.connected(time.monotonic())
        self._say()

    def _hear(self, name: str, payload: bytes, retained: bool) -> None:
        try:
            self._client.take(payload, time.monotonic())
        except LinkError as exc:
            if not retained:  # the broker's copy may be of an earlier boot
                logger.warning("%s: refused: %s", name, exc)
        except SecurityError as exc:
            logger.warning("%s: refused: %s", name, exc)
        if (key := self._client.seals.key) is not None:
            self._machine.keep_key(key)
        self._say()

    def _say(self) -> None:
        while self._client.outbox:
            said = self._client.outbox.popleft()
            self._connection.publish(
                self._topics[said.channel], said.frame, qos=int(said.keep), retain=said.keep
            )

    def _presence(self, state: Presence) -> None:
        report = PresenceReport(self._boot, state).encode()
        self._connection.publish(self._topics[Channel.PRESENCE], report, qos=1, retain=True)
