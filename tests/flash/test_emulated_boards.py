"""Every emulated board boots, counts exactly, and computes what the host computes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from optional_boards import board_or_skip

from edgekit.boards import Board, boards, load_board
from edgekit.cli.model import describe_image, load_model
from edgekit.errors import CapacityError, ConfigError, DeviceError, ToolError
from edgekit.export.fit import check_fit
from edgekit.export.mcu import Firmware, build_firmware, build_program
from edgekit.export.toolchain import TOOLCHAINS, Unit, find_compiler
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.qemu import Emulator, find_qemu
from edgekit.formats.image_reader import read_image
from edgekit.runtime import Runner
from tools.calibrate import draw_input, image_of
from tools.sweeps import cases, single

EMULATED = [name for name in boards() if load_board(name).emulator is not None]
WITHOUT_AGENT = [name for name in EMULATED if not load_board(name).agent]
FOREIGN = ("kws_dscnn_int8", "micro_speech_quantized")

pytestmark = [pytest.mark.emulator, pytest.mark.cc]


@pytest.fixture(scope="module", params=EMULATED)
def board(request: pytest.FixtureRequest) -> Board:
    return board_or_skip(str(request.param))


@pytest.fixture(scope="module")
def firmware(board: Board) -> Firmware:
    return cached_firmware(board)


def dense(k: int = 16, n: int = 16) -> bytes:
    attrs = {"activation": "RELU", "weights_format": 0, "keep_num_dims": False}
    return image_of(single("FULLY_CONNECTED", [(1, k), (n, k)], (1, n), attrs))


def draw(image: bytes, count: int) -> npt.NDArray[Any]:
    graph, rng = read_image(image).graph, np.random.default_rng(3)
    x = graph.tensors[graph.inputs[0]]
    return np.concatenate([draw_input(x, rng) for _ in range(count)])


def test_firmware_stays_within_the_declared_limits(board: Board, firmware: Firmware) -> None:
    assert 0 < firmware.flash_bytes <= board.firmware_bytes
    assert 0 < firmware.ram_bytes <= board.ram_bytes
    names = {symbol.name for symbol in firmware.sizes.symbols}
    assert ("ek_agent_main" in names) == board.agent


def test_check_loop_is_counted_exactly_and_runs_repeat(board: Board, firmware: Firmware) -> None:
    image = dense()
    inputs = draw(image, 3)
    first = run_on_board(board, image, inputs, firmware=firmware)
    again = run_on_board(board, image, inputs, firmware=firmware)
    assert first.check_loop.expected == first.check_loop.measured == 200_000
    np.testing.assert_array_equal(first.instructions, again.instructions)
    assert 16 * 16 < sum(first.layers) < float(first.instructions.max())


@pytest.mark.parametrize("index", range(0, len(list(cases())), 30))
def test_outputs_equal_the_host(index: int, board: Board, firmware: Firmware) -> None:
    image = image_of(list(cases())[index])
    model = describe_image(image)
    if not check_fit(model, board).fits:
        pytest.skip(f"does not fit {board.name}")
    inputs = draw(image, 2)
    result = run_on_board(board, image, inputs, firmware=firmware)
    np.testing.assert_array_equal(result.outputs, Runner(image).run(inputs))
    assert 0 < result.arena_bytes <= model.arena_bytes
    assert 0 < result.stack_bytes < board.stack_bytes


@pytest.mark.data("models")
def test_hello_world_runs_on_every_board(
    board: Board, firmware: Firmware, models_dir: Path
) -> None:
    model = load_model(models_dir / "hello_world_int8.tflite")
    inputs = np.arange(-128, 128, dtype=np.int8).reshape(256, 1)
    result = run_on_board(board, model.image, inputs, firmware=firmware)
    np.testing.assert_array_equal(result.outputs, Runner(model.image).run(inputs))


@pytest.mark.data("models")
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_model_equals_the_host(
    name: str, board: Board, firmware: Firmware, models_dir: Path
) -> None:
    model = load_model(models_dir / f"{name}.tflite")
    if not check_fit(model, board).fits:
        with pytest.raises((CapacityError, DeviceError)):
            run_on_board(board, model.image, draw(model.image, 1), firmware=firmware)
        return
    inputs = draw(model.image, 2)
    result = run_on_board(board, model.image, inputs, firmware=firmware)
    np.testing.assert_array_equal(result.outputs, Runner(model.image).run(inputs))


def test_kernel_that_is_not_built_in_is_refused(board: Board) -> None:
    small = cached_firmware(board, ("add",))
    image = dense()
    with pytest.raises(DeviceError, match="status 7: operator is unknown or not built in"):
        run_on_board(board, image, draw(image, 1), firmware=small)


def test_stack_overflow_is_a_named_fault(board: Board, tmp_path: Path) -> None:
    main = Unit(Path(__file__).parent / "fault_main.c", ("-Wno-infinite-recursion",))
    program = build_program(board, ops=("add",), out=tmp_path, units=[main])
    flash = tmp_path / "flash.bin"
    with Emulator(board, program.elf, flash, log=tmp_path / "log") as machine:
        assert machine.wait(60) == 101
    assert "stack overflow" in (tmp_path / "log").read_text()


def test_missing_riscv_tools_name_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    board = load_board("rv32_virt")
    with pytest.raises(ToolError, match="apt-get install qemu-system-misc"):
        find_qemu(board)
    with pytest.raises(ToolError, match="apt-get install gcc-riscv64-unknown-elf"):
        find_compiler(TOOLCHAINS[board.core])


@pytest.mark.parametrize("name", WITHOUT_AGENT)
class TestWithoutAgent:
    def test_image_that_does_not_fit_beside_the_firmware_is_refused(self, name: str) -> None:
        board = board_or_skip(name)
        tight = dataclasses.replace(
            board,
            chip=dataclasses.replace(board.chip, flash_bytes=cached_firmware(board).flash_bytes),
        )
        image = dense()
        with pytest.raises(CapacityError, match="beside its firmware"):
            run_on_board(tight, image, draw(image, 1), firmware=cached_firmware(board))

    def test_input_that_does_not_fit_the_arena_is_refused(self, name: str, tmp_path: Path) -> None:
        board = board_or_skip(name)
        tight = dataclasses.replace(board, arena_bytes=2_000)
        image = dense(2_000, 1)
        assert not check_fit(describe_image(image), tight).fits
        with pytest.raises(DeviceError, match="arena is too small"):
            run_on_board(
                tight,
                image,
                draw(image, 1),
                firmware=build_firmware(tight, ops=("fully_connected",), out=tmp_path),
            )

    def test_missing_job_is_refused(self, name: str, tmp_path: Path) -> None:
        board = board_or_skip(name)
        elf = cached_firmware(board).elf
        with Emulator(board, elf, tmp_path / "none", icount=True, log=tmp_path / "log") as machine:
            assert machine.wait(60) != 0
        assert "flash" in (tmp_path / "log").read_text()

    def test_board_cannot_join_a_fleet(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="has agent = false: it only runs models"):
            FlashImage(tmp_path / "flash.bin", load_board(name))
