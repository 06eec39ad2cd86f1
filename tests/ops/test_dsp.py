"""Packed kernels for DSP cores: equal outputs, constants that come back, overlap as stated."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from litert_models import Model, T
from node_images import plan_of, written
from op_cases import CASES
from packed_cases import depthwise_3x3

from edgekit.errors import FormatError
from edgekit.export.compile import compile_tflite
from edgekit.formats.image_reader import read_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import Graph
from edgekit.ops import kernel
from edgekit.ops.fixed import Rounding
from edgekit.passes.lower import lower
from edgekit.passes.pack import pack, unpack
from edgekit.passes.plan import ALIGN, Plan, scratch_bytes
from edgekit.runtime import Runner

SEEDS = 40
FORMS = {
    "conv_2d": {"conv_2d_dsp"},
    "depthwise_conv_2d": {"depthwise_conv_2d_dsp", "depthwise_bands_dsp"},
    "fully_connected": {"fully_connected_dsp"},
}

pytestmark = pytest.mark.cc


def lowered(op: str, seed: int) -> Graph:
    if op == "depthwise_conv_2d":
        return depthwise_3x3(np.random.default_rng([seed, 6]))
    rng = np.random.default_rng([seed, zlib.crc32(op.encode()), 7])
    rounding = Rounding(seed % 2)
    return lower(read_tflite(CASES[op](rng).to_bytes(), name=op), rounding=rounding)


def inputs(graph: Graph, seed: int) -> npt.NDArray[np.int8]:
    rng = np.random.default_rng([seed, 8])
    x = rng.integers(-128, 128, (3, *graph.tensor(graph.inputs[0]).shape), np.int8)
    x[1] = rng.choice(np.array([-128, 127], np.int8), x[1].shape)
    return x


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("op", FORMS)
def test_packed_kernel_equals_the_canonical_one(op: str, seed: int) -> None:
    graph = lowered(op, seed)
    packed = pack(graph, "dsp")
    assert FORMS[op] & {node.op for node in packed.nodes}
    x = inputs(graph, seed)
    expected = Runner(written(graph, "dsp"), as_packed=True).run(x)
    assert np.array_equal(Runner(written(packed, "dsp"), as_packed=True).run(x), expected)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("op", FORMS)
def test_unpacking_gives_the_constants_back(op: str, seed: int) -> None:
    graph = lowered(op, seed)
    again = unpack(pack(graph, "dsp"))
    for before, after in zip(graph.nodes, again.nodes, strict=True):
        assert (after.op, dict(after.attrs)) == (before.op, dict(before.attrs))
        for old, new in zip(before.inputs, after.inputs, strict=True):
            first, second = graph.tensor(old).data, again.tensor(new).data
            assert (first is None) == (second is None)
            assert first is None or np.array_equal(first, second)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("op", FORMS)
def test_output_may_overlap_by_exactly_the_lead(op: str, seed: int) -> None:
    """The output begins as late as the kernel allows; one step later the runtime refuses."""
    graph = pack(lowered(op, seed), "dsp")
    (node,) = graph.nodes
    found = kernel(node.op)
    assert found is not None
    lead = found.lead(graph, node)
    y = graph.tensor(node.outputs[0])
    apart = -(-y.nbytes // ALIGN) * ALIGN
    start = apart if lead is None else -(-lead // ALIGN) * ALIGN

    def image(x_offset: int) -> bytes:
        plan = plan_of(graph, {node.inputs[0]: x_offset, node.outputs[0]: 0})
        return written(graph, "dsp", plan)

    values = inputs(graph, seed)
    expected = Runner(written(graph, "dsp"), as_packed=True).run(values)
    assert np.array_equal(Runner(image(start), as_packed=True).run(values), expected)
    if start >= ALIGN and start - ALIGN < y.nbytes:
        with pytest.raises(FormatError, match="range"):
            Runner(image(start - ALIGN), as_packed=True)


def test_planes_are_whole_across_and_in_bands() -> None:
    seen = set()
    for seed in range(SEEDS):
        node = pack(lowered("depthwise_conv_2d", seed), "dsp").nodes[0]
        seen.add((node.op, node.attrs.get("across"), node.attrs["stride"], node.attrs["form"]))
    for form in (0, 1):
        assert ("depthwise_conv_2d_dsp", 0, 1, form) in seen
        assert ("depthwise_conv_2d_dsp", 1, 1, form) in seen
        assert ("depthwise_bands_dsp", None, 1, form) in seen
        assert ("depthwise_bands_dsp", None, 2, form) in seen


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whole_planes_work_in_place(seed: int) -> None:
    graph = pack(depthwise_3x3(np.random.default_rng([seed, 6])), "dsp")
    node = graph.nodes[0]
    if node.op != "depthwise_conv_2d_dsp":
        return
    size = -(-graph.tensor(0).nbytes // ALIGN) * ALIGN
    offsets = tuple(-1 if tensor.data is not None else 0 for tensor in graph.tensors)
    plan = Plan(size + scratch_bytes(graph, node), offsets, (size,), (size,))
    x = inputs(graph, seed)
    expected = Runner(written(unpack(graph), "portable"), as_packed=True).run(x)
    assert np.array_equal(Runner(written(graph, "dsp", plan), as_packed=True).run(x), expected)


def dense(rows: npt.NDArray[np.int32], tokens: int) -> tuple[Graph, npt.NDArray[np.int8]]:
    """Return a dense layer with these biases, multipliers and shifts, and inputs."""
    rng = np.random.default_rng(9)
    model = Model()
    x = model.add(T((tokens, 16), [0.05], [3]))
    weights = rng.integers(-127, 128, (len(rows), 16), np.int8)
    scales = [0.01 + 0.001 * i for i in range(len(rows))]
    w = model.add(T(weights.shape, scales, [0] * len(rows), 0, weights))
    y = model.add(T((tokens, len(rows)), [0.1], [5]))
    model.op("FULLY_CONNECTED", [x, w, -1], [y])
    model.inputs, model.outputs = [x], [y]
    graph = lower(read_tflite(model.to_bytes(), name="m"), rounding=Rounding.DOUBLE)
    tensors = list(graph.tensors)
    requant = graph.nodes[0].inputs[2]
    tensors[requant] = replace(tensors[requant], data=rows)
    values = rng.integers(-128, 128, (4, tokens, 16), np.int8)
    return replace(graph, tensors=tuple(tensors)), values


@pytest.mark.parametrize("tokens", [1, 6])
def test_constant_channels_without_a_lane_are_packed(tokens: int) -> None:
    """Shifts and biases that no lane can do are harmless where the output never changes."""
    usual = (40, 2**30 + 12345, -7)
    odd = [(2**30 + 5, 2**30, -3), (-(2**30) - 5, 2**30, -3), (7, 0, 0), (9, 2**30, -31)]
    graph, x = dense(np.array([usual, *odd, usual, usual], np.int32), tokens)
    packed = pack(graph, "dsp")
    assert packed.nodes[0].op == "fully_connected_dsp"
    expected = Runner(written(graph, "dsp"), as_packed=True).run(x)
    assert np.array_equal(Runner(written(packed, "dsp"), as_packed=True).run(x), expected)
    assert np.array_equal(
        Runner(written(unpack(packed), "portable"), as_packed=True).run(x), expected
    )
    assert np.array_equal(np.unique(expected.reshape(-1, 7)[:, 1:5], axis=0)[0], [127, -128, 5, 5])


@pytest.mark.parametrize("row", [(5, 2**30, 0), (5, 2**30, 2), (2**31 - 1, 2**31 - 1, -12)])
def test_channel_that_no_lane_can_do_stays(row: tuple[int, int, int]) -> None:
    graph, x = dense(np.array([(40, 2**30, -7), row], np.int32), 1)
    packed = pack(graph, "dsp")
    expected = Runner(written(graph, "dsp"), as_packed=True).run(x)
    assert np.array_equal(Runner(written(packed, "dsp"), as_packed=True).run(x), expected)
    assert packed.nodes[0].op == "fully_connected"


def test_family_of_an_image_is_stated() -> None:
    data = CASES["conv_2d"](np.random.default_rng(1)).to_bytes()
    compiled = compile_tflite(data, name="m", family="dsp")
    assert read_image(compiled.image).meta.kernel_family == "dsp"
    assert compiled.ops == ("conv_2d_dsp",)
