"""The lexical model -> full int8 .tflite for one length, from the weights alone.

Rows of tokens and of pairs of neighbours are averaged over the tokens, then two dense layers
follow. The row of a pair is computed in int32 inside the file: (8191 a + 127 b) mod pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.errors import QuantizationError
from edgekit.models.text_baselines import HASH_FIRST, HASH_SECOND, LexicalConfig
from edgekit.quantize.embbert import Ids, SentenceWriter, Traced, Weights
from edgekit.quantize.net import Value


def quantize_lexical(model: Any, config: LexicalConfig, ids: Ids) -> Traced:
    """Make the int8 file of a lexical model; as `quantize_embbert`."""
    return quantize_lexical_weights({v.path: np.asarray(v) for v in model.weights}, config, ids)


def quantize_lexical_weights(weights: Weights, config: LexicalConfig, ids: Ids) -> Traced:
    """Make the int8 file of a lexical model from its weights by name.

    Raises:
        QuantizationError: If there is no sentence, or an activation is not finite.
    """
    if len(ids) == 0 or not np.any(ids):
        raise QuantizationError("no sentence to take the ranges of activations from")
    return _Writer("lexical", config.length, weights, ids).write(config)


class _Writer(SentenceWriter):
    """The operators of one lexical model, in order."""

    def write(self, config: LexicalConfig) -> Traced:
        """Emit all and return the file."""
        self.begin()
        x = self._mean(self._tables(config))
        for name in ("hidden", "pooled"):
            x = self._dense(x, name, relu=True)
        return self.finish(self._dense(x, "head", relu=False))

    def _dense(self, x: Value, name: str, *, relu: bool) -> Value:
        kernel, bias = self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]
        return self.net.dense(x, kernel, bias, name=name, relu=relu, per_channel=True)

    def _tables(self, config: LexicalConfig) -> Value:
        net, shape = self.net, (1, config.length)
        tokens, pairs = self.weights["embed/tokens_table"], self.weights["embed/pairs_table"]
        following = np.pad(self.ids[:, 1:], ((0, 0), (0, 1)))
        rows = (self.ids.astype(np.int64) * HASH_FIRST + following * HASH_SECOND) % config.pairs
        first = net.stored(tokens, name="tokens_table")
        # One scale for both, so that nothing is rounded again when they are put side by side.
        stretch = float(np.abs(tokens).max() / max(float(np.abs(pairs).max()), 1e-6))
        second = net.stored(pairs * stretch, like=first, name="pairs_table")
        parts = [
            net.gather(first, self.input, shape, first.real[self.ids]),
            net.gather(second, self._pair_rows(config), shape, second.real[rows]),
        ]
        real = np.concatenate([part.real for part in parts], axis=-1)
        self.stretch = np.repeat([1.0, stretch], config.reduced).astype(np.float32)
        self.weights = {
            **self.weights,
            "hidden/kernel": self.weights["hidden/kernel"] / self.stretch[:, None],
        }
        return net.concat(parts, real, name="tokens")

    def _pair_rows(self, config: LexicalConfig) -> int:
        net, length = self.net, config.length

        def binary(op: str, a: int, b: int) -> int:
            y = net.tensor((1, length), "int32")
            net.add(op, [a, b], y)
            return y

        wide = net.tensor((1, length + 1), "int32", name="ids.padded")
        net.add("PAD", [self.input, net.ints([[0, 0], [0, 1]])], wide)
        following = net.tensor((1, length), "int32", name="ids.next")
        net.add(
            "STRIDED_SLICE",
            [wide, net.ints([0, 1]), net.ints([1, length + 1]), net.ints([1, 1])],
            following,
        )
        first = binary("MUL", self.input, net.ints(HASH_FIRST))
        second = binary("MUL", following, net.ints(HASH_SECOND))
        return binary("FLOOR_MOD", binary("ADD", first, second), net.ints(config.pairs))
