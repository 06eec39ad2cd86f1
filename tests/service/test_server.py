"""The fleet server with a real broker, a real gateway and a device that speaks the protocol."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from fleet.peer import Peer, wait_until

from edgekit.errors import DeviceError, EdgekitError, StoreError
from edgekit.fleet.devices import DeviceView, Presence
from edgekit.link.frames import FrameType, encode_frame
from edgekit.link.messages import (
    FederatedTask,
    Log,
    LogLevel,
    SignedManifest,
    UpdateReport,
    UpdateState,
)
from edgekit.link.status import Status
from edgekit.service.local import LocalFleet
from edgekit.service.server import FleetServer

pytestmark = pytest.mark.broker

MODEL = SignedManifest(b"manifest", b"s" * 64)


def _fleet(root: Path, **ports: int) -> LocalFleet:
    return LocalFleet(root=root, fleet="test", heartbeat_s=2, **ports)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    with _fleet(tmp_path) as running:
        wait_until(lambda: running.server.is_connected)
        yield running


def _peer(fleet: LocalFleet, device: str = "a") -> Peer:
    record = fleet.add_device(device, "host")
    return Peer(device, record.token, fleet.gateway.port)


def _view(fleet: LocalFleet, device: str = "a") -> DeviceView:
    return fleet.server.call(lambda: fleet.server.devices()[device])


def _kinds(fleet: LocalFleet, kind: str) -> list[dict[str, object]]:
    return [dict(event.body) for event in fleet.server.journal.events(kinds=[kind])]


def test_device_is_claimed_and_its_report_becomes_a_view(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        view = _view(fleet)
        assert view.claimed
        assert view.boot == 1
        assert view.presence is Presence.ONLINE
        assert view.last_seen_s == pytest.approx(time.time(), abs=10)
        assert _kinds(fleet, "device.claimed") == [{"device": "a", "token": peer.token.id.hex()}]
        assert fleet.server.journal.verify() > 0


def test_report_is_journaled_only_when_more_than_the_uptime_changed(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        for uptime_s in range(5):
            peer.report(uptime_s=uptime_s)
        peer.report(uptime_s=9, update=UpdateReport(state=UpdateState.DOWNLOADING))
        wait_until(lambda: len(_kinds(fleet, "device.reported")) == 2)
        peer.report(uptime_s=10, update=UpdateReport(state=UpdateState.DOWNLOADING, bytes_done=5))
        wait_until(lambda: (view := _view(fleet).reported) is not None and view.uptime_s == 10)
        assert len(_kinds(fleet, "device.reported")) == 2


def test_device_that_changes_all_the_time_does_not_fill_the_journal(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        for counter in range(1, 400):
            peer.report(counter=counter)
            time.sleep(0.001)
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.counter == 399)
        assert len(_kinds(fleet, "device.reported")) < 130
        wait_until(lambda: _kinds(fleet, "device.reported")[-1]["counter"] == 399)
        assert len(_kinds(fleet, "device.reported")) < 140


def test_boot_that_nobody_has_proven_hides_no_later_presence(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer, Peer("a", peer.token, fleet.gateway.port) as thief:
        peer.join()
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        thief.boot = 2**32 - 1
        thief.hello()
        wait_until(lambda: _view(fleet).presence_boot == 2**32 - 1)
        peer.welcomes = 0
        peer.hello()
        wait_until(lambda: _view(fleet).presence_boot == 1)
        assert _view(fleet).presence is Presence.ONLINE
        fleet.gateway.close()
        fleet._closing = [part for part in fleet._closing if part is not fleet.gateway]
        wait_until(lambda: _view(fleet).presence is Presence.OFFLINE)


def test_log_of_a_device_forges_no_lines_and_ends_somewhere(
    fleet: LocalFleet, caplog: pytest.LogCaptureFixture
) -> None:
    with _peer(fleet) as peer:
        peer.join()
        forged = Log(LogLevel.ERROR, "x\nERROR edgekit: all is lost\x1b[2J").encode()
        for _ in range(300):
            peer.send(FrameType.LOG, forged)
            time.sleep(0.001)
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
    lines = [record.getMessage() for record in caplog.records if "all is lost" in record.message]
    assert 0 < len(lines) < 130
    assert lines[0] == r"device 'a': x\nERROR edgekit: all is lost\x1b[2J"


def test_messages_that_nobody_has_time_for_do_not_pile_up(
    fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _peer(fleet) as peer, monkeypatch.context() as patch:
        peer.join()
        patch.setattr("edgekit.service.loop._MAX_WAITING", 10)

        def busy() -> None:
            for _ in range(50):
                peer.send(FrameType.TELEMETRY, bytes(9))
            wait_until(lambda: fleet.server.refused["OVERLOAD"] >= 20, 60)

        fleet.server.call(busy)
        patch.undo()  # the last of them may come yet, and this one counts
        peer.report(uptime_s=777)
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.uptime_s == 777, 60)


def test_forged_messages_fill_no_log(fleet: LocalFleet, caplog: pytest.LogCaptureFixture) -> None:
    with _peer(fleet) as peer:
        peer.join()
        fake = Peer("a", type(peer.token)(bytes(8), bytes(32)), fleet.gateway.port, boot=2)
        with fake:
            fake.hello()
            for _ in range(400):
                fake.claim()
                time.sleep(0.001)
            wait_until(lambda: sum(fleet.server.refused.values()) >= 390)
        assert fleet.server.refused["SECURITY"] < 70
        assert sum("refused" in record.message for record in caplog.records) < 130


def test_wish_reaches_the_device_and_comes_back_as_its_version(fleet: LocalFleet) -> None:
    task = FederatedTask(
        run=1,
        round=2,
        base_head_hash=bytes(32),
        head_object=3,
        head_bytes=4,
        epochs=5,
        rate=0.5,
        decay=0.0,
        deadline_s=60,
    )
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        assert fleet.server.set_desired("a", model=MODEL) == 1
        wait_until(lambda: peer.desired is not None)
        assert peer.desired is not None
        assert (peer.desired.version, peer.desired.model) == (1, MODEL)
        assert fleet.server.set_desired("a", task=task) == 2
        wait_until(lambda: peer.desired is not None and peer.desired.version == 2)
        assert (peer.desired.model, peer.desired.task) == (MODEL, task)
        assert fleet.server.set_desired("a", model=None) == 3
        wait_until(lambda: peer.desired is not None and peer.desired.version == 3)
        assert peer.desired.model is None
        peer.report()
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.desired_version == 3)
        bodies = _kinds(fleet, "device.desired")
        assert [body["version"] for body in bodies] == [1, 2, 3]
        assert bodies[0]["manifest"] == b"manifest".hex()


def test_wish_is_sealed_anew_for_a_device_that_has_booted(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        fleet.server.set_desired("a", model=MODEL)
        wait_until(lambda: peer.desired is not None)
        peer.reboot()
        peer.join()
        wait_until(lambda: "boot 1" in peer.refused)  # the retained one is of the old boot
        assert peer.desired is None
        peer.report()
        wait_until(lambda: peer.desired is not None)
        assert _view(fleet).boot == 2


def test_wish_that_got_lost_is_repeated_with_the_next_report(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        fleet.server.set_desired("a", model=MODEL)
        wait_until(lambda: peer.desired is not None)
        count = peer.desired_count
        peer.report(desired_version=0)
        time.sleep(1.1)
        assert peer.desired_count == count  # not more often than once a second
        peer.report(desired_version=0)
        wait_until(lambda: peer.desired_count > count)


def test_objects_travel_in_both_directions(fleet: LocalFleet) -> None:
    data = os.urandom(100_001)
    digest = blake2b(data, digest_size=32).digest()
    with _peer(fleet) as peer:
        peer.join()
        fleet.server.offer(data)
        assert peer.download(digest, len(data)) == data
        number, digest = peer.offer(data[::-1])
        results: list[bytes | EdgekitError] = []
        fleet.server.pull(
            "a", object_id=number, total=len(data), digest=digest, done=results.append
        )
        wait_until(lambda: bool(results))
        assert results == [data[::-1]]


def test_chunk_path_is_fast_enough(fleet: LocalFleet) -> None:
    """300 kB/s are promised with chunks of 4 KiB."""
    data = os.urandom(2_000_000)
    with _peer(fleet) as peer:
        peer.join()
        fleet.server.offer(data)
        start_s = time.monotonic()
        peer.download(blake2b(data, digest_size=32).digest(), len(data), 60.0)
        down_s = time.monotonic() - start_s
        number, digest = peer.offer(data)
        results: list[bytes | EdgekitError] = []
        start_s = time.monotonic()
        fleet.server.pull(
            "a", object_id=number, total=len(data), digest=digest, done=results.append
        )
        wait_until(lambda: bool(results), 60.0)
        up_s = time.monotonic() - start_s
        print(f"down {len(data) / down_s / 1e3:.0f} kB/s, up {len(data) / up_s / 1e3:.0f} kB/s")
        assert len(data) / max(down_s, up_s) > 300_000


def test_pull_of_what_the_device_does_not_have_ends_with_its_error(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        results: list[bytes | EdgekitError] = []
        digest = blake2b(b"nothing", digest_size=32).digest()
        number = int.from_bytes(digest[:8], "little")
        fleet.server.pull("a", object_id=number, total=9, digest=digest, done=results.append)
        wait_until(lambda: bool(results))
        assert "is not known to its holder" in str(results[0])
        peer.objects[number] = b"forged..."
        fleet.server.pull("a", object_id=number, total=9, digest=digest, done=results.append)
        wait_until(lambda: len(results) == 2)
        assert "has hash" in str(results[1])


def test_object_that_is_not_on_offer_is_not_given_out(fleet: LocalFleet) -> None:
    secret = fleet.server.call(lambda: fleet.server.journal.blobs.write(b"another's update"))
    with _peer(fleet) as peer:
        peer.join()
        with pytest.raises(AssertionError, match="in time"):
            peer.download(bytes.fromhex(secret), 16, timeout_s=0.5)
        assert any("is not known" in line for line in peer.refused)


def test_replayed_frame_is_refused(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report(uptime_s=1)
        peer.report(uptime_s=2)
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.uptime_s == 2)
        before = _view(fleet)
        for frame in list(peer.sent):
            peer.raw(frame)
        wait_until(lambda: fleet.server.refused["REPLAY"] >= 2)
        assert _view(fleet) == before


def test_frame_with_a_wrong_code_is_refused(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        key, peer.key = peer.key, bytes(32)
        peer.report()
        wait_until(lambda: fleet.server.refused["MAC"] == 1)
        assert _view(fleet).reported is None
        peer.key = key
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)


def test_frame_of_another_device_is_refused(fleet: LocalFleet) -> None:
    with _peer(fleet, "a") as peer, _peer(fleet, "b") as other:
        peer.join()
        other.join()
        other.raw(peer.seal(FrameType.REPORTED, peer.reported().encode()))
        wait_until(lambda: fleet.server.refused["MAC"] == 1)
        assert _view(fleet, "a").reported is None
        assert _view(fleet, "b").reported is None


def test_token_cannot_be_used_with_a_second_key(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        with Peer("a", peer.token, fleet.gateway.port, boot=2) as thief:
            thief.hello()
            thief.claim()
            wait_until(lambda: fleet.server.refused["SECURITY"] == 1)
            assert thief.key is None
        assert len(_kinds(fleet, "device.claimed")) == 1


def test_token_that_was_guessed_is_refused(fleet: LocalFleet) -> None:
    record = fleet.add_device("a", "host")
    fake = type(record.token)(record.token.id, bytes(32))
    with Peer("a", fake, fleet.gateway.port) as peer:
        peer.hello()
        deadline_s = time.monotonic() + 5
        while not fleet.server.refused["SECURITY"] and time.monotonic() < deadline_s:
            peer.claim()
            time.sleep(0.05)
        assert fleet.server.refused["SECURITY"]
        assert not _view(fleet).claimed


def test_device_enrolled_anew_keeps_its_key_until_the_new_token_is_used(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        record = fleet.add_device("a", "host")
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        old_key, peer.token = peer.key, record.token
        peer.key = None
        peer.reboot()
        peer.join()
        assert peer.key not in (None, old_key)
        peer.report()
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.boot == 2)


def test_revoked_device_is_refused(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        fleet.server.revoke("a", "lost")
        before = fleet.server.refused["STATE"]
        peer.report()
        wait_until(lambda: fleet.server.refused["STATE"] > before)
        assert _view(fleet).revoked
        with pytest.raises(DeviceError, match="not claimed"):
            fleet.server.pull("a", object_id=1, total=1, digest=bytes(32), done=print)


def test_message_in_the_wrong_channel_or_of_a_bad_form_is_refused(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        peer.send(FrameType.REPORTED, b"\xa0")
        wait_until(lambda: fleet.server.refused["CBOR"] == 1)
        peer.report(boot=77)
        wait_until(lambda: fleet.server.refused["RANGE"] == 1)
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        assert fleet.server.refused["BUG"] == 0


def test_wishes_are_asserted_again_after_the_broker_was_killed(fleet: LocalFleet) -> None:
    with _peer(fleet, "a") as peer, _peer(fleet, "b") as other:
        for device in (peer, other):
            device.join()
            device.report()
        for name in ("a", "b"):
            fleet.server.set_desired(name, model=MODEL)
        wait_until(lambda: peer.desired is not None and other.desired is not None)
        peer.desired = other.desired = None
        os.kill(fleet.broker.pid, signal.SIGKILL)
        wait_until(lambda: not fleet.server.is_connected)
        peer.report(uptime_s=777)  # goes into the gateway's outbox
        wait_until(lambda: fleet.server.is_connected)
        wait_until(lambda: peer.desired is not None and other.desired is not None)
        wait_until(lambda: (now := _view(fleet).reported) is not None and now.uptime_s == 777)
        assert peer.desired is not None
        assert peer.desired.version == 1


def test_server_goes_on_from_its_files(tmp_path: Path) -> None:
    data = os.urandom(9_000)
    with _fleet(tmp_path) as fleet, _peer(fleet) as peer:
        peer.join()
        peer.report(uptime_s=1)
        fleet.server.offer(data)
        fleet.server.set_desired("a", model=MODEL)
        wait_until(lambda: peer.desired is not None)
        last = peer.sent[-1]
        fleet.server.close()
        server = FleetServer(root=tmp_path, fleet="test", broker=fleet.broker.address)
        with server:
            wait_until(lambda: server.is_connected)
            view = server.call(lambda: server.devices()["a"])
            assert view.claimed
            assert view.desired_version == 1
            assert view.reported is not None
            peer.raw(last)
            wait_until(lambda: server.refused["REPLAY"] >= 1)
            assert peer.download(blake2b(data, digest_size=32).digest(), len(data)) == data
            assert server.set_desired("a", model=None) == 2
            wait_until(lambda: peer.desired is not None and peer.desired.version == 2)
            assert not [line for line in peer.refused if "counter" in line]
        fleet._closing = [part for part in fleet._closing if part is not fleet.server]


_KILLED_SERVER = """
import os, signal, sys, time
from pathlib import Path
from edgekit.link.messages import SignedManifest
from edgekit.link.mqtt import BrokerAddress
from edgekit.service.server import FleetServer
root, port = Path(sys.argv[1]), int(sys.argv[2])
server = FleetServer(root=root, fleet="test", broker=BrokerAddress("127.0.0.1", port))
server.start()
while not server.is_connected:
    time.sleep(0.01)
