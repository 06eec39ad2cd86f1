"""One federated round of a thousand devices, each with an MQTT connection of its own.

The devices run the protocol of `edgekit.agent` in one asyncio process; broker and server are
processes as in a fleet. The round's head must have the bytes of the formula.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from edgekit.agent.client import About, Client
from edgekit.agent.seals import Identity
from edgekit.agent.work import Active, Practised
from edgekit.errors import EdgekitError, ToolError
from edgekit.federated.codecs import HeadWeights, Update, decode_head
from edgekit.fleet.broker import PrivateBroker
from edgekit.fleet.devices import Presence, PresenceReport
from edgekit.fleet.identity import Claim
from edgekit.fleet.store import FleetStore
from edgekit.link.messages import FederatedTask, Learning, Manifest, TextAnswer
from edgekit.link.mqtt import BrokerAddress
from edgekit.link.status import Status
from edgekit.link.topics import TO_DEVICE, Channel, topic
from tools.bench.mqtt_clients import MqttClient
from tools.bench.rows import Result, Row, count, row

DEVICES = 1_000
FLEET = "bench"
SHAPE = (10, 2_499)  # with its bias 25,000 floats: 100 kB
RSS_TARGET_MB = 1_024
_TICK_S = 0.2
_LIMIT_S = 900.0


def measure(*, seed: int = 0, devices: int = DEVICES) -> list[Result]:
    """Run one round and measure it.

    Raises:
        ToolError: If the round does not come to its end.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as folder:
        root = Path(folder)
        clients, passwords = _enrol(root, devices, seed)
        print(f"{devices} devices are enrolled", file=sys.stderr, flush=True)
        with PrivateBroker(root, fleet=FLEET, passwords=passwords) as broker:
            return [asyncio.run(_round(root, broker, clients, passwords))]


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures of a measurement."""
    rows = []
    for result in results:
        if result.get("set") != "server":
            continue
        name = f"round of {result['devices']} devices, model of {result['model_bytes']} bytes"
        good = bool(result["same_bytes"]) and result["accepted"] == result["devices"]
        rows += [
            row(f"{name}: server memory", result["server_rss_mb"], "MB", RSS_TARGET_MB, good=good),
            row(f"{name}: time", result["seconds"], "s", None, good=good),
            row(f"{name}: server CPU", result["server_cpu_s"], "s", None, good=good),
            row(f"{name}: messages", result["messages_per_s"], "1/s", None, good=good),
        ]
    return rows


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    return [
        [figure.figure, f"{count(figure.value)} {figure.unit}"] for figure in rows_of(list(results))
    ]


class _Learner:
    """Work of a device that moves every weight by a fixed random step."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def active(self) -> Active:
        return Active()

    def activate(self, manifest: Manifest, image: bytes | None) -> Status:
        return Status.CLASS

    def check(self, task: FederatedTask) -> tuple[Status, int]:
        return Status.OK, 50

    def learn(self, task: FederatedTask, head: bytes) -> bytes | Status:
        return self.update(task.run, task.round, decode_head(head)).encode()

    def practise(self, wish: Learning | None, steps: int) -> Practised:
        return Practised((), goes_on=False)

    def answer(self, number: int, text: bytes) -> bytes:
        return TextAnswer(number=number, status=Status.STATE).encode()

    def update(self, run: int, round_: int, head: HeadWeights) -> Update:
        generator = np.random.default_rng([self._seed, round_])
        step = generator.standard_normal(head.weights.size + head.classes, np.float32) * 0.01
        return Update(
            run=run,
            round=round_,
            samples=1 + self._seed % 97,
            base_hash=head.hash,
            loss_first=2.0,
            loss_last=1.0,
            weights=step[: head.weights.size].reshape(head.weights.shape),
            bias=step[head.weights.size :],
        )


def _inline(work: object) -> Future[bytes | Status]:
    done: Future[bytes | Status] = Future()
    done.set_result(work())  # type: ignore[operator]
    return done


def _enrol(root: Path, devices: int, seed: int) -> tuple[list[Client], dict[str, str]]:
    """Make a fleet of claimed devices."""
    generator = np.random.default_rng(seed)
    about = About("host", "bench", bytes(8), bytes(32))
    clients = []
    with FleetStore.open(root, fleet=FLEET) as store:
        store._database.execute("PRAGMA synchronous=OFF")  # of this connection
        for number in range(devices):
            record = store.add_device(f"dev-{number:05d}", "host")
            key = generator.bytes(32)
            store.bind(record.device, Claim(b"\x01" * 32, b"\x02" * 32, key))
            identity = Identity(
                device=record.device, token=record.token, boot=1, private=bytes(32), key=key
            )
            work = _Learner(number)
            clients.append(Client(identity, about, work, submit=_inline, now_s=time.monotonic()))
        return clients, store.passwords()


