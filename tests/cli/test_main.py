"""The frame of the command line: listed commands, light start, one-line errors, exit codes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgekit import __version__
from edgekit.cli import main as frame
from edgekit.errors import CapacityError

EDGEKIT = [sys.executable, "-m", "edgekit"]
HEAVY = ("numpy", "tensorflow", "keras", "rdflib", "pyoxigraph", "paho", "rich", "asyncio")


def edgekit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EDGEKIT, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def leaves(name: str) -> list[list[str]]:
    """The command itself, or its sub-commands if it has some."""
    (listed,) = (command for command in frame.COMMANDS if command.name == name)
    children = getattr(frame.load_command(listed), "commands", {})
    return [[name, child] for child in children] or [[name]]


def run_as_command(
    body: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> int:
    module = types.ModuleType("edgekit.cli.probe")
    module.probe = body  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(frame, "COMMANDS", (frame.Command("probe", "probe", "probe", "Probe."),))
    return frame.main(["probe", *arguments])


@pytest.mark.parametrize("name", [command.name for command in frame.COMMANDS])
def test_every_command_helps_with_an_example(name: str) -> None:
    for words in leaves(name):
        result = edgekit(*words, "--help")
        assert result.returncode == 0, result.stderr
        example = " ".join(["edgekit", *words])
        body = result.stdout.split("\n", 1)[1]
        assert example in " ".join(body.split()), f"'{example} --help' shows no example"


def test_every_command_file_is_listed() -> None:
    """A file that declares options is a command or, as COMMAND_PART, a part of one."""
    files = {
        path.stem
        for path in Path(frame.__file__).parent.glob("*.py")
        if "import typer" in path.read_text(encoding="utf-8") and path.stem != "main"
    }
    commands = {command.module for command in frame.COMMANDS}
    parts = {name for name in files - commands if name.rpartition("_")[0] in commands}
    assert commands == files - parts


def test_help_lists_every_command() -> None:
    listed = edgekit("--help").stdout
    for command in frame.COMMANDS:
        assert f"  {command.name} " in listed


def test_import_of_the_frame_is_light() -> None:
    code = f"import sys, edgekit.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_help_takes_less_than_a_third_of_a_second() -> None:
    def seconds() -> float:
        begin = time.perf_counter()
        assert edgekit("--help").returncode == 0
        return time.perf_counter() - begin

    assert min(seconds() for _ in range(5)) < 0.3


def test_version_is_printed() -> None:
    assert edgekit("--version").stdout == f"edgekit {__version__}\n"


def test_unknown_command_is_wrong_usage() -> None:
    result = edgekit("nonsense")
    assert result.returncode == 2
    assert "nonsense" in result.stderr


def test_unknown_option_is_wrong_usage() -> None:
    assert edgekit("--nonsense").returncode == 2


def test_error_of_edgekit_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise CapacityError("needs 5 bytes,\nhas 4", needed_bytes=5, free_bytes=4)

    assert run_as_command(body, monkeypatch) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: needs 5 bytes,; has 4\n"
    assert captured.out == ""


def test_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "build/x.ekm")

    assert run_as_command(body, monkeypatch) == 1
    assert capsys.readouterr().err == "error: build/x.ekm: No space left on device\n"


def test_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_as_command(body, monkeypatch)


def test_exit_code_of_a_command_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        raise SystemExit(1)

    assert run_as_command(body, monkeypatch) == 1


def test_wrong_option_of_a_command_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_as_command(lambda: None, monkeypatch, "--nonsense") == 2


def test_interrupt_is_quiet(tmp_path: Path) -> None:
    script = tmp_path / "interrupt.py"
    script.write_text(
        "import sys, time, types\n"
        "from edgekit.cli import main as frame\n"
        "module = types.ModuleType('edgekit.cli.probe')\n"
        "def probe():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "module.probe = probe\n"
        "sys.modules[module.__name__] = module\n"
        "frame.COMMANDS = (frame.Command('probe', 'probe', 'probe', 'Probe.'),)\n"
        "sys.exit(frame.main(['probe']))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == ""


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`edgekit ... | head` used to end with a traceback when the interpreter flushed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        result = subprocess.run(
            [*EDGEKIT, "--help"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr == ""


def test_plain_help_has_no_boxes() -> None:
    result: Any = CliRunner().invoke(frame.app, ["--help"])
    assert result.exit_code == 0
    assert "─" not in result.output
