"""Mutated images under sanitizers: refused by the loader, or run inside all bounds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from op_cases import CASES

from edgekit import share
from edgekit.export.compile import compile_tflite
from edgekit.formats.image import Features

MUTATIONS_PER_IMAGE = 1200
TABLE = Features("lut_u8", np.arange(-128, 128, dtype=np.int8).tobytes())
FLAGS = (
    "-std=c11",
    "-D_POSIX_C_SOURCE=200809L",
    "-g",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Werror",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)


@pytest.mark.cc
def test_mutated_images_never_leave_their_bounds(tmp_path: Path) -> None:
    firmware = share.firmware()
    folders = ("kernels", "runtime", "features")
    sources = [path for folder in folders for path in (firmware / folder).glob("*.c")]
    command = ["cc", *FLAGS, *(f"-I{firmware / name}" for name in ("include", *folders))]
    program = tmp_path / "fuzz_image"
    command += ["-o", str(program), str(Path(__file__).with_name("fuzz_image.c"))]
    subprocess.run([*command, *map(str, sources)], check=True)
    images = []
    for number, (op, case) in enumerate(CASES.items()):
        model = case(np.random.default_rng([3, number]))
        source = model.to_bytes()
        trainable = op == "fully_connected"
        compiled = compile_tflite(
            source, name=op, features=TABLE if number % 2 and not model.token_limit else None
        )
        if trainable:
            compiled = _with_head()
        images.append(tmp_path / f"{op}.ekm")
        images[-1].write_bytes(compiled.image)
    done = subprocess.run(
        [program, str(MUTATIONS_PER_IMAGE), "1", *images], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:4000]
    accepted = int(done.stdout)
    assert MUTATIONS_PER_IMAGE < accepted < MUTATIONS_PER_IMAGE * len(images)


def _with_head():  # type: ignore[no-untyped-def]
    from litert_models import classifier

    return compile_tflite(classifier(), name="c", head=True, features=TABLE)
