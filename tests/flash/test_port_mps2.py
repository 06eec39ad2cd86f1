"""The port to Arm's emulated boards: a program of its own plays one case per function."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit import share
from edgekit.boards import Board, boards, load_board
from edgekit.errors import CapacityError, ConfigError, DeviceError, StoreError, ToolError
from edgekit.export.mcu import board_header, linker_script, port_folders, port_units
from edgekit.export.toolchain import TOOLCHAINS, WARNINGS, Unit, compile_and_link
from edgekit.flash.flash_image import FlashImage, encode_samples
from edgekit.flash.process import ChildProcess
from edgekit.flash.qemu import Emulator, qemu_command

DONE = 42
TIMEOUT_S = 60.0


BOARDS = [name for name in boards() if load_board(name).port.startswith("mps2/")]


@pytest.fixture(scope="module", params=BOARDS)
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(str(request.param))


@pytest.fixture(scope="module")
def elf(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("port")
    (folder / "board.h").write_text(board_header(board, (), bytes(8)))
    (folder / "board.ld").write_text(linker_script(board))
    return build_port(board, folder, Path(__file__).parent / "port_main.c")


def build_port(board: Board, folder: Path, main: Path) -> Path:
    firmware = share.firmware()
    units = [
        Unit(unit.source, WARNINGS if unit.source.suffix == ".c" else ())
        for unit in port_units(board)
    ]
    monocypher = share.third_party()
    compile_and_link(
        TOOLCHAINS[board.core],
        [*units, Unit(main, ("-Wno-infinite-recursion",)), Unit(monocypher / "monocypher.c")],
        include=[folder, *port_folders(board), firmware / "include", monocypher],
        flags=("-std=c11", "-O2", "-ffunction-sections", "-fdata-sections"),
        link_script=folder / "board.ld",
        elf=folder / "port.elf",
    )
    return folder / "port.elf"


def play(board: Board, elf: Path, folder: Path, case: bytes) -> tuple[int, str]:
    flash = FlashImage(folder / "flash.bin", board)
    flash.write("bench", case)
    with Emulator(board, elf, flash.path, log=folder / "log") as machine:
        return machine.wait(TIMEOUT_S), (folder / "log").read_text()


@pytest.mark.emulator
class TestPort:
    def test_datagrams_come_back_as_sent(self, board: Board, elf: Path, tmp_path: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(TIMEOUT_S)
            port = server.getsockname()[1]

            def echo() -> None:
                for _ in range(200):
                    data, peer = server.recvfrom(4096)
                    server.sendto(data, peer)

            thread = threading.Thread(target=echo, daemon=True)
            thread.start()
            case = bytes([1, 0]) + port.to_bytes(2, "little")
            status, _ = play(board, elf, tmp_path, case)
            thread.join(TIMEOUT_S)
        assert status == DONE

    def test_flash_keeps_its_rules(self, board: Board, elf: Path, tmp_path: Path) -> None:
        assert play(board, elf, tmp_path, b"\x02")[0] == DONE
        assert FlashImage(tmp_path / "flash.bin", board).read("learn", 5, 4) == b"\1\2\3\xff"

    def test_stack_overflow_is_a_named_fault(self, board: Board, elf: Path, tmp_path: Path) -> None:
        status, log = play(board, elf, tmp_path, b"\x03")
        assert status == 101
        assert "stack overflow" in log

    def test_access_to_nowhere_is_a_fault_with_its_address(
        self, board: Board, elf: Path, tmp_path: Path
    ) -> None:
        status, log = play(board, elf, tmp_path, b"\x04")
        assert status == 101
        assert "bfar 3f000000" in log

    def test_persistent_memory_survives_resets_and_processes(
        self, board: Board, elf: Path, tmp_path: Path
    ) -> None:
        status, log = play(board, elf, tmp_path, b"\x05")
        assert status == DONE
        assert log.count("reset") == 2
        assert play(board, elf, tmp_path, b"\x05")[0] == DONE
        state = FlashImage(tmp_path / "flash.bin", board).read("state", 0, 5)
        assert state == b"\0\0\0\0\xff"

    def test_samples_are_read_in_order(self, board: Board, elf: Path, tmp_path: Path) -> None:
        raw = np.array([[10 * i + k for k in range(4)] for i in range(3)], np.uint8)
        flash = FlashImage(tmp_path / "flash.bin", board)
        flash.write_samples(encode_samples([1000, 1001, 1002], raw))
        assert play(board, elf, tmp_path, b"\x06")[0] == DONE

    def test_clock_runs_and_idle_sleeps(self, board: Board, elf: Path, tmp_path: Path) -> None:
        assert play(board, elf, tmp_path, b"\x07")[0] == DONE

    def test_random_bytes_differ_in_every_run(
        self, board: Board, elf: Path, tmp_path: Path
    ) -> None:
        runs = []
        for name in ("first", "second"):
            status, log = play(board, elf, tmp_path / name, b"\x08")
            assert status == DONE
            runs.append(log.split()[:40])
        assert len(runs[0]) == 40
        assert runs[0] != runs[1]

    def test_unknown_case_ends_with_its_exit_code(
        self, board: Board, elf: Path, tmp_path: Path
    ) -> None:
        status, log = play(board, elf, tmp_path, b"\x63")
        assert status == 9
        assert "stack used" in log

    def test_emulator_dies_with_its_parent(self, board: Board, elf: Path, tmp_path: Path) -> None:
        """A killed edgekit once left an emulator behind that held the gateway's port."""
        program = textwrap.dedent(f"""
            import sys, threading, time
            from pathlib import Path
            from edgekit.boards import load_board
            from edgekit.flash.qemu import Emulator
            folder = Path({str(tmp_path)!r})
            machine = Emulator(load_board({board.name!r}), Path({str(elf)!r}),
                               folder / "flash.bin", log=folder / "log")
            thread = threading.Thread(target=machine.start)
            thread.start()
            thread.join()
            print(machine.pid, flush=True)
            time.sleep(600)
        """)
        flash = FlashImage(tmp_path / "flash.bin", board)
        flash.write("bench", b"\x01\x00\x09\x00")  # waits for echoes that never come
        environment = {**os.environ, "PYTHONPATH": str(Path(share.__file__).parents[1])}
        parent = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
        )
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.stdout.close()
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rsplit(")", 1)[1].split()[0] != "Z"


