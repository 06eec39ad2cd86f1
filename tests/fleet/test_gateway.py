"""The gateway: what it lets through, what it keeps while the broker is away, what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet.peer import Peer, wait_until

from edgekit.errors import ConfigError, StoreError, ToolError
from edgekit.fleet.broker import PrivateBroker
from edgekit.fleet.gateway import Gateway
from edgekit.fleet.gateway_config import GatewayConfig, load_config
from edgekit.fleet.identity import new_token
from edgekit.fleet.outbox import MAX_ROWS, Outbox, SavedSession, waiting
from edgekit.fleet.rates import Bucket
from edgekit.link.frames import FrameType, encode_frame
from edgekit.link.messages import Hello, Log, LogLevel, Pong
from edgekit.link.mqtt import Connection, Handlers, Login
from edgekit.link.mqtt_loop import ThreadedConnection
from edgekit.link.seal import Direction, seal_frame
from edgekit.link.topics import Channel, topic

pytestmark = pytest.mark.broker

KEY = bytes(range(32))
PASSWORDS = {"server": "s", "a": "pa", "b": "pb"}


class Server:
    """The server's connection, remembering what it heard."""

    def __init__(self, broker: PrivateBroker) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.connection = ThreadedConnection(
            Connection(
                address=broker.address,
                login=Login("server", "s"),
                handlers=Handlers(message=lambda name, data, _: self.heard.append((name, data))),
                subscriptions=[("ek/1/f/#", 0)],
            )
        )
        self.connection.start()
        wait_until(lambda: self.connection.is_up)

    def of(self, channel: Channel, device: str = "a") -> list[bytes]:
        return [data for name, data in self.heard if name == topic("f", device, channel)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    with PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS) as running:
        yield running


@pytest.fixture
def server(broker: PrivateBroker) -> Iterator[Server]:
    running = Server(broker)
    yield running
    running.connection.close()


def _config(root: Path, broker: PrivateBroker, **changes: object) -> GatewayConfig:
    credentials = root / "credentials.json"
    if not credentials.exists():
        credentials.write_text(json.dumps({"a": "pa", "b": "pb"}))
    values: dict[str, object] = {
        "fleet": "f",
        "broker_host": broker.address.host,
        "broker_port": broker.address.port,
        "credentials": credentials,
        "outbox": root / "outbox.db",
    }
    return GatewayConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def gateway(tmp_path: Path, broker: PrivateBroker) -> Iterator[Gateway]:
    running = Gateway(_config(tmp_path, broker))
    running.start()
    yield running
    running.close()


def _peer(gateway: Gateway, device: str = "a") -> Peer:
    peer = Peer(device, new_token(), gateway.port)
    peer.key = KEY
    return peer


def _log(peer: Peer, number: int) -> None:
    peer.send(FrameType.LOG, Log(LogLevel.INFO, f"line {number}").encode())


def test_frames_reach_their_topics_unchanged(gateway: Gateway, server: Server) -> None:
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: bool(server.of(Channel.PRESENCE)))
        peer.report()
        _log(peer, 1)
        peer.send(FrameType.TELEMETRY, b"not read here")
        peer.send(FrameType.CHUNK_REQUEST, bytes(16))
        wait_until(lambda: len(server.heard) == 5)
        by_channel = (Channel.REPORTED, Channel.LOG, Channel.TELEMETRY, Channel.REQUEST)
        assert [server.of(channel) for channel in by_channel] == [[f] for f in peer.sent]
        assert json.loads(server.of(Channel.PRESENCE)[0]) == {"boot": 1, "state": "online"}


def test_ping_is_answered_for_the_boot_that_said_hello(gateway: Gateway) -> None:
    with _peer(gateway) as peer:
        peer.ping()
        peer.join()
        peer.ping()
        wait_until(lambda: peer.pongs == 1)
        peer.boot = 9
        peer.ping()
        peer.boot = 1
        peer.ping()
        wait_until(lambda: peer.pongs == 2)
        assert gateway.refused["stranger"] == 1


def test_stranger_gets_no_answer(gateway: Gateway, server: Server) -> None:
    with _peer(gateway, "c") as unknown, _peer(gateway) as silent:
        unknown.plain(FrameType.HELLO, Hello("c", 1))
        wait_until(lambda: gateway.refused["unknown device"] == 1)
        silent.report()
        silent.plain(FrameType.PONG, Pong(1))
        wait_until(lambda: gateway.refused["stranger"] == 2)
        assert not unknown.welcomes
        assert server.heard == []


def test_device_that_is_enrolled_later_is_let_in(
    gateway: Gateway, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "credentials.json").write_text("half of a fi")
    with _peer(gateway) as peer:
        peer.join()  # what was read before stays in use
        (tmp_path / "credentials.json").write_text(json.dumps({"b": "pb"}))
        with _peer(gateway, "b") as other:
            other.join()
            wait_until(lambda: bool(server.of(Channel.PRESENCE, "b")))


