"""Instructions are predicted within a tenth, for models that the costs were not fitted to."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from reference_models import MODELS

from edgekit.boards import load_board
from edgekit.export.compile import compile_tflite
from edgekit.export.fit import check_fit
from edgekit.export.toolchain import TOOLCHAINS
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.runtime import Runner
from tools.bench.models import PUBLIC, public_files

pytestmark = pytest.mark.emulator

BOARDS = ("mps2_an386", "mps2_an500", "mps3_an547", "mps2_an385", "mps2_an385_v6m", "rv32_virt")


def assert_predicted(source: bytes, name: str) -> None:
    board = load_board(name)
    if shutil.which(TOOLCHAINS[board.core].compiler) is None:
        pytest.skip(f"{TOOLCHAINS[board.core].compiler} is not installed")
    model = compile_tflite(source, name="m", family=board.chip.kernel_family)
    predicted = check_fit(model, board, look_around=False).instructions
    assert predicted is not None
    runner = Runner(model.image)
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (1, *runner.input_shape[1:])).astype(runner.input_dtype)
    firmware = cached_firmware(board, model.ops)
    measured = float(run_on_board(board, model.image, x, firmware=firmware).instructions[0])
    assert predicted == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_prediction_is_within_a_tenth(name: str, board: str) -> None:
    assert_predicted(MODELS[name](), board)


@pytest.mark.data("models")
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", PUBLIC)
def test_prediction_of_a_public_model_is_within_a_tenth(name: str, board: str) -> None:
    assert_predicted(public_files()[name].read_bytes(), board)
