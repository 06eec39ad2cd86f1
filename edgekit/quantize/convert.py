"""Keras model -> full int8 .tflite. Only worker processes import this: it loads the framework.

The converter can die natively, so nothing else may depend on the process that it runs in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgekit.data import load_dataset
from edgekit.data.dataset import Float32Array
from edgekit.data.files import write_atomic
from edgekit.data.split import stratified_split
from edgekit.errors import QuantizationError
from edgekit.models.saved import load_model, pack_arrays


def convert_model(model: Any, calibration: Float32Array) -> bytes:
    """Convert with int8 weights (per channel), activations, input and output.

    Args:
        model: Keras model with one input.
        calibration: Inputs that show the range of every activation, [N, ...].

    Raises:
        QuantizationError: If the converter refuses.
    """
    # The one-argument form: with the model as second argument (the recommended form) a Keras 3
    # model keeps unset variables, and the file answers garbage without any error.
    shape = [1, *calibration.shape[1:]]
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def samples() -> Iterator[list[Float32Array]]:
        for sample in calibration:
            yield [sample[None]]

    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    try:
        return bytes(converter.convert())
    except (ValueError, RuntimeError, tf.errors.OpError) as exc:
        first = str(exc).strip().splitlines()[0]
        raise QuantizationError(
            f"model {model.name!r} cannot be converted to int8: {first}"
        ) from exc


def convert_run(run: Path, *, dataset_name: str, samples: int) -> None:
    """Write `model.tflite`, and `reference.npz` with what the Keras model answers."""
    dataset = load_dataset(dataset_name)
    model = load_model(run / "model.npz")
    chosen, _ = stratified_split(dataset.train.labels, min(samples, len(dataset.train)), seed=3)
    data = convert_model(model, dataset.to_float(dataset.train.raw[chosen]))
    answers = {
        part: np.asarray(model(dataset.to_float(getattr(dataset, part).raw), training=False))
        for part in ("test", "acceptance")
    }
    write_atomic(run / "reference.npz", pack_arrays({"dataset": dataset_name}, answers))
    write_atomic(run / "model.tflite", data)
