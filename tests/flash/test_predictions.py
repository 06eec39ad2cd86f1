"""Instructions are predicted within a tenth, for models that the costs were not fitted to."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from gru_models import unrolled_gru
from litert_models import Model, T
from op_cases_lstm import lstm
from reference_models import MODELS, widening
from sentence_models import random_sentences, random_weights

from edgekit.boards import load_board
from edgekit.export.compile import compile_tflite
from edgekit.export.fit import check_fit
from edgekit.export.toolchain import TOOLCHAINS
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.models import make_config
from edgekit.quantize.embbert import quantize_weights
from edgekit.runtime import Runner
from tools.bench.models import PUBLIC, public_files

pytestmark = pytest.mark.emulator

BOARDS = ("mps2_an386", "mps2_an500", "mps3_an547", "mps2_an385", "mps2_an385_v6m", "rv32_virt")


def wide_classifier() -> bytes:
    """Convolution, depthwise convolution, pool, dense and softmax with int16 activations."""
    rng = np.random.default_rng(9)
    model = Model()
    step = 0.001

    def tensor(shape: tuple[int, ...], scale: float = step) -> int:
        return model.add(T(shape, [scale], [0], dtype="int16"))

    def layer(op: str, x: int, w: tuple[int, ...], y: int, **options: object) -> int:
        data = rng.integers(-127, 128, w, dtype=np.int8)
        model.op(op, [x, model.add(T(w, [0.01], [0], 0, data))], [y], **options)
        return y

    x = tensor((1, 14, 11, 3))
    sides = {"padding": 0, "strideH": 1, "strideW": 1}
    relu = {**sides, "fusedActivationFunction": 1}
    c = layer("CONV_2D", x, (10, 3, 3, 3), tensor((1, 14, 11, 10)), quantizedBiasType=4, **relu)
    d = tensor((1, 14, 11, 10))
    layer("DEPTHWISE_CONV_2D", c, (1, 3, 3, 10), d, depthMultiplier=1, **relu)
    p = tensor((1, 7, 5, 10))
    pool = {"padding": 1, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    model.op("MAX_POOL_2D", [d], [p], **pool)
    f = layer("FULLY_CONNECTED", p, (7, 350), tensor((1, 7)), quantizedBiasType=4)
    s = tensor((1, 7), 2.0**-15)
    model.op("SOFTMAX", [f], [s], beta=1.0)
    model.inputs, model.outputs = [x], [s]
    return model.to_bytes()


OTHERS = {
    "wide": wide_classifier,
    "lstm": lambda: lstm(np.random.default_rng(11)).to_bytes(),
    "gru": lambda: unrolled_gru(np.random.default_rng(3), reset_after=True).to_bytes(),
}
"""Models with int16 activations, and with a recurrence."""


VOCAB = 300
SENTENCES: dict[str, dict[str, object]] = {
    "default": {"vocab": VOCAB, "length": 30},
    "paper": {"preset": "embbert", "vocab": VOCAB, "length": 27, "layers": 1},
}
"""EmbBERT as it is trained if nothing is said, and with the blocks of its paper."""


def sentence_model(name: str) -> bytes:
    """An EmbBERT of the real widths, its weights random; the table of tokens costs no time."""
    config = make_config("embbert", SENTENCES[name])
    ids = random_sentences(config, 8, config.length)
    return quantize_weights(random_weights(config), config, ids).data


def assert_predicted(source: bytes, name: str, *, fuse: bool = False, pairs: bool = False) -> None:
    board = load_board(name)
    if shutil.which(TOOLCHAINS[board.core].compiler) is None:
        pytest.skip(f"{TOOLCHAINS[board.core].compiler} is not installed")
    family = board.chip.kernel_family
    model = compile_tflite(source, name="m", family=family, fuse=fuse, pairs=pairs)
    predicted = check_fit(model, board, look_around=False).instructions
    assert predicted is not None
    runner = Runner(model.image)
    rng = np.random.default_rng(1)
    limits = np.iinfo(runner.input_dtype)
    low, high = (1, VOCAB) if runner.input_dtype == np.int32 else (limits.min, limits.max + 1)
    single = runner.input_shape[runner.input_shape[0] == 1 :]
    x = rng.integers(low, high, (1, *single)).astype(runner.input_dtype)
    firmware = cached_firmware(board, model.ops)
    measured = float(run_on_board(board, model.image, x, firmware=firmware).instructions[0])
    assert predicted == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", MODELS)
def test_prediction_is_within_a_tenth(name: str, board: str) -> None:
    assert_predicted(MODELS[name](), board)


@pytest.mark.cc
@pytest.mark.parametrize("board", ("mps2_an386", "mps3_an547", "mps2_an385_v6m", "rv32_virt"))
@pytest.mark.parametrize("name", OTHERS)
def test_prediction_with_state_or_int16_is_within_a_tenth(name: str, board: str) -> None:
    assert_predicted(OTHERS[name](), board, fuse=name == "gru")


@pytest.mark.cc
@pytest.mark.parametrize("board", ("mps2_an386", "mps2_an385"))
def test_prediction_of_a_pair_is_within_a_tenth(board: str) -> None:
    assert_predicted(widening(15, multiplier=3, width=10), board, pairs=True)


@pytest.mark.cc
@pytest.mark.parametrize("board", ("mps2_an386", "mps3_an547", "mps2_an385_v6m", "rv32_virt"))
@pytest.mark.parametrize("name", SENTENCES)
def test_prediction_of_a_sentence_is_within_a_tenth(name: str, board: str) -> None:
    """All tokens that the model reads are used, which is what is predicted."""
    assert_predicted(sentence_model(name), board, fuse=True)


@pytest.mark.data("models")
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", PUBLIC)
def test_prediction_of_a_public_model_is_within_a_tenth(name: str, board: str) -> None:
    assert_predicted(public_files()[name].read_bytes(), board)
