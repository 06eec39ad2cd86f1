"""What a step of learning costs on a board, and what it computes there: measured, not guessed.

Twin: firmware/bench/ek_learn_probe.c
"""

from __future__ import annotations

import itertools
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit import share
from edgekit.boards import Board
from edgekit.errors import DeviceError
from edgekit.export.mcu import FOLDER_FLAGS, build_program, numbers_folder, source_flags
from edgekit.export.toolchain import Unit
from edgekit.flash.process import ChildProcess
from edgekit.flash.qemu import Emulator
from edgekit.flash.virtual import VirtualDevice
from edgekit.runtime.moments import Moments
from edgekit.runtime.net import DenseNet
from edgekit.runtime.online import OnlineHead

WARM, MEASURED = 32, 16
INPUTS = 40
NET_SIZES = (1, 32, 32, 1)
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class HeadCase:
    """A head that the program trains."""

    method: str
    features: int
    classes: int
    most_classes: int
    momentum: bool = False


CASES = (
    HeadCase("ol", 64, 12, 12),
    HeadCase("ol-v2", 64, 10, 12),
    HeadCase("lwf", 64, 12, 12),
    HeadCase("cwr", 64, 12, 12),
    HeadCase("ol", 64, 12, 12, True),
    HeadCase("ol", 16, 3, 5),
    HeadCase("ol", 256, 4, 4),
    HeadCase("ol", 16, 40, 40),
    HeadCase("ol", 128, 20, 24, True),
    HeadCase("lwf", 16, 3, 5),
    HeadCase("lwf", 256, 4, 4),
    HeadCase("lwf", 16, 40, 40),
    HeadCase("cwr", 16, 3, 5),
    HeadCase("cwr", 256, 4, 4),
    HeadCase("cwr", 16, 40, 40),
    HeadCase("ol", 16, 40, 40, True),
    HeadCase("ol", 256, 4, 4, True),
    HeadCase("ol-v2", 128, 2, 12),
    HeadCase("ol", 100, 20, 20),
    HeadCase("lwf", 100, 20, 20),
    HeadCase("cwr", 100, 20, 20),
    HeadCase("ol", 100, 20, 20, True),
)


@dataclass(frozen=True, slots=True)
class LearnProbe:
    """What came back.

    Attributes:
        instructions: Of a step, mean of 16, per case; of cwr with one consolidation in them.
        checksums: CRC-32 of what a checkpoint of each head holds, then that of standardized inputs.
        net_instructions: Of a step of the dense net.
        net_checksum: CRC-32 of its parameters.
        step_bytes: Memory of its step beside the sample.
        batch_bytes: Memory of a step on a batch of 32.
    """

    instructions: tuple[float, ...]
    checksums: tuple[int, ...]
    net_instructions: float
    net_checksum: int
    step_bytes: int
    batch_bytes: int


def run_learn_probe(board: Board, *, work: Path | None = None) -> LearnProbe:
    """Build the probe for a board and run it: on the host, or emulated.

    Raises:
        DeviceError: If a step fails there or the program does not end.
        ToolError: If compiler or emulator is missing.
    """
    if work is None:
        with tempfile.TemporaryDirectory(prefix="edgekit-probe-") as folder:
            return run_learn_probe(board, work=Path(folder))
    firmware = share.firmware()
    units = [Unit(firmware / "bench" / "ek_learn_probe.c"), Unit(firmware / "agent" / "ek_line.c")]
    if not board.agent:
        units.append(Unit(firmware / "link" / "ek_frame.c"))
        names = ("exp", "net", "online", "moments")
        sources = [firmware / "learn" / f"ek_{name}.c" for name in names]
        units += [Unit(path, source_flags(path, "learn")) for path in sources]
        units += [
            Unit(path, FOLDER_FLAGS["learn"])
            for path in sorted((firmware / numbers_folder(board)).glob("*.c"))
        ]
    program = build_program(board, ops=("add",), out=work, units=units)
    log, flash = work / "probe.log", work / "flash.bin"
    child: ChildProcess
    if board.emulator is None:
        flash.write_bytes(b"\xff" * (board.layout.end if board.layout is not None else 0))
        child = VirtualDevice(program.elf, flash, log=log)
    else:
        child = Emulator(board, program.elf, flash, icount=True, log=log)
    with child:
        status = child.wait(TIMEOUT_S)
    if status != 0:
        raise DeviceError(f"board '{board.name}' ended with status {status}: {child.log_tail(3)}")
    return _read(board, child.log_tail(200))


