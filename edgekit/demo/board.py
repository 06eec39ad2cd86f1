"""Proving the demo's model on the host and on the emulated board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.boards import load_board
from edgekit.data.dataset import Dataset
from edgekit.demo.models import DemoModel
from edgekit.errors import DeviceError
from edgekit.export.compile import CompiledModel
from edgekit.export.mcu import Firmware
from edgekit.flash.bench import BoardRun, run_on_board
from edgekit.quantize.interpreter import LiteModel, apply_table, input_table
from edgekit.runtime import Runner


@dataclass(frozen=True, slots=True)
class Proof:
    """One model in three forms: LiteRT's reference kernels, host C, and the emulated board.

    Attributes:
        answers: LiteRT's outputs on the test part, int8 [N, classes].
        host_accuracy: Share of right answers of host C, which equals LiteRT byte for byte.
        board: The run of the first test images on the board.
        images: How many of them.
    """

    answers: NDArray[np.int8]
    host_accuracy: float
    board: BoardRun
    images: int


def prove(
    model: DemoModel,
    compiled: CompiledModel,
    data: Dataset,
    firmware: Firmware,
    *,
    images: int,
    work: Path,
) -> Proof:
    """Compare every output byte: all test images on the host, the first `images` on the board.

    Raises:
        DeviceError: If one byte differs.
    """
    oracle = LiteModel(model.tflite)
    inputs = apply_table(input_table(oracle.input, max_value=data.max_value), data.test.raw)
    answers = oracle.run(inputs)
    host = Runner(compiled.image).run(inputs).reshape(answers.shape)
    _require_equal(host, answers, "host C")
    board = load_board(firmware.board)
    run = run_on_board(board, compiled.image, inputs[:images], firmware=firmware, work=work)
    _require_equal(run.outputs.reshape(answers[:images].shape), answers[:images], board.name)
    right = host.argmax(axis=1) == data.test.labels
    return Proof(answers, float(np.mean(right)), run, images)


def _require_equal(found: NDArray[np.int8], expected: NDArray[np.int8], who: str) -> None:
    wrong = int(np.sum(found != expected))
    if wrong:
        raise DeviceError(
            f"{who}: {wrong} of {expected.size} output bytes differ from LiteRT's reference kernels"
        )
