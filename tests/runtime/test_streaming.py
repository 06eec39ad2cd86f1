"""Models with variables: what one inference leaves is there in the next."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from litert_models import Model, T, classifier
from streaming_models import OUTPUTS, WIDTH, joined, litert_stream, streaming

from edgekit.boards import load_board
from edgekit.errors import FormatError, UnsupportedError
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.formats.image import write_image
from edgekit.formats.image_reader import read_image
from edgekit.formats.tflite import read_tflite
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


def stream_of(count: int) -> np.ndarray:
    return np.random.default_rng(9).integers(-128, 128, (count, 1, 1, WIDTH), dtype=np.int8)


def compiled(seed: int = 0) -> CompiledModel:
    return compile_tflite(streaming(seed), name="stream")


@pytest.mark.parametrize("seed", range(4))
def test_stream_equals_litert(seed: int) -> None:
    x = stream_of(12)
    runner = Runner(compiled(seed).image)
    assert np.array_equal(runner.run(x), litert_stream(streaming(seed), x))


def test_reset_begins_another_stream() -> None:
    x = stream_of(6)
    runner = Runner(compiled().image)
    first = runner.run(x)
    assert not np.array_equal(runner.run(x), first)
    runner.reset()
    assert np.array_equal(runner.run(x), first)


def test_golden_vectors_run_from_the_first_values_and_leave_them() -> None:
    x = stream_of(5)
    runner = Runner(compiled().image)
    expected = runner.run(x)
    runner.golden_check()
    assert np.array_equal(runner.run(x), expected)


def test_variables_survive_writing_and_reading_the_image() -> None:
    image = read_image(compiled().image)
    assert len(image.graph.inputs) == len(image.graph.outputs) == 3
    again = write_image(
        meta=image.meta,
        graph=image.graph,
        plan=image.plan,
        features=image.features,
        head=image.head,
        golden=image.golden,
    )
    x = stream_of(4)
    assert np.array_equal(Runner(again).run(x), Runner(compiled().image).run(x))


@pytest.mark.parametrize("family", ["dsp", "mve", "small"])
def test_packed_stream_is_equal(family: str) -> None:
    x = stream_of(4)
    packed = compile_tflite(streaming(), name="stream", family=family).image
    assert np.array_equal(Runner(packed).run(x), Runner(compiled().image).run(x))


def test_small_arena_is_refused() -> None:
    runner = Runner(compiled().image)
    status = runner._library.ek_state_reset(
        runner._struct.ctypes.data, runner._arena.ctypes.data, ctypes.c_size_t(16)
    )
    with pytest.raises(FormatError, match="arena"):
        runner._check(status)


@pytest.mark.emulator
def test_stream_on_the_board_equals_the_host() -> None:
    board = load_board("mps2_an386")
    x = stream_of(5)
    found = run_on_board(board, compiled().image, x, firmware=cached_firmware(board))
    assert np.array_equal(found.outputs, Runner(compiled().image).run(x))


def test_variables_and_a_head_exclude_each_other() -> None:
    with pytest.raises(UnsupportedError, match="cannot have a head"):
        compile_tflite(streaming(), name="stream", head=True)


def one_variable(value: int | None, *, first: bool = True) -> bytes:
    """A model that reads a variable, writes `value` into it, and adds it to its input."""
    model = Model()
    x, old, y = (model.add(T((1, 4), [0.1], [0])) for _ in range(3))
    handle = model.add(T((), dtype="resource"))
    if first:
        model.op("CALL_ONCE", [], [], initSubgraphIndex=1)
    model.op("VAR_HANDLE", [], [handle], sharedName="v")
    model.op("READ_VARIABLE", [handle], [old])
    model.op("ADD", [x, old], [y])
    if value is not None:
        data = np.full((1, 4), value, np.int8)
        model.op("ASSIGN_VARIABLE", [handle, model.add(T((1, 4), [0.1], [0], 0, data))], [])
    model.inputs, model.outputs = [x], [y]
    begin = Model()
    inner = begin.add(T((), dtype="resource"))
    data = begin.add(T((1, 4), [0.1], [0], 0, np.full((1, 4), 7, np.int8)))
    begin.op("VAR_HANDLE", [], [inner], sharedName="v")
    begin.op("ASSIGN_VARIABLE", [inner, data], [])
    return joined(model, begin) if first else model.to_bytes()


def test_variable_that_nobody_writes_keeps_its_value() -> None:
    data = one_variable(None)
    x = np.arange(12, dtype=np.int8).reshape(3, 1, 4)
    assert np.array_equal(
        Runner(compile_tflite(data, name="v").image).run(x), litert_stream(data, x)
    )


def test_variable_that_becomes_a_constant_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="variable 'v' becomes a constant"):
        read_tflite(one_variable(3), name="m")


def test_variable_without_first_value_begins_at_zero() -> None:
    graph = read_tflite(one_variable(None, first=False), name="m")
    assert not graph.tensor(graph.inputs[1]).initial.any()


def test_other_models_have_no_variables() -> None:
    runner = Runner(compile_tflite(classifier(), name="c").image)
    assert len(runner.image.graph.inputs) == 1
    assert runner.output_shape == (1, 5)
    assert Runner(compiled().image).output_shape == (1, OUTPUTS)
