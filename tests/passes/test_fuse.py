"""Chains are found by what they compute, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
from fused_models import ATTENTIONS, NORMS, TABLES, Writer
from litert_models import Model, T

from edgekit.export.compile import compile_tflite
from edgekit.formats.tflite import read_tflite
from edgekit.ops.real import real_of, stored_of
from edgekit.passes.evaluate import run_real
from edgekit.passes.fuse import Fusion, fuse
from edgekit.runtime import Runner


def fused(model: Model) -> tuple[list[str], tuple[Fusion, ...]]:
    graph, fusions = fuse(read_tflite(model.to_bytes(), name="m"))
    return [node.op for node in graph.nodes], fusions


def norms(model: Model) -> list[Fusion]:
    return [fusion for fusion in fused(model)[1] if fusion.op == "NORM"]


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [*NORMS, *TABLES])
def test_chain_becomes_one_operator_and_rounds_once(name: str, seed: int) -> None:
    model = {**NORMS, **TABLES}[name](np.random.default_rng(seed))
    data = model.to_bytes()
    graph = read_tflite(data, name="m")
    operators, fusions = fused(model)
    assert operators == ["NORM" if name in NORMS else "lut"]
    assert [fusion.op for fusion in fusions] == ["NORM" if name in NORMS else "TABLE"]
    assert len(fusions[0].replaced) == len(graph.nodes)
    source, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    x = np.random.default_rng(seed).normal(0, 40, (20, *source.shape)).round()
    stored = np.clip(x, -128, 127).astype(np.int8)
    wanted = np.array([stored_of(y, run_real(graph, real_of(source, row))) for row in stored])
    compiled = compile_tflite(data, name="m", fuse=True)
    assert compiled.meta.fused
    got = Runner(compiled.image).run(stored).reshape(wanted.shape).astype(int)
    assert np.abs(got - wanted).max() <= 1
    assert np.mean(got != wanted) < 0.01


def test_without_fusion_the_file_is_compiled_as_it_is() -> None:
    data = TABLES["silu"](np.random.default_rng(1)).to_bytes()
    compiled = compile_tflite(data, name="m", passes=False)
    assert not compiled.meta.fused
    assert compiled.ops == ("mul", "lut")


def test_float_island_alone_is_left_to_its_exact_table() -> None:
    w = writer()
    assert fused(w.done(w.island("NEG", w.x, 0.05)))[1] == ()


def rms(w: Writer, root: int) -> int:
    return w.apply("MUL", [w.x, root], step=0.03)


def root_of(w: Writer, squares: int, epsilon: float = 1e-3) -> int:
    inside = w.apply("ADD", [w.mean(squares, 0.05, -128), w.constant(epsilon)], step=0.05)
    return w.apply("RSQRT", [inside])


def writer() -> Writer:
    return Writer(np.random.default_rng(3), (1, 4, 12))


def test_root_of_something_else_stays() -> None:
    """The mean of the cubes is no spread."""
    w = writer()
    square = w.apply("MUL", [w.x, w.x], step=0.1)
    assert norms(w.done(rms(w, root_of(w, w.apply("MUL", [square, w.x]))))) == []


def test_difference_from_a_mean_needs_the_variance() -> None:
    """(x - m) over the root of the mean square is neither of the two normalizations."""
    w = writer()
    root = root_of(w, w.apply("MUL", [w.x, w.x], step=0.1))
    difference = w.apply("SUB", [w.x, w.mean(w.x, 0.02)])
    assert norms(w.done(w.apply("MUL", [difference, root]))) == []


def test_mean_over_another_dimension_stays() -> None:
    w = writer()
    square = w.apply("MUL", [w.x, w.x], step=0.1)
    axis = w.model.tensors
    mean = w.mean(square, 0.05, -128)
    axis[w.model.ops[-1].inputs[1]].data = np.array([1], np.int32)
    axis[mean].shape = (1, 1, 12)
    inside = w.apply("ADD", [mean, w.constant(1e-3)])
    assert norms(w.done(rms(w, w.apply("RSQRT", [inside])))) == []


def test_root_that_is_needed_elsewhere_stays() -> None:
    w = writer()
    root = root_of(w, w.apply("MUL", [w.x, w.x], step=0.1))
    other = w.apply("EXP", [root])
    assert norms(w.done(w.apply("ADD", [rms(w, root), other]))) == []


def test_activation_inside_a_norm_keeps_it() -> None:
    w = writer()
    root = root_of(w, w.apply("MUL", [w.x, w.x], step=0.1))
    inner = w.apply("MUL", [w.x, root], fusedActivationFunction=1)
    assert norms(w.done(w.apply("MUL", [inner, w.constant(2.0)]))) == []


def test_normalized_rows_before_and_after_gamma_are_two_norms() -> None:
    """Keras folds gamma into one reader's weights and leaves it for another."""
    w = writer()
    normal = rms(w, root_of(w, w.apply("MUL", [w.x, w.x], step=0.1)))
    scaled = w.apply("MUL", [normal, w.constant(np.linspace(0.5, 1.5, 12))])
    operators, fusions = fused(w.done(w.apply("MUL", [normal, scaled])))
    assert operators == ["NORM", "NORM", "MUL"]
    assert len(fusions) == 1


