"""What a text model is trained towards: labels, and the answers of teachers.

Only worker processes import this file: it loads the training framework.

Source of the loss with a teacher: G. Hinton et al., Distilling the Knowledge in a Neural Network
(arXiv 1503.02531), section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgekit.data.dataset import Float32Array, Int64Array
from edgekit.data.text import TextDataset
from edgekit.train.teachers import ask_teachers
from edgekit.train.text_jobs import TextJob

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Targets:
    """Everything that the loss of a row reads, [N, ...] each.

    Attributes:
        arrays: "labels" and "weights"; with teachers "soft" and "hidden".
        offset: Numbers are trained as (value - offset) / scale; 0 and 1 for classes.
    """

    arrays: dict[str, Float32Array]
    offset: float = 0.0
    scale: float = 1.0

    def take(self, rows: Int64Array) -> dict[str, Float32Array]:
        """Choose rows."""
        return {name: values[rows] for name, values in self.arrays.items()}

    def to_real(self, answers: Array) -> Array:
        """Turn what a model in training answers into the unit of the labels."""
        return answers * np.float32(self.scale) + np.float32(self.offset)

    def fold(self, model: Any) -> None:
        """Let the head itself answer in the unit of the labels."""
        if (self.offset, self.scale) != (0.0, 1.0):
            kernel, bias = model.get_layer("head").get_weights()
            model.get_layer("head").set_weights(
                [kernel * np.float32(self.scale), self.to_real(bias)]
            )
            object.__setattr__(self, "offset", 0.0)
            object.__setattr__(self, "scale", 1.0)


def make_targets(job: TextJob, data: TextDataset) -> Targets:
    """Make the targets of the training part.

    Raises:
        ConfigError: If a teacher does not fit the data.
    """
    labels, smoothing = data.train.labels, job.label_smoothing
    weights = np.ones(len(labels), np.float32)
    offset, scale = 0.0, 1.0
    wanted: Array
    if data.labels == "number":
        offset, scale = float(labels.mean()), float(labels.std()) or 1.0
        wanted = ((labels - offset) / scale)[:, None].astype(np.float32)
    elif data.labels == "multi":
        wanted = labels * (1 - smoothing) + smoothing / 2
    else:
        classes = len(data.label_names)
        wanted = np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + smoothing / classes
        if job.balance:
            counts = np.bincount(labels, minlength=classes)
            shares = len(labels) / (classes * np.maximum(counts, 1))
            weights = shares[labels].astype(np.float32)
    arrays = {"labels": wanted.astype(np.float32), "weights": weights}
    if data.labels == "multi" and job.balance:
        share = np.clip(labels.mean(axis=0), 1e-6, 1 - 1e-6)
        balance = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share))
        arrays["balance"] = balance.astype(np.float32)
    if job.teachers:
        answers = ask_teachers(job, data)
        arrays["soft"] = ((answers.logits - offset) / scale).astype(np.float32)
        if job.hidden_weight > 0 and answers.hidden is not None:
            arrays["hidden"] = answers.hidden
    return Targets(arrays, offset, scale)


def text_loss(
    job: TextJob, data: TextDataset, model: Any, targets: Targets
) -> tuple[Any, Callable[[Any, dict[str, Any]], Any], list[Any]]:
    """Make the network to be trained, its loss, and the variables of the loss.

    The variables are the projection of the student's pooled states to the teachers'; it is thrown
    away afterwards.
    """
    hidden = targets.arrays.get("hidden")
    network, extra = model, []
    if hidden is not None:
        pooled = model.get_layer("pooled").output
        network = keras.Model(model.input, [model.output, pooled])
        rng = np.random.default_rng([job.seed, 77])
        shape = (int(pooled.shape[-1]), hidden.shape[1])
        first = rng.normal(0.0, shape[0] ** -0.5, shape).astype(np.float32)
        extra = [tf.Variable(first, name="projection")]
    share = job.teacher_weight if "soft" in targets.arrays else 0.0

    def loss(outputs: Any, batch: dict[str, Any]) -> Any:
        logits = outputs[0] if hidden is not None else outputs
        rows = (1 - share) * _from_labels(data.labels, logits, batch)
        if share:
            rows += share * _from_teacher(data.labels, logits, batch["soft"], job.temperature)
        if hidden is not None:
            guess = tf.matmul(outputs[1], extra[0])
            rows += job.hidden_weight * tf.reduce_mean((guess - batch["hidden"]) ** 2, axis=1)
        return tf.reduce_mean(rows * batch["weights"])

    return network, loss, extra


def _from_labels(kind: str, logits: Any, batch: dict[str, Any]) -> Any:
    labels = batch["labels"]
    if kind == "number":
        return tf.reduce_mean((logits - labels) ** 2, axis=1)
    if kind == "single":
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    cells = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(cells * batch.get("balance", 1.0), axis=1)


def _from_teacher(kind: str, logits: Any, soft: Any, temperature: float) -> Any:
    if kind == "number":
        return tf.reduce_mean((logits - soft) ** 2, axis=1)
    t = temperature
    if kind == "multi":
        cells = tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(soft / t), logits / t)
        return tf.reduce_mean(cells, axis=1) * t**2
    wanted = tf.nn.softmax(soft / t)
    return tf.nn.softmax_cross_entropy_with_logits(wanted, logits / t) * t**2
