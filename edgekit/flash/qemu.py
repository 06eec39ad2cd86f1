"""Emulated boards: QEMU with the firmware, and a file as persistent memory."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekit.boards import Board
from edgekit.errors import ConfigError, ToolError
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.process import ChildProcess

QEMU = "qemu-system-arm"
PACKAGE = "qemu-system-arm"


class Emulator(ChildProcess):
    """A board in QEMU; use it as a context manager or call start and stop.

    The guest is 10.0.2.15; what it sends to 10.0.2.2:PORT arrives at 127.0.0.1:PORT.

    Args:
        board: A board with an [emulator] table.
        elf: Its firmware.
        flash_file: Its persistent memory, created if missing.
        icount: Let virtual time follow the number of instructions, so that ticks count them.
        log: File for console and messages of QEMU.

    Raises:
        ConfigError: If the board has no [emulator].
        ToolError: If QEMU is missing; the message names the package.
    """

    def __init__(
        self, board: Board, elf: Path, flash_file: Path, *, icount: bool = False, log: Path
    ) -> None:
        command = qemu_command(board, elf, flash_file, icount=icount)
        FlashImage(flash_file, board)
        super().__init__(command, log=log, what=f"emulator of board '{board.name}'")
        self.board = board
        self.flash_file = flash_file


def find_qemu() -> str:
    """Return the path of QEMU.

    Raises:
        ToolError: If it is missing.
    """
    path = shutil.which(QEMU)
    if path is None:
        raise ToolError(f"emulator '{QEMU}' is missing; apt-get install {PACKAGE}")
    return path


def qemu_command(board: Board, elf: Path, flash_file: Path, *, icount: bool) -> list[str]:
    """Return the command line that emulates a board."""
    data = board.emulator
    if data is None:
        raise ConfigError(f"board '{board.name}' has no [emulator]")
    for path in (elf, flash_file):
        if "," in str(path):  # QEMU's separator of options
            raise ConfigError(f"{path}: the path of an emulated board must not contain a comma")
    memory = (
        f"memory-backend-file,id=persistent,size={data.persistent_bytes},"
        f"mem-path={flash_file},share=on"
    )
    command = [find_qemu(), "-M", f"{data.machine},memory-backend=persistent", "-object", memory]
    command += ["-nographic", "-monitor", "none", "-serial", "stdio"]
    command += ["-semihosting-config", "enable=on,target=native"]
    command += ["-nic", f"user,model={data.ethernet}"]
    if icount:
        command += ["-icount", f"shift={data.instruction_ns.bit_length() - 1}"]
    return [*command, "-kernel", str(elf)]
