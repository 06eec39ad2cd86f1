"""A depthwise and a pointwise convolution in one kernel: C, NumPy and the two kernels agree."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_makers import activation, bias, out_size, scale, weights, zero

from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import Graph
from edgekit.ops.base import attr_int
from edgekit.ops.fixed import Rounding
from edgekit.ops.pair import depthwise_pointwise, requantized
from edgekit.passes.lower import lower
from edgekit.passes.pair import joined, pairs_of
from edgekit.passes.plan import plan_memory
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


def two_layers(rng: np.random.Generator, *, most: int = 9, extreme: bool = False) -> Model:
    """A depthwise layer of any multiplier, then a pointwise one; extreme: scales that saturate."""
    model = Model()
    shape = (int(rng.integers(1, 3)), *(int(v) for v in rng.integers(1, (14, 14, most))))
    given = T(shape, [scale(rng)], [zero(rng)])
    x = model.add(given)
    taps_h, taps_w, stride_h, stride_w, step_h, step_w = (
        int(rng.integers(1, top)) for top in (6, 6, 4, 4, 3, 3)
    )
    multiplier, padding = int(rng.integers(1, 5)), int(rng.integers(2))
    sizes = [
        out_size(padding, *values)
        for values in ((shape[1], taps_h, stride_h, step_h), (shape[2], taps_w, stride_w, step_w))
    ]
    if min(sizes) < 1:
        taps_h = taps_w = step_h = step_w = 1
        sizes = [
            out_size(padding, *values)
            for values in ((shape[1], 1, stride_h, 1), (shape[2], 1, stride_w, 1))
        ]
    channels, outputs = shape[3] * multiplier, int(rng.integers(1, 2 * most))
    w = weights(rng, (1, taps_h, taps_w, channels), 3, model)
    spread = 1 if extreme else 30 * (taps_h * taps_w) ** 0.5
    step = given.scales[0] * float(np.mean(model.tensors[w].scales)) * spread
    between = T((shape[0], *sizes, channels), [step], [zero(rng)])
    middle = model.add(between)
    inputs = [x, w, bias(rng, given, model.tensors[w], channels, model)]
    options = {"padding": padding, "strideH": stride_h, "strideW": stride_w}
    options |= {"dilationHFactor": step_h, "dilationWFactor": step_w}
    code = activation(rng)
    many = {"depthMultiplier": multiplier, "fusedActivationFunction": code}
    model.op("DEPTHWISE_CONV_2D", inputs, [middle], **options, **many)
    v = weights(rng, (outputs, 1, 1, channels), 0, model)
    step *= float(np.mean(model.tensors[v].scales)) * (1 if extreme else 30 * channels**0.5)
    y = model.add(T((shape[0], *sizes, outputs), [step], [zero(rng)]))
    inputs = [middle, v, bias(rng, between, model.tensors[v], outputs, model)]
    sides = {"strideH": 1, "strideW": 1, "fusedActivationFunction": activation(rng)}
    model.op("CONV_2D", inputs, [y], padding=padding, **sides)
    model.inputs, model.outputs = [x], [y]
    return model


def image_of(graph: Graph) -> bytes:
    names = tuple({node.op: None for node in graph.nodes})
    meta = ImageMeta("m", "1", "", (), "", "", "portable", names, False)
    plan = plan_memory(graph)
    return write_image(meta=meta, graph=graph, plan=plan, features=Features(), head=None, golden=())


def defined(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Run the definition with the parameters of a joined graph, [N, H, W, C]."""
    (node,) = graph.nodes
    constants = [graph.tensor(index).data for index in node.inputs[1:]]
    source, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    assert source.quant is not None
    assert y.quant is not None
    attrs = {name: attr_int(node, name) for name in node.attrs}
    images = [
        depthwise_pointwise(
            image,
            *(np.asarray(data) for data in constants),
            attrs,
            sides=(y.shape[1], y.shape[2]),
            x_zero=source.quant.zero_point,
            y_zero=y.quant.zero_point,
        )
        for image in x
    ]
    return np.array(images)


@pytest.mark.parametrize("seed", range(60))
def test_c_equals_numpy_and_the_two_kernels(seed: int) -> None:
    rng = np.random.default_rng([seed, 7])
    model = two_layers(rng, extreme=seed % 3 == 0)
    data = model.to_bytes()
    graph = lower(read_tflite(data, name="m"))
    found = pairs_of(graph)
    if [node.op for node in graph.nodes] != ["depthwise_conv_2d", "conv_2d"]:
        assert graph.tensor(graph.inputs[0]).shape[3] == 1
        assert not found
        return
    paired = joined(graph, found)
    assert [node.op for node in paired.nodes] == ["depthwise_pointwise"]
    shape = graph.tensor(graph.inputs[0]).shape
    x = rng.integers(-128, 128, (3, *shape), dtype=np.int8)
    x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
    x[2].flat[:] = -128
    expected = reference(data, x)
    apart, whole = (Runner(image_of(form)).run(x) for form in (graph, paired))
    assert np.array_equal(apart.reshape(expected.shape), expected)
    assert np.array_equal(whole.reshape(expected.shape), expected)
    numbers = np.array([defined(paired, sample) for sample in x])
    assert np.array_equal(numbers.reshape(expected.shape), expected)


def test_sums_at_the_ends_of_int32_saturate() -> None:
    sums = np.array([[2**31 - 1, -(2**31), 3, -3]])
    rows = np.array([[0, 2**30, -1], [0, 2**30, 0], [0, 2**30, -1], [0, 2**30, -1]], np.int32)
    for rounding in Rounding:
        got = requantized(sums, rows, rounding, 0, -128, 127)
        assert got[0].tolist() == [127, -128, 1, -1]
