"""Figures of learning on a device: instructions of a step, code, memory."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from edgekit import share
from edgekit.boards import Board, load_board
from edgekit.errors import ToolError
from edgekit.export.compile import compile_tflite
from edgekit.export.mcu import numbers_folder, source_flags, write_generated
from edgekit.export.toolchain import TOOLCHAINS, find_compiler
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.flash.learn_probe import CASES, HeadCase, expected_checksums, run_learn_probe
from edgekit.formats.image_reader import read_image
from tools.bench.models import public_files
from tools.bench.rows import Result, Row, result_key, resumed, row, row_of_least
from tools.calibrate import draw_input

AREA = "federated"
BOARD = "mps2_an386"
EXACT_BOARDS = ("mps2_an386", "mps2_an500", "mps3_an547", "mps2_an385")
MODEL = "kws_public"
STEP_TARGETS = {"ol": 10.0, "lwf": 35.0, "cwr": 35.0}
CODE_TARGET_BYTES = 8_000
RATIO_TARGET = 2.0
BATCH = 32
CHUNK_BYTES = 1_024
CODE = (
    *("ek_exp", "ek_net", "ek_online", "ek_guard", "ek_learn"),
    *("ek_exchange", "ek_codec", "ek_head_hash"),
)
"""Sources of OL, CWR and Reptile: numbers, nets, heads, guard, checkpoints, the update's bytes."""

_SIZES_OF = """\
#include "ek_agent.h"
const char floats[EK_HEAD_FLOATS_MAX] = {1};
const char client[sizeof(ek_agent_learn) - EK_FEATURE_CACHE_BYTES] = {1};
const char masks[sizeof(ek_secure)] = {1};
"""


def measure(seed: int = 0) -> list[Result]:
    """Measure everything; results are kept under `build/bench/` until a source changes.

    Args:
        seed: Of the input that the inference is counted with.

    Raises:
        ToolError: If a compiler, the emulator or the model is missing.
    """
    path = public_files().get(MODEL)
    if path is None:
        raise ToolError(f"model {MODEL} is missing: name the folder of models by EDGEKIT_MODELS")
    folders = (share.firmware() / name for name in ("learn", "bench", "agent"))
    sources = [path for folder in folders for path in sorted(folder.rglob("*.[ch]"))]
    code = (path.read_bytes() for path in sources)
    key = result_key(*code, path.read_bytes(), Path(__file__).read_bytes(), str(seed))
    return [resumed(AREA, f"device-{seed}", key, lambda: _measure(path, seed))]


def _measure(path: Path, seed: int) -> Result:
    board = load_board(BOARD)
    compiled = compile_tflite(path.read_bytes(), name="kws", family=board.chip.kernel_family)
    graph = read_image(compiled.image).graph
    inputs = draw_input(graph.tensors[graph.inputs[0]], np.random.default_rng(seed))
    run = run_on_board(board, compiled.image, inputs, firmware=cached_firmware(board, compiled.ops))
    probe = run_learn_probe(board)
    steps = dict(zip(CASES, probe.instructions, strict=True))
    equal = 0
    for name in EXACT_BOARDS:
        other = load_board(name)
        found = probe if name == BOARD else run_learn_probe(other)
        kind = numbers_folder(other).rpartition("/")[2]
        equal += (found.checksums, found.net_checksum) == expected_checksums(kind)
    floats, client, masks = client_bytes(board)
    return {
        "set": "device",
        "inference": float(run.instructions[0]),
        "steps": {method: steps[HeadCase(method, 64, 12, 12)] for method in STEP_TARGETS},
        "net_step": probe.net_instructions,
        "code_bytes": code_bytes(board),
        "step_bytes": probe.step_bytes,
        "batch_bytes": probe.batch_bytes,
        "client_floats": floats,
        "client_bytes": client,
        "mask_bytes": masks,
        "equal_boards": equal,
    }


