"""First layers run in patches give the same bytes, in a smaller arena."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from litert_models import Model, T, reference
from op_makers import activation, bias, out_size, scale, weights, zero
from reference_models import Net

from edgekit.cli.model import load_model
from edgekit.errors import ConfigError
from edgekit.export.compile import compile_tflite
from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import Graph
from edgekit.ops import FAMILIES, ordered
from edgekit.passes.lower import lower
from edgekit.passes.pack import pack
from edgekit.passes.patch import first_layers, in_patches, macs_of
from edgekit.passes.plan import plan_memory
from edgekit.passes.simplify import simplify
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


def chain_of(rng: np.random.Generator) -> bytes:
    """Random layers one behind the other: windows, strides, dilations, paddings, tables."""
    model = Model()
    shape = (1, *(int(v) for v in rng.integers(14, 34, 2)), int(rng.integers(1, 9)))
    x = model.add(T(shape, [scale(rng)], [zero(rng)]))
    model.inputs = [x]
    for _ in range(int(rng.integers(2, 6))):
        x = _layer(rng, model, x)
    model.outputs = [x]
    return model.to_bytes()


def _layer(rng: np.random.Generator, model: Model, x: int) -> int:
    given = model.tensors[x]
    _, high, wide, channels = given.shape
    op = str(rng.choice(["CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "POOL", "LOGISTIC"]))
    if op == "LOGISTIC":
        y = model.add(T(given.shape, [1 / 256], [-128]))
        model.op(op, [x], [y])
        return y
    taps, stride, dilation = (int(rng.integers(1, most)) for most in (6, 3, 3))
    padding = int(rng.integers(2))
    if "CONV" in op and rng.random() < 0.2:
        # Less than a window: one that begins below the image cannot be patched.
        x, (high, wide) = _padded(rng, model, x, taps)
        padding = 1
    if op == "POOL":
        dilation = 1
    if min(out_size(padding, n, taps, stride, dilation) for n in (high, wide)) < 3:
        taps, stride, dilation = 1, 1, 1
    sizes = [out_size(padding, n, taps, stride, dilation) for n in (high, wide)]
    options = {"padding": padding, "strideH": stride, "strideW": stride}
    options["fusedActivationFunction"] = activation(rng)
    if op == "POOL":
        y = model.add(T((1, *sizes, channels), given.scales, given.zeros))
        kind = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        model.op(kind, [x], [y], filterHeight=taps, filterWidth=taps, **options)
        return y
    deep = op == "DEPTHWISE_CONV_2D"
    count = channels if deep else int(rng.integers(1, 5)) * 4
    shape = (1, taps, taps, count) if deep else (count, taps, taps, channels)
    w = weights(rng, shape, 3 * deep, model)
    terms = taps * taps * (1 if deep else channels)
    y_scale = given.scales[0] * float(np.mean(model.tensors[w].scales)) * 30 * terms**0.5
    inputs = [x, w, bias(rng, given, model.tensors[w], count, model)]
    y = model.add(T((1, *sizes, count), [y_scale], [zero(rng)]))
    options |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    model.op(op, inputs, [y], **options, **({"depthMultiplier": 1} if deep else {}))
    return y


def _padded(rng: np.random.Generator, model: Model, x: int, most: int) -> tuple[int, list[int]]:
    given = model.tensors[x]
    top, bottom, left, right = (int(v) for v in rng.integers(0, most, 4))
    sides = [given.shape[1] + top + bottom, given.shape[2] + left + right]
    widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    y = model.add(T((1, *sides, given.shape[3]), given.scales, given.zeros))
    model.op("PAD", [x, model.add(T((4, 2), data=widths, dtype="int32"))], [y])
    return y, sides


def graph_of(data: bytes) -> Graph:
    return simplify(lower(read_tflite(data, name="m")))


def run(graph: Graph, family: str, x: np.ndarray) -> np.ndarray:
    """Run a graph, packed for a family, with the very bytes that a device gets."""
    graph = pack(graph, family)
    names = ordered({node.op for node in graph.nodes})
    meta = ImageMeta("m", "1", "", (), "", "", family, names, False)
    plan = plan_memory(graph)
    image = write_image(
        meta=meta, graph=graph, plan=plan, features=Features(), head=None, golden=()
    )
    return Runner(image, as_packed=True).run(x)


def mobile(side: int) -> bytes:
    """The first layers of MobileNetV2: wide maps at first, then small ones."""
    net = Net((1, side, side, 3), 5)
    y = net.conv(net.x, 16, 3, 2)
    y = net.conv(net.depthwise(y), 8, 1)
    for width in (16, 24):
        y = net.conv(net.depthwise(net.conv(y, 6 * net.shape(y)[3], 1), 2), width, 1)
    return net.done(net.dense(net.mean(y, 1, 2), 2))


@pytest.mark.parametrize("seed", range(40))
def test_every_chain_in_any_number_of_patches_gives_the_same_bytes(seed: int) -> None:
    """Against LiteRT: every number of layers, random numbers of patches, every family."""
    rng = np.random.default_rng(seed)
    data = chain_of(rng)
    graph = graph_of(data)
    shape = graph.tensor(graph.inputs[0]).shape
    x = rng.integers(-128, 128, (2, *shape), dtype=np.int8)
    expected = reference(data, x)
    chain = first_layers(graph)
    assert chain
    for length in range(1, len(chain) + 1):
        rows = graph.tensor(chain[length - 1].outputs[0]).shape[1]
        count = int(rng.integers(2, min(rows, 16) + 1))
        patched = in_patches(graph, chain[:length], count)
        assert len(patched.nodes) == len(graph.nodes) + (count - 1) * length + count + 1
        family = str(rng.choice(list(FAMILIES)))
        got = run(patched, family, x)
        assert np.array_equal(got.reshape(expected.shape), expected), (length, count, family)


def test_arena_of_wide_first_layers_falls() -> None:
    data = mobile(96)
    x = np.random.default_rng(0).integers(-128, 128, (2, 1, 96, 96, 3), dtype=np.int8)
    whole = compile_tflite(data, name="m", family="dsp")
    expected = Runner(whole.image).run(x)
    for count, share in ((2, 0.7), (3, 0.65), (6, 0.65)):
        patched = compile_tflite(data, name="m", family="dsp", patches=count)
        assert patched.arena_bytes < share * whole.arena_bytes
        assert whole.macs < patched.macs < 1.3 * whole.macs
        assert np.array_equal(Runner(patched.image, as_packed=True).run(x), expected)
        (note,) = patched.notes
        for value in (patched.arena_bytes, whole.arena_bytes, patched.macs, whole.macs):
            assert f"{value:,}" in note


def test_halo_is_computed_twice_and_nothing_else() -> None:
    """Two 3x3 layers of stride 1: one row of the first per side of a border between patches."""
    net = Net((1, 16, 16, 1), 1)
    graph = graph_of(net.done(net.conv(net.conv(net.x, 4, 3), 4, 3)))
    chain = first_layers(graph)
    for count in (2, 4, 8):
        extra = macs_of(in_patches(graph, chain, count)) - macs_of(graph)
        assert extra == (count - 1) * 2 * 16 * 4 * 9


def test_model_stays_as_it_is_where_patches_save_nothing() -> None:
    net = Net((1, 32, 32, 16), 1)
    data = net.done(net.dense(net.mean(net.conv(net.x, 4, 3, 2), 1, 2), 2))
    whole, patched = (compile_tflite(data, name="m", patches=n) for n in (1, 4))
    assert patched.image == whole.image
    assert patched.notes == ("4 patches need no smaller arena: layers run whole",)


def test_layers_behind_a_branch_stay_whole() -> None:
    net = Net((1, 12, 12, 4), 1)
    y = net.conv(net.x, 8, 3)
    graph = graph_of(net.done(net.conv(net.add(y, net.conv(y, 8, 3)), 4, 3)))
    assert [node.outputs for node in first_layers(graph)] == [graph.nodes[0].outputs]


@pytest.mark.parametrize("count", [0, 17])
def test_other_numbers_of_patches_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 16"):
        compile_tflite(mobile(16), name="m", patches=count)


def test_image_is_not_patched(tmp_path: Path) -> None:
    path = tmp_path / "m.ekm"
    path.write_bytes(compile_tflite(mobile(16), name="m").image)
    with pytest.raises(ConfigError, match=r"--patches needs the \.tflite"):
        load_model(path, patches=2)
