"""Instructions, memory and flash of models on emulated boards.

Each model runs in the emulator on a few inputs; what it answers is compared byte for byte with
LiteRT's reference kernels, and a figure with a wrong answer is not ok.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.boards import Board, boards, load_board
from edgekit.errors import CapacityError, ConfigError, ToolError
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.library import library_files
from edgekit.export.toolchain import TOOLCHAINS, compiler_version, find_compiler
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.formats.tflite import read_tflite
from edgekit.quantize.interpreter import LiteModel
from tools.bench.flash import code_bytes
from tools.bench.mcu_data import BOARDS, M4, SMALL_BOARDS, TARGETS
from tools.bench.models import network_files, public_files
from tools.bench.rows import Result, Row, count, result_key, resumed, row, table
from tools.bench.tflm import find_program, run_program

INPUTS = 3
AREA = "mcu"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to measure.

    Attributes:
        only: Name of one model, or `MODEL/BOARD`; empty: everything.
        models: Folder of `.tflite` files instead of the reference networks.
        boards: Names; empty: those of the tables, for a folder the Cortex-M4.
        family: Kernel family instead of what each chip states.
        tflm: Folder with programs of another engine.
    """

    only: str = ""
    seed: int = 0
    models: Path | None = None
    boards: tuple[str, ...] = ()
    family: str = ""
    tflm: Path | None = None

    @property
    def whole(self) -> bool:
        """Whether this is the set whose summary is kept in the repository."""
        return self == Choice()


def measure(choice: Choice) -> list[Result]:
    """Measure every chosen model on every chosen board; what is known is not measured again.

    Returns:
        Facts by name; `missing` says why there are none.

    Raises:
        ConfigError: If nothing is chosen, or a folder is empty.
    """
    if choice.models is not None:
        files = {path.stem: path for path in sorted(choice.models.glob("*.tflite"))}
        if not files:
            raise ConfigError(f"{choice.models}: has no .tflite files")
    else:
        files = {**network_files(choice.seed), **public_files()}
    names = choice.boards or (tuple(BOARDS) if choice.models is None else (M4,))
    results = []
    for board in names:
        for name, path in files.items():
            if choice.only and choice.only not in (name, f"{name}/{board}"):
                continue
            if choice.models is None and name not in SMALL_BOARDS.get(board, files):
                continue
            print(f"{name} on {board}", file=sys.stderr, flush=True)
            results.append(_measure(name, path.read_bytes(), board, choice))
    if not results:
        raise ConfigError(f"'{choice.only}' is no model; there are {', '.join(files)}")
    return results


def _measure(name: str, source: bytes, board_name: str, choice: Choice) -> Result:
    facts: Result = {"model": name, "board": board_name}
    if board_name not in boards():
        return {**facts, "missing": "there is no such board"}
    board = load_board(board_name)
    family = choice.family or board.chip.kernel_family
    model = compile_tflite(source, name=name, family=family)
    facts |= {
        "family": family,
        "kernels": list(model.ops),
        "macs": model.macs,
        "nominal_macs": nominal_macs(source),
        "arena_bytes": model.arena_bytes,
        "image_bytes": len(model.image),
        "weight_bytes": model.weight_bytes,
    }
    if model.arena_bytes > board.arena_bytes:
        room = f"{board.arena_bytes:,}"
        return {**facts, "missing": f"arena of {model.arena_bytes:,} bytes, there are {room}"}
    try:
        facts |= _flash(model, board, f"{name}-{board_name}-{choice.seed}")
        facts |= _run(model, source, board, f"{name}-{board_name}-{choice.seed}", choice.seed)
    except (CapacityError, ToolError) as exc:
        facts["missing"] = str(exc)
    program = find_program(choice.tflm, name, board) if choice.tflm is not None else None
    if program is not None:
        facts["tflm_instructions"] = run_program(program, board)
    return facts


def _flash(model: CompiledModel, board: Board, name: str) -> Result:
    files = library_files(model, prefix="model")
    compiler = compiler_version(find_compiler(TOOLCHAINS[board.core]))
    key = result_key(compiler, board.core, *(part for item in files.items() for part in item))
    return resumed("mcu-flash", name, key, lambda: {"code_bytes": code_bytes(model, board)})


def _run(model: CompiledModel, source: bytes, board: Board, name: str, seed: int) -> Result:
    firmware = cached_firmware(board, model.ops)
    inputs = draw_inputs(LiteModel(source), seed)
    key = result_key(firmware.elf.read_bytes(), model.image, inputs.tobytes(), repr(board))

    def run() -> Result:
        expected = LiteModel(source).run(inputs)
        done = run_on_board(board, model.image, inputs, firmware=firmware)
        wrong = np.any((done.outputs != expected).reshape(INPUTS, -1), axis=1)
        return {
            "instructions": round(float(done.instructions.max())),
            "inputs": INPUTS,
            "wrong": int(wrong.sum()),
            "check_loop": [done.check_loop.expected, done.check_loop.measured],
            "stack_bytes": done.stack_bytes,
        }

    return resumed(AREA, name, key, run)


