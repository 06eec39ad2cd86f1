"""Kernels packed for small cores on emulated boards equal the portable ones on the host."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import Model, T
from node_images import written
from test_dsp_kernels import image, inputs, unequal
from test_emulated_boards import board_or_skip

from edgekit.boards import load_board
from edgekit.cli.model import describe_image
from edgekit.export.compile import compile_tflite
from edgekit.export.fit import check_fit
from edgekit.export.mcu import library_units
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.ops import kernel_set
from edgekit.passes.pack import pack
from edgekit.runtime import Runner

BOARDS = ("mps2_an385_v6m", "mps2_an385", "rv32_virt", "microbit_v1")
IMAGES = 14


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("name", BOARDS)
def test_small_kernels_equal_the_portable_ones(name: str) -> None:
    board = board_or_skip(name)
    firmware = cached_firmware(board, kernel_set("all", "small"))
    fitting = 0
    for seed in range(IMAGES):
        data, graph = image(seed)
        packed = written(pack(graph, "small"), "small")
        if not check_fit(describe_image(packed), board).fits:
            continue
        x = inputs(graph, seed)
        rows = (len(x), -1)
        expected = Runner(data).run(x).reshape(rows)
        found = run_on_board(board, packed, x, firmware=firmware).outputs
        assert unequal(graph, found.reshape(rows), expected) == [], seed
        fitting += 1
    assert fitting >= IMAGES // 3


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("name", BOARDS)
def test_sum_by_tables_equals_the_portable_one(name: str) -> None:
    """An input and itself, with and without a lower limit."""
    board = board_or_skip(name)
    rng = np.random.default_rng(51)
    for relu in (0, 1):
        model = Model()
        x, y = model.add(T((1, 700), [0.03], [-7])), model.add(T((1, 700), [0.05], [-11]))
        model.op("ADD", [x, x], [y], fusedActivationFunction=relu)
        model.inputs, model.outputs = [x], [y]
        small = compile_tflite(model.to_bytes(), name="sum", family="small", passes=False)
        assert small.ops == ("add_small",)
        values = rng.integers(-128, 128, (2, 700), np.int8)
        found = run_on_board(board, small.image, values).outputs
        assert np.array_equal(found, Runner(small.image).run(values))


def test_images_hold_every_packed_kernel() -> None:
    seen: dict[str, int] = {}
    for seed in range(IMAGES):
        for node in pack(image(seed)[1], "small").nodes:
            seen[node.op] = seen.get(node.op, 0) + 1
    for name in ("conv_2d_small", "fully_connected_small", "depthwise_conv_2d_small"):
        assert seen[name] >= IMAGES, name


def test_cores_get_their_own_inner_loops() -> None:
    folders = {
        "mps2_an385_v6m": "armv6m",
        "microbit_v1": "armv6m",
        "mps2_an385": "armv7m",
        "rv32_virt": "rv32",
    }
    for name, folder in folders.items():
        units = {
            unit.source.stem: unit.source.parent.name for unit in library_units(load_board(name))
        }
        assert units["ek_matmul_small"] == "kernels"
        assert folder in {units["ek_tile_small"], units["ek_finish_small"]}