def test_missing_emulator_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="'qemu-system-arm' is missing; apt-get install"):
        qemu_command(
            load_board("mps2_an386"), tmp_path / "x.elf", tmp_path / "flash.bin", icount=False
        )


def test_board_without_emulator_is_refused(tmp_path: Path) -> None:
    board = load_board("stm32vldiscovery")
    with pytest.raises(ConfigError, match=r"board 'stm32vldiscovery' has no \[emulator\]"):
        qemu_command(board, tmp_path / "x.elf", tmp_path / "flash.bin", icount=False)


def test_flash_file_is_erased_and_laid_out(tmp_path: Path) -> None:
    flash = FlashImage(tmp_path / "flash.bin", load_board("mps2_an386"))
    assert flash.path.stat().st_size == 16 << 20
    assert set(flash.read("slot_b")) == {0xFF}
    flash.write_slot("a", b"image")
    assert flash.path.read_bytes()[0x10000:0x10006] == b"image\xff"
    assert [path.name for path in tmp_path.iterdir()] == ["flash.bin"]


def test_image_larger_than_the_slot_is_refused(tmp_path: Path) -> None:
    flash = FlashImage(tmp_path / "flash.bin", load_board("mps2_an386"))
    with pytest.raises(CapacityError, match=r"393217 bytes at 0x0 do not fit into 'slot_a'"):
        flash.write_slot("a", bytes(393_217))


def test_flash_file_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flash.bin").write_bytes(b"x")
    with pytest.raises(StoreError, match="has 1 bytes, the persistent memory of board"):
        FlashImage(tmp_path / "flash.bin", load_board("mps2_an386"))


def test_child_that_runs_too_long_is_stopped(tmp_path: Path) -> None:
    child = ChildProcess(["sleep", "60"], log=tmp_path / "log", what="sleeper")
    child.start()
    with pytest.raises(DeviceError, match=r"sleeper did not end within 0\.1 s"):
        child.wait(0.1)
    assert not child.running


def test_program_that_does_not_exist_is_a_tool_error(tmp_path: Path) -> None:
    child = ChildProcess([str(tmp_path / "none")], log=tmp_path / "log", what="nothing")
    with pytest.raises(ToolError, match="cannot start nothing: No such file"):
        child.start()
