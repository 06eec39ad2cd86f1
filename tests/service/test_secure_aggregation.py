"""Secure aggregation over a real broker: silent devices in every phase, kills, nothing to be read.

Devices are the firmware as Linux processes and Python agents, in one run.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from firmware.tiny_model import TABLE, labelled_samples, tiny_image
from fleet.peer import wait_until
from service.killable import KillableServer

from edgekit.agent.agent import Agent
from edgekit.agent.client import SKILLS
from edgekit.agent.credentials import Credentials
from edgekit.boards import load_board
from edgekit.cli.main import main
from edgekit.errors import RefusedError
from edgekit.export.mcu import build_firmware
from edgekit.federated.aggregate import flat
from edgekit.federated.codecs import HeadWeights
from edgekit.federated.orders import head_of_image, run_states
from edgekit.federated.rounds import RunPlan, open_run
from edgekit.federated.secure_quantize import quantized
from edgekit.federated.secure_rounds import ANSWER
from edgekit.federated.secure_state import SecurePhase, scale_of
from edgekit.federated.settings import Settings
from edgekit.federated.simulate import Client, simulate, train
from edgekit.flash.flash_image import FlashImage, encode_samples
from edgekit.flash.virtual import VirtualDevice
from edgekit.fleet.broker import reload_running
from edgekit.fleet.manifests import release_key
from edgekit.fleet.provision import Provision
from edgekit.fleet.releases import publish
from edgekit.fleet.rollouts import Limits
from edgekit.formats.image_reader import read_image
from edgekit.journal import Journal
from edgekit.link.messages import FederatedTask
from edgekit.ops import kernel_set, kernel_set_hash
from edgekit.runtime import Runner
from edgekit.service.federated import FederatedDriver
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

pytestmark = [pytest.mark.broker, pytest.mark.cc]

OPS = kernel_set("vision")
IMAGE = tiny_image()
COUNT = 8
SAMPLES = {f"dev-{i}": labelled_samples(20 + 5 * i, seed=i) for i in range(COUNT)}
FIRMWARE = ("dev-0", "dev-6", "dev-7")  # the others are Python
KILLS = 30 if os.environ.get("EDGEKIT_FULL") else 4
LONG_S = 600.0  # deadlines pass when a test says so


class Learners:
    """A fleet of agents that run the model, each with its own samples."""

    def __init__(self, fleet: LocalFleet, folder: Path, stack: ExitStack) -> None:
        self.fleet, self._folder = fleet, folder
        self.agents = {name: self._agent(name) for name in SAMPLES if name not in FIRMWARE}
        for agent in self.agents.values():
            stack.enter_context(agent)
        board = load_board("host")
        built = build_firmware(board, ops=OPS, out=folder / "firmware").elf
        for name in FIRMWARE:
            stack.enter_context(self._device(name, built))
        rollouts, key = RolloutDriver(fleet.server), release_key(folder / "keys")
        released = publish(
            IMAGE,
            board=board,
            kernel_ops=OPS,
            journal=fleet.server.journal,
            key=key,
            now_s=time.time(),
        )
        server = fleet.server
        wait_until(
            lambda: all(v.reported for v in server.call(lambda: [*server.devices().values()])), 60
        )
        limits = Limits(deadline_s=60.0, soak_s=0.1)
        state = rollouts.wait(rollouts.start(released, waves=(1,), limits=limits), 60)
        assert not state.reason or "halted" not in state.reason, state.reason

        self.driver = FederatedDriver(server)

    def unmute(self) -> None:
        """Let all devices answer again."""
        for agent in self.agents.values():
            agent._client.__dict__.pop("_wish_task", None)

    def _samples(self, name: str) -> Path:
        raw, labels = SAMPLES[name]
        path = self._folder / f"{name}.samples"
        path.write_bytes(encode_samples(labels, raw))
        return path

    def _device(self, name: str, built: Path) -> VirtualDevice:
        record = self.fleet.add_device(name, "host")
        page = Provision(
            device=name,
            gateway_host="127.0.0.1",
            gateway_port=self.fleet.gateway.port,
            token_id=record.token.id,
            token_secret=record.token.secret,
            release_key=release_key(self._folder / "keys").public,
            entropy=secrets.token_bytes(32),
        )
        flash = self._folder / f"{name}.flash"
        FlashImage(flash, load_board("host")).write_provision(page.encode())
        log = self._folder / f"{name}.log"
        return VirtualDevice(built, flash, samples=self._samples(name), log=log)

    def _agent(self, name: str) -> Agent:
        record = self.fleet.add_device(name, "host")
        samples = self._samples(name)
        credentials = Credentials(
            device=name,
            board="host",
            fleet="test",
            kernels=kernel_set_hash(OPS),
            broker="",
            password=record.password,
            token=record.token,
            release_key=release_key(self._folder / "keys").public,
        )
        folder = self._folder / f"agent-{name}"
        return Agent(credentials, broker=self.fleet.broker.address, folder=folder, samples=samples)


@pytest.fixture(scope="module")
def learners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Learners]:
    folder = tmp_path_factory.mktemp("secure")
    with ExitStack() as stack:
        fleet = stack.enter_context(
            LocalFleet(root=folder / ".edgekit", fleet="test", heartbeat_s=1)
        )
        yield Learners(fleet, folder, stack)


def plan(run: int, count: int = COUNT, rounds: int = 1) -> RunPlan:
    return RunPlan(
        run=run,
        base_image=read_image(IMAGE).id.hex(),
        rounds=rounds,
        devices=tuple(list(SAMPLES)[:count]),
        epochs=1,
        rate=0.01,
        deadline_s=LONG_S,
        settings=Settings(secure=True, phase_s=LONG_S),
    )


def clients(names: set[str]) -> dict[str, Client]:
    head = read_image(IMAGE).head
    assert head is not None
    runner = Runner(IMAGE)
    return {
        name: Client(runner.features(TABLE[raw]), labels, head.scale, head.zero_point)
        for name, (raw, labels) in SAMPLES.items()
        if name in names
    }


def expected(planned: RunPlan, names: set[str]) -> HeadWeights:
    return simulate(planned, head_of_image(IMAGE), clients(names)).head


def hasten(driver: FederatedDriver, run: int) -> None:
    """Let the deadline of the phase pass."""

    def later() -> None:
        driver._lives[run].opened_s -= 2 * LONG_S

    driver._server.call(later)


def phase_of(driver: FederatedDriver, run: int) -> tuple[int, tuple[str, ...]]:
    secure = driver.status(run).secure
    return (0, ()) if secure is None else (int(secure.phase), secure.missing)


def listen(fleet: LocalFleet, heard: list[bytes]) -> mqtt.Client:
    """Record every message of the fleet."""
    with (fleet._root / "broker" / "acl").open("a", encoding="ascii") as acl:
        acl.write("\nuser witness\ntopic read ek/1/test/#\n")
    passwords = fleet.server._store.passwords()
    assert reload_running(fleet._root, {**passwords, "witness": "witness"})
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness")
    client.username_pw_set("witness", "witness")
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    subscribed: list[int] = []
    client.on_connect = lambda witness, *_: witness.subscribe("ek/1/test/#")
    client.on_subscribe = lambda *_: subscribed.append(1)
    client.connect("127.0.0.1", fleet.broker.address.port)
    client.loop_start()
    wait_until(lambda: bool(subscribed), 60)
    return client


def mute(agent: Agent, phase: SecurePhase) -> None:
    """Let a device go silent when it is asked for a phase, as if its power were cut."""
    client, wished = agent._client, agent._client._wish_task

    def wish(task: FederatedTask | None) -> None:
        if task is None or task.secure is None or task.secure.phase < phase:
            wished(task)

    client._wish_task = wish  # type: ignore[method-assign]


def test_devices_that_go_silent_in_any_phase_leave_the_sum_of_the_others(
    learners: Learners,
) -> None:
    fleet, driver, heard = learners.fleet, learners.driver, []
    planned = plan(1)
    witness = listen(fleet, heard)
    silent = {f"dev-{int(phase)}": phase for phase in SecurePhase}
    for name, phase in silent.items():
        mute(learners.agents[name], phase)
    driver.start(planned, head_of_image(IMAGE))
    for name, phase in silent.items():
        if phase is not SecurePhase.UNMASK:  # which ends when there are shares enough
            wait_until(lambda now=(int(phase), (name,)): phase_of(driver, 1) == now, 60)  # type: ignore[misc]
            hasten(driver, 1)
    state = driver.wait(1, 60)
    witness.loop_stop()
    witness.disconnect()
    left = set(SAMPLES) - {"dev-1", "dev-2", "dev-3"}
    row = state.table[0]
    assert (row.accepted, row.silent, row.failed) == (5, ("dev-1", "dev-2", "dev-3"), "")
    assert state.head.encode() == expected(planned, left).encode()
    # Nothing that was stored or sent is the update of one device, masked or not as it travels.
    paths = [path for path in fleet._root.rglob("*") if path.is_file()]
    files = [path.read_bytes() for path in paths if path.suffix not in (".samples", ".flash")]
    scale = scale_of(planned)
    for name, client in clients(left).items():
        update = train(client, planned, 1, head_of_image(IMAGE))
        whole = quantized(
            flat(update),
            scale,
            samples=update.samples,
            losses=(update.loss_first, update.loss_last),
            index=planned.devices.index(name),
            round_=1,
        )
        for needle in (flat(update).tobytes()[:48], whole.tobytes()[:48], whole.tobytes()[-12:]):
            assert not any(needle in piece for piece in (*files, *heard)), name
    masked = [
        fleet.server.journal.blob(event.blob)
        for event in fleet.server.journal.events(kinds=(ANSWER,))
        if event.body["phase"] == "masked" and event.blob is not None
    ]
    assert len(masked) == 5  # the search finds what is there
    assert all(any(blob[:48] in piece for piece in files) for blob in masked)
    assert all(any(blob[:48] in payload for payload in heard) for blob in masked)


def test_devices_that_do_not_know_it_are_refused(learners: Learners) -> None:
    server = learners.fleet.server
    driver, client = learners.driver, learners.agents["dev-1"]._client

    def says(*skills: str) -> bool:
        report = server.call(lambda: server.devices()["dev-1"].reported)
        return report is not None and report.skills == skills

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgekit.agent.client.SKILLS", ())
        client._report_due = True
        wait_until(lambda: says(), 60)
        with pytest.raises(RefusedError, match="'dev-1' does not know secure aggregation"):
            driver.start(plan(9), head_of_image(IMAGE))
    client._report_due = True
    wait_until(lambda: says(*SKILLS), 60)
    server.call(server.flush)


def test_command_runs_and_shows_secure_rounds(
    learners: Learners, capsys: pytest.CaptureFixture[str]
) -> None:
    learners.unmute()
    where = ["--project", str(learners.fleet._root.parent)]
    image = read_image(IMAGE).id.hex()[:8]
    words = ["federate", "run", image, "--secure", "--rounds", "2", "--deadline-s", "60"]
    assert main([*words, *where]) == 0
    text = capsys.readouterr().out
    assert "round 2: 8 updates, 0 rejected, 0 silent" in text
    assert "loss" in text and "is finished: all rounds done" in text
    assert main(["federate", "status", "--json", *where]) == 0
    rows = json.loads(capsys.readouterr().out)["table"]
    assert [(row["accepted"], row["failed"]) for row in rows] == [(8, "")] * 2
    refused = [*words, "--strategy", "multi_krum", "--min-updates", "3", *where]
    assert main(refused) == 1
    assert "multi_krum does not go with secure: it compares single" in capsys.readouterr().err


def test_server_that_is_killed_between_phases_gives_the_same_bytes(learners: Learners) -> None:
    fleet, folder = learners.fleet, learners.fleet._root
    learners.unmute()
    rng, kills, run, points = random.Random(3), 0, 10, 0
    fleet.server.close()
    with (
        Journal.open(folder / "journal.db") as journal,
        KillableServer(folder, fleet.broker.address) as servers,
    ):
        while kills < KILLS or run < 12:
            run += 1
            planned = plan(run, count=4)
            fact = open_run(planned, head_of_image(IMAGE))
            journal.append(fact.kind, str(run), fact.body, blob=fact.blob)
            while True:
                after = rng.randint(1, points // 3) if points and kills < KILLS else 0
                ended = servers.serve(run, after)
                if ended is not None:
                    break
                kills += 1
            points = points or ended  # that an undisturbed run takes
            state = run_states(journal)[run]
            assert state.table[0].accepted == 4, state.table
            assert state.head.encode() == expected(planned, set(planned.devices)).encode()
    print(f"{kills} kills in {run - 10} runs; a whole run has {points} points")
