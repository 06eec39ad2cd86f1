"""The agent as a process: claims, updates, refusals, cuts, federated rounds, hostile frames."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firmware_twin import KERNEL_SET_HASH, sources
from lone_server import DEVICE, LoneServer, hash_of
from rounds_of_one import RoundsOfOne, plan_of_one
from secure_round import OTHERS, SecureRound
from tiny_model import CLASSES, FEATURES, TABLE, labelled_samples, tiny_image

from edgekit.boards import load_board
from edgekit.federated.codecs import HeadWeights, decode_update
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.settings import Settings
from edgekit.flash.flash_image import encode_samples
from edgekit.fleet.manifests import ReleaseKey, block_list, build_manifest, sign_manifest
from edgekit.link.frames import FrameType
from edgekit.link.messages import (
    Desired,
    FederatedState,
    FederatedTask,
    Learning,
    SignedManifest,
    TextAnswer,
    TextQuestion,
    UpdateState,
)
from edgekit.link.status import Status
from edgekit.runtime import Runner
from edgekit.runtime.head import HeadTrainer
from edgekit.runtime.moments import Moments
from edgekit.runtime.online import METHODS, OnlineHead

pytestmark = pytest.mark.cc

KEY = ReleaseKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
LAYOUT = load_board("host").layout
assert LAYOUT is not None


@pytest.fixture(scope="module")
def agent_program(compile_program: Callable[[str, Sequence[Path]], Path]) -> Path:
    """The agent with the host port, under sanitizers."""
    folders = ["kernels", "runtime", "features", "features/text", "link", "crypto", "boot", "learn"]
    return compile_program("agent", sources(*folders, "agent", "ports/host"))


class Agent:
    """One agent process and its files."""

    def __init__(self, program: Path, folder: Path, server: LoneServer) -> None:
        self.flash = folder / "flash.bin"
        self._command: list[str | Path] = [program, "--flash", self.flash]
        self._samples = folder / "samples.bin"
        self._log = folder / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        memory = bytearray(b"\xff" * LAYOUT.slot_b.end)
        memory[: LAYOUT.provision.offset + 256] = server.provision(KEY.public)
        self.flash.write_bytes(memory)

    def put_image(self, image: bytes) -> None:
        """Flash an image into slot A, as the flasher does."""
        with self.flash.open("r+b") as file:
            file.seek(LAYOUT.slot_a.offset)
            file.write(image)

    def put_samples(self, raw: np.ndarray, labels: np.ndarray) -> None:
        """Give it samples."""
        self._samples.write_bytes(encode_samples(labels, raw))
        self._command[3:] = ["--samples", self._samples]

    def put_battery(self, microvolts: int) -> None:
        """Let its battery have this voltage."""
        file = self.flash.with_name("voltage_now")
        file.write_text(f"{microvolts}\n")
        if "--battery" not in self._command:
            self._command += ["--battery", file]

    def start(self) -> None:
        """Power on."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def cut(self) -> None:
        """Power off without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(10)

    def close(self) -> None:
        """Make sure that it is gone, and that it did nothing undefined."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        text = self.console()
        assert "runtime error" not in text, text
        assert "Sanitizer" not in text, text

    def console(self) -> str:
        """What it wrote."""
        return self._log.read_text() if self._log.exists() else ""


@pytest.fixture
def server() -> Iterator[LoneServer]:
    """The agent's only acquaintance."""
    server = LoneServer()
    yield server
    server.close()


@pytest.fixture
def agent(agent_program: Path, tmp_path: Path, server: LoneServer) -> Iterator[Agent]:
    """An agent that is not yet started."""
    agent = Agent(agent_program, tmp_path, server)
    yield agent
    agent.close()


def _release(image: bytes, counter: int, **changes: object) -> SignedManifest:
    manifest = build_manifest(
        image,
        name="tiny",
        version=str(counter),
        counter=counter,
        device_class="host",
        kernel_set_hash=KERNEL_SET_HASH,
        arena_bytes=8_192,
        expiry_s=1_900_000_000,
    )
    return sign_manifest(replace(manifest, **changes), KEY)  # type: ignore[arg-type]