for number in range(5):
    server.offer(b"object %d" % number * 500)
    server.set_desired("a", model=SignedManifest(b"m%d" % number, bytes(64)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_server_is_followed_by_one_that_knows_all(tmp_path: Path) -> None:
    with _fleet(tmp_path) as fleet, _peer(fleet) as peer:
        peer.join()
        peer.report()
        wait_until(lambda: _view(fleet).reported is not None)
        fleet.server.close()
        fleet._closing = [part for part in fleet._closing if part is not fleet.server]
        for rounds in (1, 2, 3):
            command = [sys.executable, "-c", _KILLED_SERVER, str(tmp_path)]
            command.append(str(fleet.broker.address.port))
            code = subprocess.run(command, check=False).returncode
            assert code == -signal.SIGKILL
            with FleetServer(root=tmp_path, fleet="test", broker=fleet.broker.address) as server:
                assert server.journal.verify() > 0
                wait_until(
                    lambda: peer.desired is not None and peer.desired.version == 5 * rounds  # noqa: B023
                )
                data = b"object 4" * 500
                assert peer.download(blake2b(data, digest_size=32).digest(), len(data)) == data
                assert server.refused == {}
        assert not [line for line in peer.refused if "counter" in line]


def test_second_server_of_a_project_is_refused(fleet: LocalFleet, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="another edgekit service"):
        FleetServer(root=tmp_path, fleet="test", broker=fleet.broker.address)


def test_step_that_fails_does_not_end_the_service(
    fleet: LocalFleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.server.add_listener(lambda device, view: {}["missing"])
    with _peer(fleet) as peer:
        peer.join()
        peer.report()
        wait_until(lambda: fleet.server.refused["BUG"] > 0)
        assert _view(fleet).claimed
    assert "a step of the service failed" in caplog.text
    with pytest.raises(KeyError):
        fleet.server.call(lambda: fleet.server.devices()["nobody"])


def test_device_is_offline_when_its_gateway_stops(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        wait_until(lambda: _view(fleet).presence is Presence.ONLINE)
        fleet.gateway.close()
        wait_until(lambda: _view(fleet).presence is Presence.OFFLINE)
        fleet._closing = [part for part in fleet._closing if part is not fleet.gateway]


def test_nothing_is_left_after_close(tmp_path: Path) -> None:
    with _fleet(tmp_path) as fleet:
        pid = fleet.broker.pid
    assert not (tmp_path / "broker").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list(tmp_path.rglob("*.partial"))


def test_secrets_are_readable_by_their_owner_only(fleet: LocalFleet, tmp_path: Path) -> None:
    _peer(fleet).close()
    for path in [*(tmp_path / "keys").iterdir(), tmp_path / "gateway/credentials.json"]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_garbage_on_the_udp_port_is_counted_and_nothing_else(fleet: LocalFleet) -> None:
    with _peer(fleet) as peer:
        peer.join()
        frame = peer.seal(FrameType.REPORTED, peer.reported().encode())
        for at in range(len(frame)):
            peer.raw(frame[:at] + bytes([frame[at] ^ 0x41]) + frame[at + 1 :])
            peer.raw(frame[:at])
        bent = bytearray(frame[4:-4])
        bent[10] ^= 1
        peer.raw(encode_frame(FrameType.REPORTED, bytes(bent)))
        wait_until(lambda: fleet.server.refused["MAC"] == 1)
        assert fleet.gateway.refused["frame"] == 2 * len(frame)
        assert set(fleet.server.refused) == {"MAC"}
        peer.raw(frame)
        wait_until(lambda: _view(fleet).reported is not None)
        assert Status.MAC.text == "message code does not verify"
