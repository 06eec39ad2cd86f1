"""The whole loop as a user starts it: once to the end, then cut off in every rude way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.train,
    pytest.mark.emulator,
    pytest.mark.broker,
    pytest.mark.cc,
    pytest.mark.timeout(900),
]

COMMAND = (sys.executable, "-m", "edgekit", "demo", "--out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests here, so that the models are trained once."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True, check=False)


def percent(text: str, what: str) -> float:
    found = re.search(rf"{re.escape(what)}\s*│\s*([0-9.]+)%", text)
    assert found, f"no row {what!r} in\n{text}"
    return float(found.group(1))


def processes_of(folder: Path) -> list[str]:
    """Every process whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def wait_until_gone(folder: Path) -> list[str]:
    deadline_s = time.monotonic() + 10
    while (left := processes_of(folder)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return left


@contextmanager
def running_until(folder: Path, line: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo and hand it over when a line of its output contains a text."""
    with subprocess.Popen(
        [*COMMAND, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for text in process.stdout:
            if line in text:
                break
        try:
            yield process
        finally:
            process.kill()


def test_demo_to_the_end(first: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    text = first.stdout
    assert percent(text, "float accuracy") >= 96
    assert percent(text, "int8 accuracy") >= 95
    assert percent(text, "accuracy of host C") == percent(text, "int8 accuracy")
    assert percent(text, "before learning (no 7, 8, 9)") <= 72
    assert percent(text, "after 8 rounds") >= 85
    assert percent(text, "best single device") < percent(text, "after 8 rounds")
    worse = re.search(r"images worse than float\s*│\s*(-?\d+)", text)
    assert worse and int(worse.group(1)) <= 8
    assert "100 of 100 images" in text
    assert "does not fit microbit_v1" in text
    assert "refused by the device, rollout halted" in text
    assert wait_until_gone(folder) == []


def test_page_is_whole_and_alone(first: subprocess.CompletedProcess[str], folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    for section in ("Accuracy", "Confusion matrix", "Memory", "Instructions per layer"):
        assert section in page
    for section in ("Rollouts", "Learning together"):
        assert section in page
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert len(page) < 1_000_000


def test_demo_interrupted_leaves_nothing(
    first: subprocess.CompletedProcess[str], folder: Path
) -> None:
    with running_until(folder, "Claim the board") as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in errors
    assert wait_until_gone(folder) == []


def test_demo_killed_runs_again(first: subprocess.CompletedProcess[str], folder: Path) -> None:
    with running_until(folder, "Four virtual devices") as process:
        process.kill()
        process.wait()
    assert wait_until_gone(folder) == []
    again = subprocess.run([*COMMAND, str(folder)], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "kept from an earlier run" in again.stdout


def test_demo_survives_the_death_of_its_broker(
    first: subprocess.CompletedProcess[str], folder: Path
) -> None:
    with running_until(folder, "Claim the board") as process:
        brokers = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _is_broker(entry, folder)
        ]
        assert len(brokers) == 1
        os.kill(brokers[0], signal.SIGKILL)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, output + errors
    assert wait_until_gone(folder) == []


def _is_broker(entry: Path, folder: Path) -> bool:
    try:
        command = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"mosquitto" in command and str(folder).encode() in command


def test_demo_without_emulator_names_the_package(
    first: subprocess.CompletedProcess[str], folder: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cc", "gcc", "as", "ld", "arm-none-eabi-gcc", "mosquitto", "dd"):
        for place in ("/usr/bin", "/usr/sbin", "/usr/local/bin"):
            if (Path(place) / name).exists():
                (tools / name).symlink_to(Path(place) / name)
    done = subprocess.run(
        [*COMMAND, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": str(tools)},
    )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "apt-get install qemu-system-arm" in lines[0]
