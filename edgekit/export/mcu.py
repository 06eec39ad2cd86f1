"""Building the firmware of a board: generated headers, compiled sources, sizes.

Everything that depends on the board or the kernel set lies in three generated files, `board.h`,
`ek_op_set.h` and the linker script, whose text is in `templates/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import edgekit
from edgekit import share
from edgekit.boards import Board
from edgekit.errors import CapacityError, ConfigError, ToolError
from edgekit.export.elf import ElfSizes, read_elf
from edgekit.export.toolchain import TOOLCHAINS, WARNINGS, Unit, compile_and_link
from edgekit.runtime.host import arch_folders as host_arch_folders

# Folders of firmware/ that every board gets, in link order, then one of two.
COMMON = ("kernels", "runtime", "features", "learn", "link", "boot", "crypto")
PROGRAM = ("agent",)
TOKENIZER = {True: "features/text", False: "features/no_text"}

# The trained head must agree bit for bit on every core, so no multiply-add is fused.
FOLDER_FLAGS = {"learn": ("-ffp-contract=off",)}

# Of learn/ only the inner loops are built for speed; the rest takes a fifth less flash.
_FAST = {"learn": ("ek_net", "ek_train")}

# The number that learning computes with, by whether the core has an FPU.
NUMBERS = {True: "learn/float32", False: "learn/fixed"}

# Kernels keep as many sums in registers as there are; the early scheduler would spill them.
ARCH_FLAGS = ("-fno-schedule-insns",)

# Folders of kernels/arch that a core adds to those of its extensions.
CORE_FOLDERS = {
    "cortex-m0": ("armv6m",),
    "cortex-m3": ("armv7m",),
    "cortex-m55": ("mve",),
    "rv32imac": ("rv32",),
}

# What a board without an agent gets instead: these libraries, a bench, and its job from a file.
BENCH_COMMON = ("kernels", "runtime", "features")
BENCH_SOURCES = (
    "link/ek_frame.c",  # the checksum
    "bench/ek_bench_main.c",
    "ports/common/bench/ek_bench_store.c",
    "agent/ek_bench.c",
)
BENCH_FILE_BYTES = 16 << 20  # Twin: edgekit/flash/bench.py

# A function of a C source, by its first line.
_DEFINED = re.compile(r"^(?:static )?\w+[ *]+(\w+)\(", re.MULTILINE)

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True, slots=True)
class Firmware:
    """A built firmware.

    Attributes:
        flash_bytes: Code, constants and initial values.
        ram_bytes: All writable memory, with arena, feature cache and stack.
        static_bytes: ram_bytes without arena, feature cache and stack.
    """

    board: str
    elf: Path
    ops: tuple[str, ...]
    flash_bytes: int
    ram_bytes: int
    static_bytes: int
    kernel_set_hash: bytes
    version: str
    sizes: ElfSizes


def build_firmware(board: Board, *, ops: tuple[str, ...], out: Path) -> Firmware:
    """Build the firmware of a board with the kernels of ops: the agent, or the bench alone.

    Args:
        ops: Names of operators, as in `edgekit.ops`.
        out: Folder for the program and the generated files; created.

    Raises:
        ConfigError: If the board has no port.
        CapacityError: If the program is larger than the limits of the board.
        ToolError: If a compiler or source is missing, or compiling fails.
    """
    return build_program(board, ops=ops, out=out, units=program_units(board))


def program_units(board: Board) -> list[Unit]:
    """Return the sources of the agent, or of the bench for a board without an agent."""
    firmware = share.firmware()
    if not board.agent:
        return [Unit(firmware / name) for name in BENCH_SOURCES]
    return [
        Unit(path, source_flags(path, folder))
        for folder in PROGRAM
        for path in sorted((firmware / folder).glob("*.c"))
    ]


def source_flags(path: Path, folder: str) -> tuple[str, ...]:
    """Return the flags that only a source of a folder of firmware/ needs."""
    size = ("-Os",) if path.stem not in _FAST.get(folder, (path.stem,)) else ()
    return (*FOLDER_FLAGS.get(folder, ()), *size)


def arch_folders(board: Board) -> list[Path]:
    """Return the folders with kernels for what the core of a board has, the best first."""
    if board.core == "host":
        return [share.firmware() / folder for folder in host_arch_folders()]
    arch = share.firmware() / "kernels" / "arch"
    names = [*CORE_FOLDERS.get(board.core, ()), *(["dsp"] if board.chip.has_dsp else [])]
    return [arch / name for name in names]


def library_units(board: Board, *, text: bool = True) -> list[Unit]:
    """Return the sources that stand between program and port.

    A file of an arch folder replaces the portable one of the same stem.

    Args:
        text: With the tokenizer.
    """
    firmware = share.firmware()
    fast: dict[str, Path] = {}
    for folder in arch_folders(board):
        for path in sorted(folder.glob("*.[cS]")):
            fast.setdefault(path.stem, path)
    common = (*COMMON, numbers_folder(board)) if board.agent else BENCH_COMMON
    portable = [
        Unit(path, source_flags(path, folder))
        for folder in (*common, TOKENIZER[text])
        for path in sorted((firmware / folder).glob("*.c"))
        if path.stem not in fast
    ]
    return [*portable, *(Unit(path, ARCH_FLAGS) for path in fast.values())]


def numbers_folder(board: Board) -> str:
    """Return the folder of firmware/ with the number that a board learns with."""
    return NUMBERS[board.chip.has_fpu]


def port_folders(board: Board) -> list[Path]:
    """Return the folders whose sources make the port: those of the core, then the board's own.

    Port `mps2/cmsdk` is what all MPS2 boards share and what those with this clock add.

    Raises:
        ConfigError: If there is no such port.
    """
    ports = share.firmware() / "ports"
    own = ports / board.port
    if not board.port or not own.is_dir():
        raise ConfigError(f"board '{board.name}' names port '{board.port}', there is no such port")
    outer = [folder for folder in own.parents if folder.is_relative_to(ports) and folder != ports]
    return [*(ports / name for name in TOOLCHAINS[board.core].ports), *reversed(outer), own]


def port_units(board: Board) -> list[Unit]:
    """Return the sources of the port of a board."""
    return [
        Unit(path)
        for folder in port_folders(board)
        for path in sorted(folder.iterdir())
        if path.suffix in (".c", ".S")
    ]


def build_program(
    board: Board, *, ops: tuple[str, ...], out: Path, units: Sequence[Unit]
) -> Firmware:
    """Build another program on the same libraries and port: tests of the port do so.

    Args:
        units: Sources of the program itself, with `main`.

    Raises:
        ConfigError: If the board has no port.
        CapacityError: If the program is larger than the limits of the board.
        ToolError: If a compiler or source is missing, or compiling fails.
    """
    from edgekit.ops import kernel_set_hash, takes_ids

    if not ops:
        raise ConfigError("a firmware needs at least one kernel")
    if board.support == "data":
        raise ConfigError(
            f"board '{board.name}' has support = \"{board.support}\": no firmware can be built"
        )
    firmware = share.firmware()
    monocypher = share.third_party()
    generated = out / "generated"
    script = write_generated(board, ops, generated)

    libraries = library_units(board, text=takes_ids(ops))
    if board.agent:
        libraries.append(Unit(monocypher / "monocypher.c", ("-DBLAKE2_NO_UNROLLING",)))
    checked = [
        unit
        if unit.source.suffix != ".c" or unit.source.is_relative_to(monocypher)
        else Unit(unit.source, (*WARNINGS, *unit.flags))
        for unit in [*libraries, *units, *port_units(board)]
    ]
    toolchain = TOOLCHAINS[board.core]
    elf = out / ("agent" if board.core == "host" else "firmware.elf")
    names = (*COMMON, *PROGRAM, numbers_folder(board))
    folders = [firmware / "include", *(firmware / name for name in names)]
    try:
        compile_and_link(
            toolchain,
            checked,
            include=[
                generated,
                *port_folders(board),
                *(folder for folder in folders if folder.is_dir()),
                *arch_folders(board),
                monocypher,
            ],
            flags=(
                "-std=c11",
                "-O2",
                "-ffunction-sections",
                "-fdata-sections",
                "-fno-common",
                '-DEK_OP_SET_HEADER="ek_op_set.h"',
            ),
            link_script=script,
            elf=elf,
        )
    except ToolError as exc:
        raise _explain(board, exc) from exc
    sizes = read_elf(elf)
    planned = board.arena_bytes + board.feature_cache_bytes + board.stack_bytes
    return Firmware(
        board=board.name,
        elf=elf,
        ops=tuple(ops),
        flash_bytes=sizes.flash_bytes,
        ram_bytes=sizes.ram_bytes,
        static_bytes=sizes.ram_bytes - planned if board.core != "host" else 0,
        kernel_set_hash=kernel_set_hash(ops),
        version=edgekit.__version__,
        sizes=sizes,
    )


def tokenizer_bytes(firmware: Firmware) -> int:
    """Return the bytes of the tokenizer's code in a firmware, 0 if it has none."""
    folder = share.firmware() / TOKENIZER[True]
    names = {
        name
        for path in folder.glob("*.c")
        for name in _DEFINED.findall(path.read_text(encoding="utf-8"))
    }
    found = {symbol.name: symbol.bytes for symbol in firmware.sizes.symbols}
    if "ek_utf8_next" not in found:
        return 0
    return sum(size for name, size in found.items() if name.split(".")[0] in names)


