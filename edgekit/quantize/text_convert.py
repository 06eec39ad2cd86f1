"""Text model -> full int8 .tflite. Only worker processes import this: it loads the framework.

The file reads int32 token ids [1, L] and answers int8 logits [1, outputs].
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgekit.data.files import write_atomic
from edgekit.data.split import shuffled
from edgekit.data.text import load_text
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import FormatError, QuantizationError
from edgekit.models import find_family, make_config
from edgekit.models.saved import load_model, pack_arrays, unpack_arrays
from edgekit.quantize.embbert import Traced, quantize_embbert
from edgekit.quantize.lexical import quantize_lexical
from edgekit.quantize.sqnr import layer_sqnr
from edgekit.train.text_jobs import TextJob

Int32Array = NDArray[np.int32]
WRITERS: Mapping[str, Callable[[Any, Any, Int32Array], Traced]] = {
    "embbert": quantize_embbert,
    "lexical": quantize_lexical,
}
"""Families whose files are written without a converter."""
CALIBRATION_SEED = 3
MOST_TOKENS = 20_000
LEAST_SAMPLES = 32
"""Rows that show the ranges hold at most so many tokens, but are at least so many."""


def convert_text_model(model: Any, calibration: Int32Array, *, name: str) -> bytes:
    """Convert with int8 weights (per channel), activations and output; the input stays int32.

    Args:
        model: Keras model of token ids, as it is to be exported.
        calibration: Rows that show the range of every activation, [N, L].
        name: What messages call the model.

    Raises:
        QuantizationError: If the converter refuses.
    """
    # The one-argument form; see edgekit.quantize.convert.convert_model.
    function = tf.function(lambda ids: model(ids, training=False)).get_concrete_function(
        tf.TensorSpec([1, calibration.shape[1]], tf.int32, name="ids")
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def samples() -> Iterator[list[Int32Array]]:
        for row in calibration:
            yield [row[None]]

    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except (ValueError, RuntimeError, tf.errors.OpError) as exc:
        first = str(exc).strip().splitlines()[0]
        raise QuantizationError(f"model {name!r} cannot be converted to int8: {first}") from exc


def convert_text_run(run: Path, *, samples: int, length: int | None) -> None:
    """Write `model.tflite`, and `reference.npz` with what the Keras model answers.

    Args:
        run: A finished run of a text model.
        samples: Rows of the training part that show the ranges.
        length: Tokens of the file's input; None for the model's own.

    Raises:
        FormatError: If the folder is no finished run.
    """
    try:
        job = TextJob.from_json(json.loads((run / "job.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise FormatError(f"{run}: has no readable job.json; train again") from exc
    data = load_text(job.source)
    tokenizer = Tokenizer.load(run / "tokenizer.json")
    meta, _ = unpack_arrays(run / "model.npz")
    family, sizes = find_family(str(meta["family"])), meta["sizes"]
    config = make_config(family.name, sizes)
    model, length = load_model(run / "model.npz"), length or config.length
    rows = data.train.take(calibration_rows(len(data.train), samples=samples, length=length))
    calibration = tokenizer.encode_batch(rows.texts, length)
    if family.name in WRITERS:
        # Written by ourselves: exact ranges and masks, folded lambdas, nothing for training alone.
        device = dataclasses.replace(config, length=length)
        traced = WRITERS[family.name](model, device, calibration)
        tflite = traced.data
        layers = [dataclasses.asdict(layer) for layer in layer_sqnr(traced, length=length)]
        write_atomic(run / "sqnr.json", json.dumps(layers).encode())
    else:
        tflite = convert_text_model(model, calibration, name=run.name)
    answers = {
        part: _answers(model, tokenizer.encode_batch(getattr(data, part).texts, length))
        for part in ("validation", "test")
    }
    write_atomic(run / "reference.npz", pack_arrays({"length": length}, answers))
    write_atomic(run / "model.tflite", tflite)


def calibration_rows(count: int, *, samples: int, length: int) -> NDArray[np.int64]:
    """Choose which of so many rows show the ranges; all their activations are held at a time."""
    order = shuffled(np.arange(count, dtype=np.int64), seed=CALIBRATION_SEED)
    return np.sort(order[: min(samples, max(LEAST_SAMPLES, MOST_TOKENS // length))])


def _answers(model: Any, ids: Int32Array) -> NDArray[Any]:
    from edgekit.train.predict import Predictor

    return Predictor(model, length=ids.shape[1]).run(ids)
