"""The layers of a sentence: C equals NumPy, padding costs nothing and changes nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sentence_models import KINDS, random_sentences, random_weights, small_text

from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.formats.image_reader import read_image
from edgekit.graph import Graph
from edgekit.models import make_config
from edgekit.models.embbert import PRESETS
from edgekit.ops.text import DEFINITIONS, count_tokens, product, run_text
from edgekit.quantize.embbert import quantize_weights
from edgekit.runtime import Runner


@cache
def fused(kind: str) -> CompiledModel:
    return compile_tflite(small_text(kind)[1].data, name="text", fuse=True)


def defined(graph: Graph, ids: np.ndarray) -> np.ndarray:
    """Run a graph of text kernels and a dense head by their definitions."""
    values = {i: tensor.data for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    values[graph.inputs[0]] = ids

    def zero(index: int) -> int:
        quant = graph.tensor(index).quant
        return 0 if quant is None else quant.zero_point

    for node in graph.nodes:
        inputs = [values[index] for index in node.inputs]
        if node.op in DEFINITIONS:
            zeros = [zero(index) for index in (*node.inputs, *node.outputs)]
            made = run_text(node, inputs, zeros)
        else:
            assert node.op == "fully_connected"
            scale = int(node.attrs["multiplier"]), int(node.attrs["shift"])
            rounding = int(node.attrs["rounding"])
            x = inputs[0].reshape(1, -1)
            made = [product(x, *inputs[1:], scale, zero(node.outputs[0]), rounding)]
        values.update(zip(node.outputs, made, strict=True))
    return values[graph.outputs[0]].reshape(-1)


@pytest.mark.cc
@pytest.mark.parametrize("kind", KINDS)
def test_c_equals_numpy(kind: str) -> None:
    image, ids = fused(kind).image, small_text(kind)[2]
    found = Runner(image).run(ids)
    graph = read_image(image).graph
    assert {node.op for node in graph.nodes} <= {*DEFINITIONS, "fully_connected"}
    for row, answer in zip(ids, found, strict=True):
        assert np.array_equal(defined(graph, row), answer.reshape(-1))


@pytest.mark.cc
@pytest.mark.parametrize("kind", KINDS)
def test_fused_model_is_nearer_to_the_float_model(kind: str) -> None:
    _, traced, ids = small_text(kind)
    wanted = traced.reals[-1]

    def error(fuse: bool) -> float:
        image = compile_tflite(traced.data, name="text", fuse=fuse).image
        stored = Runner(image).run(ids).reshape(len(ids), -1).astype(np.float64)
        real = (stored - traced.zeros[-1]) * traced.scales[-1]
        return float(np.mean(np.square(real - wanted)))

    assert error(True) < error(False)
    assert error(True) < 0.02 * np.var(wanted)


@pytest.mark.cc
def test_garbage_behind_the_count_changes_no_byte() -> None:
    """Rows of padding are not read: the arena holds what the sentence before left there."""
    runner, ids = Runner(fused("attention").image), small_text("attention")[2]
    alone = [Runner(fused("attention").image).run(row[None])[0] for row in ids]
    for order in (np.arange(len(ids)), np.argsort(-np.count_nonzero(ids, axis=1))):
        found = runner.run(ids[order])
        assert all(np.array_equal(found[i], alone[k]) for i, k in enumerate(order))


@pytest.mark.cc
def test_ids_outside_the_table_are_read_as_the_nearest() -> None:
    runner = Runner(fused("attention").image)
    ids = small_text("attention")[2][:1].copy()
    ids[0, 2] = 63
    wanted = runner.run(ids)
    ids[0, 2] = 2**31 - 1
    assert np.array_equal(runner.run(ids), wanted)


def test_count_is_up_to_the_last_id() -> None:
    assert count_tokens(np.int32([2, 0, 7, 0])) == 3
    assert count_tokens(np.zeros(5, np.int32)) == 1


@pytest.mark.cc
@pytest.mark.parametrize(("length", "most"), [(256, 450_000), (64, 400_000)])
def test_memory_of_the_papers_model_stays_below_the_figure(length: int, most: int) -> None:
    """The paper counts 781,056 bytes, at length 256."""
    sizes = {name: getattr(PRESETS["embbert"], name) for name in PRESETS["embbert"].__slots__}
    config = make_config("embbert", {**sizes, "length": length})
    for residual in ("none", "identity"):
        config = make_config("embbert", {**sizes, "length": length, "residual": residual})
        traced = quantize_weights(random_weights(config), config, random_sentences(config, 4, 24))
        done = compile_tflite(traced.data, name="embbert", fuse=True)
        graph = read_image(done.image).graph
        weights = sum(tensor.nbytes for tensor in graph.tensors if tensor.data is not None)
        assert weights <= 376_000
        assert weights + done.arena_bytes <= most
