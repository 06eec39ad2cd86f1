"""No power cut bricks: every flash operation is cut before, after and inside, then once more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from firmware_twin import HERE, sources
from tiny_model import tiny_image

pytestmark = pytest.mark.cc

LIBRARIES = (
    "kernels",
    "runtime",
    "features",
    "features/no_text",
    "link",
    "crypto",
    "boot",
    "learn",
)


@pytest.fixture(scope="module")
def program(compile_program: Callable[[str, Sequence[Path]], Path]) -> Path:
    """Boot and learn code on a flash that fails on demand."""
    own = [HERE / "power_cut.c", HERE / "cut_port.c"]
    return compile_program("power_cut", [*own, *sources(*LIBRARIES)])


def _run(program: Path, *arguments: str | Path) -> list[int]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(word) for word in done.stdout.replace(",", "").split() if word.isdigit()]


def test_installation_survives_a_cut_at_every_operation(program: Path, tmp_path: Path) -> None:
    """After each cut the old or the new model boots, boot counters never repeat, and it goes on."""
    (tmp_path / "old.ekm").write_bytes(tiny_image(seed=1))
    (tmp_path / "new.ekm").write_bytes(tiny_image(seed=2, version="2"))
    operations, cuts, resumed = _run(program, "install", tmp_path / "old.ekm", tmp_path / "new.ekm")
    assert operations > 100
    assert cuts == 3 * operations
    assert resumed > cuts // 2


def test_state_survives_a_cut_at_every_operation(program: Path) -> None:
    """Records of a hundred saves, across page changes, are the old or the new one, never torn."""
    (cuts,) = _run(program, "state")
    assert cuts > 300


@pytest.mark.parametrize("what", ["learn", "round"])
def test_learned_head_survives_a_cut_at_every_operation(program: Path, what: str) -> None:
    """The head before or the head after, with what its update left out, never a mixture."""
    operations, cuts = _run(program, what)
    assert cuts == 3 * operations


def test_head_that_learns_by_itself_survives_a_cut_at_every_operation(program: Path) -> None:
    """The checkpoint before or the one after; the newest counts, also beside heads of rounds."""
    operations, cuts = _run(program, "online")
    assert operations > 20
    assert cuts == 3 * operations
