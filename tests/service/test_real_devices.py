"""Rollout and federated run with the real agents: the firmware as Linux processes, and Python."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from firmware.tiny_model import CLASSES, TABLE, labelled_samples, tiny_image
from fleet.peer import wait_until

from edgekit.agent.agent import Agent
from edgekit.agent.credentials import Credentials
from edgekit.boards import load_board
from edgekit.export.mcu import build_firmware
from edgekit.federated.orders import head_of_image
from edgekit.federated.rounds import RunPlan
from edgekit.federated.settings import Settings
from edgekit.federated.simulate import Client, simulate
from edgekit.flash.flash_image import FlashImage, encode_samples
from edgekit.flash.virtual import VirtualDevice
from edgekit.fleet.manifests import release_key
from edgekit.fleet.provision import Provision
from edgekit.fleet.releases import publish
from edgekit.fleet.rollouts import Limits, Phase
from edgekit.fleet.store import DeviceRecord
from edgekit.formats.image_reader import read_image
from edgekit.ops import kernel_set, kernel_set_hash
from edgekit.runtime import Runner
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

pytestmark = [pytest.mark.broker, pytest.mark.cc]

HOST = load_board("host")
OPS = kernel_set("vision")
QUICK = Limits(deadline_s=30.0, soak_s=0.1)
PYTHON = "dev-2"  # speaks MQTT itself; the others are the C agent behind the gateway
COMPRESSED = (
    ("fedavg", Settings(codec="int8")),
    ("fedavg", Settings(codec="top_p", share=0.2, feedback=True)),
    ("fedprox", Settings(codec="float16", mu=0.5)),
    ("tiny_metafed", Settings(codec="top_p_int8", share=0.5, local=CLASSES)),
)
SAMPLES = {f"dev-{i}": labelled_samples(60 + 10 * i, seed=i) for i in range(3)}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_firmware(HOST, ops=OPS, out=tmp_path_factory.mktemp("agent")).elf


@pytest.fixture
def fleet(tmp_path: Path, agent: Path) -> Iterator[LocalFleet]:
    """A fleet of two virtual devices and a Python agent, each with its own samples."""
    with ExitStack() as stack:
        fleet = stack.enter_context(LocalFleet(root=tmp_path, fleet="test", heartbeat_s=2))
        for name, (raw, labels) in SAMPLES.items():
            record = fleet.add_device(name, "host")
            samples = tmp_path / f"{name}.samples"
            samples.write_bytes(encode_samples(labels, raw))
            if name == PYTHON:
                stack.enter_context(python_agent(fleet, record, tmp_path, samples))
                continue
            page = Provision(
                device=name,
                gateway_host="127.0.0.1",
                gateway_port=fleet.gateway.port,
                token_id=record.token.id,
                token_secret=record.token.secret,
                release_key=release_key(tmp_path / "keys").public,
                entropy=secrets.token_bytes(32),
            )
            flash = tmp_path / f"{name}.flash"
            FlashImage(flash, HOST).write_provision(page.encode())
            device = VirtualDevice(agent, flash, samples=samples, log=tmp_path / f"{name}.log")
            stack.enter_context(device)
        server = fleet.server
        wait_until(
            lambda: all(v.reported for v in server.call(lambda: [*server.devices().values()])), 60
        )
        yield fleet


def python_agent(fleet: LocalFleet, record: DeviceRecord, tmp_path: Path, samples: Path) -> Agent:
    credentials = Credentials(
        device=record.device,
        board="host",
        fleet="test",
        kernels=kernel_set_hash(OPS),
        broker="",
        password=record.password,
        token=record.token,
        release_key=release_key(tmp_path / "keys").public,
    )
    folder = tmp_path / "agent"
    return Agent(credentials, broker=fleet.broker.address, folder=folder, samples=samples)


def test_devices_update_refuse_and_learn_as_the_simulation_does(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    rollouts, runs = RolloutDriver(fleet.server), FederatedDriver(fleet.server)
    journal, key = fleet.server.journal, release_key(tmp_path / "keys")

    def release(image: bytes, *, skip: bool = False):  # type: ignore[no-untyped-def]
        return publish(
            image,
            board=HOST,
            kernel_ops=OPS,
            journal=journal,
            key=key,
            now_s=time.time(),
            unsafe_skip_golden=skip,
        )

    good = tiny_image()
    state = rollouts.wait(rollouts.start(release(good), waves=(1,), limits=QUICK), 60)
    assert state.phase is Phase.FINISHED, state.reason
    bad = release(tiny_image(version="2", wrong_golden=True), skip=True)
    state = rollouts.wait(rollouts.start(bad, waves=(1,), limits=QUICK), 60)
    assert state.phase is Phase.HALTED
    assert "1 refused, golden vector does not match (-14)" in state.reason
    active = {v.reported.active_image for v in fleet.server.call(fleet.server.devices).values()}  # type: ignore[union-attr]
    assert active == {read_image(good).id}

    head, image = head_of_image(good), read_image(good)
    assert image.head is not None
    clients = {
        name: Client(
            Runner(good).features(TABLE[raw]), labels, image.head.scale, image.head.zero_point
        )
        for name, (raw, labels) in SAMPLES.items()
    }
    plan = RunPlan(
        run=11,
        base_image=image.id.hex(),
        rounds=3,
        devices=tuple(SAMPLES),
        epochs=2,
        rate=0.001,
        deadline_s=60.0,
    )
    learned = runs.run(plan, head, timeout_s=90)
    assert [row.accepted for row in learned.table] == [3, 3, 3], learned.table
    assert learned.table[-1].loss_last < learned.table[0].loss_first  # type: ignore[operator]
    assert learned.head.encode() == simulate(plan, head, clients).head.encode()
    assert learned.head.classes == CLASSES and np.isfinite(learned.head.weights).all()
    for number, (strategy, settings) in enumerate(COMPRESSED):
        short = replace(
            plan, run=12 + number, rounds=2, epochs=1, strategy=strategy, settings=settings
        )
        learned = runs.run(short, head, timeout_s=90)
        assert [row.accepted for row in learned.table] == [3, 3], learned.table
        assert learned.head.encode() == simulate(short, head, clients).head.encode(), settings
        assert learned.head.hash != head.hash
    for raw, _ in SAMPLES.values():
        for path in (tmp_path / "journal.db", *(tmp_path / "blobs").rglob("*")):
            if path.is_file():
                assert raw[0].tobytes() not in path.read_bytes()
