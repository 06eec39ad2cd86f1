"""Learning on emulated boards: the bits of the host, and the instructions that were predicted."""

from __future__ import annotations

import math
from functools import cache

import pytest
from firmware.tiny_model import tiny_image
from optional_boards import board_or_skip

from edgekit.boards import load_board
from edgekit.export.learn_costs import MOMENTUM, online_bytes, statistics_bytes, step_instructions
from edgekit.export.mcu import numbers_folder
from edgekit.flash.learn_probe import CASES, LearnProbe, expected_checksums, run_learn_probe
from edgekit.formats.image_reader import read_image
from edgekit.runtime.moments import Moments
from edgekit.runtime.online import OnlineHead

BOARDS = ("mps2_an386", "mps2_an500", "mps2_an385", "rv32_virt")
"""Float32 on a Cortex-M4 and an M7; fixed point on a Cortex-M3 and a RISC-V."""
# Coefficients were fitted to five shapes a method.
PREDICTED = 0.10


@cache
def _probe(name: str) -> LearnProbe:
    return run_learn_probe(load_board(name))


_expected = cache(expected_checksums)


@pytest.mark.emulator
@pytest.mark.parametrize("name", BOARDS)
def test_board_learns_the_bits_of_the_host(name: str) -> None:
    """Heads by every method and a dense net: what 48 steps leave is equal in every bit."""
    board = board_or_skip(name)
    probe = _probe(name)
    kind = numbers_folder(board).rpartition("/")[2]
    assert (probe.checksums, probe.net_checksum) == _expected(kind)
    assert 2 * probe.step_bytes <= probe.batch_bytes


@pytest.mark.emulator
@pytest.mark.parametrize("name", ["mps2_an386", "mps2_an385"])
def test_step_costs_what_was_predicted(name: str) -> None:
    """Instructions per step are within 10 % of what `edgekit check` prints."""
    core = load_board(name).core
    for case, found in zip(CASES, _probe(name).instructions, strict=True):
        if case.method == "ol-v2":
            continue
        method = MOMENTUM if case.momentum else case.method
        predicted = step_instructions(core, case.features, case.most_classes, method)
        assert predicted == pytest.approx(found, rel=PREDICTED)


@pytest.mark.cc
@pytest.mark.parametrize("method", ["ol", "lwf", "cwr", MOMENTUM])
def test_memory_is_that_of_the_device(method: str) -> None:
    """The bytes that `edgekit check` prints are those that the C code asks for."""
    head = OnlineHead(
        [[0.0] * 30] * 4,
        [0.0] * 4,
        scale=1.0,
        zero_point=0,
        method=method.split()[0],
        most_classes=9,
        momentum=0.5 if method == MOMENTUM else 0.0,
    )
    assert head.memory_bytes == online_bytes(30, 9, method)


@pytest.mark.cc
def test_memory_of_statistics_is_that_of_the_device() -> None:
    """Mean and variance of each input of the model, and how many were seen."""
    graph = read_image(tiny_image()).graph
    size = math.prod(graph.tensor(graph.inputs[0]).shape)
    found = Moments(size, scale=0.1, zero_point=0).checkpoint()
    assert statistics_bytes(graph) == len(found) == 8 * size + 4
