"""Running a model on a board with many inputs, and counting its instructions.

The firmware is the one of the fleet: a provisioning page with mode 1 makes it read a job from the
bench region instead of joining a fleet. A board without an agent has a firmware that does nothing
else; its job is a file, and its image lies at the end of the flash. In the emulator one instruction
takes a fixed time (-icount), so ticks of the board's timer count instructions.

Twin: firmware/agent/ek_bench.h
"""

from __future__ import annotations

import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit import share
from edgekit.boards import Board
from edgekit.errors import CapacityError, ConfigError, DeviceError, RefusedError
from edgekit.flash.flash_image import PROVISION_BYTES, FlashImage
from edgekit.flash.process import ChildProcess
from edgekit.flash.qemu import Emulator
from edgekit.flash.virtual import VirtualDevice
from edgekit.graph import Graph
from edgekit.runtime.text import text_bytes

if TYPE_CHECKING:
    from edgekit.export.mcu import Firmware

JOB_HEADER = struct.Struct("<4sHHIIIIIII")
RESULT_HEADER = struct.Struct("<4sHHIIIIIIII")
_VERSION = 1
_ALIGN = 16
BENCH_FILE_BYTES = 16 << 20
"""Size of the bench region of a board without an agent."""
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class CheckLoop:
    """A loop of known length, measured like a model: both numbers must be equal.

    Attributes:
        expected: Instructions by the source of the loop, 0 if the board cannot say.
        measured: Instructions by the board's timer.
    """

    expected: int
    measured: float


@dataclass(frozen=True, slots=True)
class BoardRun:
    """What a board computed.

    Attributes:
        outputs: [N, ...] of the model's output type and shape, without its leading 1.
        instructions: Per inference [N], whole numbers if a tick is shorter than half an
            instruction; empty if the board does not count them.
        layers: Instructions per node, in the order of the image; empty if not counted.
        ticks: Per inference [N], of the board's timer.
        arena_bytes: Arena that was really touched.
        stack_bytes: Stack that was really used, 0 if the board does not say.
        seconds: Wall-clock time on this machine, boot included.
        ids: Of texts, what the board's tokenizer made of them: int32 [N, L].
        text_instructions: Of making them, per text [N]; empty if not counted.
    """

    outputs: npt.NDArray[Any]
    instructions: npt.NDArray[np.float64]
    layers: tuple[float, ...]
    ticks: npt.NDArray[np.uint32]
    check_loop: CheckLoop
    arena_bytes: int
    stack_bytes: int
    seconds: float
    ids: npt.NDArray[np.int32]
    text_instructions: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Job:
    """What a board is to do: rows of inputs, or of texts behind their lengths."""

    image: bytes
    rows: npt.NDArray[Any]
    outputs: npt.NDArray[Any]
    ids: npt.NDArray[np.int32]

    @property
    def takes_text(self) -> bool:
        return self.ids.size > 0

    @property
    def output_bytes(self) -> int:
        return int(self.outputs[0].nbytes) + (self.ids[0].nbytes if self.takes_text else 0)


