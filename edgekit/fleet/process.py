"""Child processes that do not outlive their parent, even when it is killed.

The child asks the kernel for a signal at its parent's death and then becomes the program, so that
no Python code runs between fork and exec of a threaded process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_STOP_S = 5.0

# prctl(PR_SET_PDEATHSIG = 1, SIGKILL = 9); a parent that is already gone ends the child at once.
_GUARD = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n"
    "if os.getppid() != int(sys.argv[1]): sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


def start_guarded(command: Sequence[str], *, parent: int, log: Path) -> subprocess.Popen[bytes]:
    """Start a program that dies with the thread that calls this, but not from its Ctrl-C.

    Args:
        command: Path of the program and its arguments.
        parent: Number of this process.
        log: File that takes its output, appended.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(parent), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: politely, then for good."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
