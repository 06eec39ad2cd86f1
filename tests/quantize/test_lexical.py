"""The lexical model as an int8 file: near the float model, equal in C and on boards."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import reference
from sentence_models import SMALL, random_sentences, random_weights, small_lexical, small_text

from edgekit.boards import load_board
from edgekit.errors import QuantizationError
from edgekit.export.compile import compile_tflite
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.models import find_family, make_config
from edgekit.quantize.embbert import quantize_weights
from edgekit.quantize.interpreter import make_interpreter
from edgekit.runtime import Runner

SIZES = {"vocab": 64, "length": 24, "pairs": 96, "reduced": 4, "hidden": 16, "classes": 5}


@pytest.mark.train
def test_file_is_near_the_float_model() -> None:
    from edgekit.quantize.lexical import quantize_lexical

    ids = small_text("attention")[2]
    config = make_config("lexical", SIZES)
    model = find_family("lexical").build(config, seed=1)
    wanted = np.asarray(model(ids, training=False))
    traced = quantize_lexical(model, config, ids)
    assert np.allclose(traced.reals[-1], wanted, atol=0.02 * np.abs(wanted).max())
    found = reference(traced.data, ids).reshape(wanted.shape).astype(np.float32)
    found = (found - traced.zeros[-1]) * traced.scales[-1]
    assert np.mean(np.square(found - wanted)) < 0.02 * np.var(wanted)


@pytest.mark.cc
@pytest.mark.parametrize("fuse", [False, True])
def test_c_gives_the_bytes_of_litert(fuse: bool) -> None:
    traced, ids = small_lexical()
    found = Runner(compile_tflite(traced.data, name="text", fuse=fuse).image).run(ids)
    assert np.array_equal(found, reference(traced.data, ids).reshape(found.shape))
    assert len(np.unique(found, axis=0)) > 12


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("board", ["mps2_an386", "mps2_an385_v6m", "rv32_virt"])
def test_board_gives_the_bytes_of_litert(board: str) -> None:
    traced, ids = small_lexical()
    ids, found = ids[:4], load_board(board)
    model = compile_tflite(traced.data, name="text", family=found.chip.kernel_family, fuse=True)
    firmware = cached_firmware(found, model.ops)
    outputs = run_on_board(found, model.image, ids, firmware=firmware).outputs
    assert np.array_equal(outputs, reference(traced.data, ids).reshape(outputs.shape))


@pytest.mark.cc
@pytest.mark.parametrize("tokens", [1, 15, 17, 300, 600])
def test_a_mean_of_many_tokens_is_exact_to_a_per_cent(tokens: int) -> None:
    """LiteRT's softmax ends the process at 512 equal values, and has steps of 1/256."""
    traced, ids = small_lexical(600)
    x = traced.reals[traced.names.index("tokens")]
    row = np.zeros_like(ids[:1])
    row[0, :tokens] = ids[0, :tokens]
    interpreter = make_interpreter(traced.data, keep_all=True)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
    interpreter.invoke()
    at = traced.names.index("pooled.mean")
    found = interpreter.get_tensor(traced.indices[at]).reshape(-1).astype(np.float32)
    found = (found - traced.zeros[at]) * traced.scales[at]
    # The last pair has another neighbour in the whole text.
    wanted = x[0, :tokens, : x.shape[-1] // 2].mean(axis=0)
    bound = 0.01 * np.abs(wanted).max() + traced.scales[at]
    assert np.abs(found[: len(wanted)] - wanted).max() < bound
    c = Runner(compile_tflite(traced.data, name="text").image).run(row)
    assert np.array_equal(c.reshape(-1), reference(traced.data, row).reshape(-1))


def test_attention_over_too_many_tokens_is_refused() -> None:
    config = make_config("embbert", {**SMALL, "length": 512})
    ids = random_sentences(config, 4, 24)
    with pytest.raises(QuantizationError, match=r"length is 512.*at most 511.*attention = false"):
        quantize_weights(random_weights(config), config, ids)