def test_single_function_stays_exact() -> None:
    w = writer()
    assert fused(w.done(w.apply("TANH", [w.x], step=1 / 128)))[0] == ["TANH"]


def test_table_begins_where_a_value_is_needed_elsewhere() -> None:
    """exp(x) is added to a row of constants, so only what follows it becomes a table."""
    w = writer()
    e = w.apply("EXP", [w.x])
    t = w.apply("TANH", [e], step=1 / 128)
    s = w.apply("MUL", [t, e])
    row = w.apply("ADD", [e, w.constant(np.linspace(0, 1, 12))])
    graph, fusions = fuse(read_tflite(w.done(w.apply("ADD", [s, row])).to_bytes(), name="m"))
    assert [node.op for node in graph.nodes] == ["EXP", "lut", "ADD", "ADD"]
    assert fusions[0].replaced == ("TANH", "MUL")


def test_two_tensors_are_no_table() -> None:
    w = writer()
    other = w.apply("MUL", [w.x, w.constant(np.linspace(0.5, 1, 12))])
    gate = w.apply("LOGISTIC", [other], step=1 / 256, zero_point=-128)
    assert fused(w.done(w.apply("MUL", [w.x, gate])))[1] == ()


def test_epsilon_that_does_not_fit_stays() -> None:
    w = writer()
    w.model.tensors[w.x].scales = [1e-9]
    assert norms(w.done(rms(w, root_of(w, w.apply("MUL", [w.x, w.x]), 1e9)))) == []


@pytest.mark.cc
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_is_found_and_near_the_float_model(name: str, seed: int) -> None:
    """Only operators before it stay; the error is a fraction of what the chain has."""
    model = ATTENTIONS[name](np.random.default_rng(seed))
    data = model.to_bytes()
    graph = read_tflite(data, name="m")
    operators, fusions = fused(model)
    assert operators[-1] == "ATTENTION"
    assert set(operators[:-1]) == {"MUL"}
    assert [fusion.op for fusion in fusions] == ["ATTENTION"]
    source, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    drawn = np.random.default_rng(seed).normal(0, 30, (20, *source.shape)).round()
    stored = np.clip(drawn, -128, 127).astype(np.int8)
    real = np.array([run_real(graph, real_of(source, row)) for row in stored])
    errors = []
    for fuse_it in (False, True):
        runner = Runner(compile_tflite(data, name="m", fuse=fuse_it).image)
        got = real_of(y, runner.run(stored)).reshape(real.shape)
        errors.append(float(np.square(got - real).mean()))
    assert errors[1] < errors[0]


@pytest.mark.cc
def test_causal_mask_becomes_a_bias_that_hides() -> None:
    """Keras masks scores by a select with the least float, which ruins their int8 scale."""
    w = Writer(np.random.default_rng(5), (1, 6, 8))
    scores = w.apply("BATCH_MATMUL", [w.x, w.x], step=0.1, shape=(1, 6, 6), adjY=True)
    mask = np.tril(np.ones((1, 6, 6), np.bool_))
    seen = w.model.add(T((1, 6, 6), data=mask, dtype="bool"))
    away = w.model.add(T((), [1e36], [127], data=np.array(-128, np.int8)))
    chosen = w.apply("SELECT_V2", [seen, scores, away], step=1e36, zero_point=127)
    weights = w.apply("SOFTMAX", [chosen], step=1 / 256, zero_point=-128, beta=1.0)
    y = w.apply("BATCH_MATMUL", [weights, w.x], step=0.05, shape=(1, 6, 8))
    model = w.done(y)
    assert fused(model)[0] == ["ATTENTION"]
    x = np.random.default_rng(6).integers(-60, 60, (2, 1, 6, 8), np.int8)
    runner = Runner(compile_tflite(model.to_bytes(), name="m", fuse=True).image)
    first = runner.run(x)
    x[:, :, 4:] = 9
    assert np.array_equal(runner.run(x)[:, :4], first[:, :4])
    tensor = w.model.tensors[w.x]
    alone = tensor.scales[0] * (x[:, 0, 0].astype(float) - tensor.zeros[0])
    assert np.abs(0.05 * first[:, 0] - alone).max() <= 0.026


def test_scores_that_are_needed_elsewhere_stay() -> None:
    w = Writer(np.random.default_rng(5), (1, 6, 6))
    scores = w.apply("BATCH_MATMUL", [w.x, w.x], step=0.1, adjY=True)
    weights = w.apply("SOFTMAX", [scores], step=1 / 256, zero_point=-128, beta=1.0)
    mixed = w.apply("BATCH_MATMUL", [weights, w.x])
    assert fused(w.done(w.apply("ADD", [mixed, weights])))[1] == ()


def test_two_dimensions_of_heads_stay() -> None:
    w = Writer(np.random.default_rng(5), (2, 3, 4, 4))
    scores = w.apply("BATCH_MATMUL", [w.x, w.x], step=0.1, adjY=True)
    weights = w.apply("SOFTMAX", [scores], step=1 / 256, zero_point=-128, beta=1.0)
    assert fused(w.done(w.apply("BATCH_MATMUL", [weights, w.x])))[1] == ()
