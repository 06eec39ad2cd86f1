"""Texts on emulated boards: ids, outputs and scores are the host's, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from text_cases import SENTENCES, strings
from text_models import COMMANDS, LABELS, small_tokenizer, text_model

from edgekit.boards import load_board
from edgekit.errors import DeviceError, RefusedError
from edgekit.export.compile import CompiledModel
from edgekit.export.mcu import Firmware
from edgekit.flash.bench import cached_firmware, run_texts_on_board
from edgekit.formats.image import Features
from edgekit.runtime import Runner

pytestmark = [pytest.mark.emulator, pytest.mark.train]

BOARDS = ("mps2_an386", "mps2_an500")


def built(name: str) -> tuple[CompiledModel, Firmware]:
    """Return the model and the board's firmware with the kernels that it needs."""
    board = load_board(name)
    model = text_model(board.chip.kernel_family)
    return model, cached_firmware(board, model.ops)


@pytest.mark.parametrize("name", BOARDS)
def test_texts_give_the_ids_and_outputs_of_the_host(name: str) -> None:
    """Commands, sentences of many scripts, random strings, bytes that are no UTF-8, nothing."""
    model, firmware = built(name)
    texts: list[str | bytes] = [*COMMANDS[:30], *SENTENCES, "", b"\xff\xe2(", "x" * 5_000]
    texts += strings(np.random.default_rng(7), small_tokenizer(), 150)
    runner = Runner(model.image)
    run = run_texts_on_board(load_board(name), model.image, texts, firmware=firmware)
    ids = runner.text_ids(texts)
    assert (run.ids == ids).all()
    assert (run.outputs == runner.run(ids)).all()
    assert run.text_instructions.shape == run.instructions.shape == (len(texts),)
    sentence = run.text_instructions[0]
    assert 1_000 < sentence < 50_000, "of a sentence of eight words"


def test_a_text_of_a_megabyte_costs_what_is_read_of_it() -> None:
    model, firmware = built("mps2_an386")
    board = load_board("mps2_an386")
    run = run_texts_on_board(board, model.image, ["light " * 170_000], firmware=firmware)
    assert (run.ids == Runner(model.image).text_ids(["light " * 1_000])).all()
    assert run.text_instructions[0] < 200_000


def test_a_board_proves_the_golden_texts() -> None:
    """The device refuses an image whose text does not give the stored ids."""
    model, _ = built("mps2_an386")
    golden = Runner(model.image).image.golden
    assert len(golden) == 4
    assert golden[0].raw.startswith(b"The quick brown fox")
    assert all(len(vector.raw) == len(golden[0].raw) for vector in golden)


def test_an_image_without_tokenizer_is_refused() -> None:
    from text_models import bag_of_tokens

    from edgekit.export.compile import compile_tflite

    model = compile_tflite(bag_of_tokens(80), name="bare", labels=LABELS, features=Features())
    with pytest.raises(RefusedError, match="'bare' takes no text"):
        run_texts_on_board(load_board("mps2_an386"), model.image, ["x"])


def test_a_firmware_without_kernels_for_ids_has_no_tokenizer() -> None:
    """It refuses the image by its operators, as one that misses any other kernel."""
    board = load_board("mps2_an386")
    model, _ = built("mps2_an386")
    without = cached_firmware(board, tuple(op for op in model.ops if op != "gather"))
    with pytest.raises(DeviceError, match="operator is unknown"):
        run_texts_on_board(board, model.image, ["x"], firmware=without)