def draw_inputs(model: LiteModel, seed: int) -> npt.NDArray[np.int8]:
    """Return int8 inputs [3, ...]: uniform, normal around the zero point, and extremes."""
    rng = np.random.default_rng([seed, 7])
    shape = model.shape
    normal = np.clip(rng.normal(model.input.zero_point, 40, shape), -128, 127)
    extreme = rng.choice(np.array([-128, 127]), shape)
    rows = [rng.integers(-128, 128, shape), np.rint(normal), extreme]
    return np.stack(rows).astype(np.int8)


def nominal_macs(source: bytes) -> int:
    """Return the multiply-accumulates that a file asks for, before any pass."""
    graph = read_tflite(source, name="model")
    total = 0
    for node in graph.nodes:
        y = graph.tensor(node.outputs[0])
        if node.op in ("CONV_2D", "FULLY_CONNECTED"):
            weights = graph.tensor(node.inputs[1])
            total += y.elements * (weights.elements // weights.shape[0])
        elif node.op == "DEPTHWISE_CONV_2D":
            _, high, wide, _ = graph.tensor(node.inputs[1]).shape
            total += y.elements * high * wide
        elif node.op == "BATCH_MATMUL":
            x = graph.tensor(node.inputs[0])
            total += y.elements * x.shape[-2 if node.attrs.get("adj_x") else -1]
    return total


def rows_of(results: Sequence[Result]) -> list[Row]:
    """Return the figures of what was measured, with their targets."""
    rows = []
    for facts in results:
        name, board = facts["model"], facts["board"]
        target = TARGETS.get(name)
        at = f"{name} on {board}"
        aimed = target is not None and board in target.instructions
        good = facts.get("wrong") == 0 and facts["check_loop"][0] == round(facts["check_loop"][1])
        rows.append(
            row(
                f"{at}: instructions",
                facts.get("instructions"),
                "instructions",
                target.instructions[board] if target is not None and aimed else None,
                good=good,
            )
        )
        each = facts["instructions"] / facts["macs"] if "instructions" in facts else None
        rows.append(row(f"{at}: instructions per MAC", each, "1", None, good=good))
        arena = target.arena_bytes if target is not None and aimed else None
        rows.append(row(f"{at}: arena", facts.get("arena_bytes"), "bytes", arena, good=good))
        flash = target.flash_bytes if target is not None and board == M4 else None
        rows.append(
            row(
                f"{at}: flash in C-library mode",
                facts.get("code_bytes"),
                "bytes",
                flash,
                good=good,
            )
        )
        rows.append(row(f"{at}: weights", facts.get("weight_bytes"), "bytes", None, good=good))
        rows.append(row(f"{at}: wrong answers", facts.get("wrong"), "inputs", 0, good=good))
        if "tflm_instructions" in facts:
            other = facts["tflm_instructions"]
            rows.append(row(f"{at}: the other engine", other, "instructions", None, good=True))
    return rows


TITLES = (
    "model",
    "instructions",
    "target",
    "per MAC",
    "arena",
    "target",
    "code",
    "target",
    "weights",
    "wrong",
    "check loop",
)


def text_of(results: Sequence[Result]) -> str:
    """Return a table for each board."""
    blocks = []
    for board in dict.fromkeys(facts["board"] for facts in results):
        chosen = [facts for facts in results if facts["board"] == board]
        family = ", ".join(sorted({facts.get("family", "-") for facts in chosen}))
        other = any("tflm_instructions" in facts for facts in chosen)
        titles = (*TITLES, "other engine") if other else TITLES
        lines = [line_of(facts, other=other) for facts in chosen]
        head = f"{board} ({BOARDS.get(board, 'board')}), kernels: {family}"
        notes = [f"{f['model']}: {f['missing']}" for f in chosen if "missing" in f]
        blocks.append("\n".join([head, "", table(titles, lines), *notes]))
    return "\n\n".join(blocks)


def line_of(facts: Result, *, other: bool = False) -> list[str]:
    """Return the cells of one model on one board."""
    target = TARGETS.get(facts["model"])
    board = facts["board"]
    aimed = target is not None and board in target.instructions
    each = facts["instructions"] / facts["macs"] if "instructions" in facts else None
    loop = facts.get("check_loop")
    cells = [
        facts["model"],
        count(facts.get("instructions")),
        count(target.instructions[board] if target is not None and aimed else None),
        "-" if each is None else f"{each:.2f}",
        count(facts.get("arena_bytes")),
        count(target.arena_bytes if target is not None and aimed else None),
        count(facts.get("code_bytes")),
        count(target.flash_bytes if target is not None and board == M4 else None),
        count(facts.get("weight_bytes")),
        f"{facts['wrong']} of {facts['inputs']}" if "wrong" in facts else "-",
        f"{loop[1]:,.0f} of {loop[0]:,}" if loop else "-",
    ]
    return [*cells, count(facts.get("tflm_instructions"))] if other else cells
