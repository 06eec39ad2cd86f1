"""Programs of another engine in the same emulator, to stand beside ours in the table.

What such a program must do: docs/performance.md, "Another engine beside it".
"""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

from edgekit.boards import Board
from edgekit.errors import ConfigError, DeviceError
from edgekit.flash.qemu import find_qemu

TIMEOUT_S = 300.0
_LINE = re.compile(r"^instructions (\d+)\s*$")


def find_program(folder: Path, model: str, board: Board) -> Path | None:
    """Return `BOARD/MODEL.elf` of a folder, None if there is none."""
    path = folder / board.name / f"{model}.elf"
    return path if path.is_file() else None


def run_program(elf: Path, board: Board, *, timeout_s: float = TIMEOUT_S) -> int:
    """Run a program until it prints `instructions N`, and return N.

    Raises:
        ConfigError: If the board is not emulated.
        DeviceError: If it ends, or the time is over, before it printed that line.
        ToolError: If QEMU is missing.
    """
    data = board.emulator
    if data is None:
        raise ConfigError(f"board '{board.name}' has no [emulator]")
    line = [find_qemu(board), "-M", data.machine, "-nic", "none", "-nographic"]
    line += ["-monitor", "none", "-serial", "stdio"]
    line += ["-semihosting-config", "enable=on,target=native"]
    line += ["-icount", f"shift={data.instruction_ns.bit_length() - 1}", "-kernel", str(elf)]
    process = subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    watch = threading.Timer(timeout_s, process.kill)
    watch.start()
    try:
        assert process.stdout is not None
        for text in process.stdout:
            match = _LINE.match(text)
            if match is not None:
                return int(match[1])
        raise DeviceError(f"{elf.name} on board '{board.name}' printed no line 'instructions N'")
    finally:
        watch.cancel()
        process.kill()
        process.communicate()
