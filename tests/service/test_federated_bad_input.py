"""Federated runs among devices and messages that are not as they should be: all of it is said."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fleet.peer import Peer, wait_until
from service.scripted import Learn, ScriptedDevice, all_of, shift
from service.test_federated_driver import HEAD, devices, expected_head, lie, plan

from edgekit.cli.main import main
from edgekit.errors import EdgekitError, StoreError
from edgekit.federated.codecs import HeadWeights
from edgekit.federated.live import Follower
from edgekit.federated.rounds import ROUND_OPENED, UPDATE
from edgekit.link.frames import FrameType
from edgekit.link.messages import Chunk, FederatedTask
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.server import FleetServer

pytestmark = pytest.mark.broker


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    with LocalFleet(root=tmp_path / ".edgekit", fleet="test", heartbeat_s=1) as running:
        wait_until(lambda: running.server.is_connected, 60)
        yield running


def the_same_again() -> Learn:
    """Return a training that answers every round with its first update."""
    kept: list[bytes] = []

    def learn(task: FederatedTask, head: HeadWeights) -> bytes:
        made = shift(8)(task, head)
        assert isinstance(made, bytes)
        kept.append(made)
        return kept[0]

    return learn


def test_updates_that_do_not_fit_are_listed_and_counted(
    fleet: LocalFleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first device is honest; the second one's update has other sides and as many bytes."""
    driver = FederatedDriver(fleet.server)
    learns = [
        shift(0, 10),
        lie(weights=np.zeros((13, 49), np.float32), bias=np.zeros(13, np.float32)),
        lie(base_hash=b"\x01" * 32),
        lie(run=4),
        lie(samples=2_000_000_000),
        the_same_again(),
    ]
    with all_of(devices(fleet, *learns)):
        state = driver.run(plan(len(learns), rounds=2, deadline_s=120.0), HEAD, timeout_s=60)
    counts = [row.accepted for row in state.table]
    assert counts == [2, 1], state.table
    reasons = dict(state.table[1].rejected)
    for device, part in {
        "dev-1": "update has shape [13, 49], expected [10, 64]",
        "dev-2": "update starts from head 010101010101, expected",
        "dev-3": f"update is for run 4, expected {plan(1).run}",
        "dev-4": "update claims 2000000000 samples, at most 1000000 count",
        "dev-5": "late: update is for round 1, expected 2",
    }.items():
        assert part in reasons[device]
    follower = Follower(fleet.server.journal)
    follower.poll()
    told = {name: why.total() for name, why in follower.runs[plan(1).run].rejections().items()}
    assert told == {"dev-1": 2, "dev-2": 2, "dev-3": 2, "dev-4": 2, "dev-5": 1}
    assert main(["federate", "status", "--project", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "rejected 2 times: dev-1, update has shape [13, 49], expected [10, 64]" in text
    assert "rejected 1 time: dev-5, late: update is for round 1, expected 2" in text


def changed(peer: Peer, change: Callable[[Chunk], Chunk]) -> None:
    """Let a device answer with other chunks than it should."""
    send = peer.send

    def lying(kind: FrameType, content: bytes) -> None:
        if kind is FrameType.CHUNK:
            content = change(Chunk.decode(content)).encode()
        send(kind, content)

    peer.send = lying  # type: ignore[method-assign]


def test_chunks_that_are_wrong_are_no_update(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    lies: list[tuple[Callable[[Chunk], Chunk], str]] = [
        (lambda c: dataclasses.replace(c, data=bytes(len(c.data))), "has hash"),
        (lambda c: dataclasses.replace(c, total=c.total + 4), "has 2676 bytes, expected 2672"),
        (lambda c: Chunk(c.object_id, 0, 0, b""), "is not known to its holder"),
    ]
    made = devices(fleet, shift(0, 10), *(shift(1 + i) for i in range(len(lies))))
    for device, (change, _) in zip(made[1:], lies, strict=True):
        changed(device.peer, change)
    with all_of(made):
        state = driver.run(plan(len(made), rounds=1, deadline_s=120.0), HEAD, timeout_s=60)
    reasons = dict(state.table[0].rejected)
    for number, (_, text) in enumerate(lies, 1):
        assert reasons[f"dev-{number}"].startswith("update could not be fetched: object")
        assert text in reasons[f"dev-{number}"]
    assert state.head.encode() == expected_head({"dev-0": (0, 10)}, 1).encode()


def test_messages_that_are_forged_or_old_change_nothing(fleet: LocalFleet) -> None:
    """All that a device says is said again, and once more with a bit of its code turned over."""
    driver = FederatedDriver(fleet.server)
    made = devices(fleet, shift(0, 10), shift(1, 70))
    for device in made:
        device.heartbeat_s = 0.2  # one update is on offer again and again, too
    ended = threading.Event()

    def repeat(peer: Peer) -> None:
        while not ended.wait(0.05):
            for frame in peer.sent[-40:]:
                with contextlib.suppress(OSError):
                    peer.raw(frame)

    def forge(peer: Peer) -> None:
        seal = peer.seal

        def both(kind: FrameType, content: bytes) -> bytes:
            frame, key = seal(kind, content), peer.key
            peer.key = bytes(32)
            peer.raw(seal(kind, content))
            peer.key = key
            return frame

        peer.seal = both  # type: ignore[method-assign]

    with all_of(made):
        threads = [threading.Thread(target=repeat, args=(device.peer,)) for device in made]
        forge(made[1].peer)
        for thread in threads:
            thread.start()
        state = driver.run(plan(2, rounds=3, deadline_s=120.0), HEAD, timeout_s=60)
        refused = fleet.server.refused
        wait_until(lambda: refused["REPLAY"] > 0 and refused["MAC"] > 0, 60)
        ended.set()
        for thread in threads:
            thread.join()
    assert state.head.encode() == expected_head({"dev-0": (0, 10), "dev-1": (1, 70)}, 3).encode()
    assert [(row.accepted, row.rejected, row.silent) for row in state.table] == [(2, (), ())] * 3
    events = fleet.server.journal.events(kinds=(UPDATE,))
    assert set(Counter((e.body["device"], e.body["round"]) for e in events).values()) == {1}


def test_second_server_on_a_run_is_refused_and_the_run_goes_on(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    driver = FederatedDriver(fleet.server)
    held = threading.Event()

    def wait(task: FederatedTask, head: HeadWeights) -> bytes:
        held.wait(60)
        return shift(1, 70)(task, head)  # type: ignore[return-value]

    with all_of(devices(fleet, shift(0, 10), wait)):
        driver.start(plan(2, rounds=2, deadline_s=120.0), HEAD)
        wait_until(lambda: driver.status(plan(2).run).missing == ("dev-1",), 60)
        root = tmp_path / ".edgekit"
        with pytest.raises(StoreError, match="another edgekit service works on this folder"):
            FleetServer(root=root, fleet="test", broker=fleet.broker.address)
        with pytest.raises(EdgekitError, match="a broker of this project is running already"):
            LocalFleet(root=root, fleet="test").start()
        held.set()
        state = driver.wait(plan(2).run, 60)
    assert state.head.encode() == expected_head({"dev-0": (0, 10), "dev-1": (1, 70)}, 2).encode()


def test_device_that_has_gone_from_the_fleet_holds_up_nothing(fleet: LocalFleet) -> None:
    """Its key is taken in the middle of a round, which then ends at once."""
    driver = FederatedDriver(fleet.server)
    made = devices(fleet, shift(0, 10), None)
    with all_of(made):
        driver.start(plan(2, rounds=2, deadline_s=600.0), HEAD)
        wait_until(lambda: driver.status(plan(2).run).missing == ("dev-1",), 60)
        fleet.server.revoke("dev-1", "stolen")
        state = driver.wait(plan(2).run, 60)
    left = (("dev-1", "device has left the fleet"),)
    assert [(row.accepted, row.rejected) for row in state.table] == [(1, left)] * 2
    assert state.head.encode() == expected_head({"dev-0": (0, 10)}, 2).encode()


def test_query_is_asked_once_and_its_devices_stay(tmp_path: Path) -> None:
    """A server that takes up a run asks the devices of the plan, whoever joined meanwhile."""
    root = tmp_path / ".edgekit"
    planned = plan(2, rounds=2, deadline_s=120.0, select="cohort since=1h")
    with LocalFleet(root=root, fleet="test", heartbeat_s=1) as fleet:
        made = devices(fleet, shift(0, 10), None)
        with all_of(made):
            driver = FederatedDriver(fleet.server)
            driver.start(planned, HEAD)
            wait_until(lambda: driver.status(planned.run).missing == ("dev-1",), 60)
    with LocalFleet(root=root, fleet="test", heartbeat_s=1) as fleet:
        again = []
        for number, old in enumerate(made):
            peer = Peer(old.peer.device, old.peer.token, fleet.gateway.port, boot=2)
            peer._private, peer.key = old.peer._private, old.peer.key
            learn = shift(number, (10, 70)[number])
            again.append(ScriptedDevice(peer, release_key=bytes(32), learn=learn))
        stranger = fleet.add_device("dev-2", "host")
        more = Peer("dev-2", stranger.token, fleet.gateway.port)
        again.append(ScriptedDevice(more, release_key=bytes(32), learn=shift(9)))
        driver = FederatedDriver(fleet.server)
        with all_of(again):
            state = driver.wait(planned.run, 60)
        asked = [e.body["devices"] for e in fleet.server.journal.events(kinds=(ROUND_OPENED,))]
    assert state.plan == planned
    assert asked == [["dev-0", "dev-1"]] * 2
    assert state.head.encode() == expected_head({"dev-0": (0, 10), "dev-1": (1, 70)}, 2).encode()
