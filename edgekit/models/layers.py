"""Layers that our models share: normalized convolutions and the learned attention bias."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops


class AttentionBias(layers.Layer):
    """Add a learned scalar per head and offset (|dx|, |dy|) to attention scores.

    Source: LeViT (arXiv 2104.01136), section 4.3; TinyViT, class Attention.
    """

    def __init__(self, *, heads: int, side: int, name: str) -> None:
        super().__init__(name=name)
        self.heads = heads
        self.side = side
        y, x = np.divmod(np.arange(side * side), side)
        offset_y, offset_x = abs(y[:, None] - y[None]), abs(x[:, None] - x[None])
        self.index = (offset_y * side + offset_x).reshape(-1)

    def build(self, input_shape: Any) -> None:
        """Make the table, [heads, side * side], zero at first."""
        self.table = self.add_weight(
            shape=(self.heads, self.side**2), initializer="zeros", name="table"
        )

    def call(self, score: Any) -> Any:
        """Add the bias to scores [N, heads, tokens, tokens]."""
        tokens = self.side**2
        bias = ops.take(self.table, self.index, axis=1)
        return score + ops.reshape(bias, (1, self.heads, tokens, tokens))


class Stack:
    """Makes named layers with seeded first values.

    Attributes:
        residual_gamma: First gamma of the normalization that ends a residual branch; small, so
            that a block starts close to the identity.
    """

    residual_gamma = 0.2

    def __init__(self, *, seed: int) -> None:
        self._seeds = np.random.SeedSequence(seed)

    def initializer(self, gain: float) -> Any:
        """Make a seeded fan-in initializer."""
        (child,) = self._seeds.spawn(1)
        return keras.initializers.VarianceScaling(
            gain,
            mode="fan_in",
            distribution="truncated_normal",
            seed=int(child.generate_state(1)[0]),
        )

    def conv(
        self,
        x: Any,
        width: int,
        *,
        size: int = 1,
        activation: bool = False,
        gamma: float = 1.0,
        name: str,
    ) -> Any:
        """Convolve without bias, normalize and, if asked, rectify."""
        y = layers.Conv2D(
            width,
            size,
            padding="same",
            use_bias=False,
            kernel_initializer=self.initializer(2.0 if activation else 1.0),
            name=name,
        )(x)
        return self._finish(y, activation, gamma, name)

    def depthwise(self, x: Any, *, stride: int = 1, activation: bool = False, name: str) -> Any:
        """Convolve every channel by itself with 3x3 weights, normalize and, if asked, rectify."""
        y = layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.initializer(20.0 if activation else 10.0),
            name=name,
        )(x)
        return self._finish(y, activation, 1.0, name)

    def relu(self, x: Any, *, name: str) -> Any:
        """Rectify."""
        return layers.ReLU(name=name)(x)

    def add(self, x: Any, y: Any, *, name: str) -> Any:
        """Add two tensors of one shape."""
        return layers.Add(name=name)([x, y])

    def _finish(self, y: Any, activation: bool, gamma: float, name: str) -> Any:
        y = layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-3,
            gamma_initializer=keras.initializers.Constant(gamma),
            name=f"{name}.norm",
        )(y)
        return self.relu(y, name=f"{name}.relu") if activation else y
