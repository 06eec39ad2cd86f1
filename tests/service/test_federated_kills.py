"""Federated runs whose server or broker is killed: the same bytes as if nobody had been."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fleet.peer import Peer, wait_until
from service.killable import KillableServer
from service.scripted import ScriptedDevice, all_of, shift

from edgekit.federated.aggregate import fold
from edgekit.federated.codecs import HeadWeights, decode_update
from edgekit.federated.orders import run_states
from edgekit.federated.rounds import UPDATE, Phase, RunPlan, RunState, open_run
from edgekit.journal import Journal
from edgekit.link.messages import FederatedTask
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet

pytestmark = pytest.mark.broker

FULL = bool(os.environ.get("EDGEKIT_FULL"))
SERVER_KILLS = 50 if FULL else 5
BROKER_KILLS = 20 if FULL else 5
HEAD = HeadWeights(np.linspace(-1, 1, 640, dtype=np.float32).reshape(10, 64), np.zeros(10, "f4"))
SAMPLES = {"dev-0": 10, "dev-1": 70, "dev-2": 25, "dev-3": 40}
ROUNDS = 3


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFleet]:
    monkeypatch.setattr("edgekit.fleet.broker._RESTARTS", 1_000)
    with LocalFleet(root=tmp_path, fleet="test", heartbeat_s=1) as running:
        wait_until(lambda: running.server.is_connected, 60)
        yield running


def devices(fleet: LocalFleet) -> list[ScriptedDevice]:
    made = []
    for seed, (name, samples) in enumerate(SAMPLES.items()):
        peer = Peer(name, fleet.add_device(name, "host").token, fleet.gateway.port)
        learn = shift(seed, samples)
        made.append(ScriptedDevice(peer, release_key=bytes(32), learn=learn, heartbeat_s=0.5))
    return made


def plan(run: int) -> RunPlan:
    return RunPlan(
        run=run,
        base_image="ab" * 32,
        rounds=ROUNDS,
        devices=tuple(SAMPLES),
        epochs=1,
        rate=0.1,
        deadline_s=120.0,
    )


def expected_head(run: int) -> HeadWeights:
    """What an undisturbed run gives, by the formula and without any network."""
    head = HEAD
    for round_ in range(1, ROUNDS + 1):
        task = FederatedTask(
            run=run,
            round=round_,
            base_head_hash=head.hash,
            head_object=0,
            head_bytes=1,
            epochs=1,
            rate=0.1,
            decay=0.0,
            deadline_s=1,
        )
        updates = {}
        for seed, (name, samples) in enumerate(SAMPLES.items()):
            data = shift(seed, samples)(task, head)
            assert isinstance(data, bytes)
            updates[name] = decode_update(data)
        head = fold("fedavg", head, updates).head
    return head


def check_whole(journal: Journal, run: int) -> RunState:
    """Nothing is lost, nothing counts twice, and the bytes are those of the formula."""
    state = run_states(journal)[run]
    assert state.phase is Phase.FINISHED
    assert state.reason == "all rounds done"
    assert state.head.encode() == expected_head(run).encode()
    assert [(row.accepted, row.rejected, row.silent) for row in state.table] == [
        (len(SAMPLES), (), ())
    ] * ROUNDS
    counted = Counter(
        (event.body["device"], event.body["round"])
        for event in journal.events(kinds=(UPDATE,), subject=str(run))
        if event.body["accepted"]
    )
    assert set(counted.values()) == {1}
    assert len(counted) == len(SAMPLES) * ROUNDS
    return state


def test_server_that_is_killed_anywhere_gives_the_same_bytes(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    rng = random.Random(6)
    with all_of(devices(fleet)) as made:
        fleet.server.close()  # others take its place, each in a process that can be killed
        fleet._closing = [part for part in fleet._closing if part is not fleet.server]
        kills = run = 0
        with (
            Journal.open(tmp_path / "journal.db") as journal,
            KillableServer(tmp_path, fleet.broker.address) as servers,
        ):
            points = 0  # that an undisturbed run takes
            while kills < SERVER_KILLS or run < 2:
                run += 1
                fact = open_run(plan(run), HEAD)
                journal.append(fact.kind, str(run), fact.body, blob=fact.blob)
                while True:
                    after = rng.randint(1, points // 3) if points and kills < SERVER_KILLS else 0
                    ended = servers.serve(run, after)
                    if ended is not None:
                        break
                    kills += 1
                points = points or ended
                check_whole(journal, run)
            print(f"{kills} kills in {run} runs; a whole run has {points} points")
            assert journal.verify() > 0

            def are_released() -> bool:  # and nobody is left with a task
                assert servers.serve(run, 0) is not None
                wishes = [device.peer.desired for device in made]
                return all(wish is not None and wish.task is None for wish in wishes)

            wait_until(are_released, 60)


def test_broker_that_is_killed_and_forgets_gives_the_same_bytes(fleet: LocalFleet) -> None:
    """It keeps nothing on disk, so every wish and every report that it held is gone."""
    rng = random.Random(7)
    driver = FederatedDriver(fleet.server)
    kills, ended = 0, threading.Event()

    def kill() -> None:
        nonlocal kills
        while kills < BROKER_KILLS and not ended.is_set():
            time.sleep(rng.uniform(0.05, 0.4))
            wait_until(lambda: fleet.server.is_connected, 60)
            os.kill(fleet.broker.pid, signal.SIGKILL)
            wait_until(lambda: not fleet.server.is_connected, 60)
            kills += 1

    with all_of(devices(fleet)):
        killer = threading.Thread(target=kill)
        killer.start()
        run = 0
        while kills < BROKER_KILLS:
            run += 1
            driver.run(plan(run), HEAD, timeout_s=120)
            check_whole(fleet.server.journal, run)
        ended.set()
        killer.join()
    print(f"{kills} kills in {run} runs")
