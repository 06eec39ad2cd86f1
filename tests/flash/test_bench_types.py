"""Models with inputs and outputs that are not int8 on the emulated board: as on the host."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from op_cases import CASES
from op_cases_s16 import CASES_S16

from edgekit.boards import load_board
from edgekit.cli.run import read_inputs
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.runtime import Runner

BOARD = load_board("mps2_an386")
OPS = (*CASES_S16, "unidirectional_sequence_lstm", "gather", "arg_max")


def model_of(op: str) -> CompiledModel:
    rng = np.random.default_rng([5, zlib.crc32(op.encode())])
    return compile_tflite(CASES[op](rng).to_bytes(), name=op)


def on_both(model: CompiledModel) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    inputs = read_inputs(model, None, 2, 7)
    result = run_on_board(BOARD, model.image, inputs, firmware=cached_firmware(BOARD))
    return result.outputs, Runner(model.image).run(inputs)


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("op", OPS)
def test_board_equals_the_host_in_type_and_value(op: str) -> None:
    found, expected = on_both(model_of(op))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.cc
@pytest.mark.parametrize("op", ["add_s16", "gather"])
def test_inputs_are_of_the_type_of_the_model(op: str, tmp_path: Path) -> None:
    model = model_of(op)
    drawn = read_inputs(model, None, 3, 0)
    assert drawn.dtype == Runner(model.image).input_dtype
    np.save(tmp_path / "x.npy", drawn)
    np.testing.assert_array_equal(read_inputs(model, tmp_path / "x.npy", 1, 0), drawn)


def test_inputs_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs are int8 .*, expected int16"):
        run_on_board(BOARD, model_of("add_s16").image, np.zeros((1, 4), np.int8))