def test_frames_of_a_broker_outage_arrive_later_in_their_order(
    gateway: Gateway, server: Server, broker: PrivateBroker
) -> None:
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: bool(server.of(Channel.PRESENCE)))
        os.kill(broker.pid, signal.SIGSTOP)
        for number in range(30):
            _log(peer, number)
            peer.report(uptime_s=number)
        os.kill(broker.pid, signal.SIGKILL)
        wait_until(lambda: not server.connection.is_up)
        for number in range(30, 60):
            _log(peer, number)
        wait_until(lambda: server.connection.is_up)
        logs = [frame for frame in peer.sent if frame[1] == FrameType.LOG]
        wait_until(lambda: set(server.of(Channel.LOG)) == set(logs))
        assert list(dict.fromkeys(server.of(Channel.LOG))) == logs
        reports = [frame for frame in peer.sent if frame[1] == FrameType.REPORTED]
        wait_until(lambda: server.of(Channel.REPORTED)[-1] == reports[-1])


def test_outbox_survives_the_gateway_and_so_do_its_sessions(
    tmp_path: Path, broker: PrivateBroker
) -> None:
    first = Gateway(_config(tmp_path, broker, broker_port=1))  # nobody listens there
    first.start()
    with _peer(first) as peer:
        peer.join()
        for number in range(5):
            _log(peer, number)
        wait_until(lambda: len(Outbox(tmp_path / "outbox.db").first("a", 99)) == 5)
        first.close()
        server = Server(broker)
        second = Gateway(_config(tmp_path, broker, port=first.port))
        second.start()
        wait_until(lambda: server.of(Channel.LOG) == peer.sent)
        peer.ping()
        wait_until(lambda: peer.pongs == 1)
        second.close()
        wait_until(lambda: b"offline" in server.of(Channel.PRESENCE)[-1])
        server.connection.close()
        assert Outbox(tmp_path / "outbox.db").first("a", 99) == []


def test_silent_device_is_lost(tmp_path: Path, broker: PrivateBroker, server: Server) -> None:
    gateway = Gateway(_config(tmp_path, broker, silence_s=0.5))
    gateway.start()
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: len(server.of(Channel.PRESENCE)) == 2)
        assert json.loads(server.of(Channel.PRESENCE)[1]) == {"boot": 1, "state": "lost"}
        peer.report()
        wait_until(lambda: gateway.refused["stranger"] == 1)
    gateway.close()


def test_rebooted_device_has_a_will_of_its_new_boot(gateway: Gateway, server: Server) -> None:
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: len(server.of(Channel.PRESENCE)) == 1)
        peer.reboot()
        peer.hello()
        wait_until(lambda: len(server.of(Channel.PRESENCE)) == 3)
        said = [json.loads(data) for data in server.of(Channel.PRESENCE)]
        assert said[-1] == {"boot": 2, "state": "online"}
        assert {"boot": 1, "state": "lost"} in said


def test_address_that_cannot_be_answered_stops_nothing(
    tmp_path: Path, broker: PrivateBroker, server: Server
) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.save_session(SavedSession("a", 1, "127.0.0.1", 0))  # as a raw socket can say hello
    outbox.close()
    gateway = Gateway(_config(tmp_path, broker))
    gateway.start()
    wait_until(lambda: bool(server.of(Channel.PRESENCE)))
    chunk = seal_frame(KEY, Direction.TO_DEVICE, FrameType.CHUNK, bytes(16), 1 << 32 | 1)
    server.connection.publish(topic("f", "a", Channel.RESPONSE), chunk)
    wait_until(lambda: gateway.refused["send"] == 1)
    with _peer(gateway, "b") as peer:
        peer.join()
    assert gateway.failure is None
    gateway.close()


def test_live_device_keeps_its_address(gateway: Gateway, server: Server) -> None:
    with _peer(gateway) as peer, _peer(gateway) as thief:
        peer.join()
        wait_until(lambda: bool(server.of(Channel.PRESENCE)))
        thief.plain(FrameType.HELLO, Hello("a", 1))
        wait_until(lambda: gateway.refused["address"] == 1)
        peer.ping()
        wait_until(lambda: peer.pongs == 1)
        assert thief.welcomes == 0


def test_device_that_boots_all_the_time_is_held_up(gateway: Gateway, server: Server) -> None:
    with _peer(gateway) as peer:
        peer.join()
        for boot in range(2, 40):
            peer.plain(FrameType.HELLO, Hello("a", boot))
        wait_until(lambda: gateway.refused["rate"] >= 36)
        peer.boot, peer.welcomes = 99, 0
        peer.hello()
        wait_until(lambda: b'{"boot": 99, "state": "online"}' in server.of(Channel.PRESENCE))
        assert len(server.of(Channel.PRESENCE)) <= 6


def test_broken_outbox_costs_what_it_kept_and_no_more(
    tmp_path: Path, broker: PrivateBroker, server: Server
) -> None:
    gateway = Gateway(_config(tmp_path, broker))
    gateway.start()
    with sqlite3.connect(tmp_path / "outbox.db") as database:
        database.executescript("DROP TABLE sessions; DROP TABLE outbox;")
    database.close()
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: bool(server.of(Channel.PRESENCE)))
        assert gateway.refused["outbox"] > 0
        assert gateway.failure is None
    gateway.close()


