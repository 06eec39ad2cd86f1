"""EmbBERT as its int8 file computes, in float with gradients: training that knows the rounding.

Every operator's result and every weight is rounded as `edgekit.quantize.embbert` stores it; the
gradient takes the rounding for the identity and is zero where a value lies outside its range. In
`keras.ops` only. Biases stay float: their steps are those of the products, some thousandth of an
activation's.

Only worker processes import this file: it loads the training framework.

Source: B. Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference (arXiv 1712.05877), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from edgekit.models.embbert import SEP, EmbBertConfig
from edgekit.models.text_layers import EPSILON, conv_left, convolve_tokens

GROUP = 16
"""Neighbours whose mean is taken first. Twin: edgekit/quantize/embbert.py, GROUP"""
Scales = Mapping[str, tuple[float, float]]
"""Scale and zero point of int8 by the file's name of an activation or constant."""
HAIR = 1e-3
"""Of a step, by which a tie is lifted."""
LEAST_SQUARE = 1e-12
"""Instead of a mean square that was rounded to zero; its root is cut to its range anyway."""


def fake_quantize(x: Any, scale: Any, zero: Any) -> Any:
    """Round to int8 and back; the gradient is 1 within the range and 0 outside."""
    inside = ops.clip(x, (-128 - zero) * scale, (127 - zero) * scale)
    return inside + ops.stop_gradient(ops.round(inside / scale) * scale - inside)


def round_weights(w: Any, scale: Any) -> Any:
    """Round to symmetric int8 and back; the gradient is 1."""
    stored = ops.clip(ops.round(w / scale), -127, 127) * scale
    return w + ops.stop_gradient(stored - w)


def round_channels(w: Any) -> Any:
    """Round weights [..., M] with the scale of each output channel."""
    flat = ops.reshape(ops.abs(w), (-1, int(w.shape[-1])))
    return round_weights(w, ops.stop_gradient(ops.maximum(ops.max(flat, axis=0), 1e-8) / 127))


