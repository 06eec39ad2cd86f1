"""C programs of these tests, compiled with sanitizers and with warnings as errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from firmware_twin import HERE, KERNEL_SET_HASH, Twin, sources
from sanitized import FLAGS, TOOLCHAIN

from edgekit import share
from edgekit.boards import load_board
from edgekit.export.mcu import board_header
from edgekit.export.toolchain import WARNINGS, Unit, compile_and_link

FOLDERS = (
    "include",
    ".",
    "kernels",
    "runtime",
    "features",
    "link",
    "boot",
    "learn",
    "learn/float32",
    "agent",
)

Compile = Callable[[str, Sequence[Path]], Path]


@pytest.fixture(scope="session")
def compile_program(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile sources with board.h of the host board, and return the program."""
    folder = tmp_path_factory.mktemp("firmware")
    header = board_header(load_board("host"), ["none"], KERNEL_SET_HASH)
    (folder / "board.h").write_text(header)

    def compile_(name: str, files: Sequence[Path]) -> Path:
        firmware, monocypher = share.firmware(), share.third_party()
        program = folder / name
        compile_and_link(
            TOOLCHAIN,
            [*(Unit(path, WARNINGS) for path in files), Unit(monocypher / "monocypher.c")],
            include=[folder, *(firmware / name for name in FOLDERS), monocypher, HERE],
            flags=FLAGS,
            link_script=None,
            elf=program,
        )
        return program

    return compile_


@pytest.fixture(scope="session")
def twin(compile_program: Compile) -> Twin:
    """The program that runs the C side of every twin."""
    learn = [path for path in sources("learn") if path.name not in ("ek_learn.c", "ek_answer.c")]
    boot = share.firmware() / "boot" / "ek_provision.c"
    files = [HERE / "twin.c", *sources("link", "crypto"), *learn, boot]
    return Twin(compile_program("twin", files))
