"""The private broker: who may come in, who may say what, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.peer import wait_until

from edgekit.errors import ToolError
from edgekit.fleet import broker as broker_module
from edgekit.fleet.broker import PrivateBroker, password_line, reload_running, running_broker
from edgekit.link.mqtt import BrokerAddress, Connection, Handlers, Login, Will
from edgekit.link.mqtt_loop import ThreadedConnection
from edgekit.link.topics import FROM_DEVICE, TO_DEVICE, Channel, topic

pytestmark = pytest.mark.broker

PASSWORDS = {"server": "secret-0", "a": "secret-a", "b": "secret-b"}


class Client:
    """A connection that remembers what it heard."""

    def __init__(
        self,
        address: BrokerAddress,
        user: str,
        *filters: str,
        password: str | None = None,
        will: Will | None = None,
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.ups = 0
        self.connection = ThreadedConnection(
            Connection(
                address=address,
                login=Login(user, PASSWORDS[user] if password is None else password),
                handlers=Handlers(message=self._message, up=self._up),
                subscriptions=[(name, 1) for name in filters],
                will=will,
            )
        )
        self.connection.start()

    def _message(self, name: str, payload: bytes, retained: bool) -> None:
        self.heard.append((name, payload))

    def _up(self) -> None:
        self.ups += 1

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.connection.close()

    def wait(self) -> Client:
        wait_until(lambda: self.connection.is_up)
        return self


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    with PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS) as running:
        yield running


def test_device_is_heard_in_its_own_channels_only(broker: PrivateBroker) -> None:
    """Every channel of its own, of another device, of another fleet, and what looks like them."""
    mine = [topic("f", "a", channel) for channel in FROM_DEVICE]
    other = [topic("f", "b", channel) for channel in Channel]
    wrong = [topic("f", "a", channel) for channel in TO_DEVICE]
    strange = [
        "ek/1/g/a/reported",
        "ek/1/f/server/reported",
        "ek/1/f/a/reported/more",
        "ek/1/f/a",
        "ek/1/f//reported",
        "$SYS/x",
        "ek/1/f/A/reported",
    ]
    with (
        Client(broker.address, "server", "ek/1/f/#", "ek/1/f/+/reported") as server,
        Client(broker.address, "a") as device,
    ):
        server.wait()
        device.wait()
        for name in [*other, *wrong, *strange, *mine]:
            device.connection.publish(name, b"x", qos=1)
        wait_until(lambda: {name for name, _ in server.heard} >= set(mine))
        assert {name for name, _ in server.heard} == set(mine)


def test_device_hears_its_own_channels_only(broker: PrivateBroker) -> None:
    filters = ["ek/1/f/#", "#", "+/+/+/+/+", "ek/1/f/+/desired", "$share/x/ek/1/f/#", "$SYS/#"]
    with (
        Client(broker.address, "server") as server,
        Client(broker.address, "a", *filters) as device,
    ):
        server.wait()
        device.wait()
        for name in ("b", "a"):
            for channel in Channel:
                server.connection.publish(topic("f", name, channel), b"x", qos=1)
        wanted = {topic("f", "a", channel) for channel in TO_DEVICE}
        wait_until(lambda: {name for name, _ in device.heard} >= wanted)
        assert {name for name, _ in device.heard} == wanted


def test_wrong_password_and_unknown_user_stay_outside(
    broker: PrivateBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Client(broker.address, "a", password="wrong") as wrong,
        Client(broker.address, "x", password="") as unknown,
    ):
        wait_until(lambda: caplog.text.count("refused") >= 2)
        assert not wrong.ups
        assert not unknown.ups
    assert "wrong" not in caplog.text.replace("user", "")


def test_will_is_published_when_a_client_dies(broker: PrivateBroker) -> None:
    name = topic("f", "a", Channel.PRESENCE)
    with Client(broker.address, "server", name) as server:
        server.wait()
        script = (
            "import os, sys, time\n"
            "from edgekit.link.mqtt import *\n"
            "from edgekit.link.mqtt_loop import *\n"
            f"c = Connection(address=BrokerAddress('127.0.0.1', {broker.address.port}),"
            f" login=Login('a', 'secret-a'), handlers=Handlers(message=print, up=lambda:"
            f" os._exit(1)), will=Will('{name}', b'lost'))\n"
            "t = ThreadedConnection(c); t.start(); time.sleep(10)\n"
        )
        subprocess.run([sys.executable, "-c", script], check=False)
        wait_until(lambda: server.heard == [(name, b"lost")])


def test_new_passwords_take_effect_at_once(broker: PrivateBroker, tmp_path: Path) -> None:
    with (
        Client(broker.address, "a") as kept,
        Client(broker.address, "b") as removed,
        Client(broker.address, "c", password="secret-c") as added,
    ):
        kept.wait()
        removed.wait()
        assert not added.ups
        assert reload_running(tmp_path, {"server": "secret-0", "a": "secret-a", "c": "secret-c"})
        added.wait()
        wait_until(lambda: not removed.connection.is_up)
        assert kept.ups == 1


def test_broker_that_was_killed_comes_back_on_its_port(
    broker: PrivateBroker, tmp_path: Path
) -> None:
    address, pid = broker.address, broker.pid
    with Client(address, "a") as client:
        client.wait()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: client.ups == 2)
    assert broker.pid != pid
    assert running_broker(tmp_path) == address


def test_broker_that_is_killed_while_it_starts_is_started_again(
    broker: PrivateBroker, tmp_path: Path
) -> None:
    ready, killed = broker._wait_until_ready, []

    def kill_first(port: int) -> bool:
        if not killed:
            killed.append(broker.pid)
            os.kill(broker.pid, signal.SIGKILL)
        return ready(port)

    broker._wait_until_ready = kill_first  # type: ignore[method-assign]
    before = broker.pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: broker.pid not in (before, *killed) and bool(killed), 60)
    wait_until(lambda: running_broker(tmp_path) == broker.address, 60)
    assert broker.failure is None


def test_nothing_is_left_after_stop(tmp_path: Path) -> None:
    broker = PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS)
    address = broker.start()
    pid = broker.pid
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "broker").iterdir()} <= {0, 0o044}
    broker.stop()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
    assert not reload_running(tmp_path, PASSWORDS)


def test_broker_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from edgekit.fleet.broker import PrivateBroker\n"
        "b = PrivateBroker(Path(sys.argv[1]), fleet='f', passwords={'server': 'x'})\n"
        "b.start(); print(b.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    wait_until(lambda: _is_gone(pid))
    with PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS):
        pass  # what the killed one left is no hindrance


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_second_broker_of_a_project_is_refused(broker: PrivateBroker, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is running already"):
        PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS).start()
    assert running_broker(tmp_path) == broker.address


def test_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ToolError, match=f"did not start on port {port}: .*in use"):
            PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS, port=port).start()
    assert list(tmp_path.iterdir()) == []


def test_missing_mosquitto_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker_module, "_PLACES", ())
    with pytest.raises(ToolError, match="apt-get install mosquitto"):
        PrivateBroker(tmp_path, fleet="f", passwords=PASSWORDS).start()


def test_password_line_hides_the_password() -> None:
    line = password_line("a", "secret-a", salt=bytes(12))
    assert line.startswith("a:$7$101$AAAAAAAAAAAAAAAA$")
    assert "secret" not in line
