"""Where kernels let tensors overlap: as Python says so does C, and there the result is the same."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from kernel_call import APART, KernelCall
from op_cases import CASES

from edgekit.errors import FormatError
from edgekit.export.compile import compile_tflite
from edgekit.formats.image import Features, write_image
from edgekit.formats.image_reader import read_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import DType, Graph, Node
from edgekit.ops import FAMILIES, kernel
from edgekit.passes.lower import lower
from edgekit.passes.pack import pack
from edgekit.passes.plan import Plan, scratch_bytes
from edgekit.passes.storage import align
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

SEEDS = 24


def nodes_of(op: str, seed: int) -> Iterator[tuple[Graph, Node]]:
    """Yield the nodes of a random model, each also in the packed form of every family."""
    source = CASES[op](np.random.default_rng([seed, zlib.crc32(op.encode())])).to_bytes()
    graph = lower(read_tflite(source, name=op))
    for family in FAMILIES:
        packed = pack(graph, family)
        for plain, node in zip(graph.nodes, packed.nodes, strict=True):
            if family == "portable" or node.op != plain.op:
                yield packed, node


@pytest.mark.parametrize("op", CASES)
def test_needs_are_the_same_in_python_and_c(op: str) -> None:
    for seed in range(SEEDS):
        for graph, node in nodes_of(op, seed):
            need, found = KernelCall(graph, node).need, kernel(node.op)
            assert found is not None
            assert need.scratch_bytes == scratch_bytes(graph, node)
            lead = found.lead(graph, node)
            assert need.lead == (APART if lead is None else lead)
            views = found.views(graph, node)
            if node.op == "copy":  # It may lie on its input: ek_ops.def says so.
                assert views == (0,)
                continue
            sizes = [graph.tensor(index).nbytes for index in node.inputs]
            if need.joins:
                assert views == tuple(sum(sizes[:i]) for i in range(len(sizes)))
            else:
                assert views == (() if need.begin == APART else (-need.begin,))


@pytest.mark.parametrize("op", CASES)
def test_output_may_overlap_the_input_by_the_least_lead(op: str) -> None:
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        for graph, node in nodes_of(op, seed):
            call = KernelCall(graph, node)
            if call.need.lead == APART or graph.tensor(node.inputs[0]).data is not None:
                continue
            tensors = [graph.tensor(index) for index in (*node.inputs, *node.outputs)]
            places = list(itertools.accumulate((t.nbytes for t in tensors), initial=0))
            before = rng.integers(0, 256, places[-1], dtype=np.uint8)
            apart = before.copy()
            call.run(apart, places[:-1])
            number = len(node.inputs)
            x, y = tensors[0].nbytes, tensors[number].nbytes
            for lead in (call.need.lead, align(call.need.lead)):
                behind = places[-1]
                memory = np.concatenate([before, rng.integers(0, 256, lead + x + y, np.uint8)])
                memory[behind + lead : behind + lead + x] = before[:x]
                moved = list(places[:-1])
                moved[0], moved[number] = behind + lead, behind
                call.run(memory, moved)
                expected = apart[places[number] : places[number] + y]
                assert np.array_equal(memory[behind : behind + y], expected), (node.op, seed)


@pytest.mark.parametrize("op", CASES)
def test_output_may_begin_where_an_input_does(op: str) -> None:
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        for graph, node in nodes_of(op, seed):
            found = kernel(node.op)
            assert found is not None
            tensors = [graph.tensor(index) for index in (*node.inputs, *node.outputs)]
            if not found.in_place or len(node.outputs) != 1:
                continue
            places = list(itertools.accumulate((t.nbytes for t in tensors), initial=0))
            call = KernelCall(graph, node)
            before = rng.integers(0, 256, places[-1], dtype=np.uint8)
            apart = before.copy()
            call.run(apart, places[:-1])
            expected = apart[places[-2] : places[-1]]
            for number, tensor in enumerate(tensors[:-1]):
                if tensor.data is None and tensor.nbytes >= tensors[-1].nbytes:
                    memory, at = before.copy(), places[number]
                    call.run(memory, [*places[:-2], at])
                    assert np.array_equal(memory[at : at + expected.size], expected), node.op


def image_at(image: bytes, at: int, top: int) -> bytes:
    """Return an image of one node with its output at 0, input at `at`, and scratch at `top`."""
    old = read_image(image)
    (node,) = old.graph.nodes
    offsets = [-1] * len(old.graph.tensors)
    offsets[node.inputs[0]], offsets[node.outputs[0]] = at, 0
    arena = top + align(scratch_bytes(old.graph, node))
    plan = Plan(arena, tuple(offsets), (top,), ())
    return write_image(
        meta=old.meta, graph=old.graph, plan=plan, features=Features(), head=None, golden=()
    )


@pytest.mark.parametrize("op", ["conv_2d", "depthwise_conv_2d", "fully_connected", "max_pool_2d"])
def test_loader_refuses_an_output_that_is_too_close(op: str) -> None:
    """The least lead is taken and equals LiteRT's result; 16 bytes less are refused."""
    refused = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        compiled = compile_tflite(CASES[op](rng).to_bytes(), name=op)
        graph = read_image(compiled.image).graph
        if len(graph.nodes) != 1 or graph.tensor(graph.inputs[0]).dtype is not DType.INT8:
            continue
        (node,) = graph.nodes
        found = kernel(node.op)
        assert found is not None
        x, y = (graph.tensor(ids[0]).nbytes for ids in (node.inputs, node.outputs))
        needed = found.lead(graph, node)
        if needed is None:
            continue
        lead = align(needed)
        top = align(max(y, lead + x))
        data = rng.integers(-128, 128, (2, x), dtype=np.int8)
        overlapped = Runner(image_at(compiled.image, lead, top))
        assert np.array_equal(overlapped.run(data), Runner(compiled.image).run(data))
        if 16 <= lead < align(y):
            with pytest.raises(FormatError, match="range"):
                Runner(image_at(compiled.image, lead - 16, top))
            refused += 1
    assert refused > 0
