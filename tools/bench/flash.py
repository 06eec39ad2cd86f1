"""Flash of a model as a C library: what it adds to a program, without its weights."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from edgekit import share
from edgekit.boards import Board
from edgekit.errors import ToolError
from edgekit.export.compile import CompiledModel
from edgekit.export.elf import read_elf
from edgekit.export.library import library_files
from edgekit.export.toolchain import TOOLCHAINS, find_compiler

FLAGS = ("-std=c11", "-Os", "-ffunction-sections", "-fdata-sections")
RUN = "return (int)model_run(input, output, arena);"
EMPTY = "return arena[0] + input[0] + output[0];"


def code_bytes(model: CompiledModel, board: Board) -> int:
    """Return .text, .rodata and .data of a program that runs the model, beyond an empty program's.

    The weights are not counted; everything else of the model is.

    Raises:
        ToolError: If a compiler is missing or the library does not build.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-flash-") as name:
        folder = Path(name)
        for path, text in library_files(model, prefix="model").items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        whole, empty = (_program(folder, board, body) for body in (RUN, EMPTY))
    return whole - empty - model.weight_bytes


def _program(folder: Path, board: Board, body: str) -> int:
    toolchain = TOOLCHAINS[board.core]
    main = folder / "main.c"
    main.write_text(
        '#include "model.h"\n'
        "_Alignas(16) uint8_t arena[MODEL_ARENA_BYTES];\n"
        "int8_t input[MODEL_INPUT_BYTES], output[MODEL_OUTPUT_BYTES];\n"
        f"int main(void) {{ {body} }}\n",
        encoding="utf-8",
    )
    sources = [main, *sorted((folder / "src").glob("*.[cS]"))]
    include = [f"-I{folder / 'include'}"]
    if board.core == "rv32imac":  # has no C library; the port brings memcpy
        port = share.firmware() / "ports" / "riscv"
        sources.append(port / "ek_string.c")
        include.append(f"-I{port}")
    elf = folder / "program.elf"
    line = [find_compiler(toolchain), *toolchain.core_flags, *FLAGS, *include]
    line += [*map(str, sources), "-o", str(elf), *toolchain.link_flags, "-Wl,--entry=main"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"C library for {board.core}: {done.stderr.strip()[-300:]}")
    return read_elf(elf).flash_bytes
