"""Layers of the text models, in keras.ops only, so that every backend of Keras trains them.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edgekit.models.embbert import SEP, EmbBertConfig

EPSILON = 1e-6
FAR = -1e9
"""What is added to the score of a key that is padding."""
SHORT = 32
"""Inputs of so many tokens and fewer are convolved by a product of matrices."""


class Seeds:
    """Seeds and seeded initializers, a new one for every use."""

    def __init__(self, seed: int) -> None:
        self._seeds = np.random.SeedSequence(seed)

    def next(self) -> int:
        """Return the next seed."""
        (child,) = self._seeds.spawn(1)
        return int(child.generate_state(1)[0])

    def normal(self, deviation: float) -> Any:
        """Make an initializer of that standard deviation."""
        return keras.initializers.RandomNormal(stddev=deviation, seed=self.next())

    def fan_in(self, inputs: int) -> Any:
        """Make an initializer that keeps the size of values in a sum of so many."""
        return self.normal(inputs**-0.5)


def second_text(ids: Any) -> Any:
    """Ids [N, L] -> 1 from the first [SEP] on, 0 before it, [N, L, 1].

    Counted in whole numbers: a converted file counts so too, and needs no sum of floats.
    """
    seen = ops.cumsum(ops.cast(ids == SEP, "int32"), axis=1) > 0
    return ops.expand_dims(ops.cast(seen, "float32"), -1)


class Dropout(layers.Layer):
    """Set a share of values to zero while training and scale the others, with cheap noise.

    The noise is a hash of seed, count of calls and position: a fifth of the time that the
    frameworks' generators take, which is half a step of a model of this size.

    Source: A. Appleby, MurmurHash3, fmix32.
    """

    def __init__(self, rate: float, *, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.rate, self.seed = rate, seed
        # Here and not in `build`: inside other layers that would wait for the first call, and a
        # model that was never called would have other weights than the file of a trained one.
        self.calls = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="calls"
        )

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Drop."""
        if not training or self.rate == 0:
            return x
        self.calls.assign(self.calls + 1)
        size = 1
        for n in ops.shape(x):
            size = size * n
        h = ops.cast(ops.arange(size, dtype="int32"), "uint32")
        start = ops.cast(self.calls, "uint32") * _word(0x9E3779B1) + _word(self.seed)
        h = h + _mixed(start)
        kept = ops.cast(_mixed(h) >= _word(int(self.rate * 2**32)), "float32")
        return x * ops.reshape(kept, ops.shape(x)) / (1.0 - self.rate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _word(value: int) -> Any:
    return ops.convert_to_tensor(np.uint32(value), dtype="uint32")


def _mixed(h: Any) -> Any:
    """Mix the bits of words."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ops.bitwise_xor(h, ops.bitwise_right_shift(h, _word(shift))) * _word(factor)
    return ops.bitwise_xor(h, ops.bitwise_right_shift(h, _word(16)))


class TokenMask(layers.Layer):
    """Token ids [N, L] -> 1 at tokens and 0 at padding, float [N, L, 1]."""

    def call(self, ids: Any) -> Any:
        """Compare."""
        return ops.expand_dims(ops.cast(ids != 0, "float32"), -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, 1)


class Masked(layers.Layer):
    """A layer that reads [values, mask]; the shape of its output follows the values."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:2], self.width(input_shape[0]))

    def width(self, values: Any) -> int:
        """Return the last dimension of the output."""
        return int(values[-1])


class NanoEmbedder(Masked):
    """Ids [N, L] and mask -> [N, L, d], zero at padding.

    A token's row and its position's row of `reduced` values are projected to `hidden`, each by its
    own matrix. A third row says whether the token stands before the first [SEP].

    Source: EmbBERT, lib/embedders.py.
    """

    def __init__(self, config: EmbBertConfig, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        self.vocab, self.hidden, self.reduced = config.vocab, config.hidden, config.reduced
        self.length = config.length
        self._seeds = seeds

    def build(self, input_shape: Any) -> None:
        """Make the tables; row 0 of tokens and segments is never read."""
        r, d, seeds = self.reduced, self.hidden, self._seeds
        self.tokens = self.add_weight(
            shape=(self.vocab, r), initializer=seeds.normal(0.3), name="tokens_table"
        )
        self.token_projection = self.add_weight(
            shape=(r, d), initializer=seeds.fan_in(r), name="token_projection"
        )
        self.positions = self.add_weight(
            shape=(self.length, r), initializer=seeds.normal(0.03), name="positions_table"
        )
        self.position_projection = self.add_weight(
            shape=(r, d), initializer=seeds.fan_in(r), name="position_projection"
        )
        self.segments = self.add_weight(
            shape=(3, d), initializer=seeds.normal(0.02), name="segments_table"
        )

    def call(self, inputs: Any) -> Any:
        """Look up, project and add."""
        ids, mask = inputs
        length = ids.shape[1]
        x = ops.matmul(ops.take(self.tokens, ids, axis=0), self.token_projection)
        x = x + ops.matmul(self.positions[:length], self.position_projection)
        x = x + self.segments[1] + second_text(ids) * (self.segments[2] - self.segments[1])
        return x * mask

    def width(self, values: Any) -> int:
        """Return `hidden`."""
        return self.hidden


def normalize(x: Any, gamma: Any) -> Any:
    """Divide rows by the root of their mean square and scale them."""
    square = ops.mean(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(square + EPSILON) * gamma


class LastTokens(Masked):
    """States [N, L, d] and mask -> the same, normalized if asked, zero at padding."""

    def __init__(self, *, norm: bool, name: str) -> None:
        super().__init__(name=name)
        self.norm = norm

    def build(self, input_shape: Any) -> None:
        """Make gamma."""
        if self.norm:
            self.gamma = self.add_weight(
                shape=(input_shape[0][-1],), initializer="ones", name="gamma"
            )

    def call(self, inputs: Any) -> Any:
        """Normalize and mask."""
        x, mask = inputs
        return (normalize(x, self.gamma) if self.norm else x) * mask


class Pool(Masked):
    """States [N, L, d] and mask -> one row [N, d], or [N, 2 d] for "mean_max"."""

    def __init__(self, kind: str, *, name: str) -> None:
        super().__init__(name=name)
        self.kind = kind

    def compute_output_shape(self, input_shape: Any) -> Any:
        n, _, width = input_shape[0]
        return (n, 2 * width if self.kind == "mean_max" else width)

    def call(self, inputs: Any) -> Any:
        """Take the first token, or mean and maximum of those that are not padding."""
        x, mask = inputs
        if self.kind == "cls":
            return x[:, 0]
        parts = []
        if self.kind in ("mean", "mean_max"):
            parts.append(ops.sum(x * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1.0))
        if self.kind in ("max", "mean_max"):
            parts.append(ops.max(x + (mask - 1.0) * 1e9, axis=1))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def convolve_tokens(x: Any, kernel: Any, *, left: int) -> Any:
    """Convolve every channel by itself: y[n, t, c a + m] = sum_j x[n, t + j - left, c] k[j, c, m].

    Up to `SHORT` tokens a product with one Toeplitz matrix per channel is three times as fast on a
    processor as a convolution by groups.

    Args:
        x: [N, L, d]; what lies outside counts as zero.
        kernel: [k, d, a].
        left: Tokens before the output's own that the kernel sees.

    Returns:
        [N, L, d a].
    """
    size, width, expansion = (int(n) for n in kernel.shape)
    length = int(x.shape[1])
    if length > SHORT:
        x = ops.pad(x, ((0, 0), (left, size - 1 - left), (0, 0)))
        return ops.depthwise_conv(x, kernel, data_format="channels_last")
    taps = np.arange(length)[:, None] - np.arange(length)[None] + left
    index = np.where((taps >= 0) & (taps < size), taps, size).reshape(-1)
    padded = ops.concatenate([kernel, ops.zeros((1, width, expansion))], axis=0)
    toeplitz = ops.take(ops.transpose(padded, (1, 0, 2)), index, axis=1)
    toeplitz = ops.reshape(toeplitz, (width, length, length * expansion))
    rows = ops.reshape(ops.transpose(x, (2, 0, 1)), (width, -1, length))
    y = ops.reshape(ops.matmul(rows, toeplitz), (width, -1, length, expansion))
    return ops.reshape(ops.transpose(y, (1, 2, 0, 3)), (-1, length, width * expansion))


def conv_left(size: int, kind: str) -> int:
    """Return how many tokens before its own a kernel sees; SAME padding as TensorFlow has it."""
    return size - 1 if kind == "causal" else (size - 1) // 2


class Block(Masked):
    """One encoder block: [N, L, d] and mask -> [N, L, d].

    With n the normalized input: u = softmax((n Wq + bq) n^T / sqrt(d)) n Wo + bo,
    w = SiLU(DWConv(n)) Wc + bc, and the output lam1 u - lam2 w, to which the input is added if
    `residual` says so. Each lambda is the exponential of a product of two trained vectors.

    Source: EmbBERT, lib/attentions.py.
    """

    def __init__(self, config: EmbBertConfig, seeds: Seeds, *, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self._seeds = seeds
        weigh_seed = seeds.next()
        if config.attention:
            self.weigh = Dropout(config.attention_dropout, seed=weigh_seed, name="weigh")
        self.drop = Dropout(config.dropout, seed=seeds.next(), name="drop")

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        config, seeds = self.config, self._seeds
        d, wide, k = config.hidden, config.hidden * config.expansion, config.kernel

        def weight(name: str, shape: tuple[int, ...], initializer: Any = "zeros") -> Any:
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        self.gamma = weight("gamma", (d,), "ones")
        if config.attention:
            self.query = weight("query", (d, d), seeds.fan_in(d))
            self.query_bias = weight("query_bias", (d,))
            self.output_kernel = weight("output", (d, d), seeds.fan_in(d))
            self.output_bias = weight("output_bias", (d,))
            self.output_lambda = [
                weight(f"output_lambda_{part}", (d,), seeds.normal(0.1)) for part in "qk"
            ]
        self.conv = weight("conv", (k, d, config.expansion), seeds.normal((2 / k) ** 0.5))
        self.conv_bias = weight("conv_bias", (wide,))
        self.mix = weight("mix", (wide, d), seeds.fan_in(wide))
        self.mix_bias = weight("mix_bias", (d,))
        self.mix_lambda = [weight(f"mix_lambda_{part}", (d,), seeds.normal(0.1)) for part in "qk"]
        # Now, not at the first call while training: a model that is loaded has the same variables.
        for drop in (self.weigh, self.drop) if config.attention else (self.drop,):
            drop.build(())

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Run both branches."""
        x, mask = inputs
        n = normalize(x, self.gamma) * mask
        y = -_strength(self.mix_lambda) * self.drop(self.convolve(n), training=training)
        if self.config.attention:
            u = self.drop(self.attend(n, mask, training), training=training)
            y = y + _strength(self.output_lambda) * u
        return x + y if self.config.residual == "identity" else y

    def attend(self, n: Any, mask: Any, training: bool | None) -> Any:
        """The attention branch; keys and values are the input."""
        query = ops.matmul(n, self.query) + self.query_bias
        score = ops.matmul(query, ops.transpose(n, (0, 2, 1))) * self.config.hidden**-0.5
        score = score + (ops.transpose(mask, (0, 2, 1)) - 1.0) * -FAR
        weights = self.weigh(ops.softmax(score, axis=-1), training=training)
        return ops.matmul(ops.matmul(weights, n), self.output_kernel) + self.output_bias

    def convolve(self, n: Any) -> Any:
        """The convolution branch."""
        left = conv_left(self.config.kernel, self.config.conv)
        c = convolve_tokens(n, self.conv, left=left) + self.conv_bias
        return ops.matmul(ops.silu(c), self.mix) + self.mix_bias


def _strength(pair: Any) -> Any:
    return ops.exp(ops.sum(pair[0] * pair[1]))
