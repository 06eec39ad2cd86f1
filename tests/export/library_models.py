"""Models for the tests of the C library, and how its documented lines are run."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
from litert_models import classifier
from op_cases import CASES

from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.formats.image import Features

TABLE = Features("lut_u8", np.arange(-128, 128, dtype=np.int8).tobytes())
FOREIGN = ("kws_dscnn_int8", "micro_speech_quantized", "hello_world_int8")
LABELS = ("null??/", 'say "hé"', "back\\slash", "*/ int x; /*", "new\nline")


@cache
def tiny() -> CompiledModel:
    """Features, head and labels that try to leave their string or comment."""
    return compile_tflite(
        classifier(),
        name="KWS DS-CNN */ ??/",
        task="*/ #error task /*",
        labels=LABELS,
        license="Apache-2.0",
        features=TABLE,
        head=True,
    )


@cache
def plain() -> CompiledModel:
    """No features, no labels, no head."""
    return compile_tflite(CASES["add"](np.random.default_rng(4)).to_bytes(), name="plain")


def documented(folder: Path, compiler: str) -> str:
    """Return the one line of the README for a compiler."""
    lines = (folder / "README.md").read_text().splitlines()
    (line,) = [line.strip() for line in lines if line.startswith(f"    {compiler} ")]
    return line


def shell(line: str, folder: Path, cwd: Path) -> str:
    cwd.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["sh", "-c", line],
        env={"PATH": os.environ["PATH"], "MODEL": str(folder)},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert done.stderr == ""
    return done.stdout
