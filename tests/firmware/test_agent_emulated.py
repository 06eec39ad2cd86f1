"""The agent on an emulated Cortex-M4: the same protocol, and the same bits as on the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lone_server import DEVICE, LoneServer, hash_of
from rounds_of_one import RoundsOfOne, plan_of_one
from secure_round import OTHERS, SecureRound
from tiny_model import TABLE, labelled_samples, tiny_image

from edgekit.boards import load_board
from edgekit.export.mcu import Firmware, build_firmware
from edgekit.federated.codecs import HeadWeights, decode_update
from edgekit.federated.settings import Settings
from edgekit.flash.flash_image import FlashImage, encode_samples
from edgekit.flash.qemu import Emulator
from edgekit.fleet.manifests import ReleaseKey, block_list, build_manifest, sign_manifest
from edgekit.link.messages import FederatedState, FederatedTask, UpdateState
from edgekit.link.status import Status
from edgekit.ops import kernel_set
from edgekit.runtime import Runner
from edgekit.runtime.head import HeadTrainer

pytestmark = pytest.mark.emulator

BOARD = load_board("mps2_an386")
KEY = ReleaseKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
RATE, DECAY, EPOCHS = 0.02, 1e-3, 3
SMALL = Settings(codec="top_p_int8", share=0.3, feedback=True, mu=0.1)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """The firmware with all kernels."""
    return build_firmware(BOARD, ops=kernel_set("all"), out=tmp_path_factory.mktemp("mps2"))


@pytest.fixture
def server() -> Iterator[LoneServer]:
    """Gateway and server in one; the guest reaches it as 10.0.2.2."""
    server = LoneServer(gateway_host="10.0.2.2")
    yield server
    server.close()


def _flash(tmp_path: Path, server: LoneServer, image: bytes) -> FlashImage:
    flash = FlashImage(tmp_path / "board.flash", BOARD)
    flash.write_provision(server.provision(KEY.public))
    flash.write_slot("a", image)
    return flash


def test_emulated_board_updates_and_survives_a_cut(
    firmware: Firmware, server: LoneServer, tmp_path: Path
) -> None:
    """A release whose golden vectors hold is installed and stays over a cut; a bad one is not."""
    flash = _flash(tmp_path, server, tiny_image())
    good, bad = tiny_image(seed=2, version="2"), tiny_image(seed=3, wrong_golden=True)

    def release(image: bytes, counter: int) -> None:
        server.offer(image)
        server.offer(block_list(image))
        manifest = build_manifest(
            image,
            name="tiny",
            version=str(counter),
            counter=counter,
            device_class=BOARD.name,
            kernel_set_hash=firmware.kernel_set_hash,
            arena_bytes=8_192,
            expiry_s=1_900_000_000,
        )
        server.desire(sign_manifest(manifest, KEY))

    def state(wanted: UpdateState, counter: int) -> None:
        server.wait(
            lambda: (
                server.reported is not None
                and server.reported.update.state is wanted
                and server.reported.update.counter == counter
            )
        )

    machine = Emulator(BOARD, firmware.elf, flash.path, log=tmp_path / "console.log")
    with machine:
        server.wait(lambda: server.reported is not None)
        release(good, 1)
        state(UpdateState.INSTALLED, 1)
        release(bad, 2)
        state(UpdateState.REFUSED, 2)
        assert server.reported is not None
        assert server.reported.update.status is Status.GOLDEN
    server.reported = None
    with machine:
        server.wait(lambda: server.reported is not None)
        assert server.reported is not None
        assert (server.boot, server.reported.counter) == (2, 1)
        assert server.reported.active_image == hash_of(good)


def test_emulated_board_trains_the_same_bits(
    firmware: Firmware, server: LoneServer, tmp_path: Path
) -> None:
    """The updates of a Cortex-M4F equal the host's in every byte, whole and compressed."""
    image = tiny_image()
    raw, labels = labelled_samples(200, seed=3)
    flash = _flash(tmp_path, server, image)
    flash.write_samples(encode_samples(labels, raw))
    runner = Runner(image)
    start = runner.image.head
    assert start is not None
    head = HeadWeights(start.weights, start.bias)
    data = head.encode()
    with Emulator(BOARD, firmware.elf, flash.path, log=tmp_path / "console.log"):
        server.wait(lambda: server.reported is not None)
        task = FederatedTask(
            run=1,
            round=1,
            base_head_hash=head.hash,
            head_object=server.offer(data),
            head_bytes=len(data),
            epochs=EPOCHS,
            rate=RATE,
            decay=DECAY,
            deadline_s=60,
        )
        server.desire(task=task)
        server.wait(
            lambda: (
                server.reported is not None
                and server.reported.federated.state is FederatedState.READY
            )
        )
        assert server.reported is not None
        report = server.reported.federated
        assert report.update_hash is not None
        update = decode_update(
            server.pull(report.update_object, report.update_bytes, report.update_hash)
        )
        rounds = RoundsOfOne(server, plan_of_one("fedprox", SMALL), image, raw, labels)
        for round_ in (1, 2):
            assert rounds.update(round_) == rounds.expected(round_)
    trained = HeadTrainer(head.weights, head.bias)
    losses = trained.train(
        runner.features(TABLE[raw]),
        labels,
        scale=start.scale,
        zero_point=start.zero_point,
        rate=RATE,
        decay=DECAY,
        epochs=EPOCHS,
    )
    assert 0 < losses[-1] < losses[0]
    assert (update.loss_first, update.loss_last) == (losses[0], losses[-1])
    assert update.weights.tobytes() == (trained.weights - head.weights).tobytes()
    assert update.bias.tobytes() == (trained.bias - head.bias).tobytes()


def test_emulated_board_takes_part_in_secure_aggregation(
    firmware: Firmware, server: LoneServer, tmp_path: Path
) -> None:
    """The masks of a Cortex-M4F cancel those of Python, and the head is the simulation's."""
    image = tiny_image()
    raw, labels = labelled_samples(40, seed=5)
    flash = _flash(tmp_path, server, image)
    flash.write_samples(encode_samples(labels, raw))
    with Emulator(BOARD, firmware.elf, flash.path, log=tmp_path / "console.log"):
        server.wait(lambda: server.reported is not None, 60.0)
        round_ = SecureRound(server, image, raw, labels)
        assert round_.run().encode() == round_.expected((DEVICE, *OTHERS)).encode()
        assert round_.rejected == ()
