"""One step of training as one compiled function per batch shape: loss, clipped gradients, AdamW.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from edgekit.train.grams import GramTable

UNDECAYED = ("gamma", "beta", "bias", "table", "lambda")
"""Parts of the names of variables that are not pulled to zero."""
BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8
Loss = Callable[[Any, dict[str, Any]], Any]


class Stepper:
    """Trains the variables of a network and of a loss.

    Attributes:
        variables: What is trained, in order.
        forward: What computes the outputs: the network, or another with its variables.
    """

    def __init__(
        self,
        network: Any,
        loss: Loss,
        *,
        extra: Sequence[Any] = (),
        weight_decay: float,
        clip_norm: float,
        grams: GramTable | None = None,
        compiled: bool = False,
    ) -> None:
        """Prepare, without tracing anything yet.

        Args:
            network: Keras model: ids -> outputs.
            loss: From the network's outputs and the batch to a scalar.
            extra: Variables of the loss itself.
            weight_decay: Pull to zero per step, times the rate (decoupled, as AdamW).
            clip_norm: Largest norm of all gradients together.
            grams: Character n-grams that share the training of the token table.
            compiled: Let XLA compile each batch shape: four times as long before the first step,
                and at these sizes not faster after it (16 against 6 s, 40 against 44 ms).

        Source: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101),
        algorithm 2.
        """
        self.network, self.loss, self.grams = network, loss, grams
        self.forward = network
        trained = [v.value if hasattr(v, "value") else v for v in network.trainable_variables]
        names = [v.path for v in network.trainable_variables]
        self.table = -1
        if grams is not None:
            (self.table,) = (i for i, name in enumerate(names) if name.endswith("tokens_table"))
        self._model = [*trained, *extra]
        names += [v.name for v in extra]
        self.variables = list(self._model)
        if grams is not None:
            # What the model reads is the sum of the two trained tables.
            self.variables[self.table] = tf.Variable(trained[self.table], name="tokens")
            self.variables.append(grams.variable)
            names.append("grams")
        self._decayed = [not any(part in name for part in UNDECAYED) for name in names]
        self._first = [tf.Variable(tf.zeros_like(v)) for v in self.variables]
        self._second = [tf.Variable(tf.zeros_like(v)) for v in self.variables]
        self._decay, self._clip = weight_decay, clip_norm
        self._compiled = compiled
        self._step = tf.function(self._one, jit_compile=compiled)

    def step(self, batch: dict[str, Any], *, number: int, rate: float) -> Any:
        """Train on one batch and return its loss, which is not waited for.

        Args:
            batch: Arrays; equal shapes share one compiled function. "ids" is int32 [N, L].
            number: Of the step, from 0.
            rate: Learning rate.
        """
        tensors = {name: tf.constant(value) for name, value in batch.items()}
        correction = (1 - BETA_1 ** (number + 1), 1 - BETA_2 ** (number + 1))
        return self._step(tensors, tf.constant([rate, *correction], tf.float32))

    def change(self, forward: Any) -> None:
        """Compute the outputs by another function of ids and `training` from now on."""
        if forward is not self.forward:
            self.forward = forward
            self._step = tf.function(self._one, jit_compile=self._compiled)

    def fold(self) -> None:
        """Give the model the whole sum of its token table and the n-grams."""
        if self.grams is not None:
            self._model[self.table].assign(self.grams.fold(self.variables[self.table]))

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """Everything that a resumed run needs of this, by name."""
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        for kind, group in self._groups():
            arrays |= {f"{kind}{i:03d}": np.asarray(value) for i, value in enumerate(group)}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray[Any, Any]]) -> bool:
        """Take up what `state` gave; False, and nothing changed, if it does not fit."""
        pairs = [
            (variable, arrays.get(f"{kind}{i:03d}"))
            for kind, group in self._groups()
            for i, variable in enumerate(group)
        ]
        if any(a is None or tuple(a.shape) != tuple(v.shape) for v, a in pairs):
            return False
        for variable, array in pairs:
            variable.assign(array)
        return True

    def _groups(self) -> list[tuple[str, list[Any]]]:
        # `variables` of a Keras model are its weights and the state of its random generators.
        state = [v.value if hasattr(v, "value") else v for v in self.network.variables]
        known = {id(variable) for variable in state}
        others = [variable for variable in self.variables if id(variable) not in known]
        return [("w", state), ("t", others), ("m", self._first), ("v", self._second)]

    def _one(self, batch: dict[str, Any], rates: Any) -> Any:
        if self.grams is not None:
            table = self.grams.mix(self.variables[self.table], batch["words"])
            self._model[self.table].assign(table)
        with tf.GradientTape() as tape:
            loss = self.loss(self.forward(batch["ids"], training=True), batch)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, self._model)]
        if self.grams is not None:
            gradients.append(self.grams.gradient(gradients[self.table], batch["words"]))
        norm = tf.sqrt(tf.add_n([tf.reduce_sum(g * g) for g in gradients]))
        scale = tf.minimum(1.0, self._clip / (norm + 1e-6))
        rows = zip(self.variables, gradients, self._first, self._second, self._decayed, strict=True)
        for variable, gradient, first, second, decayed in rows:
            gradient = gradient * scale
            first.assign(BETA_1 * first + (1 - BETA_1) * gradient)
            second.assign(BETA_2 * second + (1 - BETA_2) * gradient * gradient)
            update = (first / rates[1]) / (tf.sqrt(second / rates[2]) + EPSILON)
            if decayed and self._decay:
                update = update + self._decay * variable
            variable.assign(variable - rates[0] * update)
        return loss
