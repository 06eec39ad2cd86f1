"""Federated runs over a real broker and gateway: learning, lying devices, and a killed server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fleet.peer import Peer, wait_until
from service.scripted import Learn, ScriptedDevice, all_of, replace_server, shift

from edgekit.errors import DeviceError, RefusedError
from edgekit.federated.aggregate import fold
from edgekit.federated.codecs import HeadWeights, decode_update
from edgekit.federated.live import Follower, run_body
from edgekit.federated.orders import abort, run_states
from edgekit.federated.rounds import Phase, RunPlan
from edgekit.journal import Journal
from edgekit.link.frames import FrameType
from edgekit.link.messages import FederatedTask
from edgekit.link.status import Status
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet

pytestmark = pytest.mark.broker

HEAD = HeadWeights(np.linspace(-1, 1, 640, dtype=np.float32).reshape(10, 64), np.zeros(10, "f4"))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    with LocalFleet(root=tmp_path, fleet="test", heartbeat_s=2) as running:
        wait_until(lambda: running.server.is_connected)
        yield running


def devices(fleet: LocalFleet, *learns: Learn | None) -> list[ScriptedDevice]:
    made = []
    for i, learn in enumerate(learns):
        record = fleet.add_device(f"dev-{i}", "host")
        peer = Peer(f"dev-{i}", record.token, fleet.gateway.port)
        made.append(ScriptedDevice(peer, release_key=bytes(32), learn=learn))
    return made


def plan(count: int, **changes: object) -> RunPlan:
    values: dict[str, object] = {
        "run": 2**40 + 7,
        "base_image": "ab" * 32,
        "rounds": 3,
        "devices": tuple(f"dev-{i}" for i in range(count)),
        "epochs": 2,
        "rate": 0.1,
        "deadline_s": 20.0,
    }
    return RunPlan(**(values | changes))  # type: ignore[arg-type]


def expected_head(seeds: dict[str, tuple[int, int]], rounds: int) -> HeadWeights:
    """What the strategy gives for these seeds and samples, without any network."""
    head = HEAD
    for round_ in range(1, rounds + 1):
        task = FederatedTask(
            run=1,
            round=round_,
            base_head_hash=head.hash,
            head_object=0,
            head_bytes=1,
            epochs=1,
            rate=0.1,
            decay=0.0,
            deadline_s=1,
        )
        made = {d: shift(seed, samples)(task, head) for d, (seed, samples) in seeds.items()}
        updates = {d: decode_update(data) for d, data in made.items() if isinstance(data, bytes)}
        head = fold("fedavg", head, updates).head
    return head


def test_devices_learn_together_and_the_head_is_that_of_the_formula(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    seen: list[bytes] = []

    def evaluate(head: HeadWeights) -> float:
        seen.append(head.hash)
        return 0.5 + len(seen) / 10

    with all_of(devices(fleet, shift(0, 10), shift(1, 70), shift(2, 25))) as made:
        state = driver.run(plan(3), HEAD, timeout_s=60, evaluate=evaluate)
        assert state.reason == "all rounds done"
        expected = expected_head({"dev-0": (0, 10), "dev-1": (1, 70), "dev-2": (2, 25)}, 3)
        assert state.head.encode() == expected.encode()
        assert [row.accuracy for row in state.table] == [0.6, 0.7, 0.8]
        assert seen[-1] == state.head.hash
        wait_until(lambda: all((now := d.peer.desired) and now.task is None for d in made))
    journal = fleet.server.journal
    assert journal.verify() > 0
    assert run_states(journal)[plan(3).run].table == state.table
    stored = [event for event in journal.events(kinds=("federated.update",)) if event.blob]
    assert len(stored) == 9
    follower = Follower(journal)
    assert follower.poll()
    assert follower.runs[plan(3).run].table == state.table
    assert run_body(follower.runs[plan(3).run])["head_hash"] == expected.hash.hex()


def lie(**changes: object) -> Learn:
    """Return an honest training with some fields replaced."""

    def learn(task: FederatedTask, head: HeadWeights) -> bytes:
        import dataclasses

        honest = shift(9)(task, head)
        assert isinstance(honest, bytes)
        return dataclasses.replace(decode_update(honest), **changes).encode()  # type: ignore[arg-type]

    return learn


def test_lying_devices_are_named_with_their_reason_and_do_not_count(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    nan = np.full(HEAD.weights.shape, np.nan, np.float32)
    huge = np.full(HEAD.weights.shape, 1e6, np.float32)
    small = np.zeros((3, 4), np.float32)
    learns: list[Learn | None] = [
        shift(0, 10),
        lie(weights=nan),
        lie(weights=huge),
        lie(weights=small, bias=np.zeros(3, np.float32)),
        lie(round=7),
        lie(samples=0),
        lambda task, head: Status.BASE,
        lambda task, head: b"\xff" * len(head.encode()),
    ]
    with all_of(devices(fleet, *learns)):
        state = driver.run(plan(len(learns), rounds=1), HEAD, timeout_s=60)
    assert state.head.encode() == expected_head({"dev-0": (0, 10)}, 1).encode()
    reasons = dict(state.table[0].rejected)
    for device, part in {
        "dev-1": "640 values that are not finite",
        "dev-2": "norm of the update",
        "dev-3": "update of 132 bytes is on offer, expected 2672",
        "dev-4": "early: update is for round 7, expected 1",
        "dev-5": "update has 0 samples",
        "dev-6": "device refused the task: federated base differs",
        "dev-7": "update of 2612 bytes is on offer",
    }.items():
        assert part in reasons[device]
    assert state.table[0].accepted == 1


def test_update_that_is_not_what_was_promised_is_not_taken(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, shift(0, 10), shift(1, 10))) as made:
        liar = made[1].peer
        offer = liar.offer

        def swapped(data: bytes) -> tuple[int, bytes]:
            number, digest = offer(data)
            liar.objects[number] = data[:-1] + bytes([data[-1] ^ 1])
            return number, digest

        liar.offer = swapped  # type: ignore[method-assign]
        state = driver.run(plan(2, rounds=1), HEAD, timeout_s=60)
        assert "update could not be fetched" in dict(state.table[0].rejected)["dev-1"]
        assert state.head.encode() == expected_head({"dev-0": (0, 10)}, 1).encode()


def test_round_does_not_wait_for_the_dead(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, shift(0), None)):
        begin = time.monotonic()
        state = driver.run(plan(2, rounds=2, deadline_s=1.5), HEAD, timeout_s=30)
        assert time.monotonic() - begin < 6
        assert [row.silent for row in state.table] == [("dev-1",), ("dev-1",)]
        assert [row.accepted for row in state.table] == [1, 1]


def test_answer_that_comes_late_is_none_to_the_next_round(fleet: LocalFleet) -> None:
    """The update of round 1 is still being fetched when round 2 opens."""
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, shift(0, 10), shift(1, 10))) as made:
        slow = made[1].peer
        send, held = slow.send, []

        def hold(kind: FrameType, content: bytes) -> None:
            if kind is FrameType.CHUNK and not held:
                held.append(time.monotonic())
                time.sleep(1.8)  # nothing of this device is heard meanwhile
            send(kind, content)

        slow.send = hold  # type: ignore[method-assign]
        state = driver.run(plan(2, rounds=3, deadline_s=1.5), HEAD, timeout_s=30)
    assert held
    assert state.table[0].silent == ("dev-1",)
    assert all(row.rejected == () for row in state.table)
    assert state.table[2].accepted == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "none", None])
def test_evaluation_that_fails_does_not_hold_up_the_run(
    fleet: LocalFleet, value: float | str | None
) -> None:
    driver = FederatedDriver(fleet.server)

    def evaluate(head: HeadWeights) -> float:
        return float(value)  # type: ignore[arg-type]

    with all_of(devices(fleet, shift(0, 10))):
        state = driver.run(plan(1, rounds=2), HEAD, timeout_s=30, evaluate=evaluate)
    assert state.reason == "all rounds done"
    assert [row.accuracy for row in state.table] == [None, None]


def test_run_of_the_dead_only_gives_up(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, None)):
        state = driver.run(plan(1, rounds=9, deadline_s=0.5), HEAD, timeout_s=30)
        assert "2 rounds in a row with fewer than 1 updates" in state.reason
        assert state.head.encode() == HEAD.encode()


def test_killed_server_resumes_and_gives_the_same_bytes(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)

    def slow(seed: int, samples: int) -> Learn:
        def learn(task: FederatedTask, head: HeadWeights) -> bytes | Status | None:
            time.sleep(0.2 * (seed + 1))
            return shift(seed, samples)(task, head)

        return learn

    with all_of(devices(fleet, slow(0, 10), slow(1, 70), slow(2, 25))):
        driver.start(plan(3), HEAD)
        for _ in range(4):
            time.sleep(0.5)
            replace_server(fleet)
            driver = FederatedDriver(fleet.server)
        state = driver.wait(plan(3).run, 60)
        expected = expected_head({"dev-0": (0, 10), "dev-1": (1, 70), "dev-2": (2, 25)}, 3)
        assert state.head.encode() == expected.encode()
        assert [row.accepted for row in state.table] == [3, 3, 3]


def test_abort_ends_a_run_and_frees_its_devices(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, None)) as (device,):
        driver.start(plan(1), HEAD)
        wait_until(lambda: (now := device.peer.desired) is not None and now.task is not None)
        with pytest.raises(DeviceError, match=r"round 1 of 3 after 0\.1 s; no answer from dev-0"):
            driver.wait(plan(1).run, 0.1)
        driver.abort(plan(1).run, "enough")
        assert driver.status(plan(1).run).phase is Phase.FINISHED
        assert driver.wait(plan(1).run, 1).reason == "aborted: enough"
        wait_until(lambda: (now := device.peer.desired) is not None and now.task is None)
        with pytest.raises(RefusedError, match="has finished"):
            driver.abort(plan(1).run)


def test_run_that_ended_while_no_server_was_there_frees_its_devices(fleet: LocalFleet) -> None:
    """A server that was killed right behind the end of a run left its devices with their task."""
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, None)) as (device,):
        driver.start(plan(1), HEAD)
        wait_until(lambda: (now := device.peer.desired) is not None and now.task is not None)
        end = abort(driver.status(plan(1).run), "enough")
        fleet.server.close()
        with Journal.open(fleet._root / "journal.db") as journal:
            journal.append(end.kind, str(plan(1).run), end.body)
        replace_server(fleet)
        FederatedDriver(fleet.server)
        wait_until(lambda: (now := device.peer.desired) is not None and now.task is None, 60)
        wishes = [event.body for event in fleet.server.journal.events(kinds=("device.desired",))]
        assert [body["task"] is None for body in wishes] == [False, True]


def test_strangers_and_used_numbers_are_refused(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with pytest.raises(RefusedError, match="'dev-0' is not a claimed device"):
        driver.start(plan(1), HEAD)
    with all_of(devices(fleet, None)):
        driver.start(plan(1), HEAD)
        with pytest.raises(RefusedError, match="exists already"):
            driver.start(plan(1), HEAD)
        with pytest.raises(RefusedError, match="'dev-0' is in run"):
            driver.start(plan(1, run=5), HEAD)
        with pytest.raises(RefusedError, match="run 6 is unknown"):
            driver.status(6)
