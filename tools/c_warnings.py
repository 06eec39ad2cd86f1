"""C warnings as errors: every file of the firmware, by the compiler of every board that builds.

python -m tools.c_warnings host        boards whose core is the host
python -m tools.c_warnings cortex      all others
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgekit import share
from edgekit.boards import Board, boards, load_board
from edgekit.errors import EdgekitError
from edgekit.export.mcu import (
    COMMON,
    FOLDER_FLAGS,
    PROGRAM,
    arch_folders,
    library_units,
    numbers_folder,
    port_folders,
    port_units,
    program_units,
    write_generated,
)
from edgekit.export.toolchain import TOOLCHAINS, WARNINGS, find_compiler
from edgekit.ops import kernel_set

JOBS = 2

OPTIONAL = ("rv32imac",)
"""Cores whose compiler `make setup` does not install: half a gigabyte."""


def commands(board: Board, sources: list[Path], generated: Path) -> list[list[str]]:
    """Return one compiler call per source, as `build_firmware` makes it but without an object."""
    firmware = share.firmware()
    toolchain = TOOLCHAINS[board.core]
    include = [generated, *port_folders(board), firmware / "include"]
    names = (*COMMON, *PROGRAM, numbers_folder(board))
    include += [folder for name in names if (folder := firmware / name).is_dir()]
    include += arch_folders(board)
    base = [find_compiler(toolchain), "-c", "-o", "/dev/null", "-std=c11", "-O2", *WARNINGS]
    base += [*toolchain.core_flags, '-DEK_OP_SET_HEADER="ek_op_set.h"']
    base += [f"-I{folder}" for folder in include]
    base += ["-isystem", str(share.third_party())]
    return [[*base, *FOLDER_FLAGS.get(path.parent.name, ()), str(path)] for path in sources]


def check(kind: str) -> list[str]:
    """Compile what kind selects and return what the compilers complained about."""
    done: set[tuple[Path, str]] = set()
    jobs: list[list[str]] = []
    for board in map(load_board, boards()):
        if board.support == "data" or (board.core == "host") != (kind == "host"):
            continue
        if board.core in OPTIONAL and shutil.which(TOOLCHAINS[board.core].compiler) is None:
            continue
        generated = share.cache_dir() / "check" / board.name
        write_generated(board, kernel_set("all"), generated)
        # Portable sources once, with the first board that has them; ports for every core.
        # What computes with numbers, once with each kind of them.
        kind_of = {"learn": numbers_folder(board)}
        units = [*library_units(board), *program_units(board)]
        wanted = [(unit.source, kind_of.get(unit.source.parent.name, "")) for unit in units]
        wanted += [(unit.source, board.core) for unit in port_units(board)]
        if kind == "host":
            # Only the library of this machine has them.
            wanted += [(path, "") for path in sorted((share.firmware() / "host").glob("*.c"))]
        wanted = [key for key in wanted if key[0].suffix == ".c" and key not in done]
        done |= set(wanted)
        sources = [path for path, _ in wanted]
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
