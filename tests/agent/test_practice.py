"""The Python agent learns by itself as boards do: the same bytes, as fast as it may, kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent.test_agent_protocol import Server
from firmware.tiny_model import TABLE, labelled_samples, tiny_image

from edgekit.agent.credentials import Credentials
from edgekit.agent.machine import Machine
from edgekit.agent.work import Practised
from edgekit.federated.codecs import HeadWeights
from edgekit.flash.flash_image import encode_samples
from edgekit.fleet.identity import new_token
from edgekit.fleet.manifests import build_manifest
from edgekit.formats.image_reader import read_image
from edgekit.link.frames import FrameType
from edgekit.link.messages import Desired, FederatedTask, Learning, Log, LogLevel, Manifest
from edgekit.link.status import Status
from edgekit.runtime import Runner
from edgekit.runtime.head import HeadTrainer
from edgekit.runtime.moments import Moments
from edgekit.runtime.online import METHODS, OnlineHead

pytestmark = pytest.mark.cc

IMAGE = tiny_image()
RAW, LABELS = labelled_samples(40, seed=3)
WISH = Learning(steps_per_minute=600, method=METHODS["cwr"], rate=0.02)


def machine(folder: Path, *, samples: bool = True) -> Machine:
    """A machine that runs the tiny model; the folder's state goes on."""
    path = folder / "own.samples"
    path.write_bytes(encode_samples(LABELS, RAW))
    credentials = Credentials(
        device="pi-1",
        board="host",
        fleet="test",
        kernels=bytes(8),
        broker="",
        password="",
        token=new_token(),
        release_key=bytes(32),
    )
    made = Machine(credentials, folder / "state", samples=path if samples else None)
    if made.active().image_id is None:
        assert made.activate(manifest(), IMAGE) is Status.OK
    return made


def manifest() -> Manifest:
    return build_manifest(
        IMAGE,
        name="tiny",
        version="1",
        counter=1,
        device_class="host",
        kernel_set_hash=bytes(8),
        arena_bytes=8_192,
        expiry_s=1,
    )


def expected(start: HeadWeights, wish: Learning, steps: int) -> bytes:
    """What a device stores after so many steps."""
    runner, more = Runner(IMAGE), b""
    own = runner.image.head
    assert own is not None
    order = np.arange(steps) % len(LABELS)
    inputs = TABLE[RAW][order]
    if wish.standardize:
        quant = runner.image.graph.tensor(runner.image.graph.inputs[0]).quant
        assert quant is not None
        moments = Moments(
            inputs.shape[1],
            scale=quant.scales[0],
            zero_point=quant.zero_points[0],
            warm_up=wish.warm_up,
            window=wish.window,
        )
        inputs = moments.standardize(inputs)
        more = moments.checkpoint()
    head = OnlineHead(
        start.weights,
        start.bias,
        scale=own.scale,
        zero_point=own.zero_point,
        method=next(name for name, number in METHODS.items() if number == wish.method),
        most_classes=own.max_classes,
        rate=wish.rate,
        momentum=wish.momentum,
        clip=10.0,
    )
    head.learn(runner.features(inputs), LABELS[order])
    return head.checkpoint() + more


def stored(folder: Path) -> bytes:
    data = (folder / "state" / "learned.bin").read_bytes()
    assert data[:8] == b"EKLP\x02\0\0\0" and data[8:40] == read_image(IMAGE).id
    return data[40:]


def texts(done: Practised) -> list[str]:
    return [line.text for line in done.said]


@pytest.mark.parametrize(
    "more", [{}, {"method": 0, "momentum": 0.5, "standardize": 1, "warm_up": 30}]
)
def test_machine_learns_the_bytes_of_a_board(tmp_path: Path, more: dict[str, Any]) -> None:
    """In pieces, over a restart, and stored when learning ends."""
    wish, own = replace(WISH, **more), machine(tmp_path)
    image = read_image(IMAGE)
    assert image.head is not None
    start = HeadWeights(image.head.weights, image.head.bias)
    first = own.practise(wish, 1)
    assert first.goes_on and texts(first) == ["learning on, steps 0"]
    assert own.practise(wish, 50) == Practised((), goes_on=True)
    faster = replace(wish, steps_per_minute=60_000)
    assert own.practise(faster, 9) == Practised((), goes_on=True)
    assert texts(own.practise(None, 0)) == ["learning off, steps 60"]
    assert stored(tmp_path) == expected(start, wish, 60)
    again = machine(tmp_path)
    assert texts(again.practise(wish, 0)) == ["learning on, steps 60"]
    other = replace(wish, method=2, momentum=0.0 if wish.momentum else 0.1)
    assert texts(again.practise(other, 0)) == ["learning off, steps 60", "learning on, steps 0"]