def _read(board: Board, text: str) -> LearnProbe:
    found: dict[str, list[tuple[int, ...]]] = {"head": [], "inputs": [], "net": [], "bytes": []}
    for line in text.splitlines():
        name, *words = line.split()[-5:] if len(line.split()) >= 5 else [""]
        if name in found:
            found[name].append(tuple(map(int, words)))
    lines = [row for rows in found.values() for row in rows]
    if len(lines) != len(CASES) + 3 or not found["inputs"] or any(r[-1] for r in lines):
        raise DeviceError(f"board '{board.name}' left no whole result of {len(CASES)} heads")
    scale = 1e9 / board.ticks_hz / board.emulator.instruction_ns if board.emulator else 0.0
    ((step_bytes, batch_bytes, _, _),) = found["bytes"]
    return LearnProbe(
        instructions=tuple(row[1] * scale / MEASURED for row in found["head"]),
        checksums=tuple(row[2] for row in (*found["head"], *found["inputs"])),
        net_instructions=found["net"][0][1] * scale / MEASURED,
        net_checksum=found["net"][0][2],
        step_bytes=step_bytes,
        batch_bytes=batch_bytes,
    )


def _draws(seed: int) -> Iterator[int]:
    while True:
        seed = (seed * 1664525 + 1013904223) % 2**32
        yield seed >> 8


def _inputs_checksum(kind: str) -> int:
    draw = _draws(7)
    moments = Moments(INPUTS, scale=0.046875, zero_point=-90, warm_up=40, window=16, kind=kind)
    rows = [[next(draw) % (8 + f) - 100 + f for f in range(INPUTS)] for _ in range(WARM + MEASURED)]
    last = moments.standardize(np.array(rows, np.int8))[-1]
    return zlib.crc32(last.tobytes(), zlib.crc32(moments.checkpoint()[:-4]))


def expected_checksums(kind: str) -> tuple[tuple[int, ...], int]:
    """Return the checksums of this machine's own library: of heads and inputs, of the net."""
    heads = []
    for number, case in enumerate(CASES):
        draw = _draws(number + 1)
        head = OnlineHead(
            np.zeros((case.classes, case.features), np.float32),
            np.zeros(case.classes, np.float32),
            scale=0.0625,
            zero_point=-5,
            method=case.method,
            most_classes=case.most_classes,
            rate=0.03125,
            momentum=0.5 * case.momentum,
            decay=0.0078125,
            clip=10.0,
            batch=MEASURED,
            kind=kind,
        )
        for _ in range(WARM + MEASURED):
            label = next(draw) % case.most_classes
            row = [next(draw) % 64 - 32 + (label * 7 + f * 5) % 40 for f in range(case.features)]
            head.learn(np.array([row], np.int8), [label])
        heads.append(zlib.crc32(head.checkpoint()))
    heads.append(_inputs_checksum(kind))
    draw = _draws(99)
    count = sum(m * (n + 1) for n, m in itertools.pairwise(NET_SIZES))
    values = np.array([next(draw) % 512 - 256 for _ in range(count)], np.float32)
    net = DenseNet(NET_SIZES, parameters=values * np.float32(0.0009765625), kind=kind)
    for _ in range(WARM + MEASURED):
        x, y = (np.float32(next(draw) % 1024 - 512) * np.float32(0.0078125) for _ in range(2))
        net.train([[x]], [[y]], rate=0.0078125, clip=10.0)
    return tuple(heads), zlib.crc32(net.stored)
