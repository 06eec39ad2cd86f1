"""What is proposed to make a model fit is cheap, and does make it fit."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from litert_models import Model, T

from edgekit.boards import load_board
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.fit import check_fit
from edgekit.export.remedies import for_arena, for_weights
from edgekit.formats.image_reader import read_image


def network(side: int = 32, width: int = 24, tail: int = 16, patches: int = 1) -> CompiledModel:
    """Two convolutions, the first with a large output, then a dense layer."""
    rng = np.random.default_rng(1)
    model = Model()
    x = model.add(T((1, side, side, 1), [0.5], [0], name="x"))
    shape = (width, 3, 3, 1)
    w1 = model.add(T(shape, [0.01], [0], 0, rng.integers(-127, 128, shape, dtype=np.int8)))
    y1 = model.add(T((1, side, side, width), [0.5], [0], name="wide"))
    convolve = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    model.op("CONV_2D", [x, w1, -1], [y1], padding=0, fusedActivationFunction=0, **convolve)
    y2 = model.add(T((1, side // 8, side // 8, width), [0.5], [0], name="pool"))
    pool = {"filterHeight": 8, "filterWidth": 8, "strideH": 8, "strideW": 8}
    model.op("AVERAGE_POOL_2D", [y1], [y2], padding=1, fusedActivationFunction=0, **pool)
    terms = (side // 8) ** 2 * width
    w3 = rng.integers(-127, 128, (tail, terms), dtype=np.int8)
    y3 = model.add(T((1, tail), [0.5], [0], name="dense"))
    model.op("FULLY_CONNECTED", [y2, model.add(T(w3.shape, [0.01], [0], 0, w3)), -1], [y3])
    model.inputs, model.outputs = [x], [y3]
    return compile_tflite(model.to_bytes(), name="network", patches=patches)


def test_smaller_input_brings_the_arena_down() -> None:
    model = network()
    graph = read_image(model.image).graph
    (way,) = [way for way in for_arena(model, graph, 12_000, 0) if way.kind == "input"]
    side = int(re.findall(r"about (\d+) x", way.text)[0])
    assert network(side=side // 8 * 8).arena_bytes <= 12_000
    assert 0 < way.cost < 1


def test_narrower_layers_bring_the_arena_down() -> None:
    model = network()
    graph = read_image(model.image).graph
    (way,) = [way for way in for_arena(model, graph, 12_000, 0) if way.kind == "layers"]
    assert "wide" in way.layers
    assert network(width=math.floor(24 * way.factor)).arena_bytes <= 12_000


def test_patches_bring_the_arena_down() -> None:
    model = network()
    graph = read_image(model.image).graph
    (way,) = [way for way in for_arena(model, graph, 9_000, 0) if way.kind == "patches"]
    count = int(re.findall(r"--patches (\d+)", way.text)[0])
    patched = network(patches=count)
    assert patched.arena_bytes <= 9_000 < model.arena_bytes
    assert f"{patched.arena_bytes:,} bytes" in way.text
    assert way.cost == pytest.approx(patched.macs / model.macs - 1)
    # The input stays whole: no number of patches goes below it.
    assert not [way for way in for_arena(model, graph, 1_000, 0) if way.kind == "patches"]


def test_lighter_layer_brings_the_image_down() -> None:
    model = network(tail=400)
    graph = read_image(model.image).graph
    room = len(model.image) - 50_000
    ways = for_weights(model, graph, room)
    assert ways[0].cost <= ways[-1].cost
    way = next(way for way in ways if way.layers == ("dense",))
    assert len(network(tail=math.floor(400 * way.factor)).image) <= room


@pytest.mark.parametrize("name", ["microbit_v1", "mps2_an386"])
def test_two_ways_are_given_and_the_cheapest_is_first(name: str) -> None:
    """The board that is proposed takes the model."""
    model = network(side=128, width=64, tail=8)
    fit = check_fit(model, load_board(name))
    assert not fit.fits
    assert 1 <= len(fit.remedies) <= 2
    for other in re.findall(r"take board '(\w+)'", " ".join(fit.remedies)):
        assert check_fit(model, load_board(other)).fits