class _Device:
    """A client and its connection."""

    def __init__(self, client: Client, password: str) -> None:
        self.client = client
        name = client.seals.identity.device
        self._topics = {channel: topic(FLEET, name, channel) for channel in Channel}
        self.is_up = False
        self.refused = 0
        self.mqtt = MqttClient(
            name,
            password,
            [self._topics[channel] for channel in TO_DEVICE],
            message=self._hear,
            up=self._up,
        )

    def tick(self, now_s: float) -> None:
        if self.is_up and now_s >= self.client.next_due_s():
            self.client.tick(now_s)
            self._flush()

    def _up(self) -> None:
        self.is_up = True
        online = PresenceReport(1, Presence.ONLINE).encode()
        self.mqtt.publish(self._topics[Channel.PRESENCE], online, qos=1, retain=True)
        self.client.connected(time.monotonic())
        self._flush()

    def _hear(self, name: str, payload: bytes) -> None:
        try:
            self.client.take(payload, time.monotonic())
        except EdgekitError:
            self.refused += 1
        self._flush()

    def _flush(self) -> None:
        while self.client.outbox:
            said = self.client.outbox.popleft()
            self.mqtt.publish(
                self._topics[said.channel], said.frame, qos=int(said.keep), retain=said.keep
            )


async def _round(
    root: Path, broker: PrivateBroker, clients: list[Client], passwords: dict[str, str]
) -> Result:
    loop = asyncio.get_running_loop()
    address = broker.address
    begun_s = time.monotonic()
    with _server(root, address) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        devices = [_Device(each, passwords[each.seals.identity.device]) for each in clients]
        for device in devices:
            await loop.create_connection(lambda d=device: d.mqtt, address.host, address.port)  # type: ignore[misc]
        ticker = asyncio.create_task(_tick(devices), name="ticker")
        while not all(device.is_up for device in devices):
            await asyncio.sleep(0.05)
        connected_s = time.monotonic() - begun_s
        print(f"connected after {connected_s:.1f} s", file=sys.stderr, flush=True)
        before = sum(device.mqtt.sent + device.mqtt.received for device in devices)
        process.stdin.write(b"go\n")
        process.stdin.flush()
        line = await loop.run_in_executor(None, process.stdout.readline)
        ticker.cancel()
        after = sum(device.mqtt.sent + device.mqtt.received for device in devices)
        for device in devices:
            device.mqtt.close()
        if not line:
            raise ToolError("the server ended before its round")
        result: Result = json.loads(line)
    return result | {
        "set": "server",
        "devices": len(devices),
        "connect_seconds": round(connected_s, 2),
        "messages": after - before,
        "messages_per_s": round((after - before) / result["seconds"]),
        "same_bytes": result.pop("head") == _expected(len(devices)),
    }


async def _tick(devices: list[_Device]) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        now_s = time.monotonic()
        for device in devices:
            device.tick(now_s)


def _head() -> HeadWeights:
    return HeadWeights(
        np.linspace(-1, 1, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE),
        np.zeros(SHAPE[0], np.float32),
    )


def _expected(devices: int) -> str:
    """Hash of the head that the formula gives."""
    from edgekit.federated.aggregate import fold

    head = _head()
    updates = {f"dev-{n:05d}": _Learner(n).update(1, 1, head) for n in range(devices)}
    return fold("fedavg", head, updates).head.hash.hex()


# The server's process


@contextlib.contextmanager
def _server(root: Path, broker: BrokerAddress) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tools.bench.federated_server", str(root), str(broker.port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _serve(root: Path, port: int) -> None:
    """Wait for a line, run one round of all devices, and print what it took."""
    from edgekit.federated.rounds import RunPlan
    from edgekit.service.federated import FederatedDriver
    from edgekit.service.server import FleetServer

    broker = BrokerAddress("127.0.0.1", port)
    with FleetServer(root=root, fleet=FLEET, broker=broker) as server:
        driver = FederatedDriver(server)
        sys.stdin.readline()
        names = tuple(sorted(server.call(lambda: list(server.devices()))))
        while not server.call(lambda: all(v.reported for v in server.devices().values())):
            time.sleep(0.05)
        begun_s, cpu_s = time.monotonic(), time.process_time()
        head = _head()
        plan = RunPlan(
            run=1,
            base_image="ab" * 32,
            rounds=1,
            devices=names,
            epochs=1,
            rate=0.1,
            deadline_s=_LIMIT_S,
        )
        state = driver.run(plan, head, timeout_s=_LIMIT_S)
        seconds, cpu_s = time.monotonic() - begun_s, time.process_time() - cpu_s
        result: Result = {
            "seconds": round(seconds, 2),
            "server_cpu_s": round(cpu_s, 2),
            "server_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "model_bytes": len(head.encode()),
            "accepted": state.table[0].accepted,
            "head": state.head.hash.hex(),
            "refused": dict(server.refused),
        }
        print(json.dumps(result), flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("port", type=int)
    chosen = parser.parse_args()
    _serve(chosen.root, chosen.port)