class AwareNetwork:
    """The network of a model from `build_embbert`, with its variables and its dropout.

    Attributes:
        model: The Keras model; its weights are read anew in every call.
        config: Its configuration.
    """

    def __init__(self, model: Any, config: EmbBertConfig, *, pooled: bool = False) -> None:
        """Prepare; `pooled`: also return what the head reads."""
        self.model, self.config, self._pooled = model, config, pooled
        self._weights = {v.path: v for v in model.weights}
        self._names: tuple[str, ...] = ()
        self._values: Any = None

    def set_scales(self, scales: Scales) -> None:
        """Take scales; what was compiled before reads them too."""
        self._names = self._names or tuple(scales)
        values = np.array([scales[name] for name in self._names], np.float32)
        if self._values is None:
            self._values = keras.Variable(values, trainable=False, name="scales")
        self._values.assign(values)

    def __call__(self, ids: Any, training: bool = False) -> Any:
        """Ids int32 [N, L] -> logits [N, classes], or logits and pooled states."""
        config, model, w = self.config, self.model, self._weights
        mask = ops.expand_dims(ops.cast(ids != 0, "float32"), -1)
        x = model.get_layer("embed.dropout")(self._embed(ids) * mask, training=training)
        for i in range(config.layers):
            x = self._block(x, mask, f"block{i}", training)
        if config.final_norm:
            x = self._norm(x, w["tokens/gamma"], "tokens")
        pooled = self._pool(x, mask)
        read = model.get_layer("head.dropout")(pooled, training=training)
        logits = ops.matmul(read, round_channels(w["head/kernel"])) + w["head/bias"]
        logits = self._point(logits, "head")
        return [logits, pooled] if self._pooled else logits

    def _scale(self, name: str) -> tuple[Any, Any]:
        row = self._values[self._names.index(name)]
        return row[0], row[1]

    def _point(self, x: Any, name: str) -> Any:
        return fake_quantize(x, *self._scale(name))

    def _constant(self, w: Any, name: str) -> Any:
        return round_weights(w, self._scale(name)[0])

    def _dense(self, x: Any, kernel: Any, bias: Any, name: str) -> Any:
        y = ops.matmul(x, self._constant(kernel, f"{name}.weights")) + bias
        return self._point(y, name)

    def _embed(self, ids: Any) -> Any:
        """Rows of token, position and flag with one scale, times one matrix."""
        w, step = self._weights, self._scale("tokens_table")[0]
        tokens = self._constant(ops.take(w["embed/tokens_table"], ids, axis=0), "tokens_table")
        table, full = w["embed/positions_table"], 127 * step
        largest = ops.max(ops.abs(table))
        stretch = ops.stop_gradient(full / ops.maximum(largest, 1e-6))
        rows = round_weights(table[: ids.shape[1]] * stretch, step)
        rows = ops.broadcast_to(ops.expand_dims(rows, 0), ops.shape(tokens))
        second = ops.minimum(ops.cumsum(ops.cast(ids == SEP, "float32"), axis=1), 1.0)
        joined = ops.concatenate([tokens, rows, ops.expand_dims(second, -1) * full], axis=-1)
        segments = w["embed/segments_table"]
        parts = [
            ops.convert_to_tensor(w["embed/token_projection"]),
            w["embed/position_projection"] / stretch,
            (segments[2:] - segments[1:2]) / full,
        ]
        matrix = round_channels(ops.concatenate(parts, axis=0))
        return self._point(ops.matmul(joined, matrix) + segments[1], "embed.dense")

    def _norm(self, x: Any, gamma: Any, name: str) -> Any:
        square = self._point(ops.square(x), f"{name}.square")
        m = self._point(self._mean(square, name), f"{name}.mean")
        m = self._point(m + EPSILON, f"{name}.epsilon")
        root = self._point(ops.rsqrt(ops.maximum(m, LEAST_SQUARE)), f"{name}.root")
        unit = self._point(x * root, f"{name}.unit")
        return self._point(unit * self._constant(gamma, f"{name}.gamma"), name)

    def _mean(self, square: Any, name: str) -> Any:
        """Mean over the width, rounded first as LiteRT's MEAN does.

        A product with a multiplier of 31 bits is rounded to a few bits behind the point before the
        last rounding: a quarter may count as a half.

        Source: `edgekit.ops.reduce.mean_multiplier`.
        """
        mean = ops.mean(square, axis=-1, keepdims=True)
        step = self._scale(f"{name}.mean")[0]
        ratio = self._scale(f"{name}.square")[0] / step
        extra = self.config.hidden.bit_length() - 1
        units = ops.power(2.0, extra - 1.0 - ops.floor(ops.log2(ratio))) / step
        # A tie goes up; the hair makes it more than a half.
        return mean + ops.stop_gradient((ops.round(mean * units) + HAIR) / units - mean)

    def _block(self, x: Any, mask: Any, name: str, training: bool) -> Any:
        config, layer = self.config, self.model.get_layer(name)
        n = self._norm(x, self._weights[f"{name}/gamma"], f"{name}.norm")
        y = x if config.residual == "identity" else None
        if config.attention:
            u = layer.drop(self._attend(n, mask, name, training), training=training)
            y = u if y is None else self._point(y + u, f"{name}.attended")
        w = layer.drop(self._convolve(n, name), training=training)
        y = w if y is None else self._point(y + w, f"{name}.sum")
        return y * mask

    def _own(self, name: str, *parts: str) -> tuple[Any, ...]:
        return tuple(self._weights[f"{name}/{part}"] for part in parts)

    def _strength(self, name: str, branch: str) -> Any:
        q, k = self._own(name, f"{branch}_lambda_q", f"{branch}_lambda_k")
        return ops.exp(ops.sum(q * k))

    def _attend(self, n: Any, mask: Any, name: str, training: bool) -> Any:
        query, query_bias, output, bias = self._own(
            name, "query", "query_bias", "output", "output_bias"
        )
        shrink = self.config.hidden**-0.5
        q = self._dense(n, query * shrink, query_bias * shrink, f"{name}.query")
        s = self._point(ops.matmul(q, ops.transpose(n, (0, 2, 1))), f"{name}.score")
        s = ops.where(ops.transpose(mask, (0, 2, 1)) > 0, s, self._least(f"{name}.score"))
        p = self._point(ops.softmax(s, axis=-1), f"{name}.weights")
        p = self.model.get_layer(name).weigh(p, training=training)
        mixed = self._point(ops.matmul(p, n), f"{name}.mixed")
        strength = self._strength(name, "output")
        return self._dense(mixed, output * strength, bias * strength, f"{name}.output")

    def _convolve(self, n: Any, name: str) -> Any:
        kernel, conv_bias, mix, bias = self._own(name, "conv", "conv_bias", "mix", "mix_bias")
        size, width, expansion = (int(k) for k in kernel.shape)
        flat = round_channels(ops.reshape(kernel, (size, width * expansion)))
        left = conv_left(self.config.kernel, self.config.conv)
        c = convolve_tokens(n, ops.reshape(flat, (size, width, expansion)), left=left)
        c = self._point(c + conv_bias, f"{name}.conv")
        s = self._point(c * self._point(ops.sigmoid(c), f"{name}.gate"), f"{name}.silu")
        strength = -self._strength(name, "mix")
        return self._dense(s, mix * strength, bias * strength, f"{name}.mix")

    def _mean_of_groups(self, x: Any, mask: Any) -> Any:
        """Mean of groups of tokens, then of groups, as the file has them."""
        spare = ((0, 0), (0, -int(x.shape[1]) % GROUP), (0, 0))
        x, mask = ops.pad(x, spare), ops.pad(mask, spare)
        x = ops.reshape(x, (-1, x.shape[1] // GROUP, GROUP, x.shape[2]))
        mask = ops.reshape(mask, (-1, x.shape[1], GROUP, 1))
        count = ops.sum(mask, axis=2, keepdims=True)
        share = self._point(mask / ops.maximum(count, 1.0), "pooled.share")
        means = self._tied(ops.sum(x * share, axis=2), "pooled.groups")
        full = ops.log(ops.maximum(count[:, :, 0], 1e-6) / GROUP)
        full = self._point(full, "pooled.slots")
        share = self._point(ops.softmax(full, axis=1), "pooled.shares")
        return self._tied(ops.sum(means * share, axis=1), "pooled.mean")

    def _tied(self, x: Any, name: str) -> Any:
        """Round with ties up, as LiteRT does; means of sixteen have many."""
        return self._point(x + HAIR * self._scale(name)[0], name)

    def _least(self, name: str) -> Any:
        scale, zero = self._scale(name)
        return (-128 - zero) * scale

    def _pool(self, x: Any, mask: Any) -> Any:
        pooling = self.config.pooling
        if pooling == "cls":
            return x[:, 0]
        parts = []
        if pooling in ("mean", "mean_max"):
            parts.append(self._mean_of_groups(x, mask))
        if pooling in ("max", "mean_max"):
            seen = ops.where(mask > 0, x, self._least("pooled.seen"))
            parts.append(ops.max(seen, axis=1))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
