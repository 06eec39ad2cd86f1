"""Emulated boards: QEMU with the firmware, and a file as persistent memory."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekit.boards import Board
from edgekit.errors import ConfigError, ToolError
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.process import ChildProcess

# Program and package that emulate a core; all others are Arm's.
QEMU = {"rv32imac": ("qemu-system-riscv32", "qemu-system-misc")}
QEMU_ARM = ("qemu-system-arm", "qemu-system-arm")


class Emulator(ChildProcess):
    """A board in QEMU; use it as a context manager or call start and stop.

    The guest is 10.0.2.15; what it sends to 10.0.2.2:PORT arrives at 127.0.0.1:PORT.

    Args:
        board: A board with an [emulator] table.
        elf: Its firmware.
        flash_file: Its persistent memory, created if missing; for a board without an agent the
            job file of the bench.
        image: A model image and where it lies, for a board without an agent.
        icount: Let virtual time follow the number of instructions, so that ticks count them.
        log: File for console and messages of QEMU.

    Raises:
        ConfigError: If the board has no [emulator].
        ToolError: If QEMU is missing; the message names the package.
    """

    def __init__(
        self,
        board: Board,
        elf: Path,
        flash_file: Path,
        *,
        icount: bool = False,
        log: Path,
        image: tuple[Path, int] | None = None,
    ) -> None:
        command = qemu_command(board, elf, flash_file, icount=icount, image=image)
        if board.agent:
            FlashImage(flash_file, board)
        super().__init__(command, log=log, what=f"emulator of board '{board.name}'")
        self.board = board
        self.flash_file = flash_file


def find_qemu(board: Board) -> str:
    """Return the path of QEMU for a board.

    Raises:
        ToolError: If it is missing.
    """
    program, package = QEMU.get(board.core, QEMU_ARM)
    path = shutil.which(program)
    if path is None:
        raise ToolError(f"emulator '{program}' is missing; apt-get install {package}")
    return path


def qemu_command(
    board: Board,
    elf: Path,
    flash_file: Path,
    *,
    icount: bool,
    image: tuple[Path, int] | None = None,
) -> list[str]:
    """Return the command line that emulates a board."""
    data = board.emulator
    if data is None:
        raise ConfigError(f"board '{board.name}' has no [emulator]")
    for path in (elf, flash_file, *(image or ())[:1]):
        if "," in str(path):  # QEMU's separator of options
            raise ConfigError(f"{path}: the path of an emulated board must not contain a comma")
    semihosting = "enable=on,target=native"
    if board.agent:
        memory = (
            f"memory-backend-file,id=persistent,size={data.persistent_bytes},"
            f"mem-path={flash_file},share=on"
        )
        hardware = ["-M", f"{data.machine},memory-backend=persistent", "-object", memory]
        hardware += ["-nic", f"user,model={data.ethernet}"]
    else:
        # A controller on the board that leads nowhere would make QEMU warn.
        network = f"user,model={data.ethernet},restrict=on" if data.ethernet else "none"
        hardware = ["-M", data.machine, "-nic", network]
        hardware += ["-bios", "none"] if board.core in QEMU else []
        semihosting += f",arg={flash_file}"
    command = [find_qemu(board), *hardware, "-nographic", "-monitor", "none", "-serial", "stdio"]
    command += ["-semihosting-config", semihosting]
    if image is not None:
        command += ["-device", f"loader,file={image[0]},addr={image[1]:#x},force-raw=on"]
    if icount:
        command += ["-icount", f"shift={data.instruction_ns.bit_length() - 1}"]
    return [*command, "-kernel", str(elf)]