def _offer(server: LoneServer, image: bytes) -> None:
    server.offer(image)
    server.offer(block_list(image))


def _online(agent: Agent, server: LoneServer) -> None:
    """Start the agent and wait for a report of this boot, not for a late one of the last."""
    before = server.boot
    agent.start()
    server.reported = None
    server.wait(lambda: server.reported is not None and server.reported.boot > before)


def _update_is(server: LoneServer, state: UpdateState) -> Callable[[], bool]:
    version = server._version
    return lambda: (
        server.reported is not None
        and server.reported.desired_version == version
        and server.reported.update.state is state
    )


def _task_is(server: LoneServer, state: FederatedState, round_: int) -> Callable[[], bool]:
    return lambda: (
        server.reported is not None
        and server.reported.federated.state is state
        and server.reported.federated.round == round_
    )


def test_agent_is_claimed_and_reports(agent: Agent, server: LoneServer) -> None:
    """It adopts the flashed model, claims once, reports, and knows its key after a reboot."""
    image = tiny_image()
    agent.put_image(image)
    _online(agent, server)
    first = server.reported
    assert first is not None
    assert (first.boot, first.board, first.desired_version) == (1, "host", 0)
    assert first.kernel_set_hash == KERNEL_SET_HASH
    assert (first.active_image, first.counter) == (hash_of(image), 0)
    head = Runner(image).image.head
    assert head is not None
    assert first.head_hash == HeadWeights(head.weights, head.bias).hash
    assert agent.stop() == 0
    claims = server.claims
    _online(agent, server)
    assert server.reported is not None
    assert (server.reported.boot, server.claims) == (2, claims)
    assert server.reported.active_image == hash_of(image)
    server.desire()
    server.wait(lambda: server.reported is not None and server.reported.desired_version == 1)
    server.wait(lambda: server.telemetry is not None)
    assert agent.stop() == 0


def test_battery_is_reported_as_it_is(agent: Agent, server: LoneServer) -> None:
    """The board has no sensors, so nothing is said of them; without a battery nothing of it."""
    _online(agent, server)
    assert server.reported is not None
    assert (server.reported.sensors, server.reported.battery_mv) == ((), None)
    assert agent.stop() == 0
    agent.put_battery(3_712_345)
    _online(agent, server)
    assert server.reported.battery_mv == 3_712
    agent.put_battery(3_600_000)
    server.desire()
    server.wait(lambda: server.reported is not None and server.reported.battery_mv == 3_600)


def test_claim_goes_on_with_the_same_key_after_a_power_cut(
    agent: Agent, server: LoneServer
) -> None:
    """The answer got lost and the power too: the second boot asks with the key the token knows."""
    agent.start()
    server.wait(lambda: server.claims > 0)  # the answer may or may not arrive before the cut
    agent.cut()
    _online(agent, server)
    assert server.reported is not None
    assert server.reported.boot == 2
    assert server.reported.active_image is None


def test_update_is_installed_over_a_lossy_link(agent: Agent, server: LoneServer) -> None:
    """A fifth of all datagrams vanish each way; the release arrives whole and survives a cut."""
    agent.put_image(tiny_image())
    _online(agent, server)
    image = tiny_image(seed=2, version="2")
    _offer(server, image)
    server.loss = 0.2
    release = _release(image, 7)

    def installed() -> bool:
        report = server.reported
        if report is None or report.desired_version == 0:
            server.desire(release)
            server.serve(0.3)
        return report is not None and report.update.state is UpdateState.INSTALLED

    server.wait(installed, 60.0)
    server.loss = 0.0
    report = server.reported
    assert report is not None
    assert (report.active_image, report.counter) == (hash_of(image), 7)
    assert report.update.image_id == hash_of(image)
    slot_b = agent.flash.read_bytes()[LAYOUT.slot_b.offset :][: len(image)]
    assert slot_b == image
    agent.cut()
    _online(agent, server)
    assert server.reported is not None
    assert (server.reported.active_image, server.reported.counter) == (hash_of(image), 7)