def code_bytes(board: Board) -> int:
    """Return .text and .rodata of what learns, compiled as the firmware is."""
    learn = share.firmware() / "learn"
    with tempfile.TemporaryDirectory(prefix="edgekit-learn-") as name:
        objects = [_compile(board, learn / f"{stem}.c", Path(name)) for stem in CODE]
        return sum(map(_object_bytes, objects))


def client_bytes(board: Board) -> tuple[int, int, int]:
    """Return P, the memory of a client of P parameters without its sample store, that of masks."""
    with tempfile.TemporaryDirectory(prefix="edgekit-learn-") as name:
        source = Path(name) / "sizes.c"
        source.write_text(_SIZES_OF, encoding="utf-8")
        made = _compile(board, source, Path(name))
        found = _run("arm-none-eabi-nm", "-S", str(made))
    sizes = {m[2]: int(m[1], 16) for m in re.finditer(r"^\w+ (\w+) \w (\w+)$", found, re.MULTILINE)}
    return sizes["floats"], sizes["client"], sizes["masks"]


def _compile(board: Board, source: Path, folder: Path) -> Path:
    firmware, toolchain = share.firmware(), TOOLCHAINS[board.core]
    generated = folder / "generated"
    write_generated(board, ("add",), generated)
    names = ("include", "learn", numbers_folder(board), "link", "runtime", "agent", "boot")
    include = [generated, *(firmware / each for each in names), share.third_party()]
    out = folder / f"{source.stem}.o"
    line = [find_compiler(toolchain), *toolchain.core_flags, "-std=c11", "-O2", "-c", str(source)]
    line += ["-ffunction-sections", "-fdata-sections", *source_flags(source, "learn")]
    _run(*line, *(f"-I{path}" for path in include), "-o", str(out))
    return out


def _object_bytes(path: Path) -> int:
    return int(_run("arm-none-eabi-size", str(path)).splitlines()[1].split()[0])


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{Path(command[0]).name}: {done.stderr.strip()[-300:]}")
    return done.stdout


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures with their targets."""
    return [figure for each in results if each.get("set") == "device" for figure in _rows(each)]


def _rows(found: Result) -> list[Row]:
    steps = [
        row(
            f"learning step by {method}, 64 -> 12, {BOARD}, of the inference of kws",
            100 * found["steps"][method] / found["inference"],
            "%",
            target,
            good=True,
        )
        for method, target in STEP_TARGETS.items()
    ]
    floats = found["client_floats"]
    client = f"memory of a client of {floats} parameters"
    limit = 8 * floats + CHUNK_BYTES
    batch = f"memory of batch Reptile, {BATCH} samples, by sample by sample, 1-32-32-1"
    ratio = found["batch_bytes"] / found["step_bytes"]
    boards = "boards that learn the bits of the host"
    return [
        *steps,
        row("code of OL, CWR and Reptile", found["code_bytes"], "B", CODE_TARGET_BYTES, good=True),
        row(client, found["client_bytes"], "B", limit, good=True),
        row_of_least(batch, ratio, "x", RATIO_TARGET),
        row_of_least(boards, found["equal_boards"], "", len(EXACT_BOARDS)),
    ]


def lines_of(results: list[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    lines = []
    for each in results:
        if each.get("set") != "device":
            continue
        for method, step in each["steps"].items():
            lines.append([f"step by {method}, {BOARD}", f"{step:,.0f} instructions"])
        lines.append(["inference", f"{each['inference']:,.0f} instructions"])
        lines.append(["step of the sine regressor", f"{each['net_step']:,.0f} instructions"])
        lines.append(["its memory", f"{each['step_bytes']:,} bytes"])
        lines.append([f"its memory with {BATCH} samples at once", f"{each['batch_bytes']:,} bytes"])
        lines.append(["code", f"{each['code_bytes']:,} bytes"])
        lines.append(["client", f"{each['client_bytes']:,} bytes"])
        lines.append(["besides, for secure aggregation", f"{each['mask_bytes']:,} bytes"])
    return lines
