"""Firmware builds: what is generated, what is compiled, what is refused."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

import edgekit
from edgekit import share
from edgekit.boards import load_board
from edgekit.errors import CapacityError, ConfigError, ToolError
from edgekit.export.elf import read_elf
from edgekit.export.mcu import (
    Firmware,
    board_header,
    build_firmware,
    build_program,
    linker_script,
    op_set_header,
)
from edgekit.export.toolchain import Unit
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.qemu import Emulator
from edgekit.ops import kernel_set, kernel_set_hash

OPS = ("fully_connected", "softmax")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    out = tmp_path_factory.mktemp("firmware")
    return build_firmware(load_board("mps2_an386"), ops=kernel_set("all"), out=out)


def test_board_header_says_what_the_board_file_says() -> None:
    board = load_board("mps2_an386")
    text = board_header(board, OPS, bytes(range(8)))
    assert text == board_header(board, OPS, bytes(range(8)))
    lines = text.splitlines()
    assert '#define EK_BOARD_NAME "mps2_an386"' in lines
    assert '#define EK_BOARD_SENSORS ""' in lines
    assert f'#define EK_FIRMWARE_VERSION "{edgekit.__version__}"' in lines
    assert "    { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07 }" in lines
    assert "#define EK_FLASH_SLOT_B_OFFSET 0x70000" in lines
    assert "#define EK_FLASH_SLOT_B_BYTES 393216" in lines
    assert "#define EK_PERSISTENT_BASE 0x21000000" in lines
    assert "$" not in text
    assert str(share.firmware()) not in text


def test_linker_script_has_the_declared_limits() -> None:
    text = linker_script(load_board("mps2_an386"))
    assert "ORIGIN = 0x00000000, LENGTH = 196608" in text
    assert "ORIGIN = 0x20000000, LENGTH = 262144" in text


def test_op_set_header_keeps_the_order_of_the_list() -> None:
    lines = op_set_header(("softmax", "conv_2d")).splitlines()
    assert [line.split(",")[2].strip() for line in lines if line.startswith("X(")] == [
        "conv_2d",
        "softmax",
    ]


def test_unknown_operator_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"operator 'fourier' is not in ek_ops\.def"):
        op_set_header(("fourier",))


def test_board_of_which_only_data_is_known_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"support = \"data\": no firmware can be built"):
        build_firmware(load_board("stm32vldiscovery"), ops=OPS, out=tmp_path)


def test_firmware_without_kernels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs at least one kernel"):
        build_firmware(load_board("mps2_an386"), ops=(), out=tmp_path)


def test_missing_compiler_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="'arm-none-eabi-gcc' is missing; apt-get install gcc-arm"):
        build_firmware(load_board("mps2_an386"), ops=OPS, out=tmp_path)


@pytest.mark.cc
def test_host_agent_builds_and_refuses_to_run_unprovisioned(tmp_path: Path) -> None:
    from edgekit.flash.virtual import VirtualDevice

    firmware = build_firmware(load_board("host"), ops=OPS, out=tmp_path)
    assert firmware.kernel_set_hash == kernel_set_hash(OPS)
    device = VirtualDevice(firmware.elf, tmp_path / "flash.bin", log=tmp_path / "log")
    with device:
        assert device.wait(30) == 1
    assert "magic does not match" in (tmp_path / "log").read_text()


@pytest.mark.emulator
class TestCross:
    def test_firmware_stays_within_the_declared_limits(self, built: Firmware) -> None:
        board = load_board("mps2_an386")
        assert 0 < built.flash_bytes <= board.firmware_bytes
        assert 0 < built.ram_bytes <= board.ram_bytes
        assert built.static_bytes <= 49_152
        assert built.kernel_set_hash == kernel_set_hash(kernel_set("all"))

    def test_second_build_takes_less_than_two_seconds(
        self, built: Firmware, tmp_path: Path
    ) -> None:
        begin = time.monotonic()
        again = build_firmware(load_board("mps2_an386"), ops=kernel_set("all"), out=tmp_path)
        assert time.monotonic() - begin < 2
        assert again.elf.read_bytes() == built.elf.read_bytes()

    def test_program_holds_no_path_of_this_machine(self, built: Firmware) -> None:
        data = built.elf.read_bytes()
        for path in (share.firmware(), share.third_party(), Path.home()):
            if len(path.parts) > 2:
                assert str(path).encode() not in data

    def test_fewer_kernels_take_less_flash(self, built: Firmware, tmp_path: Path) -> None:
        small = build_firmware(load_board("mps2_an386"), ops=OPS, out=tmp_path)
        assert small.flash_bytes < built.flash_bytes - 5_000
        names = {symbol.name for symbol in read_elf(small.elf).symbols}
        assert "ek_softmax_s8" in names
        assert "ek_depthwise_conv_2d_s8" not in names

    def test_firmware_beyond_the_flash_does_not_link(self, tmp_path: Path) -> None:
        board = load_board("mps2_an386")
        chip = dataclasses.replace(board.chip, flash_bytes=board.chip.flash_bytes - 160_000)
        tight = dataclasses.replace(board, chip=chip)
        with pytest.raises(
            CapacityError, match=r"bytes of flash, board 'mps2_an386' has 36608"
        ) as e:
            build_firmware(tight, ops=kernel_set("all"), out=tmp_path)
        assert e.value.needed_bytes > e.value.free_bytes == 36_608

    def test_firmware_beyond_the_ram_does_not_link(self, tmp_path: Path) -> None:
        board = load_board("mps2_an386")
        tight = dataclasses.replace(board, chip=dataclasses.replace(board.chip, ram_bytes=215_040))
        with pytest.raises(CapacityError, match=r"bytes of RAM, board 'mps2_an386' has 215040"):
            build_firmware(tight, ops=kernel_set("all"), out=tmp_path)

    def test_compile_error_is_one_line_with_the_file(self, tmp_path: Path) -> None:
        source = tmp_path / "broken.c"
        source.write_text("int main(void) { return nothing; }\n")
        with pytest.raises(ToolError, match=r"^broken\.c: .*'nothing' undeclared") as caught:
            build_program(load_board("mps2_an386"), ops=OPS, out=tmp_path, units=[Unit(source)])
        assert "\n" not in str(caught.value)

    def test_firmware_without_provisioning_page_says_so(
        self, built: Firmware, tmp_path: Path
    ) -> None:
        board = load_board("mps2_an386")
        flash = FlashImage(tmp_path / "flash.bin", board)
        with Emulator(board, built.elf, flash.path, log=tmp_path / "log") as machine:
            assert machine.wait(60) == 1
        assert "provisioning page" in (tmp_path / "log").read_text()
