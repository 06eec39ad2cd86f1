"""A text model on its way to a device, and texts to the device: the real agent, a real broker."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from fleet.peer import wait_until
from text_models import COMMANDS, text_model

from edgekit.boards import load_board
from edgekit.errors import DeviceError, RefusedError
from edgekit.export.mcu import build_firmware
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.virtual import VirtualDevice
from edgekit.fleet.manifests import release_key
from edgekit.fleet.provision import Provision
from edgekit.fleet.releases import Acceptance, publish
from edgekit.fleet.rollouts import Limits, Phase
from edgekit.link.status import Status
from edgekit.ops import kernel_set
from edgekit.runtime import Runner
from edgekit.runtime.text import text_rows
from edgekit.service.local import LocalFleet
from edgekit.service.rollouts import RolloutDriver

pytestmark = [pytest.mark.broker, pytest.mark.cc, pytest.mark.train]

HOST = load_board("host")
OPS = kernel_set("text")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LocalFleet]:
    """A fleet of one virtual device with the kernels of `--ops text`."""
    agent = build_firmware(HOST, ops=OPS, out=tmp_path / "agent").elf
    with ExitStack() as stack:
        fleet = stack.enter_context(LocalFleet(root=tmp_path, fleet="test", heartbeat_s=2))
        record = fleet.add_device("dev-1", "host")
        page = Provision(
            device="dev-1",
            gateway_host="127.0.0.1",
            gateway_port=fleet.gateway.port,
            token_id=record.token.id,
            token_secret=record.token.secret,
            release_key=release_key(tmp_path / "keys").public,
            entropy=secrets.token_bytes(32),
        )
        flash = tmp_path / "dev-1.flash"
        FlashImage(flash, HOST).write_provision(page.encode())
        stack.enter_context(VirtualDevice(agent, flash, log=tmp_path / "dev-1.log"))
        server = fleet.server
        wait_until(lambda: server.call(lambda: server.devices()["dev-1"].reported) is not None)
        yield fleet


def test_a_text_model_is_rolled_out_and_answers_texts(fleet: LocalFleet, tmp_path: Path) -> None:
    """Judged by its acceptance texts; the device's answers are the host's, bit by bit."""
    server, image = fleet.server, text_model().image
    runner = Runner(image)
    assert server.ask_text("dev-1", "turn on the light").status is Status.STATE
    labels = np.array([runner.run_text(text).label for text in COMMANDS])
    release = publish(
        image,
        board=HOST,
        kernel_ops=OPS,
        journal=server.journal,
        key=release_key(tmp_path / "keys"),
        now_s=time.time(),
        acceptance=Acceptance(text_rows(COMMANDS), labels, 1.0),
    )
    assert release.accuracy == 1.0
    rollouts = RolloutDriver(server)
    limits = Limits(deadline_s=30.0, soak_s=0.1)
    state = rollouts.wait(rollouts.start(release, waves=(1,), limits=limits), 60)
    assert state.phase is Phase.FINISHED, state.reason
    for text in (*COMMANDS[:8], "", b"\xff\xe2( l\xc3\xa4mp", "light" * 800):
        answer, expected = server.ask_text("dev-1", text), runner.run_text(text)
        assert (answer.status, answer.label, answer.score) == (
            Status.OK,
            expected.label,
            expected.score,
        )
        assert answer.outputs == runner.run(runner.text_ids([text])).tobytes()
    with pytest.raises(RefusedError, match="text has 1000000 bytes, at most 4000"):
        server.ask_text("dev-1", b"x" * 1_000_000)
    with pytest.raises(DeviceError, match="'other'"):
        server.ask_text("other", "x")
