"""Whether a model fits is said before anything is built, in sentences with numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgekit.boards import load_board
from edgekit.cli.model import describe_image
from edgekit.errors import CapacityError
from edgekit.export.compile import CompiledModel
from edgekit.export.costs import FEATURES, load_costs
from edgekit.export.fit import check_fit, require_fit
from edgekit.export.mcu import build_firmware
from edgekit.ops import KERNEL_SETS, OPS, kernel_set
from tools.calibrate import CORES, image_of
from tools.sweeps import cases, single

BOARD = load_board("mps2_an386")
FLASH_TOLERANCE = 0.02


def dense(k: int, n: int) -> CompiledModel:
    attrs = {"activation": "NONE", "weights_format": 0, "keep_num_dims": False}
    return describe_image(image_of(single("FULLY_CONNECTED", [(1, k), (n, k)], (1, n), attrs)))


def test_small_model_fits_the_emulated_board() -> None:
    fit = check_fit(dense(64, 10), BOARD)
    assert fit.fits
    assert fit.reasons == fit.remedies == fit.unsupported == ()
    assert fit.ram_bytes == 262_144
    assert fit.flash_needed == fit.firmware_bytes + fit.image_bytes
    assert fit.instructions is not None
    assert fit.instructions > 64 * 10


def test_microbit_does_not_fit_a_large_input_and_says_why() -> None:
    fit = check_fit(dense(7000, 4), load_board("microbit_v1"))
    assert not fit.fits
    assert f"{fit.ram_needed:,} bytes of RAM" in fit.reasons[0]
    assert fit.reasons[0].endswith("board 'microbit_v1' has 16,384")
    assert len(fit.remedies) == 2
    assert any("make layer" in remedy for remedy in fit.remedies)
    assert any("take board 'netduinoplus2'" in remedy for remedy in fit.remedies)
    assert fit.instructions is not None


def test_board_with_less_ram_than_the_firmware_is_told_so() -> None:
    board = load_board("mps2_an386")
    chip = dataclasses.replace(board.chip, ram_bytes=40_000)
    fit = check_fit(dense(8, 8), dataclasses.replace(board, chip=chip), look_around=False)
    assert "the firmware alone needs" in fit.remedies[0]


def test_microbit_flash_is_counted_with_the_firmware() -> None:
    fit = check_fit(dense(1000, 250), load_board("microbit_v1"))
    assert any("bytes of flash" in reason for reason in fit.reasons)
    assert any("lighter" in remedy for remedy in fit.remedies)


@pytest.mark.emulator
@pytest.mark.parametrize("name", ["microbit_v1", "netduinoplus2"])
def test_firmware_without_an_agent_is_predicted_too(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board = load_board(name)
    ops = ("conv_2d", "fully_connected", "softmax")
    firmware = build_firmware(board, ops=ops, out=tmp_path_factory.mktemp("fit"))
    costs = load_costs()[board.core]
    assert costs.firmware_bytes(ops, agent=False) == pytest.approx(
        firmware.flash_bytes, rel=FLASH_TOLERANCE
    )
    assert costs.bench_ram_bytes == pytest.approx(firmware.static_bytes, rel=FLASH_TOLERANCE)


def test_image_larger_than_a_slot_does_not_fit() -> None:
    fit = check_fit(dense(1000, 400), BOARD)
    assert fit.reasons == (
        f"its image has {fit.image_bytes:,} bytes, a model slot of board 'mps2_an386' has 393,216",
    )
    assert "lighter" in fit.remedies[0]


def test_arena_larger_than_set_aside_names_the_layer() -> None:
    shape = (1, 64, 64, 40)
    flags = {"activation": "NONE", "pot_scale_int16": False}
    model = describe_image(image_of(single("ADD", [shape, (40,)], shape, flags)))
    assert model.arena_bytes == 163_840
    assert check_fit(model, BOARD).fits
    tight = dataclasses.replace(BOARD, arena_bytes=163_824)
    fit = check_fit(model, tight)
    assert "sets 163,824 aside" in fit.reasons[0]
    assert "layer 'add'" in fit.remedies[0]


def test_kernel_that_the_firmware_lacks_is_named() -> None:
    fit = check_fit(dense(8, 8), BOARD, ("softmax",))
    assert fit.unsupported == ("fully_connected",)
    assert "no kernel for fully_connected" in fit.reasons[0]


def test_require_fit_raises_with_the_numbers() -> None:
    with pytest.raises(CapacityError, match="does not fit board 'microbit_v1'") as caught:
        require_fit(dense(20_000, 8), load_board("microbit_v1"))
    assert caught.value.free_bytes == 16_384
    assert caught.value.needed_bytes > 16_384


def test_board_that_runs_a_bench_has_no_room_for_the_agent() -> None:
    small = load_board("microbit_v1")
    model = dense(64, 8)
    assert check_fit(model, small).fits
    fit = check_fit(model, small, agent=True)
    assert not fit.fits
    assert fit.ram_needed > 40_000
    assert "of RAM" in fit.reasons[0]


@pytest.mark.parametrize("core", CORES)
def test_every_kernel_has_costs(core: str) -> None:
    """A core that falls back to another family's packed forms need not have met them all."""
    costs = load_costs()[core]
    family = load_board(CORES[core][0]).chip.kernel_family
    names = set(kernel_set("all", family))
    others = {op.name for op in OPS if op.family not in ("", family)}
    assert set(costs.op_parts) == names
    assert set(costs.ops) | others >= names
    assert set(costs.ops) <= names


def test_every_predicted_kernel_has_features() -> None:
    assert set(FEATURES) == {kernel.name for kernel in OPS}


@pytest.mark.parametrize("index", range(0, len(list(cases())), 7))
def test_coefficients_match_features(index: int) -> None:
    source = list(cases())[index]
    for family in ("dsp", "portable"):
        model = describe_image(image_of(source, family))
        fit = check_fit(model, BOARD)
        assert fit.instructions is not None
        assert np.isfinite(fit.instructions)


def test_core_that_is_like_a_measured_one_is_predicted() -> None:
    fits = [check_fit(dense(64, 32), load_board(name)) for name in ("mps2_an386", "mps2_an500")]
    assert fits[0].instructions == fits[1].instructions is not None


@pytest.mark.emulator
@pytest.mark.parametrize("name", sorted(KERNEL_SETS))
def test_flash_and_ram_of_a_real_build_are_predicted(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kernels = kernel_set(name, BOARD.chip.kernel_family)
    firmware = build_firmware(BOARD, ops=kernels, out=tmp_path_factory.mktemp("fit"))
    costs = load_costs()["cortex-m4"]
    assert costs.firmware_bytes(firmware.ops) == pytest.approx(
        firmware.flash_bytes, rel=FLASH_TOLERANCE
    )
    assert costs.static_ram_bytes == pytest.approx(firmware.static_bytes, rel=FLASH_TOLERANCE)
