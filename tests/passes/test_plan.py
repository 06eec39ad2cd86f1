"""The memory plan: nothing that is alive is overwritten, and the arena is small."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from greedy import greedy_arena
from hypothesis import given, settings
from op_cases import CASES
from random_graphs import QUANT, TABLE, graphs

from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops import kernel
from edgekit.passes.lower import lower
from edgekit.passes.pack import pack
from edgekit.passes.plan import ALIGN, Plan, plan_memory, scratch_bytes
from edgekit.runtime import Runner

META = ImageMeta("m", "1", "", (), "", "", "portable", (), False)


def moved(
    node: Node, marks: list[np.ndarray], fresh: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the marks of an output: those of the inputs where bytes are only moved, else new."""
    if node.op == "copy":
        return marks[0].reshape(shape)
    if node.op == "concatenation":
        return np.concatenate(marks, axis=int(node.attrs["axis"]))
    if node.op == "strided_slice":
        where = zip(node.attrs["begin"], node.attrs["stride"], shape, strict=False)
        return marks[0][np.ix_(*([b + i * s for i in range(n)] for b, s, n in where))]
    return fresh


def simulate(graph: Graph, plan: Plan) -> None:
    """Run a graph on marks, one per byte that some node computes, and find each where it belongs.

    Independent of the planner: it knows what copies, concatenations and slices do, that a kernel
    writes all of its output and scratch, and which overlaps a kernel says that it can bear.
    """
    arena = np.full(plan.arena_bytes, -1, np.int64)
    marks: dict[int, np.ndarray] = {}
    count = itertools.count(1)

    def fresh(index: int) -> np.ndarray:
        shape = graph.tensors[index].shape
        return np.array([next(count) for _ in range(int(np.prod(shape)))], np.int64).reshape(shape)

    def place(index: int) -> slice:
        start = plan.offsets[index]
        assert start % ALIGN == 0
        assert start >= 0
        assert start + graph.tensors[index].nbytes <= plan.arena_bytes
        return slice(start, start + graph.tensors[index].nbytes)

    def check(index: int, why: str) -> None:
        assert np.array_equal(arena[place(index)], marks[index].reshape(-1)), why

    for index in graph.inputs:
        marks[index] = fresh(index)
        arena[place(index)] = marks[index].reshape(-1)
    for position, node in enumerate(graph.nodes):
        found = kernel(node.op)
        assert found is not None
        sources = [i for i in node.inputs if graph.tensors[i].data is None]
        for index in sources:
            check(index, node.name)
        size = scratch_bytes(graph, node)
        if size:
            start = plan.scratch[position]
            assert start % ALIGN == 0
            assert start + size <= plan.arena_bytes
            arena[start : start + size] = -2
            for index in (*sources, *node.outputs):
                there = place(index)
                assert there.stop <= start or start + size <= there.start
        (output,) = node.outputs
        here = place(output)
        views, lead = found.views(graph, node), found.lead(graph, node)
        for number, source in enumerate(node.inputs):
            if graph.tensors[source].data is not None:
                continue
            there = place(source)
            apart = here.stop <= there.start or there.stop <= here.start
            in_place = found.in_place and here.start == there.start and here.stop <= there.stop
            view = bool(views) and there.start - here.start == views[number]
            ahead = number == 0 and lead is not None and here.start + lead <= there.start
            assert apart or in_place or view or ahead, node.name
        shape = graph.tensors[output].shape
        marks[output] = moved(node, [marks[i] for i in sources], fresh(output), shape)
        arena[here] = marks[output].reshape(-1)
        if views:
            for source, view in zip(node.inputs, views, strict=True):
                if place(source).start - here.start == view:
                    check(source, node.name)
    for index in graph.outputs:
        check(index, "output")


@settings(deadline=None, max_examples=200, derandomize=True)
@given(graphs())
def test_plan_never_overwrites_what_is_alive(graph: Graph) -> None:
    simulate(graph, plan_memory(graph))


@settings(deadline=None, max_examples=200, derandomize=True)
@given(graphs())
def test_plan_is_never_larger_than_a_greedy_one_or_smaller_than_its_bound(graph: Graph) -> None:
    plan = plan_memory(graph)
    assert max(plan.live_bytes) <= plan.arena_bytes <= greedy_arena(graph)


