"""Broker, gateway and server of one project, started and stopped together."""

from __future__ import annotations

from pathlib import Path

from edgekit.fleet.broker import PrivateBroker
from edgekit.fleet.gateway import Gateway
from edgekit.fleet.gateway_config import GatewayConfig
from edgekit.fleet.members import enrol
from edgekit.fleet.store import CREDENTIALS, DeviceRecord, FleetStore, write_credentials
from edgekit.link.messages import Learning
from edgekit.service.server import HEARTBEAT_S, FleetServer
from edgekit.started import Started

OUTBOX = "gateway/outbox.db"


class LocalFleet(Started):
    """A whole fleet's infrastructure on this machine's loopback.

    Args:
        root: The project's `.edgekit` folder.
        udp_port: Where the gateway listens for devices, 0 for a free port.
        broker_port: Where the broker listens, 0 for a free port.
    """

    def __init__(
        self,
        *,
        root: Path,
        fleet: str,
        udp_port: int = 0,
        broker_port: int = 0,
        heartbeat_s: int = HEARTBEAT_S,
        learning: Learning | None = None,
    ) -> None:
        self._root = root
        self._fleet = fleet
        self._udp_port = udp_port
        self._broker_port = broker_port
        self._heartbeat_s = heartbeat_s
        self._learning = learning
        self.store: FleetStore
        self.broker: PrivateBroker
        self.gateway: Gateway
        self.server: FleetServer
        self._closing: list[object] = []

    def start(self) -> None:
        """Start broker, server and gateway, in this order.

        Raises:
            EdgekitError: If one of them cannot start; those before are stopped again.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything; no process, port or temporary file is left."""
        while self._closing:
            part = self._closing.pop()
            if isinstance(part, PrivateBroker):
                part.stop()
            elif isinstance(part, FleetStore | Gateway | FleetServer):
                part.close()

    def add_device(self, device: str, board: str) -> DeviceRecord:
        """Enrol a device while everything runs."""
        return enrol(self._root, self.store, self.server.journal, device, board)

    def check(self) -> None:
        """Raise what a part has stopped with, if one has.

        Raises:
            EdgekitError: The failure of broker or gateway.
        """
        for failure in (self.broker.failure, self.gateway.failure):
            if failure is not None:
                raise failure

    def _start(self) -> None:
        self.store = FleetStore.open(self._root, fleet=self._fleet)
        self._closing.append(self.store)
        credentials = self._root / CREDENTIALS
        write_credentials(self.store, credentials)
        self.broker = PrivateBroker(
            self._root,
            fleet=self._fleet,
            passwords=self.store.passwords(),
            port=self._broker_port,
        )
        address = self.broker.start()
        self._closing.append(self.broker)
        self.server = FleetServer(
            root=self._root,
            fleet=self._fleet,
            broker=address,
            heartbeat_s=self._heartbeat_s,
            learning=self._learning,
        )
        self._closing.append(self.server)
        self.server.start()
        self.gateway = Gateway(
            GatewayConfig(
                fleet=self._fleet,
                broker_host=address.host,
                broker_port=address.port,
                credentials=credentials,
                outbox=self._root / OUTBOX,
                port=self._udp_port,
            )
        )
        self.gateway.start()
        self._closing.append(self.gateway)
