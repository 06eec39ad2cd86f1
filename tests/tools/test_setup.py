"""The set-up script: quick when done, one clear line when it fails, redone when interrupted."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py", "tools/setup")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with just what the set-up reads, on a machine without a package index."""
    for name in (*FILES, "tools/constraints.txt", "edgekit/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "EDGEKIT_APT": "no",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "HOME": str(folder),
    }
    return subprocess.run(
        [folder / "tools" / "setup"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | changes,
        check=False,
    )


def test_setup_that_is_done_takes_less_than_a_second() -> None:
    if not (ROOT / ".venv" / ".edgekit-ready").exists():
        pytest.skip("this environment was not made by tools/setup")
    begin = time.perf_counter()
    result = subprocess.run(
        [ROOT / "tools" / "setup"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0
    assert time.perf_counter() - begin < 1
    assert result.stdout == ""


def test_setup_without_a_package_index_says_so_and_begins_again(bare: Path) -> None:
    result = set_up(bare)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if "install:" not in line]
    assert line.startswith("setup: pip failed: ")
    assert "build/setup.log" in line
    assert not (bare / ".venv" / ".edgekit-ready").exists()

    # What is half there is not taken for whole.
    (bare / ".venv" / "half-written").touch()
    assert set_up(bare).returncode == 1
    assert not (bare / ".venv" / "half-written").exists()


def test_setup_names_programs_that_are_missing(bare: Path) -> None:
    programs = bare / "bin"
    programs.mkdir()
    for name in ("bash", "cat", "flock", "mkdir", "sha256sum", "dirname", "grep", "touch", "df"):
        (programs / name).symlink_to(str(shutil.which(name)))
    result = set_up(bare, PATH=str(programs))
    (line,) = [line for line in result.stderr.splitlines() if "please install" in line]
    assert "sudo apt-get install " in line
    assert "gcc-arm-none-eabi" in line
    assert "qemu-system-arm" in line