def test_outbox_that_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.close()
    frame = seal_frame(KEY, Direction.TO_SERVER, FrameType.LOG, b"", 1)
    calls: list[Callable[[], object]] = [
        lambda: outbox.put("a", waiting(Channel.LOG, frame)),
        lambda: outbox.first("a", 1),
        lambda: outbox.remove("a", "1"),
        lambda: outbox.save_session(SavedSession("a", 1, "127.0.0.1", 1)),
        lambda: outbox.remove_session("a"),
        outbox.sessions,
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"outbox\.db"):
            call()


def test_only_frames_for_devices_go_down(gateway: Gateway, server: Server) -> None:
    with _peer(gateway) as peer:
        peer.join()
        wait_until(lambda: bool(server.of(Channel.PRESENCE)))
        good = seal_frame(KEY, Direction.TO_DEVICE, FrameType.CHUNK, bytes(16), 1 << 32 | 1)
        for channel, frame in (
            (Channel.RESPONSE, b"garbage"),
            (Channel.RESPONSE, good[:-1]),
            (Channel.RESPONSE, encode_frame(FrameType.WELCOME, b"")),
            (Channel.DESIRED, good),
            (Channel.RESPONSE, good),
        ):
            server.connection.publish(topic("f", "a", channel), frame)
        wait_until(lambda: gateway.refused["downlink"] == 4)
        assert peer.welcomes == 1
        assert peer.refused == []


def test_flood_is_cut_off_and_others_are_served(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Low enough that a busy machine still sends faster.
    monkeypatch.setattr("edgekit.fleet.gateway.FRAMES_PER_S", 100.0)
    with _peer(gateway) as flooder, _peer(gateway, "b") as other:
        flooder.join()
        other.join()
        frame = flooder.seal(FrameType.CHUNK_REQUEST, bytes(16))
        for _ in range(6_000):
            flooder.raw(frame)

        def is_served() -> bool:
            other.ping()
            return other.pongs > 0

        wait_until(is_served)
        assert gateway.refused["rate"] > 0


def test_bucket_lets_its_rate_pass() -> None:
    bucket = Bucket(10.0, 0.0)
    assert sum(bucket.take(0.0) for _ in range(50)) == 10
    assert sum(bucket.take(0.5) for _ in range(50)) == 5


def test_outbox_keeps_the_newest_report_and_a_bounded_rest(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    frames = [
        seal_frame(KEY, Direction.TO_SERVER, FrameType.LOG, b"", number)
        for number in range(1, MAX_ROWS + 6)
    ]
    for frame in frames:
        outbox.put("a", waiting(Channel.LOG, frame))
    assert [item.frame for item in outbox.first("a", 9_999)] == frames[5:]
    for number in (9_001, 9_002, 9_000):
        report = seal_frame(KEY, Direction.TO_SERVER, FrameType.REPORTED, b"", number)
        outbox.put("b", waiting(Channel.REPORTED, report))
    assert [item.number for item in outbox.first("b", 9)] == [f"{9_002:016x}"]
    outbox.close()


def test_taken_udp_port_is_one_clear_line(tmp_path: Path, broker: PrivateBroker) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ToolError, match=f"cannot listen on UDP 127.0.0.1:{port}"):
            Gateway(_config(tmp_path, broker, port=port))


def test_gateway_runs_as_a_process(tmp_path: Path, broker: PrivateBroker, server: Server) -> None:
    _config(tmp_path, broker)
    config = tmp_path / "gateway.json"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fields = {
        "fleet": "f",
        "broker_host": broker.address.host,
        "broker_port": broker.address.port,
        "credentials": "credentials.json",
        "outbox": "outbox.db",
        "port": port,
    }
    config.write_text(json.dumps(fields))
    command = [sys.executable, "-m", "edgekit.fleet.gateway", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        with Peer("a", new_token(), port) as peer:
            peer.key = KEY
            peer.join()
            peer.report()
            wait_until(lambda: server.of(Channel.REPORTED) == peer.sent)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    wait_until(lambda: b"offline" in server.of(Channel.PRESENCE)[-1])


def test_process_with_an_unreadable_outbox_says_so_in_one_line(
    tmp_path: Path, broker: PrivateBroker
) -> None:
    _config(tmp_path, broker)
    with sqlite3.connect(tmp_path / "outbox.db") as database:
        database.execute("CREATE TABLE sessions (other TEXT)")
    database.close()
    fields = {
        "fleet": "f",
        "broker_host": broker.address.host,
        "broker_port": broker.address.port,
        "credentials": "credentials.json",
        "outbox": "outbox.db",
    }
    (tmp_path / "gateway.json").write_text(json.dumps(fields))
    command = [sys.executable, "-m", "edgekit.fleet.gateway", "--config"]
    done = subprocess.run(
        [*command, str(tmp_path / "gateway.json")], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "outbox.db: no such column" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fleet": "f", "more": 1}', '"x"'])
def test_configuration_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"gateway\.json"):
        load_config(path)
