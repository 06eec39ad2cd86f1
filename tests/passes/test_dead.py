"""Channels that are constant or unread vanish, and no byte of the output changes."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import Model, T, reference

from edgekit.export.compile import compile_tflite
from edgekit.formats.tflite import read_tflite
from edgekit.passes.dead import remove_dead_channels
from edgekit.passes.lower import lower
from edgekit.passes.ranges import channels, ranges
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

Random = np.random.Generator


class Net:
    """A random network, layer by layer; filters are zeroed at random."""

    def __init__(self, rng: Random, size: int, depth: int, zeros: float) -> None:
        self.rng, self.zeros = rng, zeros
        self.model = Model()
        self.x = self.model.add(T((1, size, size, depth), [0.05], [int(rng.integers(-128, 128))]))
        self.model.inputs = [self.x]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.model.tensors[self.x].shape)

    def _weights(self, shape: tuple[int, ...], axis: int) -> int:
        data = self.rng.integers(-127, 128, shape, dtype=np.int8)
        rows = np.moveaxis(data, axis, 0)
        rows[self.rng.random(len(rows)) < self.zeros] = 0
        data[..., self.rng.random(shape[-1]) < self.zeros / 3] = 0
        return self.model.add(T(shape, [0.01] * shape[axis], [0] * shape[axis], axis, data))

    def _bias(self, count: int) -> int:
        data = self.rng.integers(-20000, 20000, count, dtype=np.int32)
        data[self.rng.random(count) < 0.1] = 1 << 28
        return self.model.add(T((count,), [0.0005] * count, [0] * count, 0, data, "int32"))

    def _next(self, shape: tuple[int, ...], scale: float | None = None) -> int:
        zero = int(self.rng.choice([-128, -128, int(self.rng.integers(-128, 128))]))
        if scale is None:
            return self.model.add(
                T(shape, self.model.tensors[self.x].scales, self.model.tensors[self.x].zeros)
            )
        return self.model.add(T(shape, [scale], [zero]))

    def window(self, depthwise: bool) -> None:
        rng, (n, h, w, c) = self.rng, self.shape
        kernel, stride = int(rng.choice([1, 3, 3])), int(rng.integers(1, 3))
        padding = int(rng.integers(0, 2)) if min(h, w) >= kernel else 0
        out = [
            -(-side // stride) if padding == 0 else (side - kernel) // stride + 1 for side in (h, w)
        ]
        many = c * int(rng.choice([1, 1, 2])) if depthwise else int(rng.integers(2, 9))
        shape = (1, kernel, kernel, many) if depthwise else (many, kernel, kernel, c)
        y = self._next((n, *out, many), 0.05 * 2 ** rng.uniform(-1, 3))
        options = {"depthMultiplier": many // c} if depthwise else {}
        self.model.op(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            [self.x, self._weights(shape, 3 if depthwise else 0), self._bias(many)],
            [y],
            padding=padding,
            strideH=stride,
            strideW=stride,
            fusedActivationFunction=int(rng.choice([0, 1, 3])),
            **options,
        )
        self.x = y

    def residual(self) -> None:
        start, scale = self.x, 0.1
        n, h, w, c = self.shape
        y = self._next((n, h, w, c), scale)
        self.model.op(
            "CONV_2D",
            [self.x, self._weights((c, 1, 1, c), 0), self._bias(c)],
            [y],
            strideH=1,
            strideW=1,
            fusedActivationFunction=1,
        )
        self.x = y
        y = self._next((n, h, w, c), 0.2)
        self.model.op(str(self.rng.choice(["ADD", "SUB", "MUL"])), [start, self.x], [y])
        self.x = y

    def table(self) -> None:
        y = self.model.add(T(self.shape, [1 / 256], [-128]))
        self.model.op("LOGISTIC", [self.x], [y])
        self.x = y

    def pool(self) -> None:
        n, h, w, c = self.shape
        y = self._next((n, -(-h // 2), -(-w // 2), c))
        op = str(self.rng.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        self.model.op(op, [self.x], [y], strideH=2, strideW=2, filterHeight=2, filterWidth=2)
        self.x = y

    def pad(self) -> None:
        n, h, w, c = self.shape
        y = self._next((n, h + 1, w + 2, c))
        table = np.array([[0, 0], [0, 1], [1, 1], [0, 0]], np.int32)
        self.model.op("PAD", [self.x, self.model.add(T((4, 2), data=table, dtype="int32"))], [y])
        self.x = y

    def joined(self) -> None:
        n, h, w, c = self.shape
        data = self.rng.integers(-128, 128, (n, h, w, 2), dtype=np.int8)
        other = self.model.tensors[self.x]
        fixed = self.model.add(T(data.shape, other.scales, other.zeros, data=data))
        y = self._next((n, h, w, c + 2))
        self.model.op("CONCATENATION", [self.x, fixed], [y], axis=3)
        self.x = y

    def dense(self) -> None:
        """MEAN or a flattened map, then two dense layers."""
        n, h, w, c = self.shape
        if self.rng.random() < 0.5:
            y = self._next((n, c), 0.05)
            axes = self.model.add(T((2,), data=np.array([1, 2], np.int32), dtype="int32"))
            self.model.op("MEAN", [self.x, axes], [y])
        else:
            y = self._next((n, h * w * c))
            dims = self.model.add(T((2,), data=np.array([1, h * w * c], np.int32), dtype="int32"))
            self.model.op("RESHAPE", [self.x, dims], [y])
        self.x = y
        for units in (6, 3):
            y = self._next((n, units), 0.2)
            w_id = self._weights((units, self.shape[-1]), 0)
            self.model.op(
                "FULLY_CONNECTED",
                [self.x, w_id, self._bias(units)],
                [y],
                fusedActivationFunction=int(units == 6),
            )
            self.x = y
        self.model.outputs = [self.x]


def network(seed: int, zeros: float = 0.4) -> bytes:
    rng = np.random.default_rng(seed)
    net = Net(rng, int(rng.integers(3, 9)), int(rng.integers(1, 4)), zeros)
    net.window(False)
    layers = (
        lambda: net.window(False),
        lambda: net.window(True),
        net.residual,
        net.table,
        net.pool,
        net.pad,
        net.joined,
    )
    for _ in range(int(rng.integers(2, 7))):
        layers[int(rng.integers(0, len(layers)))]()
    net.dense()
    return net.model.to_bytes()


def inputs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (6, *shape), dtype=np.int8)
    x[0], x[1] = -128, 127
    x[2].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[2].size)
    return x


@pytest.mark.parametrize("seed", range(80))
def test_network_with_dead_channels_equals_litert(seed: int) -> None:
    data = network(seed)
    graph = lower(read_tflite(data, name="m"))
    x = inputs(seed, graph.tensor(graph.inputs[0]).shape)
    compiled = compile_tflite(data, name="m")
    assert compiled.nominal_macs is not None
    assert compiled.macs <= compiled.nominal_macs
    expected = reference(data, x)
    got = Runner(compiled.image).run(x)
    assert np.array_equal(got.reshape(expected.shape), expected)


def test_most_networks_become_smaller() -> None:
    smaller = 0
    for seed in range(80):
        graph = lower(read_tflite(network(seed), name="m"))
        before = sum(tensor.elements for tensor in graph.tensors)
        after = sum(tensor.elements for tensor in remove_dead_channels(graph).tensors)
        smaller += after < before
    assert smaller > 50


def test_network_of_full_weights_stays_as_it_is() -> None:
    """Zero weights are needed for a constant, except where a clamp makes one."""
    rng = np.random.default_rng(3)
    net = Net(rng, 6, 3, 0.0)
    net.window(False)
    net.dense()
    for tensor in net.model.tensors:
        if tensor.dtype == "int32" and tensor.data is not None and len(tensor.scales):
            tensor.data[:] = 0
    graph = lower(read_tflite(net.model.to_bytes(), name="m"))
    assert remove_dead_channels(graph) == graph


@pytest.mark.parametrize("seed", range(30))
def test_ranges_hold_for_every_tensor(seed: int) -> None:
    """Each intermediate tensor is made the output and compared with its range."""
    from dataclasses import replace

    from edgekit.export.compile import _finish
    from edgekit.formats.image import Features, ImageMeta
    from edgekit.passes.drop import drop_unused

    graph = lower(read_tflite(network(seed), name="m"))
    x = inputs(seed, graph.tensor(graph.inputs[0]).shape)
    found = ranges(graph)
    meta = ImageMeta("m", "1", "", (), "", "", "portable", (), False)
    for node in graph.nodes:
        index = node.outputs[0]
        part = drop_unused(replace(graph, outputs=(index,)))
        values = Runner(_finish(meta, part, Features(), None, None).image).run(x)
        rows = values.reshape(-1, channels(graph.tensor(index)))
        value = found[index]
        assert value is not None
        assert (rows.min(axis=0) >= value.low).all()
        assert (rows.max(axis=0) <= value.high).all()


def test_constant_under_padding_stays() -> None:
    """A filter of zeros with a bias gives one value, but not where the next layer pads."""
    rng = np.random.default_rng(1)
    model = Model()
    x = model.add(T((1, 4, 4, 1), [0.05], [0]))
    zeros = np.zeros((2, 1, 1, 1), np.int8)
    zeros[1] = 50
    w = model.add(T(zeros.shape, [0.01] * 2, [0] * 2, 0, zeros))
    b = model.add(T((2,), [0.0005] * 2, [0] * 2, 0, np.array([4000, 10], np.int32), "int32"))
    between = model.add(T((1, 4, 4, 2), [0.05], [0]))
    model.op("CONV_2D", [x, w, b], [between], padding=1, strideH=1, strideW=1)
    w2 = model.add(
        T((3, 3, 3, 2), [0.01] * 3, [0] * 3, 0, rng.integers(-9, 9, (3, 3, 3, 2), np.int8))
    )
    b2 = model.add(T((3,), [0.0005] * 3, [0] * 3, 0, np.zeros(3, np.int32), "int32"))
    y = model.add(T((1, 4, 4, 3), [0.05], [0]))
    model.op("CONV_2D", [between, w2, b2], [y], padding=0, strideH=1, strideW=1)
    model.inputs, model.outputs = [x], [y]
    data = model.to_bytes()
    graph = lower(read_tflite(data, name="m"))
    assert remove_dead_channels(graph) == graph
    model.ops[1].options.padding = 1
    model.tensors[y].shape = (1, 2, 2, 3)
    data = model.to_bytes()
    compiled = compile_tflite(data, name="m")
    assert compiled.macs == 16 * 1 + 4 * 3 * 9
    values = inputs(0, (1, 4, 4, 1))
    expected = reference(data, values)
    assert np.array_equal(Runner(compiled.image).run(values).reshape(expected.shape), expected)


def test_head_keeps_its_features() -> None:
    """A trainable head reads all its features, dead or not."""
    rng = np.random.default_rng(2)
    net = Net(rng, 6, 2, 0.6)
    net.window(False)
    net.window(False)
    net.dense()
    data = net.model.to_bytes()
    plain, learning = compile_tflite(data, name="m"), compile_tflite(data, name="m", head=True)
    values = inputs(0, tuple(net.model.tensors[net.model.inputs[0]].shape))
    expected = reference(data, values)
    for compiled in (plain, learning):
        got = Runner(compiled.image).run(values)
        assert np.array_equal(got.reshape(expected.shape), expected)
    assert plain.macs < learning.macs
