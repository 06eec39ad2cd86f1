"""Federated runs among cohorts, late joiners, a full disk and a clock that is set."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.peer import Peer, wait_until
from service.scripted import ScriptedDevice, all_of, shift
from service.test_federated_driver import HEAD, devices, expected_head, plan

from edgekit.federated.settings import Settings
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet

pytestmark = pytest.mark.broker


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    with LocalFleet(root=tmp_path, fleet="test", heartbeat_s=1) as running:
        wait_until(lambda: running.server.is_connected, 60)
        yield running


def test_round_asks_the_devices_that_were_drawn_and_no_other(fleet: LocalFleet) -> None:
    """Of five, two are wanted and three asked; the journal says who, and a round ends with two."""
    driver = FederatedDriver(fleet.server)
    settings = Settings(cohort=2, over_select=1.5, seed=5)
    planned = plan(5, rounds=3, settings=settings)
    with all_of(devices(fleet, *(shift(i) for i in range(5)))):
        state = driver.run(planned, HEAD, timeout_s=60)
    journal = fleet.server.journal
    opened = [e.body["devices"] for e in journal.events(kinds=("federated.round_opened",))]
    assert opened == [list(planned.invited(number)) for number in (1, 2, 3)]
    assert {len(asked) for asked in opened} == {3}
    assert len({tuple(asked) for asked in opened}) > 1
    assert all(row.accepted == 2 for row in state.table)
    for event in journal.events(kinds=("device.desired",)):
        task = event.body["task"]
        assert task is None or event.body["device"] in opened[task["round"] - 1]


def test_device_that_comes_later_joins_the_round_that_is_open(fleet: LocalFleet) -> None:
    driver = FederatedDriver(fleet.server)
    with all_of(devices(fleet, shift(0, 10))):
        late = fleet.add_device("dev-1", "host")
        with Peer("dev-1", late.token, fleet.gateway.port) as peer:
            peer.join()  # claimed, and gone again
        driver.start(plan(2, rounds=2, deadline_s=120.0), HEAD)
        run = plan(2).run
        wait_until(lambda: driver.status(run).missing == ("dev-1",), 60)
        again = Peer("dev-1", late.token, fleet.gateway.port, boot=2)
        again._private, again.key = peer._private, peer.key
        with all_of([ScriptedDevice(again, release_key=bytes(32), learn=shift(1, 70))]):
            state = driver.wait(run, 60)
    assert [row.accepted for row in state.table] == [2, 2]
    expected = expected_head({"dev-0": (0, 10), "dev-1": (1, 70)}, 2)
    assert state.head.encode() == expected.encode()


def test_clock_that_is_set_back_moves_no_deadline(
    fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the machine's clock, a round would have waited for another hour."""
    driver = FederatedDriver(fleet.server)
    now_s, now_ns = time.time, time.time_ns
    with all_of(devices(fleet, shift(0, 10), None)):
        driver.start(plan(2, rounds=3, deadline_s=2.0), HEAD)
        wait_until(lambda: driver.status(plan(2).run).round == 2, 60)
        monkeypatch.setattr(time, "time", lambda: now_s() - 3_600)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 3_600 * 10**9)
        state = driver.wait(plan(2).run, 60)
    assert [row.accepted for row in state.table] == [1, 1, 1]
    assert all(row.seconds >= 0 for row in state.table)
    assert state.head.encode() == expected_head({"dev-0": (0, 10)}, 3).encode()


def test_clock_that_is_set_forward_closes_no_round(
    fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FederatedDriver(fleet.server)
    now_s = time.time
    held = True

    def wait(task: object, head: object) -> bytes:
        while held:
            time.sleep(0.01)
        return shift(1, 70)(task, head)  # type: ignore[arg-type,return-value]

    with all_of(devices(fleet, shift(0, 10), wait)):
        driver.start(plan(2, rounds=1, deadline_s=120.0), HEAD)
        wait_until(lambda: driver.status(plan(2).run).missing == ("dev-1",), 60)
        monkeypatch.setattr(time, "time", lambda: now_s() + 3_600)
        time.sleep(0.5)
        assert driver.status(plan(2).run).collecting
        held = False
        assert driver.wait(plan(2).run, 60).table[0].accepted == 2


def test_run_goes_on_when_a_full_disk_has_room_again(fleet: LocalFleet) -> None:
    """No file may grow for a while: nothing is lost, and what failed is said."""
    driver = FederatedDriver(fleet.server)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = devices(fleet, shift(0, 10), shift(1, 70))
    for device in made:
        device.heartbeat_s = 0.5  # what could not be kept is said again
    with all_of(made):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, limits[1]))
            with pytest.raises(Exception, match=r"journal\.db|cannot store"):
                driver.start(plan(2), HEAD)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            driver.start(plan(2, deadline_s=120.0), HEAD)
            wait_until(lambda: driver.status(plan(2).run).round >= 1, 60)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, limits[1]))
            time.sleep(1.5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        state = driver.wait(plan(2).run, 60)
    expected = expected_head({"dev-0": (0, 10), "dev-1": (1, 70)}, 3)
    assert [(row.accepted, row.rejected, row.silent) for row in state.table] == [(2, (), ())] * 3
    assert state.head.encode() == expected.encode()
    assert fleet.server.refused["BUG"] == 0
    assert fleet.server.journal.verify() > 0