@pytest.mark.cc
@settings(deadline=None, max_examples=100, derandomize=True)
@given(graphs())
def test_planned_model_computes_what_one_with_room_for_everything_does(graph: Graph) -> None:
    """The C loader accepts the plan, and overlapping changes no byte of the output."""
    offsets, end = [], 0
    for tensor in graph.tensors:
        offsets.append(-1 if tensor.data is not None else end)
        end += -(-tensor.nbytes // ALIGN) * ALIGN
    room = max(scratch_bytes(graph, node) for node in graph.nodes)
    wide = Plan(end + room, tuple(offsets), (end,) * len(graph.nodes), ())
    x = np.random.default_rng(0).integers(-128, 128, graph.tensors[1].shape, dtype=np.int8)
    found = []
    for plan in (wide, plan_memory(graph)):
        image = write_image(
            meta=META, graph=graph, plan=plan, features=Features(), head=None, golden=()
        )
        found.append(Runner(image).run(x[None]))
    assert np.array_equal(*found)


def graph_of(sizes: dict[str, int], nodes: list[tuple[str, str, str]], **attrs: object) -> Graph:
    """Return a graph from tensor sizes and nodes (operator, inputs, output), one letter each."""
    tensors = [TABLE, *(Tensor(n, (size,), DType.INT8, QUANT) for n, size in sizes.items())]
    ids = {tensor.name: number for number, tensor in enumerate(tensors)}
    made = []
    for number, (op, inputs, output) in enumerate(nodes):
        found = (*(ids[n] for n in inputs), *((0,) if op == "lut" else ()))
        made.append(Node(f"n{number}", op, found, (ids[output],), attrs.get(output, {})))
    return Graph("g", tuple(tensors), tuple(made), (1,), (ids[nodes[-1][2]],))


def test_plan_of_a_chain_is_the_largest_pair() -> None:
    tensors = tuple(Tensor(f"t{i}", (16 << i,), DType.INT8, QUANT) for i in range(4))
    nodes = tuple(Node(f"n{i}", "concatenation", (i, i), (i + 1,), {"axis": 0}) for i in range(3))
    assert plan_memory(Graph("chain", tensors, nodes, (0,), (3,))).arena_bytes == 64 + 128


def test_plan_lays_a_copy_on_its_source() -> None:
    plan = plan_memory(graph_of({"x": 32, "y": 32}, [("copy", "x", "y")]))
    assert plan.offsets == (-1, 0, 0)
    assert plan.arena_bytes == 32


def test_plan_works_in_place_only_where_the_source_dies() -> None:
    dies = graph_of({"x": 32, "y": 32}, [("lut", "x", "y")])
    assert plan_memory(dies).arena_bytes == 32
    lives = graph_of(
        {"x": 32, "y": 32, "z": 32}, [("lut", "x", "y"), ("maximum", "xy", "z")], z={"sign": 1}
    )
    assert plan_memory(lives).arena_bytes == 64


def test_parts_of_a_concatenation_are_written_where_they_belong() -> None:
    """Two tables of one input, joined: nothing but the result and the input is ever held."""
    graph = graph_of(
        {"x": 64, "a": 64, "b": 64, "y": 128},
        [("lut", "x", "a"), ("lut", "x", "b"), ("concatenation", "ab", "y")],
        y={"axis": 0},
    )
    plan = plan_memory(graph)
    _, _, a, b, y = plan.offsets
    assert (a - y, b - y) == (0, 64)
    assert plan.arena_bytes == 128
    simulate(graph, plan)


def test_a_slice_lies_in_its_input() -> None:
    graph = graph_of(
        {"x": 96, "y": 32, "z": 32},
        [("strided_slice", "x", "y"), ("lut", "y", "z")],
        y={"begin": (48,), "stride": (1,)},
    )
    plan = plan_memory(graph)
    assert plan.offsets[2] - plan.offsets[1] == 48
    assert plan.arena_bytes == 96
    simulate(graph, plan)


@pytest.mark.parametrize("op", ["conv_2d", "depthwise_conv_2d", "batch_matmul"])
def test_plan_of_real_operators_is_sound(op: str) -> None:
    for seed in range(20):
        data = CASES[op](np.random.default_rng(seed)).to_bytes()
        graph = lower(read_tflite(data, name=op))
        simulate(graph, plan_memory(graph))


@pytest.mark.data("models")
@pytest.mark.parametrize("family", ["portable", "dsp", "mve", "small"])
def test_keyword_model_needs_at_most_12_kb(family: str, models_dir: Path) -> None:
    """A public model, input and output included; its activations alone have 8,000 bytes each."""
    source = (models_dir / "kws_dscnn_int8.tflite").read_bytes()
    graph = pack(lower(read_tflite(source, name="kws")), family)
    plan = plan_memory(graph)
    simulate(graph, plan)
    assert max(plan.live_bytes) <= plan.arena_bytes <= 12_000
