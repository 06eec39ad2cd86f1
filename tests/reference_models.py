"""Small whole models with random weights, written without the training framework."""

from __future__ import annotations

import numpy as np
from litert_models import ACTIVATIONS, Model, T

RELU = ACTIVATIONS["RELU"]


class Net:
    """Adds layers to a model; every activation has the scale and zero point that are given."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.model = Model()
        self.rng = np.random.default_rng(seed)
        self.x = self.model.add(T(shape, [1 / 64], [0]))
        self.model.inputs = [self.x]

    def shape(self, x: int) -> tuple[int, ...]:
        return tuple(self.model.tensors[x].shape)

    def activation(self, shape: tuple[int, ...], *, relu: bool = False) -> int:
        return self.model.add(T(shape, [1 / 32], [-128 if relu else 3]))

    def weights(self, shape: tuple[int, ...], axis: int, terms: int) -> tuple[int, int]:
        """Add normal weights and a bias."""
        spread = np.clip(self.rng.normal(0, 32, shape), -127, 127)
        count = shape[axis]
        scales = [float(np.float32(0.05 / terms**0.5))] * (count if len(shape) == 4 else 1)
        zeros = [0] * len(scales)
        w = self.model.add(T(shape, scales, zeros, axis, np.rint(spread).astype(np.int8)))
        bias = self.rng.integers(-500, 500, count, np.int32)
        wide = [scale / 64 for scale in scales]
        return w, self.model.add(T((count,), wide, zeros, 0, bias, "int32"))

    def conv(self, x: int, width: int, size: int, stride: int = 1, *, relu: bool = True) -> int:
        _, high, wide, channels = self.shape(x)
        terms = size * size * channels
        y = self.activation((1, -(-high // stride), -(-wide // stride), width), relu=relu)
        inputs = [x, *self.weights((width, size, size, channels), 0, terms)]
        code = RELU if relu else 0
        strides = {"strideH": stride, "strideW": stride}
        self.model.op("CONV_2D", inputs, [y], padding=0, fusedActivationFunction=code, **strides)
        return y

    def depthwise(self, x: int, stride: int = 1, *, multiplier: int = 1) -> int:
        _, high, wide, channels = self.shape(x)
        count = channels * multiplier
        y = self.activation((1, -(-high // stride), -(-wide // stride), count), relu=True)
        inputs = [x, *self.weights((1, 3, 3, count), 3, 9)]
        options = {"strideH": stride, "strideW": stride, "depthMultiplier": multiplier}
        self.model.op(
            "DEPTHWISE_CONV_2D", inputs, [y], padding=0, fusedActivationFunction=RELU, **options
        )
        return y

    def dense(self, x: int, width: int, *, relu: bool = False) -> int:
        *outer, terms = self.shape(x)
        y = self.activation((*outer, width), relu=relu)
        inputs = [x, *self.weights((width, terms), 0, terms)]
        code = RELU if relu else 0
        self.model.op(
            "FULLY_CONNECTED", inputs, [y], fusedActivationFunction=code, keepNumDims=True
        )
        return y

    def add(self, x: int, z: int) -> int:
        y = self.activation(self.shape(x))
        self.model.op("ADD", [x, z], [y])
        return y

    def reshape(self, x: int, *shape: int) -> int:
        t = self.model.tensors[x]
        y = self.model.add(T(shape, t.scales, t.zeros))
        target = T((len(shape),), data=np.array(shape, np.int32), dtype="int32")
        self.model.op("RESHAPE", [x, self.model.add(target)], [y])
        return y

    def transpose(self, x: int, *order: int) -> int:
        t = self.model.tensors[x]
        y = self.model.add(T(tuple(t.shape[axis] for axis in order), t.scales, t.zeros))
        axes = T((len(order),), data=np.array(order, np.int32), dtype="int32")
        self.model.op("TRANSPOSE", [x, self.model.add(axes)], [y])
        return y

    def softmax(self, x: int) -> int:
        y = self.model.add(T(self.shape(x), [1 / 256], [-128]))
        self.model.op("SOFTMAX", [x], [y], beta=1.0)
        return y

    def matmul(self, x: int, z: int, width: int, *, turned: bool = False) -> int:
        y = self.activation((*self.shape(x)[:-1], width))
        self.model.op("BATCH_MATMUL", [x, z], [y], adjX=False, adjY=turned)
        return y

    def mean(self, x: int, *axes: int) -> int:
        shape = tuple(size for axis, size in enumerate(self.shape(x)) if axis not in axes)
        y = self.activation(shape)
        over = T((len(axes),), data=np.array(axes, np.int32), dtype="int32")
        self.model.op("MEAN", [x, self.model.add(over)], [y], keepDims=False)
        return y

    def done(self, y: int) -> bytes:
        self.model.outputs = [y]
        return self.model.to_bytes()


def autoencoder() -> bytes:
    """Dense 640-128x4-8-128x4-640, as AD of MLPerf Tiny."""
    net = Net((1, 640), 1)
    y = net.x
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        y = net.dense(y, width, relu=True)
    return net.done(net.dense(y, 640))


def widening(side: int = 32, *, multiplier: int = 2, width: int = 8) -> bytes:
    """Two separable layers whose depthwise part makes several channels of one."""
    net = Net((1, side, side, width), 7)
    y = net.conv(net.depthwise(net.x, multiplier=multiplier), width, 1)
    y = net.conv(net.depthwise(y, 2, multiplier=multiplier), width, 1)
    return net.done(net.dense(net.mean(y, 1, 2), 2))


def small_cnn() -> bytes:
    """A residual and a separable block on 24x24x3, 8 classes."""
    net = Net((1, 24, 24, 3), 2)
    y = net.conv(net.x, 16, 3, 2)
    y = net.add(y, net.conv(net.conv(y, 16, 3), 16, 3, relu=False))
    y = net.conv(net.depthwise(y, 2), 32, 1)
    y = net.conv(net.depthwise(y), 32, 1)
    return net.done(net.softmax(net.dense(net.mean(y, 1, 2), 8)))


def small_vit() -> bytes:
    """Two blocks of attention with two heads on 16 tokens of 32 values, 10 classes."""
    heads, tokens, width = 2, 16, 32
    each = width // heads
    net = Net((1, 8, 8, 1), 3)
    y = net.reshape(net.conv(net.x, width, 3, 2), 1, tokens, width)
    for _ in range(2):
        parts = []
        for _ in range(3):
            part = net.reshape(net.dense(y, width), 1, tokens, heads, each)
            parts.append(net.transpose(part, 0, 2, 1, 3))
        query, key, value = parts
        score = net.softmax(net.matmul(query, key, tokens, turned=True))
        mixed = net.transpose(net.matmul(score, value, each), 0, 2, 1, 3)
        y = net.add(y, net.dense(net.reshape(mixed, 1, tokens, width), width))
        y = net.add(y, net.dense(net.dense(y, 2 * width, relu=True), width))
    return net.done(net.softmax(net.dense(net.mean(y, 1), 10)))


MODELS = {"autoencoder": autoencoder, "small_cnn": small_cnn, "small_vit": small_vit}
