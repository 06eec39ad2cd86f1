"""Sentence models on emulated boards: the bytes of the host, and a cost that grows with tokens."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_models import small_text

from edgekit.boards import load_board
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.flash.bench import BoardRun, cached_firmware, run_on_board
from edgekit.runtime import Runner
from tools.calibrate import image_of
from tools.sweeps import single

BOARDS = ("mps2_an386", "mps2_an500", "mps2_an385_v6m", "rv32_virt")


def run(board: str, kind: str, ids: np.ndarray) -> tuple[CompiledModel, BoardRun]:
    found = load_board(board)
    data = small_text(kind)[1].data
    model = compile_tflite(data, name="text", family=found.chip.kernel_family, fuse=True)
    firmware = cached_firmware(found, model.ops)
    return model, run_on_board(found, model.image, ids, firmware=firmware)


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("kind", ["attention", "paper"])
@pytest.mark.parametrize("board", BOARDS)
def test_board_gives_the_bytes_of_the_host(board: str, kind: str) -> None:
    ids = small_text(kind)[2][:4]
    model, found = run(board, kind, ids)
    assert np.array_equal(found.outputs, Runner(model.image).run(ids))


@pytest.mark.emulator
@pytest.mark.cc
def test_cost_grows_with_the_tokens() -> None:
    ids = np.zeros((3, 24), np.int32)
    for row, tokens in zip(ids, (3, 12, 24), strict=True):
        row[:tokens] = 7
    counts = run("mps2_an386", "attention", ids)[1].instructions
    assert counts[0] * 3 < counts[1]
    assert counts[1] * 1.8 < counts[2]


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize(("rows", "k", "n"), [(3, 7, 5), (2, 6, 2), (1, 5, 3)])
def test_products_of_any_width_are_those_of_the_host(rows: int, k: int, n: int) -> None:
    """Four terms a word on cores with DSP instructions, and what is left of them."""
    attrs = {"activation": "NONE", "weights_format": 0, "keep_num_dims": False}
    image = image_of(single("FULLY_CONNECTED", [(rows, k), (n, k)], (rows, n), attrs))
    board = load_board("mps2_an386")
    shape = (1, k) if rows == 1 else (1, rows, k)
    x = np.random.default_rng(k).integers(-128, 128, shape, np.int8)
    firmware = cached_firmware(board, ("fully_connected",))
    outputs = run_on_board(board, image, x, firmware=firmware).outputs
    assert np.array_equal(outputs.reshape(-1), Runner(image).run(x).reshape(-1))