def test_machine_stores_each_thousand_steps(tmp_path: Path) -> None:
    """A checkpoint while the loss is good, so a cut costs a thousand steps at most."""
    done = machine(tmp_path).practise(replace(WISH, rate=0.002), 1_500)
    steps = [int(text.split()[-1]) for text in texts(done) if text.startswith("head stored")]
    assert steps == [1_000]
    image = read_image(IMAGE)
    assert image.head is not None
    start = HeadWeights(image.head.weights, image.head.bias)
    assert stored(tmp_path) == expected(start, replace(WISH, rate=0.002), 1_000)


def test_machine_goes_on_from_the_head_of_its_last_round(tmp_path: Path) -> None:
    """It reports that head, over a restart, too, and begins there by itself."""
    own, image = machine(tmp_path), read_image(IMAGE)
    assert image.head is not None
    base = HeadWeights(image.head.weights, image.head.bias)
    assert own.active().head_hash == base.hash
    data = base.encode()
    task = FederatedTask(
        run=1,
        round=1,
        base_head_hash=base.hash,
        head_object=1,
        head_bytes=len(data),
        epochs=2,
        rate=0.02,
        decay=0.0,
        deadline_s=60,
    )
    assert own.check(task) == (Status.OK, len(LABELS))
    assert isinstance(own.learn(task, data), bytes)
    trained = HeadTrainer(base.weights, base.bias)
    trained.train(
        Runner(IMAGE).features(TABLE[RAW]),
        LABELS,
        scale=image.head.scale,
        zero_point=image.head.zero_point,
        rate=0.02,
        epochs=2,
    )
    own = machine(tmp_path)
    assert own.active().head_hash == trained.hash
    own.practise(WISH, 7)
    own.practise(None, 0)
    assert stored(tmp_path) == expected(HeadWeights(trained.weights, trained.bias), WISH, 7)


@pytest.mark.parametrize(
    ("wish", "samples", "reason"),
    [
        (WISH, False, "not possible in this state"),
        (replace(WISH, momentum=0.999), True, "out of range"),
    ],
)
def test_learning_that_cannot_be_is_refused(
    tmp_path: Path, wish: Learning, samples: bool, reason: str
) -> None:
    """Without samples, or with a rule that no step bears: said once, and not gone on with."""
    done = machine(tmp_path, samples=samples).practise(wish, 5)
    assert not done.goes_on and done.said[0].level is LogLevel.WARNING
    assert texts(done)[0].startswith("learning refused: ")


def test_client_gives_no_more_steps_than_wished(tmp_path: Path) -> None:
    """Sixty a minute are one a second; a task comes first; a refusal ends it until a new wish."""
    server, given = Server(tmp_path), []

    def practise(wish: Learning | None, steps: int) -> Practised:
        given.append((None if wish is None else wish.method, steps))
        return Practised((Log(LogLevel.INFO, "at it"),), goes_on=wish is not None and goes_on)

    server.work.practise = practise  # type: ignore[attr-defined, method-assign]
    goes_on = True
    server.claim()

    def wish(learning: Learning | None, task: FederatedTask | None = None) -> None:
        server._version += 1
        desired = Desired(
            version=server._version,
            time_s=1_000,
            model=None,
            task=task,
            heartbeat_s=5,
            learning=learning,
        )
        server.say(FrameType.DESIRED, desired.encode())

    def run(seconds: float) -> int:
        before = sum(steps for _, steps in given)
        for _ in range(round(seconds * 10)):
            server.now_s += 0.1
            server.client.tick(server.now_s)
        return sum(steps for _, steps in given) - before

    assert run(3.0) == 0
    wish(replace(WISH, steps_per_minute=60))
    assert len(given) == 1 and run(10.0) in (9, 10)
    wish(replace(WISH, steps_per_minute=6_000))
    run(1.0)  # what is left of the second
    assert 980 <= run(10.0) <= 1_000
    task = FederatedTask(
        run=1,
        round=1,
        base_head_hash=bytes(32),
        head_object=5,
        head_bytes=9,
        epochs=100,
        rate=0.1,
        decay=0.0,
        deadline_s=9,
    )
    wish(WISH, task)  # refused by the work of these tests, and so not idle
    assert given[-1] == (None, 0) and run(2.0) == 0
    goes_on = False
    wish(WISH)
    run(5.0)
    assert given[-1] == (METHODS["cwr"], 1)
    assert run(5.0) == 0
