"""The bench of models on boards: what is ok, what is kept, and another engine beside ours."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from litert_models import classifier

from edgekit import share
from edgekit.boards import load_board
from edgekit.errors import DeviceError
from edgekit.export.compile import compile_tflite
from tools.bench import host, page
from tools.bench.__main__ import main
from tools.bench.mcu import nominal_macs, rows_of
from tools.bench.mcu_data import M4
from tools.bench.rows import resumed, row, table
from tools.bench.tflm import run_program

BOARD = load_board(M4)
FACTS: dict[str, Any] = {
    "model": "ad",
    "board": M4,
    "family": "portable",
    "macs": 264_192,
    "nominal_macs": 264_192,
    "arena_bytes": 768,
    "image_bytes": 290_000,
    "weight_bytes": 284_000,
    "code_bytes": 5_000,
    "instructions": 290_000,
    "inputs": 3,
    "wrong": 0,
    "check_loop": [200_000, 200_000.0],
    "stack_bytes": 500,
}
OTHER_ENGINE = """
static const char text[] = "ready\\ninstructions %d\\n";
void reset(void) {
    register int call __asm__("r0") = 4;  /* SYS_WRITE0 */
    register const char *what __asm__("r1") = text;
    __asm__ volatile("bkpt 0xab" : "+r"(call) : "r"(what) : "memory");
    for (;;) {
    }
}
__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))0x20010000, reset};
"""


def test_page_is_made_from_the_results() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page()
    for area, figures in (("mcu", rows_of), ("host", host.rows_of)):
        facts = json.loads(page.RESULTS[area].read_text(encoding="utf-8"))
        assert facts["rows"] == [asdict(each) for each in figures(facts["runs"])]


def test_turns_give_the_ratio_of_what_takes_turns() -> None:
    turns = host.take_turns(lambda: time.sleep(0.002), lambda: time.sleep(0.001))
    assert 1.2 < turns.ratio < 2.2
    assert turns.ours_us > 2_000 and turns.theirs_us > 1_000


def test_compiling_is_timed_and_an_answer_must_be_right() -> None:
    assert 0 < host.compile_s(classifier()) < 10
    facts = {"model": "vit_18k", "ours_us": 1.0, "theirs_us": 2.0, "ratio": 0.5, "wrong": 0}
    assert all(each.ok for each in host.rows_of([facts]))
    assert not any(each.ok for each in host.rows_of([{**facts, "wrong": 1}]))
    slow = {"model": "cnn_1mb", "bytes": 10**6, "seconds": 1.5}
    assert [each.ok for each in host.rows_of([slow])] == [False]


def test_a_row_is_ok_only_with_a_good_value_within_its_target() -> None:
    assert row("a", 5, "1", 5, good=True).ok
    assert row("a", 5, "1", None, good=True).ok
    assert not row("a", 6, "1", 5, good=True).ok
    assert not row("a", None, "1", None, good=True).ok
    assert not row("a", 5, "1", 5, good=False).ok


def bad(**changes: object) -> set[str]:
    rows = rows_of([{**FACTS, **changes}])
    return {each.figure.partition(": ")[2] for each in rows if not each.ok}


def test_figures_of_a_board() -> None:
    everything = {each.figure.partition(": ")[2] for each in rows_of([FACTS])}
    assert bad() == set()
    assert bad(instructions=300_001) == {"instructions"}
    assert bad(arena_bytes=1_001) == {"arena"}
    assert bad(code_bytes=6_001) == {"flash in C-library mode"}
    assert bad(wrong=1) == everything
    assert bad(check_loop=[200_000, 200_001.0]) == everything
    lost = {key: FACTS[key] for key in ("model", "board")}
    assert not any(each.ok for each in rows_of([{**lost, "missing": "no board"}]))


def test_a_result_is_kept_until_its_key_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share, "cache_dir", lambda: tmp_path)
    calls = []

    def measure() -> dict[str, Any]:
        calls.append(1)
        return {"count": len(calls)}

    assert resumed("area", "set", "one", measure) == {"count": 1}
    assert resumed("area", "set", "one", measure) == {"count": 1}
    assert resumed("area", "set", "two", measure) == {"count": 2}
    (tmp_path / "bench" / "area" / "set.json").write_text("{")
    assert resumed("area", "set", "two", measure) == {"count": 3}


def test_table_is_flush() -> None:
    assert table(("a", "bb"), [("xyz", "1")]) == "| a   | bb |\n| --- | -: |\n| xyz |  1 |"


def test_nominal_work_is_that_of_the_file() -> None:
    source = classifier()
    assert nominal_macs(source) == 4 * 4 * 4 * 18 + 5 * 64
    assert nominal_macs(source) == compile_tflite(source, name="c").macs


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcu", "--models", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def other_engine(tmp_path: Path) -> Path:
    folder = tmp_path / "tflm"
    (folder / M4).mkdir(parents=True)
    source = tmp_path / "other.c"
    source.write_text(OTHER_ENGINE % 4321)
    line = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-nostdlib", "-O1", str(source)]
    line += ["-Wl,--section-start=.vectors=0,--entry=reset,--no-warn-rwx-segments"]
    subprocess.run([*line, "-o", str(folder / M4 / "small.elf")], check=True)
    return folder


@pytest.mark.emulator
def test_a_folder_of_models_with_another_engine(
    tmp_path: Path, other_engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "small.tflite").write_bytes(classifier())
    arguments = ["mcu", "--models", str(models), "--tflm", str(other_engine)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "other engine" in shown and "4,321" in shown
    assert main([*arguments, "--json"]) == 0
    rows = {each["figure"]: each for each in json.loads(capsys.readouterr().out)["rows"]}
    assert rows[f"small on {M4}: the other engine"]["value"] == 4321
    assert rows[f"small on {M4}: wrong answers"]["value"] == 0
    assert 1_000 < rows[f"small on {M4}: instructions"]["value"] < 100_000


@pytest.mark.emulator
def test_a_program_without_the_line_is_an_error(other_engine: Path) -> None:
    elf = other_engine / M4 / "small.elf"
    assert run_program(elf, BOARD) == 4321
    elf.write_bytes(elf.read_bytes().replace(b"instructions", b"INSTRUCTIONS"))
    with pytest.raises(DeviceError, match="printed no line"):
        run_program(elf, BOARD, timeout_s=2)
