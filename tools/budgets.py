"""Write `tests/budgets.toml`: what small models may cost; a test fails where one costs more.

python -m tools.budgets
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit.boards import load_board
from edgekit.export.compile import compile_tflite
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.formats.image_reader import read_image
from tools.bench.models import public_files

_TESTS = Path(__file__).resolve().parents[1] / "tests"
FILE = _TESTS / "budgets.toml"
BOARDS = ("mps2_an386", "mps3_an547")
HEAD = """\
# What one inference may cost: instructions in the emulator and bytes of arena. A test fails where
# more than 1 % is added. Written by `python -m tools.budgets`; lower is always fine.
"""


def sources() -> dict[str, bytes]:
    """Return the models by name; public files only where their folder is."""
    sys.path.insert(0, str(_TESTS))
    models = importlib.import_module("reference_models").MODELS
    made = {name: make() for name, make in models.items()}
    return {**made, **{name: path.read_bytes() for name, path in public_files().items()}}


def measure(name: str, source: bytes, board_name: str) -> dict[str, int]:
    """Return what a model costs on a board."""
    board = load_board(board_name)
    model = compile_tflite(source, name=name, family=board.chip.kernel_family)
    graph = read_image(model.image).graph
    shape = graph.tensor(graph.inputs[0]).shape
    inputs = np.random.default_rng(0).integers(-128, 128, (1, *shape[1:]), np.int8)
    done = run_on_board(board, model.image, inputs, firmware=cached_firmware(board, model.ops))
    return {"instructions": round(float(done.instructions[0])), "arena_bytes": model.arena_bytes}


def text() -> Iterator[str]:
    """Yield the lines of the file."""
    yield HEAD
    for name, source in sources().items():
        for board in BOARDS:
            costs = measure(name, source, board)
            cells = ", ".join(f"{key} = {value:_}" for key, value in costs.items())
            yield f"{name}.{board} = {{ {cells} }}\n"


def main() -> int:
    """Write the file."""
    FILE.write_text("".join(text()), encoding="utf-8")
    print(f"wrote {FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