def write_generated(board: Board, ops: tuple[str, ...], folder: Path) -> Path | None:
    """Write what the sources include; return the linker script, None for the host."""
    from edgekit.ops import kernel_set_hash

    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "board.h", board_header(board, ops, kernel_set_hash(ops)))
    _write(folder / "ek_op_set.h", op_set_header(ops))
    if board.core == "host":
        return None
    script = folder / "board.ld"
    _write(script, linker_script(board))
    return script


def board_header(board: Board, ops: Sequence[str], set_hash: bytes) -> str:
    """Return the text of `board.h`."""
    regions = (
        [(name, region.offset, region.bytes) for name, region in board.layout]
        if board.layout is not None
        else [("bench", 0, BENCH_FILE_BYTES)]
    )
    places = "".join(
        f"#define EK_FLASH_{name.upper()}_OFFSET {offset:#x}\n"
        f"#define EK_FLASH_{name.upper()}_BYTES {size}\n"
        for name, offset, size in regions
    )
    hardware = "".join(
        f"#define EK_{name.upper()} {value:#x}u\n" for name, value in board.chip.peripherals
    )
    emulator = board.emulator
    end = 0 if board.layout is None else board.layout.end
    return _fill(
        "board.h",
        name=board.name,
        sensors=",".join(board.sensors),
        core=board.core,
        version=edgekit.__version__,
        ops=", ".join(ops) or "none",
        hash_bytes=", ".join(f"{byte:#04x}" for byte in set_hash),
        ram_bytes=board.ram_bytes,
        flash_bytes=board.flash_bytes,
        stack_bytes=board.stack_bytes,
        arena_bytes=board.arena_bytes,
        feature_cache_bytes=board.feature_cache_bytes,
        ticks_hz=board.ticks_hz,
        persistent_base=f"{emulator.persistent_base:#x}" if emulator is not None else "0",
        persistent_bytes=emulator.persistent_bytes if emulator is not None else end,
        flash_page_bytes=board.chip.flash_page_bytes,
        image_end=f"{image_end(board):#x}u",
        regions=places,
        peripherals=hardware,
    )


