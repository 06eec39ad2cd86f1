"""EmbBERT -> full int8 .tflite for one length, from the weights alone.

The input is int32 ids [1, L], 0 behind the last token. Padding is exact: rows of padding are zero
before every convolution, masked as keys and left out of the pooling, so the answer does not depend
on how much of it follows. Lambdas are folded into the matrices behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import QuantizationError
from edgekit.models.embbert import SEP, EmbBertConfig
from edgekit.quantize.net import SAME, VALID, Floats, Net, Value

Ids = NDArray[np.int32]
Weights = Mapping[str, Floats]
EPSILON = 1e-6
MOST_KEYS = 511
"""Keys of attention: LiteRT's softmax ends the process at 512 equal values."""
GROUP = 16
"""Neighbours whose mean is taken first, where the mean of all tokens is."""
FULLNESS_DEPTH = 10.0
SLOTS = Value(-1, (), FULLNESS_DEPTH / 255, 127)
"""Scale of how full a group is, as a logarithm: an empty one has e^-10 of a full one's weight."""
MASK_DEPTH = 9.0
"""How far below the least largest score of a row a masked score lies: e^-9 rounds to nothing."""


@dataclass(frozen=True, slots=True)
class Traced:
    """A file and what its activations are in float.

    Attributes:
        data: The .tflite.
        names: Of the activations.
        indices: Of their tensors.
        scales: Of their quantization; `zeros` the zero points.
        reals: Float values for the calibration inputs, the token axis cut to the longest.
        ids: The calibration inputs.
        constants: Scales of the weights that have one scale, by name.
    """

    data: bytes
    names: tuple[str, ...]
    indices: tuple[int, ...]
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    reals: tuple[Floats, ...]
    ids: Ids
    constants: Mapping[str, float]


def quantize_embbert(model: Any, config: EmbBertConfig, ids: Ids) -> Traced:
    """Make the int8 file of an EmbBERT.

    Args:
        model: The Keras model of `build_embbert`.
        config: Its configuration; `length` becomes that of the input.
        ids: int32 [N, L] sample sentences that show the ranges of activations.

    Raises:
        QuantizationError: If there is no sentence, an activation is not finite, or attention is
            over more than `MOST_KEYS` tokens.
    """
    return quantize_weights({v.path: np.asarray(v) for v in model.weights}, config, ids)


def quantize_weights(weights: Weights, config: EmbBertConfig, ids: Ids) -> Traced:
    """Make the int8 file of an EmbBERT from its weights by name; as `quantize_embbert`."""
    if len(ids) == 0 or not np.any(ids):
        raise QuantizationError("no sentence to take the ranges of activations from")
    return _Writer(config, weights, ids).write()


def group_slots() -> Floats:
    """Return the logarithm of the share of a group that is taken up to each slot, [1, 1, 1, 16]."""
    return np.log(np.arange(1, GROUP + 1) / GROUP).astype(np.float32).reshape(1, 1, 1, GROUP)


