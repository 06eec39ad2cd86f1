"""Models on the emulated board: output bytes equal the host's, instructions are counted."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.boards import load_board
from edgekit.cli.model import load_model
from edgekit.errors import CapacityError, ConfigError, DeviceError
from edgekit.export.fit import check_fit
from edgekit.export.mcu import Firmware
from edgekit.flash.bench import bench_page, cached_firmware, run_on_board
from edgekit.flash.flash_image import FlashImage
from edgekit.flash.qemu import Emulator
from edgekit.formats.image_reader import read_image
from edgekit.graph import DType
from edgekit.runtime import Runner
from tools.calibrate import image_of
from tools.sweeps import cases

BOARD = load_board("mps2_an386")
GRAPHS = list(cases())
STEP = 1 if os.environ.get("EDGEKIT_FULL") else 2  # with every second one each operator is there
MODELS = ("hello_world_int8", "kws_dscnn_int8", "micro_speech_quantized")


@pytest.fixture(scope="session")
def firmware() -> Firmware:
    return cached_firmware(BOARD)


RANGES = {DType.INT8: (-128, 128), DType.INT16: (-32768, 32768), DType.INT32: (0, 60)}


def draw(image: bytes, count: int, seed: int = 0) -> npt.NDArray[Any]:
    graph = read_image(image).graph
    x = graph.tensors[graph.inputs[0]]
    single = x.shape[1:] if x.shape[0] == 1 else x.shape
    low, high = RANGES[x.dtype]
    drawn = np.random.default_rng(seed).integers(low, high, (count, *single))
    return drawn.astype(x.dtype.value)


def on_host(image: bytes, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return Runner(image).run(inputs)


def litert_outputs(path: Path, inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreter_module.Interpreter(
        str(path),
        experimental_op_resolver_type=interpreter_module.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for row in inputs:
        interpreter.set_tensor(x["index"], row.reshape(x["shape"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(y["index"])[0].copy())
    return np.stack(rows)


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize(
    "index", range(0, len(GRAPHS), STEP), ids=lambda index: f"{index}-{GRAPHS[index].name}"
)
def test_kernel_on_the_board_equals_the_host(index: int, firmware: Firmware) -> None:
    image = image_of(GRAPHS[index])
    inputs = draw(image, 2)
    result = run_on_board(BOARD, image, inputs, firmware=firmware)
    np.testing.assert_array_equal(result.outputs, on_host(image, inputs))


@pytest.mark.emulator
@pytest.mark.data("models")
@pytest.mark.parametrize("name", MODELS)
def test_foreign_model_on_the_board_equals_host_and_litert(
    name: str, models_dir: Path, firmware: Firmware
) -> None:
    path = models_dir / f"{name}.tflite"
    model = load_model(path)
    inputs = draw(model.image, 8)
    result = run_on_board(BOARD, model.image, inputs, firmware=firmware)
    np.testing.assert_array_equal(result.outputs, on_host(model.image, inputs))
    np.testing.assert_array_equal(result.outputs, litert_outputs(path, inputs))
    assert 0 <= model.arena_bytes - result.arena_bytes < 16  # the last tensor is padded
    assert 0 < result.stack_bytes < BOARD.stack_bytes
    assert len(result.layers) == len(model.layers)
    assert check_fit(model, BOARD).instructions == pytest.approx(
        float(result.instructions.mean()), rel=0.1
    )


@pytest.mark.emulator
def test_check_loop_is_counted_exactly_and_runs_repeat(firmware: Firmware) -> None:
    image = image_of(GRAPHS[0])
    inputs = draw(image, 3)
    first = run_on_board(BOARD, image, inputs, firmware=firmware)
    again = run_on_board(BOARD, image, inputs, firmware=firmware)
    assert first.check_loop.expected == 200_000
    assert first.check_loop.measured == 200_000
    np.testing.assert_array_equal(first.ticks, again.ticks)
    assert sum(first.layers) < float(first.instructions[0])


@pytest.mark.emulator
def test_hundred_inferences_run_in_one_go(firmware: Firmware) -> None:
    image = image_of(GRAPHS[8])
    inputs = draw(image, 100)
    result = run_on_board(BOARD, image, inputs, firmware=firmware)
    assert result.outputs.shape[0] == result.instructions.shape[0] == 100
    assert result.seconds < 60


@pytest.mark.emulator
def test_kernel_that_is_not_built_in_is_refused_by_the_board() -> None:
    image = image_of(next(graph for graph in GRAPHS if graph.nodes[0].op == "SOFTMAX"))
    small = cached_firmware(BOARD, ("add",))
    with pytest.raises(DeviceError, match="status 7: operator is unknown or not built in"):
        run_on_board(BOARD, image, draw(image, 1), firmware=small)


@pytest.mark.emulator
def test_damaged_image_is_refused_by_the_board(firmware: Firmware, tmp_path: Path) -> None:
    image = bytearray(image_of(GRAPHS[0]))
    inputs = draw(bytes(image), 1)
    flash = FlashImage(tmp_path / "flash.bin", BOARD)
    run_on_board(BOARD, bytes(image), inputs, firmware=firmware, work=tmp_path)
    image[len(image) // 2] ^= 1
    flash.write_slot("a", bytes(image))
    with Emulator(BOARD, firmware.elf, flash.path, icount=True, log=tmp_path / "log") as machine:
        assert machine.wait(60) == 5
    assert "checksum does not match" in (tmp_path / "log").read_text()


@pytest.mark.emulator
@pytest.mark.parametrize(
    ("offset", "value"),
    [(4, 2), (6, 1), (8, 0), (8, 1 << 30), (12, 1 << 24), (24, 1 << 23), (32, 1 << 23)],
)
def test_wrong_job_is_refused_by_the_board(
    offset: int, value: int, firmware: Firmware, tmp_path: Path
) -> None:
    image = image_of(GRAPHS[0])
    run_on_board(BOARD, image, draw(image, 1), firmware=firmware, work=tmp_path)
    flash = FlashImage(tmp_path / "flash.bin", BOARD)
    header = bytearray(flash.read("bench", 0, 36))
    header[offset : offset + 4] = struct.pack("<I", value)
    flash.write("bench", bytes(header) + struct.pack("<I", zlib.crc32(header)))
    with Emulator(BOARD, firmware.elf, flash.path, icount=True, log=tmp_path / "log") as machine:
        assert machine.wait(60) in (4, 6)


@pytest.mark.cc
def test_host_port_runs_the_same_job() -> None:
    image = image_of(GRAPHS[0])
    inputs = draw(image, 4)
    result = run_on_board(load_board("host"), image, inputs)
    np.testing.assert_array_equal(result.outputs, on_host(image, inputs))
    assert result.instructions.size == 0
    assert result.check_loop.expected == 0


def test_board_without_emulator_does_not_run() -> None:
    image = image_of(GRAPHS[0])
    with pytest.raises(ConfigError, match=r'support = "data": it cannot run'):
        run_on_board(load_board("stm32vldiscovery"), image, draw(image, 1))


@pytest.mark.emulator
def test_job_larger_than_its_region_is_refused(firmware: Firmware) -> None:
    image = image_of(GRAPHS[0])
    with pytest.raises(CapacityError, match="the bench region of board 'mps2_an386' has 4194304"):
        run_on_board(BOARD, image, np.zeros((80_000, 8, 8, 1), np.int8), firmware=firmware)


def test_bench_page_is_what_the_protocol_says() -> None:
    page = bench_page()
    assert len(page) == 256
    assert page[:8] == b"EKPV\x01\x00\x01\x00"
    assert struct.unpack("<I", page[252:])[0] == zlib.crc32(page[:252])
