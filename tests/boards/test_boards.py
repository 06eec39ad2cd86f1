"""Board and chip files: every shipped one loads, every wrong one gives one clear line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edgekit import share
from edgekit.boards import (
    OUTSIDE_FLASH,
    boards,
    chips,
    load_board,
    load_chip,
    read_board,
    read_chip,
)
from edgekit.errors import ConfigError


@pytest.mark.parametrize("name", chips())
def test_chip_file_loads(name: str) -> None:
    assert load_chip(name).name == name


@pytest.mark.parametrize("name", boards())
def test_board_file_loads(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert board.arena_bytes + board.feature_cache_bytes + board.stack_bytes <= board.ram_bytes
    assert (board.layout is not None) == (board.agent and board.support != "data")
    if board.emulator is not None:  # a tick is an instruction, or at most half of one
        assert board.emulator.instruction_ns * board.ticks_hz == 1e9 or (
            board.emulator.instruction_ns * board.ticks_hz >= 2e9
        )


@pytest.mark.parametrize("name", [name for name in boards() if load_board(name).layout])
def test_layout_lies_in_flash_without_overlap(name: str) -> None:
    board = load_board(name)
    assert board.layout is not None
    regions = sorted((r.offset, r.end, n) for n, r in board.layout)
    for (_, end, _), (offset, _, _) in itertools.pairwise(regions):
        assert end <= offset
    paid = sum(r.bytes for n, r in board.layout if n not in OUTSIDE_FLASH)
    assert paid + board.firmware_bytes <= board.flash_bytes


def test_emulated_board_declares_the_limits_of_a_real_part() -> None:
    board = load_board("mps2_an386")
    assert (board.ram_bytes, board.flash_bytes) == (262_144, 1_048_576)
    assert board.layout is not None
    assert board.layout.slot_a.offset % 65_536 == 0
    assert board.layout.slot_b.offset % 65_536 == 0


def test_unknown_board_is_refused_with_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"board 'mps2_an38' .*did you mean 'mps2_an38[56]'\?$"):
        load_board("mps2_an38")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_hz =", "clok_hz =", r"unknown key 'clok_hz' in \[board\]; did you mean 'clock_hz'"),
        ("clock_hz = 25_000_000", "clock_hz = 0", r"\[board\] 'clock_hz' is 0, expected 1 to"),
        ("clock_hz = 25_000_000", 'clock_hz = "x"', r"'clock_hz' is of type str, expected int"),
        ("clock_hz = 25_000_000", "clock_hz = true", r"'clock_hz' is of type bool, expected int"),
        ('support = "emulated"', 'support = "full"', r"'support' is 'full', expected one of"),
        ('"mps2_an386_m4"', '"mps2_an386_m9"', r"did you mean 'mps2_an386_m4'"),
        ('name = "mps2_an386"', 'name = "MPS2"', r"'name' is 'MPS2', expected a-z"),
        ('name = "mps2_an386"', 'name = "other"', r"the file is called 'mps2_an386.toml'"),
        ("offset = 0x7_0000", "offset = 0x6_0000", r"\[layout.slot_b\] overlaps with 'slot_a'"),
        ("offset = 0x7_0000", "offset = 0xC_0000", r"\[layout.slot_b\] ends at 0x120000, chip"),
        ("offset = 0x1000", "offset = 0x1010", r"must be multiples of the flash page, 4096"),
        ("state = {", "stat = {", r"unknown key 'stat' in \[layout\]; did you mean 'state'"),
        ("arena_bytes = 163_840", "arena_bytes = 213_008", r"take 262160 bytes, chip .* 262144"),
        ("arena_bytes = 163_840", "arena_bytes = 163_841", r"not a multiple of 16"),
        ("sensors = []", "sensors = [1]", r"'sensors' holds 1, expected strings"),
        ("[emulator]", "[emulater]", r"unknown key 'emulater'; did you mean 'emulator'"),
        ("16_777_216", "8_388_608", r"regions end at 0x1000000, persistent_bytes"),
        ("[board]", "[board", r"mps2_an386.toml: "),
        ('port = "mps2', 'agent = false\nport = "mps2', r"is the agent's, but agent is false"),
        ("instruction_ns = 128", "instruction_ns = 100", r"is 100, expected a power of two"),
    ],
)
def test_wrong_board_file_is_one_clear_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (share.devices() / "boards" / "mps2_an386.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mps2_an386.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_board(path)
    assert "\n" not in str(caught.value)
    assert "mps2_an386.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "flash_bytes = 1_048_576",
            "flash_bytes = 1_048_577",
            "not a multiple of flash_page_bytes",
        ),
        ('core = "cortex-m4"', 'core = "cortex-m5"', "'core' is 'cortex-m5', expected one of"),
        ("has_fpu = true\n", "", r"\[chip\] key 'has_fpu' is missing"),
        ("irq_alarm", "IRQ", r"\[peripherals\] 'IRQ' is no name of a peripheral"),
        ("ram_bytes", "ram_byte", "unknown key 'ram_byte' in .chip.; did you mean 'ram_bytes'"),
    ],
)
def test_wrong_chip_file_is_one_clear_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (share.devices() / "chips" / "mps2_an386_m4.toml").read_text(encoding="utf-8")
    path = tmp_path / "mps2_an386_m4.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_chip(path)


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_board(tmp_path / "none.toml")
