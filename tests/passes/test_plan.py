"""The memory plan: nothing that is alive is overwritten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.graph import DType, Graph, Node, Quant, Tensor, verify
from edgekit.ops import kernel
from edgekit.passes.plan import ALIGN, plan_memory, scratch_bytes

QUANT = Quant((0.5,), (0,))
TABLE = Tensor("table", (256,), DType.INT8, None, np.zeros(256, np.int8))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs of copies, tables, concatenations and sums over random shapes."""
    tensors = [TABLE, Tensor("x", (draw(st.integers(1, 200)),), DType.INT8, QUANT)]
    nodes: list[Node] = []
    live = [1]
    for number in range(draw(st.integers(1, 14))):
        op = draw(st.sampled_from(["copy", "lut", "concatenation", "add"]))
        source = draw(st.sampled_from(live))
        size = tensors[source].shape[0]
        inputs: tuple[int, ...] = (source,)
        attrs: dict[str, int] = {}
        if op == "lut":
            inputs = (source, 0)
        if op == "concatenation":
            other = draw(st.sampled_from(live))
            inputs, attrs = (source, other), {"axis": 0}
            size += tensors[other].shape[0]
        if op == "add":
            inputs = (source, source)
        tensors.append(Tensor(f"t{number}", (size,), DType.INT8, QUANT))
        live.append(len(tensors) - 1)
        nodes.append(Node(f"n{number}", op, inputs, (len(tensors) - 1,), attrs))
    return verify(Graph("g", tuple(tensors), tuple(nodes), (1,), (len(tensors) - 1,)))


def simulate(graph: Graph) -> None:
    """Write a tensor's own mark wherever it lies, and find the mark unharmed whenever it is read.

    A copy keeps the mark of its source, as it keeps its bytes.
    """
    plan = plan_memory(graph)
    arena = np.full(plan.arena_bytes, -1, np.int64)
    marks = list(range(len(graph.tensors)))

    def place(index: int) -> slice:
        start = plan.offsets[index]
        assert start % ALIGN == 0
        assert start + graph.tensors[index].nbytes <= plan.arena_bytes
        return slice(start, start + graph.tensors[index].nbytes)

    for index in graph.inputs:
        arena[place(index)] = marks[index]
    for position, node in enumerate(graph.nodes):
        found = kernel(node.op)
        assert found is not None
        sources = [i for i in node.inputs if graph.tensors[i].data is None]
        for index in sources:
            assert (arena[place(index)] == marks[index]).all(), node.name
        size = scratch_bytes(graph, node)
        if size:
            start = plan.scratch[position]
            assert start + size <= plan.arena_bytes
            arena[start : start + size] = -2
            for index in sources:
                assert (arena[place(index)] == marks[index]).all(), node.name
        for index in node.outputs:
            if node.op == "copy":
                marks[index] = marks[node.inputs[0]]
            here = place(index)
            for source in sources:
                there = place(source)
                apart = here.stop <= there.start or there.stop <= here.start
                assert apart or (here == there and found.in_place), node.name
            arena[here] = marks[index]
    for index in graph.outputs:
        assert (arena[place(index)] == marks[index]).all()


@settings(deadline=None, max_examples=150)
@given(graphs())
def test_plan_never_overwrites_what_is_alive(graph: Graph) -> None:
    simulate(graph)


def chain(*sizes: int) -> Graph:
    tensors = tuple(Tensor(f"t{i}", (n,), DType.INT8, QUANT) for i, n in enumerate(sizes))
    nodes = tuple(
        Node(f"n{i}", "concatenation", (i, i), (i + 1,), {"axis": 0}) for i in range(len(sizes) - 1)
    )
    return Graph("chain", tensors, nodes, (0,), (len(sizes) - 1,))


def test_plan_of_a_chain_is_the_largest_pair() -> None:
    assert plan_memory(chain(16, 32, 64, 128)).arena_bytes == 64 + 128


def test_plan_lays_a_copy_on_its_source() -> None:
    graph = Graph(
        "g",
        (Tensor("x", (4, 8), DType.INT8, QUANT), Tensor("y", (32,), DType.INT8, QUANT)),
        (Node("n", "copy", (0,), (1,)),),
        (0,),
        (1,),
    )
    plan = plan_memory(graph)
    assert plan.offsets == (0, 0)
    assert plan.arena_bytes == 32


def test_plan_works_in_place_only_where_the_source_dies() -> None:
    tensors = (TABLE, *(Tensor(n, (32,), DType.INT8, QUANT) for n in "xyz"))
    dies = Graph("g", tensors[:3], (Node("n", "lut", (1, 0), (2,)),), (1,), (2,))
    assert plan_memory(dies).arena_bytes == 32
    lives = Graph(
        "g",
        tensors,
        (Node("n", "lut", (1, 0), (2,)), Node("m", "add", (1, 2), (3,))),
        (1,),
        (3,),
    )
    assert plan_memory(lives).arena_bytes == 64


@pytest.mark.parametrize("op", ["conv_2d", "depthwise_conv_2d", "batch_matmul"])
def test_plan_of_real_operators_is_sound(op: str) -> None:
    from op_cases import CASES

    from edgekit.formats.tflite import read_tflite
    from edgekit.passes.lower import lower

    for seed in range(20):
        data = CASES[op](np.random.default_rng(seed)).to_bytes()
        simulate(lower(read_tflite(data, name=op)))
