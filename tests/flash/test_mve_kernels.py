"""Kernels with vector instructions on the emulated Cortex-M55 equal the portable ones."""

from __future__ import annotations

import pytest
from test_dsp_kernels import image, inputs, unequal

from edgekit.boards import load_board
from edgekit.export.mcu import Firmware, library_units
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.formats.image import Features, ImageMeta, write_image
from edgekit.ops import kernel_set, ordered
from edgekit.passes.pack import pack
from edgekit.passes.plan import plan_memory
from edgekit.runtime import Runner

BOARD = load_board("mps3_an547")
IMAGES = 14


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return cached_firmware(BOARD, kernel_set("all", "mve"))


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(IMAGES))
def test_mve_kernels_equal_the_portable_ones(seed: int, firmware: Firmware) -> None:
    data, graph = image(seed)
    packed = pack(graph, "mve")
    names = ordered({node.op for node in packed.nodes})
    meta = ImageMeta("joined", "1", "", (), "", "", "mve", names, False)
    board_image = write_image(
        meta=meta,
        graph=packed,
        plan=plan_memory(packed),
        features=Features(),
        head=None,
        golden=(),
    )
    x = inputs(graph, seed)
    rows = (len(x), -1)
    expected = Runner(data).run(x).reshape(rows)
    result = run_on_board(BOARD, board_image, x, firmware=firmware)
    assert unequal(graph, result.outputs.reshape(rows), expected) == []


def test_images_hold_every_packed_kernel() -> None:
    seen: dict[str, int] = {}
    for seed in range(IMAGES):
        for node in pack(image(seed)[1], "mve").nodes:
            seen[node.op] = seen.get(node.op, 0) + 1
    for name in ("conv_2d_mve", "fully_connected_mve"):
        assert seen[name] >= IMAGES, name


def test_core_with_vectors_gets_its_kernels_before_those_with_dsp() -> None:
    units = {unit.source.stem: unit.source.parent.name for unit in library_units(BOARD)}
    assert units["ek_tile_mve"] == "mve"
    assert units["ek_tile_s8"] == "dsp"
    assert units["ek_softmax_s8"] == "kernels"
