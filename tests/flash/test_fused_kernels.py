"""Fused kernels on emulated boards, with DSP instructions and without, equal those of the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fused_models import attention_graph, norm_graph
from gru_models import gru_graph

from edgekit.boards import load_board
from edgekit.errors import UnsupportedError
from edgekit.export.mcu import library_units
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.graph import Graph
from edgekit.runtime import Runner
from tools.calibrate import image_of
from tools.sweeps_pair import pairs

OPS = ("layer_norm", "attention", "gru", "depthwise_pointwise")


def graphs(seed: int) -> list[Graph]:
    """Sizes that leave tails: of rows, keys, products and columns."""
    rng = np.random.default_rng([seed, 12])
    rows, keys, depth = (int(value) for value in rng.integers(1, 12, 3))
    biased = bool(rng.random() < 0.5)
    swept = list(pairs())
    return [
        swept[seed],
        swept[seed + 8],
        attention_graph(rng, rows=rows, keys=keys, depth=depth, biased=biased),
        norm_graph(rng, centred=bool(seed % 2), count=int(rng.integers(1, 90)), rows=rows),
        gru_graph(rng, steps=min(rows, 4), features=keys, units=int(rng.integers(1, 20))),
    ]


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["mps2_an386", "mps2_an385"])
def test_fused_kernels_equal_the_host(name: str, seed: int) -> None:
    board = load_board(name)
    firmware = cached_firmware(board, OPS)
    for graph in graphs(seed):
        try:
            image = image_of(graph)
        except UnsupportedError:
            continue
        rng = np.random.default_rng(seed)
        shape = graph.tensors[0].shape
        x = rng.integers(-128, 128, (2, *shape[shape[0] == 1 :]), np.int8)
        x[1].flat[:] = rng.choice(np.array([-128, 127], np.int8), x[1].size)
        result = run_on_board(board, image, x, firmware=firmware)
        expected = Runner(image).run(x)
        assert np.array_equal(result.outputs.reshape(expected.shape), expected), graph.name


def test_core_with_dsp_has_its_own_products() -> None:
    def folder(board: str) -> Path:
        units = library_units(load_board(board))
        return next(unit.source.parent for unit in units if unit.source.stem == "ek_attend_s8")

    assert folder("mps2_an386").name == "dsp"
    assert folder("mps2_an385").name == "kernels"
