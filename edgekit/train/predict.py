"""What a text model answers to many sentences, in few static shapes.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgekit.train.batches import Int32Array, choose_buckets, fit, token_counts

Array = NDArray[Any]
ROWS = 64
BUCKETS = 4


class Predictor:
    """Runs a model by batches of `ROWS` rows, short sentences apart from long ones."""

    def __init__(self, model: Any, *, length: int, layer: str = "") -> None:
        """Prepare.

        Args:
            model: Keras model of token ids.
            length: Most tokens of a row.
            layer: Return this layer's output instead of the model's.
        """
        network = model
        if layer:
            network = keras.Model(model.input, model.get_layer(layer).output)
        self._run = tf.function(lambda ids: network(ids, training=False))
        self._length = length
        self._buckets: tuple[int, ...] = ()

    def run(self, ids: Int32Array) -> Array:
        """Infer [N, L] -> [N, outputs]."""
        counts = token_counts(ids)
        if not self._buckets:
            chosen = choose_buckets(counts, limit=self._length, most=BUCKETS)
            self._buckets = tuple(sorted({*chosen, self._length}))
        order = np.argsort(counts, kind="stable")
        answers: list[Array] = []
        for begin in range(0, len(order), ROWS):
            rows = order[begin : begin + ROWS]
            length = fit(int(counts[rows].max()), self._buckets)
            batch = np.zeros((ROWS, length), np.int32)
            batch[: len(rows)] = ids[rows, :length]
            answers.append(np.asarray(self._run(tf.constant(batch)))[: len(rows)])
        found = np.concatenate(answers)
        out = np.empty_like(found)
        out[order] = found
        return out


def softmax(logits: Array) -> Array:
    """Turn logits [N, classes] into probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: Array) -> Array:
    """Turn logits into the probability of each class by itself."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def mean_logits(members: Sequence[Array], labels: str) -> Array:
    """Return the logits of a committee: the mean of its members' probabilities.

    Numbers are averaged as they are.

    Source: Tiny language models (arXiv 2507.14871) average outputs; the mean of softmax is ours.
    """
    if labels == "number":
        return np.mean(members, axis=0)
    if labels == "multi":
        mean = np.clip(np.mean([sigmoid(m) for m in members], axis=0), 1e-6, 1 - 1e-6)
        return np.log(mean / (1 - mean))
    return np.log(np.clip(np.mean([softmax(m) for m in members], axis=0), 1e-9, None))
