"""The kernel of our own GRU: C equals NumPy, and both are near the real thing."""

from __future__ import annotations

import numpy as np
import pytest
from gru_models import gru_graph, unrolled_gru
from litert_models import Model

from edgekit.export.compile import compile_tflite
from edgekit.formats.image_reader import read_image
from edgekit.formats.tflite import read_tflite
from edgekit.graph import Graph
from edgekit.ops.gru import GATE_SCALE, gate_table, gru, look
from edgekit.ops.real import real_of
from edgekit.passes.evaluate import run_real
from edgekit.passes.fuse import fuse
from edgekit.runtime import Runner
from tools.calibrate import image_of


def defined(graph: Graph, x: np.ndarray) -> np.ndarray:
    """Run the definition with the parameters of a lowered graph."""
    (node,) = graph.nodes
    w_input, w_recurrent, rows, table = (graph.tensor(i).data for i in node.inputs[1:])
    y = graph.tensor(node.outputs[0])
    words = {name: value for name, value in node.attrs.items() if isinstance(value, int)}
    assert w_input is not None
    assert w_recurrent is not None
    assert rows is not None
    assert table is not None
    assert y.quant is not None
    states = gru(
        x.reshape(-1, x.shape[-1]),
        w_input,
        w_recurrent,
        rows,
        table,
        reset_after=bool(words["reset_after"]),
        backwards=bool(words["backwards"]),
        y_scale=(words["y_multiplier"], words["y_shift"]),
        y_zero=y.quant.zero_point,
    )
    return states if y.elements == states.size else states[-1]


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(24))
def test_c_equals_numpy(seed: int) -> None:
    rng = np.random.default_rng([seed, 3])
    steps, features, units = (int(n) for n in rng.integers(1, (6, 40, 40)))
    graph = gru_graph(rng, steps=steps, features=features, units=units)
    image = image_of(graph)
    x = rng.integers(-128, 128, (4, *graph.tensors[0].shape), np.int8)
    x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
    read = read_image(image).graph
    expected = np.array([defined(read, sample) for sample in x])
    assert np.array_equal(Runner(image).run(x).reshape(expected.shape), expected)


def errors(model: Model) -> list[float]:
    """Mean square distance from the float model, of the chain and of the one operator."""
    data = model.to_bytes()
    graph = read_tflite(data, name="m")
    source, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    drawn = np.random.default_rng(1).normal(0, 40, (20, *source.shape)).round()
    stored = np.clip(drawn, -128, 127).astype(np.int8)
    real = np.array([run_real(graph, real_of(source, sample)) for sample in stored])
    found = []
    for fuse_it in (False, True):
        runner = Runner(compile_tflite(data, name="m", fuse=fuse_it).image)
        got = real_of(y, runner.run(stored)).reshape(real.shape)
        found.append(float(np.square(got - real).mean()))
    return found


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("reset_after", [False, True])
def test_unrolled_steps_become_one_operator_that_is_nearer(
    reset_after: bool, sequences: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = unrolled_gru(
        rng, reset_after=reset_after, sequences=sequences, backwards=bool(seed % 2)
    )
    graph, fusions = fuse(read_tflite(model.to_bytes(), name="m"))
    assert [node.op for node in graph.nodes] == ["GRU"]
    assert [fusion.op for fusion in fusions] == ["GRU"]
    assert graph.nodes[0].attrs == {"reset_after": reset_after, "backwards": bool(seed % 2)}
    chain, whole = errors(model)
    assert whole < chain


def test_steps_in_another_order_stay() -> None:
    model = unrolled_gru(np.random.default_rng(2), reset_after=True, swapped=True)
    assert all(fusion.op != "GRU" for fusion in fuse(read_tflite(model.to_bytes(), name="m"))[1])


def test_state_that_is_needed_elsewhere_keeps_the_steps() -> None:
    model = unrolled_gru(np.random.default_rng(2), reset_after=True)
    earlier = [op.outputs[0] for op in model.ops if op.name == "ADD"][-5]
    y = model.tensors[model.outputs[0]]
    both = model.add(type(y)(y.shape, [0.02], [0]))
    model.op("ADD", [model.outputs[0], earlier], [both])
    model.outputs = [both]
    assert all(fusion.op != "GRU" for fusion in fuse(read_tflite(model.to_bytes(), name="m"))[1])


def test_table_is_the_logistic_function() -> None:
    x = np.arange(-32768, 32768)
    exact = 2.0**15 / (1 + np.exp(-x * GATE_SCALE))
    assert np.abs(look(gate_table(), x) - exact).max() < 3