def test_interrupted_download_goes_on_where_it_was(agent: Agent, server: LoneServer) -> None:
    """After a power cut in the middle, blocks that lie in the slot are not pulled again."""
    agent.put_image(tiny_image())
    _online(agent, server)
    image = tiny_image(seed=2)
    blocks = -(-len(image) // 4_096)
    server.offer(block_list(image))
    number = server.offer(image)
    server.desire(_release(image, 1))
    server.wait(lambda: sum(r.object_id == number for r in server.requests) >= blocks - 2)
    agent.cut()
    server.requests.clear()
    _online(agent, server)
    server.desire(_release(image, 1))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    again = {r.offset for r in server.requests if r.object_id == number}
    assert 0 < len(again) < blocks
    assert 0 not in again


def _spoilt_signature(release: SignedManifest) -> SignedManifest:
    return replace(release, signature=release.signature[:-1] + bytes([release.signature[-1] ^ 1]))


@cache
def _good() -> bytes:
    return tiny_image(seed=2)


@cache
def _spoilt() -> bytes:
    return tiny_image(seed=2, wrong_golden=True)


def _cut() -> bytes:
    return _good()[:-256]


# What is wrong: the image, changes to its manifest, the status that the device must give.
REFUSALS: dict[str, tuple[Callable[[], bytes], dict[str, object], Status]] = {
    "signature": (_good, {}, Status.SIGNATURE),
    "class": (_good, {"device_class": "mps2_an386"}, Status.CLASS),
    "kernel set": (_good, {"kernel_set_hash": bytes(8)}, Status.CLASS),
    "expired": (_good, {"expiry_s": 1_700_000_000}, Status.EXPIRED),
    "arena": (_good, {"arena_bytes": 1 << 20}, Status.ARENA),
    "arena lie": (_good, {"arena_bytes": 16}, Status.ARENA),
    "size": (_good, {"image_bytes": 1 << 20}, Status.SPACE),
    "golden": (_spoilt, {}, Status.GOLDEN),
    "image id": (_good, {"image_id": hash_of(b"")}, Status.HASH),
    "structure": (_cut, {}, Status.TRUNCATED),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_release_is_refused(agent: Agent, server: LoneServer, case: str) -> None:
    """The device says why, and the old model goes on."""
    make, changes, status = REFUSALS[case]
    image, old = make(), tiny_image()
    release = _release(image, 3, **changes)
    if case == "signature":
        release = _spoilt_signature(release)
    agent.put_image(old)
    _online(agent, server)
    _offer(server, image)
    server.objects[int.from_bytes(hash_of(b"")[:8], "little")] = image
    server.desire(release)
    server.wait(_update_is(server, UpdateState.REFUSED))
    assert server.reported is not None
    assert server.reported.update.status is status
    assert server.reported.active_image == hash_of(old)


def test_wrong_block_list_is_refused(agent: Agent, server: LoneServer) -> None:
    """A list that is not the signed one stops the download before the image is asked for."""
    agent.put_image(tiny_image())
    _online(agent, server)
    wanted = block_list(_good())
    server.objects[int.from_bytes(hash_of(wanted)[:8], "little")] = bytes(len(wanted))
    server.desire(_release(_good(), 3))
    server.wait(_update_is(server, UpdateState.REFUSED))
    assert server.reported is not None
    assert server.reported.update.status is Status.HASH
    assert {request.object_id for request in server.requests} == set(server.objects)


def test_release_refused_once_is_not_pulled_again(agent: Agent, server: LoneServer) -> None:
    """The refusal is kept over a reboot; a good release with a higher counter is then taken."""
    agent.put_image(tiny_image())
    _online(agent, server)
    _offer(server, _spoilt())
    _offer(server, _good())
    server.desire(_release(_spoilt(), 3))
    server.wait(_update_is(server, UpdateState.REFUSED))
    agent.cut()
    server.requests.clear()
    _online(agent, server)
    server.desire(_release(_spoilt(), 3))
    server.wait(_update_is(server, UpdateState.REFUSED))
    assert server.reported is not None
    assert server.reported.update.status is Status.GOLDEN
    assert not server.requests
    server.desire(_release(_good(), 4))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    assert server.reported.counter == 4


def test_older_release_is_refused(agent: Agent, server: LoneServer) -> None:
    """The counter only rises; the running image under a higher one needs no download."""
    agent.put_image(tiny_image())
    _online(agent, server)
    _offer(server, _good())
    server.desire(_release(_good(), 5))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    other = tiny_image(seed=4)
    _offer(server, other)
    for counter in (4, 5):
        server.desire(_release(other, counter))
        server.wait(_update_is(server, UpdateState.REFUSED))
        assert server.reported is not None
        assert server.reported.update.status is Status.COUNTER
    server.requests.clear()
    server.desire(_release(_good(), 6))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    assert server.reported is not None
    assert server.reported.counter == 6
    assert not server.requests


def test_damaged_image_is_healed_by_its_own_release(agent: Agent, server: LoneServer) -> None:
    """After bit rot the older model runs; the newest release is taken again, an older one not."""
    agent.put_image(tiny_image())
    _online(agent, server)
    _offer(server, _good())
    server.desire(_release(_good(), 5))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    agent.cut()
    with agent.flash.open("r+b") as file:
        file.seek(LAYOUT.slot_b.offset + len(_good()) // 2)
        spoilt = bytes([file.read(1)[0] ^ 1])
        file.seek(-1, os.SEEK_CUR)
        file.write(spoilt)
    _online(agent, server)
    assert server.reported is not None
    assert server.reported.active_image == hash_of(tiny_image())
    other = tiny_image(seed=4)
    _offer(server, other)
    for image, counter in ((other, 5), (_good(), 4)):
        server.desire(_release(image, counter))
        server.wait(_update_is(server, UpdateState.REFUSED))
        assert server.reported.update.status is Status.COUNTER
    server.desire(_release(_good(), 5))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    assert server.reported.active_image == hash_of(_good())
    assert server.reported.counter == 5


def test_frames_of_strangers_change_nothing(agent: Agent, server: LoneServer) -> None:
    """Noise, a wrong key, a replay and a flipped bit are dropped; the agent goes on."""
    agent.put_image(tiny_image())
    _online(agent, server)
    server.desire()
    old = server.last_frame
    server.desire()
    server.wait(lambda: server.reported is not None and server.reported.desired_version == 2)
    stranger = Desired(version=99, time_s=0, model=None, task=None, heartbeat_s=9).encode()
    server.send(FrameType.DESIRED, stranger, key=bytes(32))
    server.raw(old)
    server.raw(b"\x01\x21\x00")
    server.raw(bytes(2_000))
    server.raw(os.urandom(5_000))
    flipped = bytearray(server.last_frame)
    flipped[10] ^= 1
    server.raw(bytes(flipped))
    server.serve(2.5)
    assert server.reported is not None
    assert server.reported.desired_version == 2
    server.desire()
    server.wait(lambda: server.reported is not None and server.reported.desired_version == 3)


def _ask(server: LoneServer, text: bytes) -> TextAnswer:
    number = len(server.answers) + 1
    server.send(FrameType.TEXT_QUESTION, TextQuestion(number, text).encode())
    server.wait(lambda: len(server.answers) == number)
    assert server.answers[-1].number == number
    return server.answers[-1]


@pytest.mark.train
def test_texts_are_answered_as_on_the_host(agent: Agent, server: LoneServer) -> None:
    """Any bytes; every bit of outputs and score is the host's. Delivered as a release, too."""
    from text_models import COMMANDS, text_model

    image = text_model().image
    agent.put_image(tiny_image())
    _online(agent, server)
    assert _ask(server, b"turn on the light") == TextAnswer(number=1, status=Status.STATE)
    _offer(server, image)
    server.desire(_release(image, 5))
    server.wait(_update_is(server, UpdateState.INSTALLED))
    runner = Runner(image)
    texts = [text.encode() for text in COMMANDS[:6]]
    for text in (
        *texts,
        b"",
        b"\xff\xe2(",
        b"\x00" * 4_000,
        b"lightradio" * 400,
        "é".encode() * 99,
    ):
        answer, expected = _ask(server, text), runner.run_text(text)
        ids = runner.text_ids([text])
        assert (answer.status, answer.image_id) == (Status.OK, hash_of(image))
        assert (answer.label, answer.score) == (expected.label, expected.score)
        assert answer.tokens == np.count_nonzero(ids)
        assert answer.outputs == runner.run(ids)[0].tobytes()


def _task(server: LoneServer, head: HeadWeights, round_: int, **changes: object) -> FederatedTask:
    data = head.encode()
    task = FederatedTask(
        run=77,
        round=round_,
        base_head_hash=head.hash,
        head_object=server.offer(data),
        head_bytes=len(data),
        epochs=3,
        rate=0.02,
        decay=1e-3,
        deadline_s=120,
    )
    return replace(task, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 250, 1_100], ids=["one", "cached", "larger than the cache"])
def test_federated_rounds_equal_the_host(agent: Agent, server: LoneServer, count: int) -> None:
    """Two rounds: the update is byte for byte what the host trains, losses included."""
    image = tiny_image()
    raw, labels = labelled_samples(count, seed=3)
    agent.put_image(image)
    agent.put_samples(raw, labels)
    _online(agent, server)
    runner = Runner(image)
    start = runner.image.head
    assert start is not None
    head = HeadWeights(start.weights, start.bias)
    features = runner.features(TABLE[raw])
    trained = HeadTrainer(head.weights, head.bias)
    for round_ in (1, 2):
        server.desire(task=_task(server, head, round_))
        server.wait(_task_is(server, FederatedState.READY, round_), 60.0)
        assert server.reported is not None
        report = server.reported.federated
        assert (report.run, report.samples, report.update_hash is not None) == (77, count, True)
        assert report.update_hash is not None
        data = server.pull(report.update_object, report.update_bytes, report.update_hash)
        update = decode_update(data)
        trained = HeadTrainer(head.weights, head.bias)
        losses = trained.train(
            features,
            labels,
            scale=start.scale,
            zero_point=start.zero_point,
            rate=0.02,
            decay=1e-3,
            epochs=3,
        )
        assert update.base_hash == head.hash
        assert (update.round, update.samples) == (round_, count)
        assert (update.loss_first, update.loss_last) == (losses[0], losses[-1])
        assert update.weights.tobytes() == (trained.weights - head.weights).tobytes()
        assert update.bias.tobytes() == (trained.bias - head.bias).tobytes()
        assert server.reported.head_hash == trained.hash
        head = HeadWeights(trained.weights, trained.bias)
    agent.cut()
    _online(agent, server)
    assert server.reported is not None
    assert server.reported.head_hash == trained.hash


ROUNDS = {
    "float16": ("fedavg", Settings(codec="float16")),
    "int8, FedProx": ("fedprox", Settings(codec="int8", mu=0.5)),
    "top-P, feedback": ("fedavg", Settings(codec="top_p", share=0.2, feedback=True)),
    "all": ("fedprox", Settings(codec="top_p_int8", share=0.3, feedback=True, mu=0.1)),
    "biases stay": ("tiny_metafed", Settings(local=CLASSES)),
    "half of a row stays": (
        "tiny_metafed",
        Settings(codec="top_p", share=0.4, local=CLASSES + FEATURES // 2, feedback=True),
    ),
}


@pytest.mark.parametrize("case", ROUNDS)
def test_updates_have_the_bytes_of_the_simulation(
    agent: Agent, server: LoneServer, case: str
) -> None:
    """Codecs, what they left out, the proximal term, the local part; also after a power cut."""
    image = tiny_image()
    raw, labels = labelled_samples(41, seed=3)
    agent.put_image(image)
    agent.put_samples(raw, labels)
    _online(agent, server)
    rounds = RoundsOfOne(server, plan_of_one(*ROUNDS[case]), image, raw, labels)
    for round_ in (1, 2, 3):
        expected = rounds.expected(round_)
        assert rounds.update(round_) == expected, round_
        if round_ == 2:  # before the server has it: the round is done once more, with equal bytes
            agent.cut()
            _online(agent, server)
            assert rounds.update(round_) == expected
        learned = decode_update(expected)
        rounds.head = HeadWeights(
            rounds.head.weights + learned.weights, rounds.head.bias + learned.bias
        )


def _said(server: LoneServer, text: str) -> Callable[[], bool]:
    return lambda: any(log.text.startswith(text) for log in server.logs)


def _learns(agent: Agent, server: LoneServer, count: int = 40) -> None:
    agent.put_image(tiny_image())
    agent.put_samples(*labelled_samples(count, seed=3))
    _online(agent, server)


def _checkpoint(agent: Agent) -> bytes:
    """The newest record of a head that learns by itself, without head and checksum."""
    region = LAYOUT.learn
    data = agent.flash.read_bytes()[region.offset : region.offset + region.bytes]
    halves = [data[: len(data) // 2], data[len(data) // 2 :]]
    records = [half for half in halves if half[:6] == b"EKLH\x02\x00"]
    newest = max(records, key=lambda half: int.from_bytes(half[12:16], "little"))
    return newest[48 : 48 + 4 * int.from_bytes(newest[8:12], "little")]


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("ol", {"momentum": 0.5, "standardize": 1, "warm_up": 300}),
        ("cwr", {"standardize": 1, "window": 16}),
        ("cwr", {}),
    ],
)
def test_head_that_learns_by_itself_equals_the_host(
    agent: Agent, server: LoneServer, method: str, more: dict[str, Any]
) -> None:
    """On and off by the wished state; what it stores is byte for byte what the host learns."""
    _learns(agent, server)
    wish = Learning(steps_per_minute=60_000, method=METHODS[method], rate=0.02, **more)
    server.desire(learning=wish)
    server.wait(_said(server, "head stored, steps 1000"), 60.0)
    server.desire()
    server.wait(_said(server, "learning off, steps "), 60.0)
    steps = int(server.logs[-1].text.split()[-1])
    assert steps >= 1_000

    runner = Runner(tiny_image())
    start = runner.image.head
    assert start is not None
    raw, labels = labelled_samples(40, seed=3)
    head = OnlineHead(
        start.weights,
        start.bias,
        scale=start.scale,
        zero_point=start.zero_point,
        method=method,
        most_classes=start.max_classes,
        rate=0.02,
        momentum=more.get("momentum", 0.0),
        clip=10.0,
    )
    order = np.arange(steps) % 40
    inputs, expected = TABLE[raw][order], b""
    if "standardize" in more:
        tensor = runner.image.graph.tensor(runner.image.graph.inputs[0])
        assert tensor.quant is not None
        moments = Moments(
            inputs.shape[1],
            scale=tensor.quant.scales[0],
            zero_point=tensor.quant.zero_points[0],
            warm_up=more.get("warm_up", 0),
            window=more.get("window", 0),
        )
        inputs = moments.standardize(inputs)
        expected = moments.checkpoint()
    head.learn(runner.features(inputs), labels[order])
    assert _checkpoint(agent) == head.checkpoint() + expected

    agent.cut()
    server.logs.clear()
    _online(agent, server)
    server.desire(learning=wish)
    server.wait(_said(server, f"learning on, steps {steps}"), 60.0)


def test_learning_begins_with_the_head_of_the_last_round(agent: Agent, server: LoneServer) -> None:
    """What a device trained for a round is where it goes on by itself."""
    _learns(agent, server)
    image, (raw, labels) = tiny_image(), labelled_samples(40, seed=3)
    runner = Runner(image)
    start = runner.image.head
    assert start is not None
    features, plan = runner.features(TABLE[raw]), plan_of_one("fedavg", Settings())
    trained = HeadTrainer(start.weights, start.bias)
    unit: dict[str, Any] = {"scale": start.scale, "zero_point": start.zero_point}
    trained.train(features, labels, **unit, rate=plan.rate, decay=plan.decay, epochs=plan.epochs)
    RoundsOfOne(server, plan, image, raw, labels).update(1)
    server.desire(learning=Learning(steps_per_minute=60_000, method=0, rate=0.02))
    server.wait(_said(server, "learning on, steps 0"), 60.0)
    server.serve(0.2)
    server.desire()
    server.wait(_said(server, "learning off, steps "), 60.0)
    steps = int(server.logs[-1].text.split()[-1])
    head = OnlineHead(
        trained.weights, trained.bias, **unit, most_classes=start.max_classes, rate=0.02, clip=10.0
    )
    order = np.arange(steps) % 40
    head.learn(features[order], labels[order])
    assert _checkpoint(agent) == head.checkpoint()


def test_learning_out_of_range_is_refused(agent: Agent, server: LoneServer) -> None:
    """Momentum that no step bears: the device says so and stays as it is."""
    _learns(agent, server)
    wish = Learning(steps_per_minute=60, method=0, rate=0.02, momentum=0.999)
    server.desire(learning=wish)
    server.wait(_said(server, "learning refused: "), 60.0)


def test_head_learns_no_faster_than_allowed(agent: Agent, server: LoneServer) -> None:
    """Sixty steps a minute are one a second; a federated task comes first."""
    _learns(agent, server)
    begin = time.monotonic()
    server.desire(learning=Learning(steps_per_minute=60, method=0, rate=0.02))
    server.wait(_said(server, "learning on, steps 0"), 60.0)
    server.serve(2.5)
    start = Runner(tiny_image()).image.head
    assert start is not None
    task = _task(server, HeadWeights(start.weights, start.bias), 1)
    server.desire(task=task, learning=Learning(steps_per_minute=60, method=0, rate=0.02))
    server.wait(_said(server, "learning off, steps "), 60.0)
    off = next(log.text for log in server.logs if log.text.startswith("learning off"))
    assert 1 <= int(off.split()[-1]) <= time.monotonic() - begin + 1
    server.wait(_task_is(server, FederatedState.READY, 1), 60.0)


def test_learning_without_samples_is_refused(agent: Agent, server: LoneServer) -> None:
    """A device that has no samples says so and stays as it is."""
    agent.put_image(tiny_image())
    _online(agent, server)
    server.desire(learning=Learning(steps_per_minute=60, method=3, rate=0.02))
    server.wait(_said(server, "learning refused"), 60.0)


def test_task_that_does_not_fit_is_refused(agent: Agent, server: LoneServer) -> None:
    """Another base, shape, label, rate or no rate at all: the status says which."""
    raw, labels = labelled_samples(20, seed=3)
    labels[7] = CLASSES
    agent.put_image(tiny_image())
    agent.put_samples(raw, labels)
    _online(agent, server)
    generator = np.random.default_rng(1)
    head = HeadWeights(
        generator.normal(size=(CLASSES, FEATURES)).astype(np.float32),
        np.zeros(CLASSES, np.float32),
    )
    other = HeadWeights(head.weights[:, 1:].copy(), head.bias)
    size = CLASSES * (FEATURES + 1)
    cases = (
        (_task(server, head, 1, base_head_hash=bytes(32)), Status.BASE),
        (_task(server, other, 2), Status.SHAPE),
        (_task(server, head, 3), Status.LABEL),
        (_task(server, head, 4, rate=-1.0), Status.RANGE),
        (_task(server, head, 5, epochs=0), Status.RANGE),
        (_task(server, head, 6, head_object=1, deadline_s=1), Status.TIMEOUT),
        (_task(server, head, 7, feedback=1), Status.RANGE),
        (_task(server, head, 8, codec=3), Status.RANGE),
        (_task(server, head, 9, codec=1, entries=9), Status.RANGE),
        (_task(server, head, 10, codec=4, entries=size, local=1), Status.RANGE),
        (_task(server, head, 11, local=size), Status.SHAPE),
        (_task(server, head, 12, mu=-1.0), Status.RANGE),
    )
    for task, status in cases:
        server.desire(task=task)
        server.wait(_task_is(server, FederatedState.REFUSED, task.round))
        assert server.reported is not None
        assert server.reported.federated.status is status
    server.desire()
    server.wait(_task_is(server, FederatedState.IDLE, 0))


def test_task_without_samples_is_refused(agent: Agent, server: LoneServer) -> None:
    """A device that has nothing to learn from says so."""
    image = tiny_image()
    agent.put_image(image)
    _online(agent, server)
    head = Runner(image).image.head
    assert head is not None
    server.desire(task=_task(server, HeadWeights(head.weights, head.bias), 1))
    server.wait(_task_is(server, FederatedState.REFUSED, 1))
    assert server.reported is not None
    assert server.reported.federated.status is Status.STATE


def test_update_during_a_task_is_installed(agent: Agent, server: LoneServer) -> None:
    """A new model replaces the head that was being trained; the task is refused, not mixed up."""
    image = tiny_image()
    raw, labels = labelled_samples(250, seed=3)
    agent.put_image(image)
    agent.put_samples(raw, labels)
    _online(agent, server)
    start = Runner(image).image.head
    assert start is not None
    task = _task(server, HeadWeights(start.weights, start.bias), 1, epochs=1_000)
    server.desire(task=task)
    server.wait(_task_is(server, FederatedState.TRAINING, 1))
    _offer(server, _good())
    server.desire(_release(_good(), 2), task)
    server.wait(_update_is(server, UpdateState.INSTALLED))
    server.wait(_task_is(server, FederatedState.REFUSED, 1))
    assert server.reported is not None
    assert server.reported.federated.status is Status.BASE


def test_agent_ends_with_its_parent(agent: Agent, agent_program: Path, tmp_path: Path) -> None:
    """When the process that started it is killed, the agent is gone within two seconds."""
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(agent_program), "--flash", str(agent.flash)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline_s = time.monotonic() + 5.0
        while _runs(number):
            assert time.monotonic() < deadline_s, "agent outlives its parent"
            time.sleep(0.05)


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_agent_says_what_it_lacks(agent_program: Path, agent: Agent, tmp_path: Path) -> None:
    """Missing arguments, files and pages end with one line and exit code 1."""
    short = tmp_path / "short.bin"
    short.write_bytes(bytes(100))
    blank = tmp_path / "blank.bin"
    blank.write_bytes(b"\xff" * LAYOUT.slot_b.end)
    cases: list[tuple[list[str | Path], str]] = [
        ([], "--flash FILE is missing"),
        (["--flash"], "wants a value"),
        (["--flash", tmp_path / "none"], "No such file"),
        (["--flash", short], "smaller"),
        (["--flash", blank], "magic"),
        (["--flash", agent.flash, "--samples", short], "no sample file"),
        (["--flush", agent.flash], "unknown argument"),
    ]
    for arguments, text in cases:
        done = subprocess.run(
            [agent_program, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert text in done.stdout + done.stderr


def test_agent_takes_part_in_secure_aggregation(agent: Agent, server: LoneServer) -> None:
    """Its masked update counts as that of the simulation does, and its shares free the others."""
    agent.put_image(_good())
    agent.put_samples(*labelled_samples(40, seed=5))
    _online(agent, server)
    server.wait(lambda: server.reported is not None and server.reported.active_image is not None)
    round_ = SecureRound(server, _good(), *labelled_samples(40, seed=5))
    assert round_.run().encode() == round_.expected((DEVICE, *OTHERS)).encode()


@pytest.mark.parametrize("phase", [SecurePhase.SHARES, SecurePhase.MASKED, SecurePhase.UNMASK])
def test_agent_that_was_cut_in_a_secure_round_is_out_of_it(
    agent: Agent, server: LoneServer, phase: SecurePhase
) -> None:
    """Its secrets are gone with the power; it says so, and the others end the round."""
    agent.put_image(_good())
    agent.put_samples(*labelled_samples(40, seed=5))
    _online(agent, server)
    round_ = SecureRound(server, _good(), *labelled_samples(40, seed=5))

    def cut(now: SecurePhase) -> None:
        if now is phase:
            agent.cut()
            _online(agent, server)

    head = round_.run(cut)
    members = (DEVICE, *OTHERS) if phase is SecurePhase.UNMASK else OTHERS
    assert head.encode() == round_.expected(members).encode()
    reason = "device refused the task: not possible in this state (-19)"
    assert round_.rejected == ((DEVICE, reason),)