class SentenceWriter:
    """What the files of all sentence models begin and end with.

    Attributes:
        ids: Calibration inputs, cut to the longest.
        kept: 1 at tokens, 0 at padding, [N, L, 1].
    """

    def __init__(self, name: str, length: int, weights: Weights, ids: Ids) -> None:
        used = int(np.max(np.flatnonzero(np.any(ids != 0, axis=0)))) + 1
        self.length, self.weights = length, weights
        self.ids = np.ascontiguousarray(ids[:, : min(used, length)], np.int32)
        self.net = Net(name)
        self.kept = (self.ids != 0).astype(np.float32)[:, :, None]

    def begin(self) -> None:
        """Emit input and masks."""
        net, length = self.net, self.length
        self.input = net.tensor((1, length), "int32", name="ids")
        zero = net.ints(0, "pad")
        self.rows_mask = self._mask((1, length, 1), zero)
        self.keys_mask = self._mask((1, 1, length), zero)

    def finish(self, y: Value) -> Traced:
        """Return the file."""
        traced = self.net.traced
        return Traced(
            self.net.finish([self.input], [y.index]),
            tuple(self.net.names),
            tuple(value.index for value in traced),
            tuple(value.scale for value in traced),
            tuple(value.zero for value in traced),
            tuple(value.real for value in traced),
            self.ids,
            self.net.constants,
        )

    def _mask(self, shape: tuple[int, ...], zero: int, ids: int | None = None) -> int:
        net = self.net
        view = net.tensor(shape, "int32", name="ids.view")
        ids = self.input if ids is None else ids
        net.add("RESHAPE", [ids, net.ints(shape)], view, newShape=list(shape))
        mask = net.tensor(shape, "bool", name="mask")
        net.add("NOT_EQUAL", [view, zero], mask)
        return mask

    def _masked(self, x: Value, name: str) -> Value:
        away = self.net.stored(np.zeros((1,), np.float32), like=x)
        return self.net.select(self.rows_mask, x, away, x.real * self.kept, name=name)

    def _mean(self, x: Value) -> Value:
        """Mean of the tokens: of groups of neighbours, then of groups, each as heavy as it is full.

        Both are products with a softmax of the mask. Its values have steps of 1/256, so one over
        all tokens of a long text would be far off.
        """
        net, width, groups = self.net, x.shape[-1], -(-self.length // GROUP)
        count, used = self.ids.shape
        spare = -used % GROUP
        kept = np.pad(self.kept[:, :, 0], ((0, 0), (0, spare))).reshape(count, -1, GROUP)
        real = np.pad(x.real, ((0, 0), (0, spare), (0, 0))).reshape(count, -1, GROUP, width)
        mask, x = self._whole_groups(x, groups)
        x = net.reshape(x, (1, groups, GROUP, width), real, name="pooled.tokens")
        on = net.stored(np.zeros((1, 1, 1, GROUP), np.float32), like=Value(-1, (), 1 / 8, 0))
        level = self._chosen(mask, on, (kept[:, :, None] - 1) * 16, name="pooled.level")
        share = np.where(kept.any(axis=-1, keepdims=True), kept, 1.0)
        share = (share / share.sum(axis=-1, keepdims=True))[:, :, None]
        p = net.unary("SOFTMAX", level, share, name="pooled.share", fixed=(1 / 256, -128))
        means = net.matmul(p, x, turned=False, name="pooled.groups", like=x)
        means = net.reshape(means, (1, groups, width), means.real[:, :, 0], name="pooled.means")
        full = self._fullness(mask, kept)
        share = kept.sum(axis=-1) / kept.sum(axis=(1, 2))[:, None]
        p = net.unary("SOFTMAX", full, share[:, None], name="pooled.shares", fixed=(1 / 256, -128))
        mean = net.matmul(p, means, turned=False, name="pooled.mean", like=x)
        return net.reshape(mean, (1, width), mean.real[:, 0], name="pooled.row")

    def _whole_groups(self, x: Value, groups: int) -> tuple[int, Value]:
        """Return the mask [1, G, 1, 16], and x with rows of zero up to a whole group."""
        net, ids, spare = self.net, self.input, groups * GROUP - self.length
        if spare:
            ids = net.tensor((1, groups * GROUP), "int32", name="ids.groups")
            net.add("PAD", [self.input, net.ints([[0, 0], [0, spare]])], ids)
            shape = (1, groups * GROUP, x.shape[-1])
            rows = net.tensor(shape, "int8", scales=[x.scale], zero=x.zero, name="pooled.rows")
            net.add("PAD", [x.index, net.ints([[0, 0], [0, spare], [0, 0]])], rows)
            x = Value(rows, shape, x.scale, x.zero)
        return self._mask((1, groups, 1, GROUP), net.ints(0, "pad"), ids), x

    def _fullness(self, mask: int, kept: Floats) -> Value:
        """Logarithm of the share of each group that is taken: the slot of its last token has it."""
        net, groups = self.net, -(-self.length // GROUP)
        slots = net.stored(group_slots(), like=SLOTS)
        real = np.where(kept > 0, slots.real[0, 0], -FULLNESS_DEPTH)
        chosen = self._chosen(mask, slots, real[:, :, None], name="pooled.slots")
        full = net.reduce(
            "REDUCE_MAX", chosen, real.max(axis=-1)[:, :, None, None], 3, name="pooled.last",
            like=slots,
        )  # fmt: skip
        return net.reshape(full, (1, 1, groups), full.real[:, None, :, 0, 0], name="pooled.full")

    def _chosen(self, mask: int, on: Value, real: Floats, *, name: str) -> Value:
        """SELECT_V2: a row of 16 where the mask is true, else the least value of its scale."""
        net, away = self.net, self.net.least(on)
        shape = (1, -(-self.length // GROUP), 1, GROUP)
        y = net.activation(shape, real, name=name, like=on)
        net.add("SELECT_V2", [mask, on.index, away.index], y.index)
        return y


class _Writer(SentenceWriter):
    """The operators of one EmbBERT, in order."""

    def __init__(self, config: EmbBertConfig, weights: Weights, ids: Ids) -> None:
        super().__init__("embbert", config.length, weights, ids)
        self.config = config

    def write(self) -> Traced:
        """Emit all and return the file."""
        self.begin()
        x = self._embed()
        for i in range(self.config.layers):
            x = self._block(x, i)
        if self.config.final_norm:
            x = self._norm(x, self.weights["tokens/gamma"], "tokens")
        head = self.weights["head/kernel"], self.weights["head/bias"]
        return self.finish(self.net.dense(self._pool(x), *head, name="head", per_channel=True))

    def _embed(self) -> Value:
        """The row of token and position and a flag for the second text, times one matrix."""
        net, length, weights = self.net, self.config.length, self.weights
        table = net.stored(weights["embed/tokens_table"], name="tokens_table")
        tokens = net.gather(table, self.input, (1, length), table.real[self.ids])
        positions = weights["embed/positions_table"][:length]
        stretch = 127 * table.scale / max(float(np.abs(positions).max()), 1e-6)
        rows = net.stored((positions * stretch)[None], like=table, name="positions_table")
        flag = np.array([[0.0], [127.0 * table.scale]], np.float32)
        seen = np.minimum(np.cumsum(self.ids == SEP, axis=1), 1)
        second = net.gather(
            net.stored(flag, like=table, name="flag"),
            self._second(),
            (1, length),
            flag[seen],
        )
        n, used = self.ids.shape
        places = np.broadcast_to(rows.real[:, :used], (n, used, rows.shape[-1]))
        parts = np.concatenate([tokens.real, places, second.real], axis=-1)
        joined = net.concat([tokens, rows, second], parts, name="embed.rows")
        segments = weights["embed/segments_table"]
        matrix = np.concatenate(
            [
                weights["embed/token_projection"],
                weights["embed/position_projection"] / stretch,
                (segments[2:] - segments[1:2]) / (127 * table.scale),
            ]
        )
        x = net.dense(joined, matrix, segments[1], name="embed.dense", per_channel=True)
        return self._masked(x, "embed")

    def _second(self) -> int:
        """0 before the first [SEP] and 1 from it on, int32 [1, L]."""
        from ai_edge_litert import schema_py_generated as schema

        net, shape = self.net, (1, self.config.length)
        kinds = schema.TensorType
        found = net.tensor(shape, "bool", name="sep")
        net.add("EQUAL", [self.input, net.ints(SEP)], found)
        count = net.tensor(shape, "int32", name="sep.int")
        net.add("CAST", [found], count, inDataType=kinds.BOOL, outDataType=kinds.INT32)
        total = net.tensor(shape, "int32", name="sep.total")
        net.add("CUMSUM", [count, net.ints(1)], total, exclusive=False, reverse=False)
        second = net.tensor(shape, "int32", name="second")
        net.add("MINIMUM", [total, net.ints(1)], second)
        return second

    def _norm(self, x: Value, gamma: Floats, name: str) -> Value:
        net = self.net
        squares = np.square(x.real)
        mean = squares.mean(axis=-1, keepdims=True)
        root = 1 / np.sqrt(mean + EPSILON)
        high = float(squares.max())
        square = net.binary("MUL", x, x, squares, name=f"{name}.square", bounds=(0, high))
        high = float(mean.max()) + EPSILON
        m = net.reduce(
            "MEAN", square, mean, len(x.shape) - 1, name=f"{name}.mean", bounds=(0, high)
        )
        least = net.stored(np.full((1, 1, 1), EPSILON, np.float32))
        m = net.binary("ADD", m, least, mean + EPSILON, name=f"{name}.epsilon", bounds=(0, high))
        # Rows of padding have no root; the largest of the others is the range.
        real = float(root[self.kept > 0].max())
        r = net.unary("RSQRT", m, root, name=f"{name}.root", bounds=(0, real))
        unit = x.real * root
        n = net.binary("MUL", x, r, unit, name=f"{name}.unit")
        g = net.stored(gamma.reshape(1, 1, -1), name=f"{name}.gamma")
        return net.binary("MUL", n, g, unit * gamma, name=name)

    def _block(self, x: Value, i: int) -> Value:
        config, name = self.config, f"block{i}"
        own = {
            path.removeprefix(f"{name}/"): value
            for path, value in self.weights.items()
            if path.startswith(f"{name}/")
        }
        n = self._norm(x, own["gamma"], f"{name}.norm")
        y = x if config.residual == "identity" else None
        if config.attention:
            u = self._attended(n, own, name)
            y = u if y is None else self._sum(y, u, f"{name}.attended")
        w = self._convolved(n, own, name)
        y = w if y is None else self._sum(y, w, f"{name}.sum")
        return self._masked(y, name)

    def _sum(self, x: Value, y: Value, name: str) -> Value:
        return self.net.binary("ADD", x, y, x.real + y.real, name=name)

    def _attended(self, n: Value, own: Weights, name: str) -> Value:
        net, strength = self.net, _strength(own, "output")
        if self.length > MOST_KEYS:
            raise QuantizationError(
                f"the length is {self.length}, a model with attention has at most {MOST_KEYS}: "
                "LiteRT's softmax fails on more equal scores; set a smaller length, or train an "
                "EmbBERT with attention = false"
            )
        shrink = np.float32(self.config.hidden**-0.5)
        q = net.dense(n, own["query"] * shrink, own["query_bias"] * shrink, name=f"{name}.query")
        real = q.real @ np.swapaxes(n.real, 1, 2)
        keys = np.swapaxes(self.kept, 1, 2) > 0
        seen = np.where(keys, real, -np.inf)[self.kept[..., 0] > 0]
        low = min(float(seen[np.isfinite(seen)].min()), float(seen.max(axis=-1).min()) - MASK_DEPTH)
        bounds = (min(low, 0.0), max(0.0, float(seen.max())))
        s = net.matmul(q, n, turned=True, name=f"{name}.score", bounds=bounds)
        away = net.least(s)
        masked = np.where(keys, real, -1e9).astype(np.float32)
        s = net.select(self.keys_mask, s, away, masked, name=f"{name}.masked")
        weights = np.exp(masked - masked.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        p = net.unary("SOFTMAX", s, weights, name=f"{name}.weights", fixed=(1 / 256, -128))
        mixed = net.matmul(p, n, turned=False, name=f"{name}.mixed")
        matrix, bias = own["output"] * strength, own["output_bias"] * strength
        return net.dense(mixed, matrix, bias, name=f"{name}.output")

    def _convolved(self, n: Value, own: Weights, name: str) -> Value:
        net, strength = self.net, -_strength(own, "mix")
        kernel, (length, width) = own["conv"], (self.config.length, self.config.hidden)
        size, wide = len(kernel), width * self.config.expansion
        causal = self.config.conv == "causal"
        left = size - 1 if causal else (size - 1) // 2
        x = net.reshape(n, (1, 1, length, width), n.real, name=f"{name}.line")
        if causal:
            padded = (1, 1, length + size - 1, width)
            index = net.tensor(padded, "int8", scales=[x.scale], zero=x.zero)
            net.add("PAD", [x.index, net.ints([[0, 0], [0, 0], [size - 1, 0], [0, 0]])], index)
            x = Value(index, padded, x.scale, x.zero, x.real)
        around = np.pad(n.real, ((0, 0), (left, size - 1 - left), (0, 0)))
        used = n.real.shape[1]
        real = sum(around[:, j : j + used, :, None] * kernel[j] for j in range(size))
        real = real.reshape(len(real), used, wide) + own["conv_bias"]
        padding = VALID if causal else SAME
        c = net.depthwise(x, kernel, own["conv_bias"], real, padding=padding, name=f"{name}.conv")
        gate = 1 / (1 + np.exp(-real))
        g = net.unary("LOGISTIC", c, gate, name=f"{name}.gate", fixed=(1 / 256, -128))
        s = net.binary("MUL", c, g, real * gate, name=f"{name}.silu")
        s = net.reshape(s, (1, length, wide), s.real, name=f"{name}.rows")
        return net.dense(s, own["mix"] * strength, own["mix_bias"] * strength, name=f"{name}.mix")

    def _pool(self, x: Value) -> Value:
        net, config, width = self.net, self.config, self.config.hidden
        if config.pooling == "cls":
            first = Value(net.ints([0]), (1,))
            row = net.tensor((1, 1, width), "int8", scales=[x.scale], zero=x.zero)
            net.add("GATHER", [x.index, first.index], row, axis=1)
            row_value = Value(row, (1, 1, width), x.scale, x.zero)
            return net.reshape(row_value, (1, width), x.real[:, 0], name="pooled")
        parts = []
        if config.pooling in ("mean", "mean_max"):
            parts.append(self._mean(x))
        if config.pooling in ("max", "mean_max"):
            away = net.least(x)
            least = (-128 - x.zero) * x.scale
            seen = np.where(self.kept > 0, x.real, least)
            masked = net.select(self.rows_mask, x, away, seen, name="pooled.seen")
            parts.append(
                net.reduce("REDUCE_MAX", masked, seen.max(axis=1), 1, name="pooled.max", like=x)
            )
        real = np.concatenate([part.real for part in parts], axis=-1)
        return parts[0] if len(parts) == 1 else net.concat(parts, real, name="pooled")


def _strength(own: Weights, branch: str) -> np.float32:
    pair = own[f"{branch}_lambda_q"], own[f"{branch}_lambda_k"]
    return np.float32(np.exp(np.sum(pair[0] * pair[1])))