def run_on_board(
    board: Board,
    image: bytes,
    inputs: npt.NDArray[Any],
    *,
    firmware: Firmware | None = None,
    work: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> BoardRun:
    """Run a model image on a board, or on the host port, once per input.

    Args:
        image: An `.ekm`.
        inputs: Model inputs [N, ...] of the model's input type.
        firmware: What to run; by default one with all kernels is built and kept in the cache.
        work: Folder for flash file and log, kept afterwards; by default a temporary one.

    Raises:
        CapacityError: If the image or the job does not fit.
        DeviceError: If the board refuses the image or does not finish.
        ValueError: If there are no inputs, or they have another type.
    """
    from edgekit.formats.image_reader import read_image

    if board.support == "data":
        raise ConfigError(f"board '{board.name}' has support = \"{board.support}\": it cannot run")
    graph = read_image(image).graph
    kind = graph.tensor(graph.inputs[0]).dtype.value
    if inputs.dtype != kind or inputs.shape[0] == 0:
        raise ValueError(f"inputs are {inputs.dtype} {inputs.shape}, expected {kind} [N >= 1, ...]")
    program = firmware if firmware is not None else cached_firmware(board)
    job = _Job(image, inputs, _outputs(graph, len(inputs)), np.empty((0, 0), np.int32))
    return _run_in(work, board, program, job, timeout_s)


def run_texts_on_board(
    board: Board,
    image: bytes,
    texts: Sequence[str | bytes],
    *,
    firmware: Firmware | None = None,
    work: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> BoardRun:
    """Run an image that takes text on a board: its tokenizer, then the model, once per text.

    Arguments and errors are those of `run_on_board`.

    Raises:
        RefusedError: If the image takes no text.
    """
    from edgekit.formats.image_reader import read_image

    if board.support == "data":
        raise ConfigError(f"board '{board.name}' has support = \"{board.support}\": it cannot run")
    read = read_image(image)
    if read.features.kind != "bpe":
        raise RefusedError(f"model '{read.meta.name}' takes no text")
    if not texts:
        raise ValueError("no text is given")
    data = [text_bytes(text) for text in texts]
    rows = np.zeros((len(data), 4 + _align(max(map(len, data)))), np.uint8)
    for row, text in zip(rows, data, strict=True):
        row[: 4 + len(text)] = np.frombuffer(struct.pack("<I", len(text)) + text, np.uint8)
    program = firmware if firmware is not None else cached_firmware(board)
    length = read.graph.tensor(read.graph.inputs[0]).elements
    ids = np.empty((len(data), length), np.int32)
    job = _Job(image, rows, _outputs(read.graph, len(data)), ids)
    return _run_in(work, board, program, job, timeout_s)


def _outputs(graph: Graph, count: int) -> npt.NDArray[Any]:
    """Return room for outputs, in the shape of `Runner.run`."""
    y = graph.tensor(graph.outputs[0])
    row = y.shape[1:] if y.shape[:1] == (1,) else y.shape
    return np.empty((count, *row), y.dtype.value)


def _run_in(
    work: Path | None, board: Board, program: Firmware, job: _Job, timeout_s: float
) -> BoardRun:
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        return _run(board, program, job, work, timeout_s)
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as folder:
        return _run(board, program, job, Path(folder), timeout_s)


def cached_firmware(board: Board, ops: tuple[str, ...] | None = None) -> Firmware:
    """Build the firmware with ops, by default all kernels; quick the second time."""
    from edgekit.export.mcu import build_firmware
    from edgekit.ops import kernel_set, kernel_set_hash

    names = ops if ops is not None else kernel_set("all", board.chip.kernel_family)
    folder = share.cache_dir() / "firmware" / f"{board.name}-{kernel_set_hash(names).hex()}"
    return build_firmware(board, ops=names, out=folder)


def bench_page() -> bytes:
    """Return a provisioning page with mode 1. Source: PROTOCOL.md, "Provisioning page"."""
    page = bytearray(PROVISION_BYTES)
    page[:8] = struct.pack("<4sHH", b"EKPV", 1, 1)
    page[8:13] = b"bench"
    page[-4:] = struct.pack("<I", zlib.crc32(page[:-4]))
    return bytes(page)


def _run(
    board: Board,
    program: Firmware,
    job: _Job,
    work: Path,
    timeout_s: float,
) -> BoardRun:
    log = work / "board.log"
    log.unlink(missing_ok=True)
    child: ChildProcess
    if board.agent:
        flash = FlashImage(work / "flash.bin", board)
        flash.write_provision(bench_page())
        flash.write_slot("a", job.image)
        where = flash.region("bench")
        region = _Region(board, flash.path, where.offset, where.bytes)
    else:
        region = _Region(board, work / "bench.bin", 0, BENCH_FILE_BYTES)
        region.path.write_bytes(b"")
    outputs_at, result_at = _write_job(region, job)
    if board.emulator is None:
        child = VirtualDevice(program.elf, region.path, log=log)
    else:
        loaded = (
            None if board.agent else _place_image(board, program, job.image, work / "model.ekm")
        )
        child = Emulator(board, program.elf, region.path, icount=True, log=log, image=loaded)
    begin = time.monotonic()
    with child:
        status = child.wait(timeout_s)
    seconds = time.monotonic() - begin
    if status != 0:
        lines = child.log_tail(3).replace("\n", "; ")
        raise DeviceError(f"board '{board.name}' ended with status {status}: {lines or 'no word'}")
    count, size = len(job.rows), job.outputs[0].nbytes
    data = np.frombuffer(region.read(outputs_at, count * job.output_bytes), np.uint8)
    records = data.reshape(count, job.output_bytes)
    outputs = np.ascontiguousarray(records[:, :size]).view(job.outputs.dtype)
    ids = np.ascontiguousarray(records[:, size:]).view(np.int32)
    run = _read_result(region, result_at, job, _stack_bytes(child), seconds)
    return replace(run, outputs=outputs.reshape(job.outputs.shape), ids=ids)


@dataclass(frozen=True, slots=True)
class _Region:
    """The bench region, a part of a file."""

    board: Board
    path: Path
    offset: int
    length: int

    def read(self, at: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset + at)
            return file.read(count)

    def write(self, at: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.offset + at)
            file.write(data)


def _place_image(board: Board, program: Firmware, image: bytes, path: Path) -> tuple[Path, int]:
    """Write the image for the loader and return where it goes: to the end of the flash."""
    from edgekit.export.mcu import image_end

    room = board.flash_bytes - program.flash_bytes
    if _align(len(image)) > room:
        raise CapacityError(
            f"image has {len(image)} bytes, board '{board.name}' has {room} beside its firmware",
            needed_bytes=len(image),
            free_bytes=room,
        )
    path.write_bytes(image)
    return path, image_end(board) - _align(len(image))


def _write_job(region: _Region, job: _Job) -> tuple[int, int]:
    count, output_bytes = len(job.rows), job.output_bytes
    words = count * (1 + job.takes_text)
    data = np.ascontiguousarray(job.rows).tobytes()
    inputs_at = _align(JOB_HEADER.size + 4)
    outputs_at = _align(inputs_at + len(data))
    result_at = _align(outputs_at + count * output_bytes)
    room = region.length
    result_bytes = min(RESULT_HEADER.size + 4 * words + 65_536, max(room - result_at, 0))
    if result_bytes < RESULT_HEADER.size + 4 * words:
        raise CapacityError(
            f"{count} inputs of {len(data) // count} bytes need {result_at + 4 * words} bytes,"
            f" the bench region of board '{region.board.name}' has {room}",
            needed_bytes=result_at + RESULT_HEADER.size + 4 * words,
            free_bytes=room,
        )
    region.write(outputs_at, b"\xff" * (result_at - outputs_at + result_bytes))
    region.write(inputs_at, data)
    header = JOB_HEADER.pack(
        b"EKBJ",
        _VERSION,
        int(job.takes_text),
        count,
        len(data) // count,
        output_bytes,
        len(job.image),
        inputs_at,
        outputs_at,
        result_at,
    )
    region.write(0, header + struct.pack("<I", zlib.crc32(header)))
    return outputs_at, result_at


def _read_result(
    region: _Region,
    at: int,
    job: _Job,
    stack_bytes: int,
    seconds: float,
) -> BoardRun:
    board = region.board
    header = region.read(at, RESULT_HEADER.size)
    magic, version, status, done, arena, nodes, empty, short, long, expected, _ = (
        RESULT_HEADER.unpack(header)
    )
    count = len(job.rows)
    if magic != b"EKBR" or version != _VERSION or status != 0 or done != count:
        raise DeviceError(f"board '{board.name}' left no whole result of {count} inputs")
    every = count * (1 + job.takes_text) + nodes
    words = region.read(at + RESULT_HEADER.size, 4 * every)
    ticks = np.frombuffer(words, "<u4").astype(np.uint32)
    counted = board.emulator is not None
    scale = 1e9 / board.ticks_hz / board.emulator.instruction_ns if board.emulator else 0.0
    net = (ticks.astype(np.float64) - empty) * scale
    loop = (long - short) * scale
    if scale <= 0.5:  # a measurement is off by less than one tick: the whole number is known
        net, loop = np.rint(net), float(round(loop))
    return BoardRun(
        outputs=job.outputs,
        instructions=net[:count] if counted else np.empty(0, np.float64),
        layers=tuple(net[count : count + nodes].tolist()) if counted else (),
        ticks=ticks[:count],
        check_loop=CheckLoop(expected=expected, measured=loop),
        arena_bytes=arena,
        stack_bytes=stack_bytes,
        seconds=seconds,
        ids=job.ids,
        text_instructions=net[count + nodes :] if counted else np.empty(0, np.float64),
    )


def _stack_bytes(child: ChildProcess) -> int:
    for line in reversed(child.log_tail(5).splitlines()):
        words = line.split()
        if words[:3] == ["exit:", "stack", "used"] and len(words) > 3 and words[3].isdigit():
            return int(words[3])
    return 0


def _align(offset: int) -> int:
    return (offset + _ALIGN - 1) // _ALIGN * _ALIGN
