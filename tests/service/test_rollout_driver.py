"""Rollouts over a real broker and gateway: waves, refusals, going back, and a killed server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.peer import Peer, wait_until
from service.scripted import ScriptedDevice, Verdict, accept, all_of, replace_server

from edgekit.errors import DeviceError, RefusedError
from edgekit.fleet.manifests import ReleaseKey, build_manifest, release_key, sign_manifest
from edgekit.fleet.orders import load_rollouts, state_body
from edgekit.fleet.releases import Release, find_release
from edgekit.fleet.rollouts import Limits, Phase, Result
from edgekit.journal import Journal
from edgekit.link.messages import Manifest
from edgekit.link.status import Status
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

pytestmark = pytest.mark.broker

QUICK = Limits(deadline_s=20.0, soak_s=0.2)
GOOD, BETTER, BAD = (os.urandom(9_000) for _ in range(3))


def local(root: Path) -> LocalFleet:
    return LocalFleet(root=root, fleet="test", heartbeat_s=2)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    with local(tmp_path) as running:
        wait_until(lambda: running.server.is_connected)
        yield running


@pytest.fixture
def key(tmp_path: Path) -> ReleaseKey:
    return release_key(tmp_path / "keys")


def put(journal: Journal, key: ReleaseKey, image: bytes, counter: int) -> Release:
    """Enter a release whose image no host runtime would read; the gates have their own tests."""
    manifest = build_manifest(
        image,
        name="digits",
        version=str(counter),
        counter=counter,
        device_class="host",
        kernel_set_hash=b"\x11" * 8,
        arena_bytes=1_000,
        expiry_s=int(time.time()) + 3_600,
    )
    signed = sign_manifest(manifest, key)
    body = {
        "image_id": manifest.image_id.hex(),
        "name": manifest.name,
        "version": manifest.version,
        "counter": counter,
        "device_class": "host",
        "manifest": signed.manifest.hex(),
        "signature": signed.signature.hex(),
    }
    journal.append("release.published", manifest.image_id.hex(), body, blob=image)
    return find_release(journal, manifest.image_id.hex(), "host")


def refuse_bad(manifest: Manifest, image: bytes) -> Status:
    return Status.GOLDEN if image == BAD else Status.OK


def devices(
    fleet: LocalFleet, key: ReleaseKey, count: int, judge: Verdict = accept
) -> list[ScriptedDevice]:
    made = []
    for i in range(count):
        name = f"dev-{i}"
        record = fleet.add_device(name, "host")
        peer = Peer(name, record.token, fleet.gateway.port)
        made.append(ScriptedDevice(peer, release_key=key.public, judge=judge))
    return made


def test_release_reaches_every_device_in_waves(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 4)) as made:
        name = driver.start(put(fleet.server.journal, key, GOOD, 1), waves=(1, 0.5), limits=QUICK)
        state = driver.wait(name, 30)
        assert state.phase is Phase.FINISHED and state.plan.waves == (1, 2, 4)
        assert state.reason == "4 of 4 devices installed"
        assert [device.image for device in made] == [GOOD] * 4
        assert [device.installs for device in made] == [[1]] * 4
    waves = fleet.server.journal.events(kinds=("rollout.wave",))
    assert [len(event.body["devices"]) for event in waves] == [1, 1, 2]
    assert load_rollouts(fleet.server.journal)[name].state == state
    assert state_body(state)["counts"] == {
        "offered": 0,
        "installed": 4,
        "refused": 0,
        "silent": 0,
    }


def test_bad_release_halts_at_the_canary_and_devices_get_the_good_one_back(
    fleet: LocalFleet, key: ReleaseKey
) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 3, refuse_bad)) as made:
        good = put(fleet.server.journal, key, GOOD, 1)
        driver.wait(driver.start(good, waves=(1.0,), limits=QUICK), 30)
        name = driver.start(put(fleet.server.journal, key, BAD, 2), waves=(1,), limits=QUICK)
        state = driver.wait(name, 30)
        assert state.phase is Phase.HALTED
        assert "golden vector does not match (-14)" in state.reason
        (canary,) = state.devices
        assert state.devices[canary].result is Result.REFUSED
        hit = next(device for device in made if device.peer.device == canary)
        wait_until(lambda: (now := hit.peer.desired) is not None and now.model == good.signed)
        assert [device.image for device in made] == [GOOD] * 3
        others = [device for device in made if device is not hit]
        assert all(device.peer.desired.model == good.signed for device in others)  # type: ignore[union-attr]


def test_first_release_that_is_bad_leaves_no_wish(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 1, refuse_bad)) as (device,):
        driver.wait(driver.start(put(fleet.server.journal, key, BAD, 1), limits=QUICK), 30)
        wait_until(lambda: (now := device.peer.desired) is not None and now.model is None)


def test_silent_device_halts_the_rollout(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 1)) as (device,):
        device.close()
        limits = Limits(deadline_s=1.0, soak_s=0.1)
        name = driver.start(put(fleet.server.journal, key, GOOD, 1), limits=limits)
        state = driver.wait(name, 15)
        assert state.phase is Phase.HALTED and "1 silent" in state.reason


def test_starting_twice_is_one_rollout_and_another_release_has_to_wait(
    fleet: LocalFleet, key: ReleaseKey
) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 2)) as made:
        for device in made:
            device.close()
        release = put(fleet.server.journal, key, GOOD, 1)
        name = driver.start(release)
        assert driver.start(release) == name
        other = put(fleet.server.journal, key, BETTER, 2)
        with pytest.raises(RefusedError, match=f"is in rollout {name}"):
            driver.start(other)
        with pytest.raises(DeviceError, match="wave 1 of"):
            driver.wait(name, 0.2)
        driver.abort(name, "better one is there")
        assert driver.wait(name, 5).reason == "aborted: better one is there"
        with pytest.raises(RefusedError, match="is halted"):
            driver.pause(name)
        assert driver.start(other) == "host-2"


def test_pause_and_resume_hold_the_next_wave(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 2)):
        limits = Limits(deadline_s=20.0, soak_s=0.5)
        release = put(fleet.server.journal, key, GOOD, 1)
        name = driver.start(release, waves=(1,), limits=limits)
        driver.pause(name)
        wait_until(lambda: driver.status(name).count(Result.INSTALLED) == 1)
        time.sleep(1.2)
        assert driver.status(name).wave == 0
        driver.resume(name)
        assert driver.wait(name, 20).phase is Phase.FINISHED


def test_strangers_are_refused(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    release = put(fleet.server.journal, key, GOOD, 1)
    with pytest.raises(RefusedError, match="no claimed device of class 'host'"):
        driver.start(release)
    with pytest.raises(RefusedError, match="'nobody' is not in the fleet"):
        driver.start(release, ["nobody"])
    fleet.add_device("other", "mps2_an386")
    with pytest.raises(RefusedError, match="is a 'mps2_an386', release for 'host'"):
        driver.start(release, ["other"])
    with pytest.raises(RefusedError, match="rollout r9 is unknown"):
        driver.status("r9")


def test_rollout_goes_on_after_the_server_was_replaced(fleet: LocalFleet, key: ReleaseKey) -> None:
    driver = RolloutDriver(fleet.server)
    with all_of(devices(fleet, key, 3)) as made:
        limits = Limits(deadline_s=30.0, soak_s=0.6)
        release = put(fleet.server.journal, key, GOOD, 1)
        name = driver.start(release, waves=(1, 2), limits=limits)
        for _ in range(3):
            replace_server(fleet)
            driver = RolloutDriver(fleet.server)
            time.sleep(0.4)
        state = driver.wait(name, 30)
        assert state.phase is Phase.FINISHED
        assert [device.installs for device in made] == [[1]] * 3