def image_end(board: Board) -> int:
    """Return the address where the image of a board without an agent ends: the end of its flash."""
    return board.chip.flash_base + board.flash_bytes


def op_set_header(ops: Sequence[str]) -> str:
    """Return the text of `ek_op_set.h`: the lines of `ek_ops.def` for ops, in its order.

    Raises:
        ConfigError: If an operator has no line.
    """
    lines = {}
    text = (share.firmware() / "include" / "ek_ops.def").read_text(encoding="utf-8")
    for match in re.finditer(r"^X(16)?\(\w+, \d+, (\w+), \d\)$", text, re.MULTILINE):
        lines[match.group(2) + ("_s16" if match.group(1) else "")] = match.group(0)
    unknown = [op for op in ops if op not in lines]
    if unknown:
        raise ConfigError(f"operator '{unknown[0]}' is not in ek_ops.def")
    return _fill("ek_op_set.h", lines="\n".join(lines[op] for op in lines if op in ops))


def linker_script(board: Board) -> str:
    """Return the linker script: a program beyond the limits of the board does not link."""
    return _fill(
        TOOLCHAINS[board.core].link_script,
        name=board.name,
        flash_base=f"{board.chip.flash_base:#010x}",
        firmware_bytes=board.firmware_bytes,
        ram_base=f"{board.chip.ram_base:#010x}",
        ram_bytes=board.ram_bytes,
        stack_bytes=board.stack_bytes,
    )


def _fill(template: str, **values: object) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return Template(text).substitute({key: str(value) for key, value in values.items()})


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _explain(board: Board, error: ToolError) -> Exception:
    overflow = re.search(r"region `?'?(\w+)' overflowed by (\d+) bytes", str(error))
    if overflow is None:
        return error
    has = board.firmware_bytes if overflow.group(1) == "FLASH" else board.ram_bytes
    needed = has + int(overflow.group(2))
    kind = "flash" if overflow.group(1) == "FLASH" else "RAM"
    return CapacityError(
        f"firmware needs {needed} bytes of {kind}, board '{board.name}' has {has} for it",
        needed_bytes=needed,
        free_bytes=has,
    )
