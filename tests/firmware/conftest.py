"""C programs of these tests: compiled once per run, with sanitizers and warnings as errors."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from firmware_twin import HERE, Twin, sources

from edgekit import share
from edgekit.boards import load_board
from edgekit.export.mcu import board_header

SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = (
    "-std=c11",
    "-O1",
    "-g",
    "-ffp-contract=off",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Werror",
)
KERNEL_SET_HASH = bytes(range(1, 9))

Compile = Callable[[str, Sequence[Path]], Path]


@pytest.fixture(scope="session")
def compile_program(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile sources with board.h of the host board, and return the program."""
    folder = tmp_path_factory.mktemp("firmware")
    header = board_header(load_board("host"), ["none"], KERNEL_SET_HASH)
    (folder / "board.h").write_text(header)
    compiler = shutil.which("cc")
    assert compiler is not None

    def compile_(name: str, sources: Sequence[Path]) -> Path:
        firmware = share.firmware()
        monocypher = share.third_party()
        program = folder / name
        own = ("include", ".", "kernels", "runtime", "agent")
        include = [folder, *(firmware / name for name in own), monocypher, HERE]
        common = [*FLAGS, *SANITIZE, *(f"-I{path}" for path in include)]
        other = folder / "monocypher.o"
        if not other.exists():
            _cc([compiler, *common, "-w", "-c", monocypher / "monocypher.c", "-o", other])
        _cc([compiler, *common, *sources, other, "-o", program])
        return program

    return compile_


def _cc(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def twin(compile_program: Compile) -> Twin:
    """The program that runs the C side of every twin."""
    learn = [path for path in sources("learn") if path.name != "ek_learn.c"]
    boot = share.firmware() / "boot" / "ek_provision.c"
    return Twin(
        compile_program("twin", [HERE / "twin.c", *sources("link", "crypto"), *learn, boot])
    )
