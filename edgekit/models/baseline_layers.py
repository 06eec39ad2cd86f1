"""Layers of the text baselines, in keras.ops only.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from edgekit.models.text_baselines import HASH_FIRST, HASH_SECOND, BertConfig, LexicalConfig
from edgekit.models.text_layers import (
    EPSILON,
    Dropout,
    Masked,
    Seeds,
    conv_left,
    convolve_tokens,
    second_text,
)

DEPTH = 20.0
"""How far the score of padding is lowered: e^-20 is nothing, and int8 still tells scores apart."""


class PlainEmbedder(Masked):
    """Ids [N, L] and mask -> the sum of the rows of token, position and segment, [N, L, d]."""

    def __init__(self, config: BertConfig, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        self.vocab, self.hidden, self.length = config.vocab, config.hidden, config.length
        self._seeds = seeds

    def build(self, input_shape: Any) -> None:
        """Make the tables."""

        def table(name: str, rows: int) -> Any:
            return self.add_weight(
                shape=(rows, self.hidden), initializer=self._seeds.normal(0.05), name=name
            )

        self.tokens = table("tokens_table", self.vocab)
        self.positions = table("positions_table", self.length)
        self.segments = table("segments_table", 3)

    def call(self, inputs: Any) -> Any:
        """Look up and add."""
        ids, mask = inputs
        x = ops.take(self.tokens, ids, axis=0) + self.positions[: ids.shape[1]]
        x = x + self.segments[1] + second_text(ids) * (self.segments[2] - self.segments[1])
        return x * mask

    def width(self, values: Any) -> int:
        """Return `hidden`."""
        return self.hidden


class EncoderLayer(Masked):
    """One encoder layer of BERT: [N, L, d] and mask -> [N, L, d]."""

    def __init__(self, config: BertConfig, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        d, inner = config.hidden, config.hidden * config.expansion
        self.heads = config.heads

        def dense(part: str, inputs: int, outputs: int, activation: str | None = None) -> Any:
            return layers.Dense(
                outputs, activation=activation, kernel_initializer=seeds.fan_in(inputs), name=part
            )

        self.query, self.key = dense("query", d, d), dense("key", d, d)
        self.value, self.project = dense("value", d, d), dense("project", d, d)
        self.expand, self.shrink = dense("expand", d, inner, "gelu"), dense("shrink", inner, d)
        self.norms = [
            layers.LayerNormalization(epsilon=1e-6, name=f"norm.{part}")
            for part in ("attention", "mlp")
        ]
        self.drops = [
            Dropout(config.dropout, seed=seeds.next(), name=f"drop.{part}")
            for part in ("weights", "attention", "mlp")
        ]
        self.hidden = d

    def build(self, input_shape: Any) -> None:
        """Build the parts."""
        shape = input_shape[0]
        for part in (self.query, self.key, self.value, self.project, self.expand, *self.norms):
            part.build(shape)
        self.shrink.build((*shape[:-1], self.expand.units))
        for drop in self.drops:
            drop.build(())

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Attend, then the two dense layers."""
        x, mask = inputs
        y = self.project(self._attend(x, mask, training))
        x = self.norms[0](x + self.drops[1](y, training=training))
        y = self.shrink(self.expand(x))
        return self.norms[1](x + self.drops[2](y, training=training))

    def _attend(self, x: Any, mask: Any, training: bool | None) -> Any:
        depth = self.hidden // self.heads

        def split(y: Any) -> Any:
            y = ops.reshape(y, (-1, x.shape[1], self.heads, depth))
            return ops.transpose(y, (0, 2, 1, 3))

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        score = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * depth**-0.5
        away = (ops.transpose(mask, (0, 2, 1)) - 1.0) * DEPTH
        weights = ops.softmax(score + ops.expand_dims(away, 1), axis=-1)
        mixed = ops.matmul(self.drops[0](weights, training=training), value)
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, x.shape[1], self.hidden))


class TokenConv(Masked):
    """Depthwise convolution over tokens with SiLU; sees both sides."""

    def __init__(self, size: int, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        self.size = size
        self._seeds = seeds

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        d = input_shape[0][-1]
        self.kernel = self.add_weight(
            shape=(self.size, d, 1),
            initializer=self._seeds.normal((2 / self.size) ** 0.5),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(d,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        left = conv_left(self.size, "symmetric")
        return ops.silu(convolve_tokens(inputs[0], self.kernel, left=left) + self.bias)


class RootMeanSquare(Masked):
    """States [N, L, d] and mask -> the root of the mean square over the tokens, [N, d]."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, _, width = input_shape[0]
        return (n, width)

    def call(self, inputs: Any) -> Any:
        """Pool."""
        x, mask = inputs
        count = ops.maximum(ops.sum(mask, axis=1), 1.0)
        return ops.sqrt(ops.sum(ops.square(x) * mask, axis=1) / count + EPSILON)


class LexicalTables(Masked):
    """Ids [N, L] and mask -> the row of each token and of it with the next, [N, L, 2 r].

    While training some tokens are left out; the pairs that they are in stay.
    """

    def __init__(self, config: LexicalConfig, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        self.vocab, self.pairs, self.reduced = config.vocab, config.pairs, config.reduced
        self._seeds = seeds
        self.drop = Dropout(config.word_dropout, seed=seeds.next(), name="words")

    def build(self, input_shape: Any) -> None:
        """Make the tables."""
        normal = self._seeds.normal(0.1)
        shape = (self.vocab, self.reduced)
        self.tokens = self.add_weight(shape=shape, initializer=normal, name="tokens_table")
        normal = self._seeds.normal(0.1)
        shape = (self.pairs, self.reduced)
        self.couples = self.add_weight(shape=shape, initializer=normal, name="pairs_table")
        self.drop.build(())

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Look up."""
        ids, mask = inputs
        following = ops.pad(ids[:, 1:], ((0, 0), (0, 1)))
        rows = ops.mod(ids * HASH_FIRST + following * HASH_SECOND, self.pairs)
        kept = self.drop(mask, training=training)
        tokens = ops.take(self.tokens, ids, axis=0) * kept
        return ops.concatenate([tokens, ops.take(self.couples, rows, axis=0) * mask], axis=-1)

    def width(self, values: Any) -> int:
        """Return the width of both rows."""
        return 2 * self.reduced
