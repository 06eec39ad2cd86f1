"""A depthwise and a pointwise layer run as one where that makes the arena smaller."""

from __future__ import annotations

import re

import numpy as np
import pytest
from litert_models import reference
from reference_models import Net, small_cnn, widening

from edgekit.export.compile import compile_tflite
from edgekit.export.remedies import for_arena
from edgekit.formats.image_reader import read_image
from edgekit.ops import FAMILIES
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("multiplier", "share"), [(2, 0.53), (4, 0.28)])
def test_arena_halves_and_the_bytes_stay(multiplier: int, share: float, family: str) -> None:
    data = widening(multiplier=multiplier)
    apart, paired = (
        compile_tflite(data, name="m", family=family, pairs=pairs) for pairs in (False, True)
    )
    assert paired.arena_bytes < share * apart.arena_bytes
    assert paired.macs == apart.macs
    assert not paired.meta.fused
    x = np.random.default_rng(0).integers(-128, 128, (2, 1, 32, 32, 8), dtype=np.int8)
    got = Runner(paired.image, as_packed=True).run(x)
    assert np.array_equal(got, Runner(apart.image).run(x))
    assert np.array_equal(got.reshape(2, -1), reference(data, x).reshape(2, -1))
    (note,) = paired.notes
    assert f"arena {paired.arena_bytes:,} instead of {apart.arena_bytes:,} bytes" in note


def test_only_the_pairs_that_the_arena_is_large_for_are_joined() -> None:
    """The second pair has a quarter of the first one's area: its two kernels may stay."""
    ops = compile_tflite(widening(), name="m", family="dsp", pairs=True).ops
    assert "depthwise_pointwise" in ops
    assert "conv_2d_dsp" in ops


def test_pairs_that_save_nothing_stay() -> None:
    data = small_cnn()
    apart, paired = (compile_tflite(data, name="m", pairs=pairs) for pairs in (False, True))
    assert paired.image == apart.image
    assert "makes the arena smaller" in paired.notes[-1]


def test_map_that_somebody_else_reads_stays() -> None:
    net = Net((1, 16, 16, 4), 1)
    wide = net.depthwise(net.x, multiplier=4)
    data = net.done(net.add(net.conv(net.conv(wide, 4, 1), 16, 1), wide))
    assert "depthwise_pointwise" not in compile_tflite(data, name="m", pairs=True).ops


def test_patches_and_pairs_go_together() -> None:
    net = Net((1, 48, 48, 1), 3)
    y = net.conv(net.x, 8, 3)
    y = net.conv(net.depthwise(y, multiplier=4), 8, 1)
    data = net.done(net.dense(net.mean(net.conv(y, 4, 3, 4), 1, 2), 2))
    x = np.random.default_rng(0).integers(-128, 128, (2, 1, 48, 48, 1), dtype=np.int8)
    whole = compile_tflite(data, name="m")
    both = compile_tflite(data, name="m", patches=3, pairs=True)
    assert both.arena_bytes < whole.arena_bytes
    assert np.array_equal(Runner(both.image).run(x), Runner(whole.image).run(x))


@pytest.mark.parametrize("family", ["portable", "dsp"])
def test_pairs_are_among_the_ways_to_make_a_model_fit(family: str) -> None:
    data = widening()
    model = compile_tflite(data, name="m", family=family)
    graph = read_image(model.image).graph
    ways = for_arena(model, graph, 10_000, 0)
    (way,) = [way for way in ways if way.kind == "pairs"]
    paired = compile_tflite(data, name="m", family=family, pairs=True)
    assert int(re.findall(r"becomes ([\d,]+) bytes", way.text)[0].replace(",", "")) == (
        paired.arena_bytes
    )
    assert paired.arena_bytes <= 10_000 < model.arena_bytes
    assert (way.cost == 0) == (family == "portable")
    assert not [way for way in for_arena(model, graph, 8_000, 0) if way.kind == "pairs"]
