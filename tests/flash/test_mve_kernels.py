"""Kernels with vector instructions on the emulated Cortex-M55 equal the portable ones."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from mve_cases import dense, image_shape, inputs, joined, window
from node_images import written
from op_cases import CASES

from edgekit.boards import load_board
from edgekit.export.compile import compile_tflite
from edgekit.export.mcu import Firmware, library_units
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.graph import Graph
from edgekit.ops import PACKINGS, kernel_set
from edgekit.passes.lower import verify_kernels
from edgekit.passes.pack import pack
from edgekit.runtime import Runner

BOARD = load_board("mps3_an547")
NODES = 12
IMAGES = 14


def graph_of(seed: int) -> Graph:
    """Return a graph of many nodes that read the same input."""
    rng = np.random.default_rng([seed, 42])
    x = image_shape(rng)
    if seed == 0:
        x = (1, 5, 4, 300)
    makers = (lambda: window(rng, x, depthwise=False), lambda: window(rng, x, depthwise=True))
    cases = [makers[number % 2]() for number in range(NODES - 3)]
    return verify_kernels(joined(rng, x, [*cases, *(dense(rng, x) for _ in range(3))]))


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return cached_firmware(BOARD, kernel_set("all", "mve"))


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(IMAGES))
def test_mve_kernels_equal_the_portable_ones(seed: int, firmware: Firmware) -> None:
    graph = graph_of(seed)
    packed = pack(graph, "mve")
    x = inputs(graph, seed)
    rows = (len(x), -1)
    expected = Runner(written(graph, "portable")).run(x).reshape(rows)
    found = run_on_board(BOARD, written(packed, "mve"), x, firmware=firmware).outputs.reshape(rows)
    start = 0
    unequal = []
    for node in packed.nodes[:NODES]:
        end = start + prod(packed.tensors[node.outputs[0]].shape)
        if not np.array_equal(found[:, start:end], expected[:, start:end]):
            unequal.append(node)
        start = end
    assert unequal == []


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("op", ["add", "average_pool_2d", "batch_matmul"])
@pytest.mark.parametrize("seed", range(6))
def test_kernels_that_are_not_packed_equal_the_portable_ones(
    seed: int, op: str, firmware: Firmware
) -> None:
    image = compile_tflite(
        CASES[op](np.random.default_rng([seed, 43])).to_bytes(), name=op, family="mve"
    ).image
    runner = Runner(image)
    x = np.random.default_rng(seed).integers(-128, 128, (4, *runner.input_shape), np.int8)
    found = run_on_board(BOARD, image, x, firmware=firmware).outputs
    assert np.array_equal(found.reshape(4, -1), runner.run(x).reshape(4, -1))


def test_images_hold_every_packed_kernel() -> None:
    seen: dict[str, int] = {}
    for seed in range(IMAGES):
        for node in pack(graph_of(seed), "mve").nodes:
            seen[node.op] = seen.get(node.op, 0) + 1
    for packing in PACKINGS:
        if packing.kernel.family == "mve":
            assert seen[packing.kernel.name] >= IMAGES, packing.kernel.name


def test_core_with_vectors_gets_its_kernels_before_those_with_dsp() -> None:
    units = {unit.source.stem: unit.source.parent.name for unit in library_units(BOARD)}
    assert units["ek_tile_mve"] == "mve"
    assert units["ek_limit_dsp"] == "dsp"
    assert units["ek_softmax_s8"] == "kernels"
