"""Mutated `.tflite` files: compiled, or refused by an error of ours, in bounded time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = bool(os.environ.get("EDGEKIT_FULL"))
MUTANTS = 3000


@pytest.mark.parametrize("seed", range(8 if FULL else 1))
def test_mutants_are_compiled_or_refused(seed: int) -> None:
    """Full: 24,000 files."""
    program = Path(__file__).with_name("fuzz_tflite.py")
    command = [sys.executable, "-W", "error", str(program), str(MUTANTS), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    compiled, refused = map(int, done.stdout.split())
    assert compiled > MUTANTS // 20
    assert refused > MUTANTS // 3
