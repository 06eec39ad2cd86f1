"""The worker that builds networks for benches; `tools.bench.models` drives it.

Four architectures of MLPerf Tiny with random weights of ordinary density: what an inference costs
depends on shapes, and not on what was learned. Batch normalization is folded already: where the
original has convolution, normalization and ReLU, there is a convolution with bias and ReLU.

Source: https://github.com/mlcommons/tiny, benchmark/training, v1.0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from edgekit.data.files import write_atomic
from edgekit.models.tinyvit import TinyVitConfig, build_tinyvit
from edgekit.models.worker import Emit, Event, serve_worker
from edgekit.quantize.convert import convert_model

CALIBRATION_SAMPLES = 32
BIAS_DEVIATION = 0.1


class Net:
    """Makes layers whose weights keep the variance of what flows through them.

    Source: He et al., Delving Deep into Rectifiers (arXiv 1502.01852), section 2.2.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._seeds = np.random.SeedSequence(seed)

    def _normal(self, deviation: float) -> Any:
        (child,) = self._seeds.spawn(1)
        seed = int(child.generate_state(1)[0])
        return keras.initializers.RandomNormal(stddev=deviation, seed=seed)

    def conv(self, x: Any, width: int, size: Any = 3, stride: int = 1, *, relu: bool = True) -> Any:
        """Convolve with bias, padding "same"."""
        high, wide = size if isinstance(size, tuple) else (size, size)
        return layers.Conv2D(
            width,
            (high, wide),
            strides=stride,
            padding="same",
            activation="relu" if relu else None,
            kernel_initializer=self._normal((2 / (high * wide * x.shape[-1])) ** 0.5),
            bias_initializer=self._normal(BIAS_DEVIATION),
        )(x)

    def depthwise(self, x: Any, stride: int = 1) -> Any:
        """Convolve every channel by itself with 3x3 weights, bias and ReLU."""
        return layers.DepthwiseConv2D(
            3,
            strides=stride,
            padding="same",
            activation="relu",
            depthwise_initializer=self._normal((2 / 9) ** 0.5),
            bias_initializer=self._normal(BIAS_DEVIATION),
        )(x)

    def dense(self, x: Any, width: int, activation: str | None) -> Any:
        """Multiply with a matrix."""
        return layers.Dense(
            width,
            activation=activation,
            kernel_initializer=self._normal((2 / x.shape[-1]) ** 0.5),
            bias_initializer=self._normal(BIAS_DEVIATION),
        )(x)

    def classes(self, x: Any, count: int) -> Any:
        """Average over the whole map, then choose one of so many classes."""
        x = layers.AveragePooling2D(x.shape[1:3])(x)
        return self.dense(layers.Flatten()(x), count, "softmax")


def anomaly(net: Net) -> Any:
    """AD: auto-encoder of 640 spectral values."""
    x = y = keras.Input((640,))
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        y = net.dense(y, width, "relu")
    return keras.Model(x, net.dense(y, 640, None))


def keywords(net: Net) -> Any:
    """KWS: DS-CNN for 12 words, 49 frames of 10 coefficients."""
    x = keras.Input((49, 10, 1))
    y = net.conv(x, 64, (10, 4), 2)
    for _ in range(4):
        y = net.conv(net.depthwise(y), 64, 1)
    return keras.Model(x, net.classes(y, 12))


def images(net: Net) -> Any:
    """IC: ResNet-8 for 10 classes of 32x32 pixels."""
    x = keras.Input((32, 32, 3))
    y = net.conv(x, 16)
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        branch = net.conv(net.conv(y, width, 3, stride), width, 3, relu=False)
        if stride != 1:
            y = net.conv(y, width, 1, stride, relu=False)
        y = layers.ReLU()(layers.Add()([y, branch]))
    return keras.Model(x, net.classes(y, 10))


def persons(net: Net) -> Any:
    """VWW: MobileNetV1 of width 0.25 for 2 classes of 96x96 pixels."""
    x = keras.Input((96, 96, 3))
    y = net.conv(x, 8, 3, 2)
    plan = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2))
    for width, stride in (*plan, (256, 1)):
        y = net.conv(net.depthwise(y, stride), width, 1)
    return keras.Model(x, net.classes(y, 2))


def convolutions(net: Net, *widths: int) -> Any:
    """3x3 convolutions, each but the first halving the map, for 10 classes of 32x32 pixels."""
    x = y = keras.Input((32, 32, 3))
    for number, width in enumerate(widths):
        y = net.conv(y, width, 3, 2 if number else 1)
    return keras.Model(x, net.classes(y, 10))


def middle(net: Net) -> Any:
    """A CNN of 344,466 parameters."""
    return convolutions(net, 32, 64, 128, 216)


def large(net: Net) -> Any:
    """A CNN whose file has 1 MB."""
    return convolutions(net, 64, 128, 192, 400)


def transformer(net: Net) -> Any:
    """A vision transformer for 10 classes of 8x8 pixels, about 18,000 parameters."""
    return build_tinyvit(TinyVitConfig(width=36), seed=net.seed)


NETWORKS: dict[str, Callable[[Net], Any]] = {
    "ad": anomaly,
    "kws": keywords,
    "ic": images,
    "vww": persons,
    "cnn_350k": middle,
    "vit_18k": transformer,
    "cnn_1mb": large,
}
PICTURES = ("ic", "vww", "cnn_350k", "vit_18k", "cnn_1mb")


def build_network(name: str, seed: int) -> bytes:
    """Build a network and convert it to int8."""
    place = list(NETWORKS).index(name)
    model = NETWORKS[name](Net(1000 * seed + place))
    rng = np.random.default_rng([seed, place])
    shape = (CALIBRATION_SAMPLES, *model.input_shape[1:])
    inputs = rng.random(shape) if name in PICTURES else rng.standard_normal(shape)
    return convert_model(model, inputs.astype(np.float32))


def _work(request: Event, emit: Emit) -> None:
    for name, path in request["files"].items():
        emit({"event": "building", "model": name})
        write_atomic(Path(path), build_network(name, request["seed"]))


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
