"""C warnings as errors: every file of the firmware, by the compiler of every board that builds.

python -m tools.c_warnings host        boards whose core is the host
python -m tools.c_warnings cortex      all others
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgekit import share
from edgekit.boards import Board, boards, load_board
from edgekit.errors import EdgekitError
from edgekit.export.mcu import COMMON, FOLDER_FLAGS, PROGRAM, write_generated
from edgekit.export.toolchain import TOOLCHAINS, WARNINGS, find_compiler
from edgekit.ops import kernel_set

JOBS = 2


def commands(board: Board, sources: list[Path], generated: Path) -> list[list[str]]:
    """Return one compiler call per source, as `build_firmware` makes it but without an object."""
    firmware = share.firmware()
    toolchain = TOOLCHAINS[board.core]
    include = [generated, firmware / "ports" / board.port, firmware / "include"]
    include += [folder for name in (*COMMON, *PROGRAM) if (folder := firmware / name).is_dir()]
    base = [find_compiler(toolchain), "-c", "-o", "/dev/null", "-std=c11", "-O2", *WARNINGS]
    base += [*toolchain.core_flags, '-DEK_OP_SET_HEADER="ek_op_set.h"']
    base += [f"-I{folder}" for folder in include]
    base += ["-isystem", str(share.third_party())]
    return [[*base, *FOLDER_FLAGS.get(path.parent.name, ()), str(path)] for path in sources]


def check(kind: str) -> list[str]:
    """Compile what kind selects and return what the compilers complained about."""
    firmware = share.firmware()
    common = sorted(path for name in (*COMMON, *PROGRAM) for path in (firmware / name).glob("*.c"))
    done: set[tuple[str, str]] = set()
    jobs: list[list[str]] = []
    for board in map(load_board, boards()):
        if board.layout is None or board.core not in TOOLCHAINS:
            continue
        if (board.core == "host") != (kind == "host"):
            continue
        generated = share.cache_dir() / "check" / board.name
        write_generated(board, kernel_set("all"), generated)
        sources = [] if (board.core, "") in done else common
        if (board.core, board.port) not in done:
            sources = [*sources, *sorted((firmware / "ports" / board.port).glob("*.c"))]
        done |= {(board.core, ""), (board.core, board.port)}
        jobs += commands(board, sources, generated)
    with ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(
            lambda job: subprocess.run(job, capture_output=True, text=True, check=False), jobs
        )
        return [result.stderr for result in results if result.returncode != 0]


def main() -> int:
    """Check one kind of core."""
    if sys.argv[1:] not in (["host"], ["cortex"]):
        print("usage: python -m tools.c_warnings host|cortex", file=sys.stderr)
        return 2
    try:
        complaints = check(sys.argv[1])
    except EdgekitError as exc:
        complaints = [f"{exc}\n"]
    sys.stderr.writelines(complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
