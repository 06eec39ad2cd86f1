"""A C library that takes text: its ids and outputs are those of the runtime."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from text_models import COMMANDS, text_model

from edgekit.export.library import write_library
from edgekit.runtime import Runner

pytestmark = [pytest.mark.cc, pytest.mark.train]

MAIN = """
#include <stdio.h>
#include <string.h>
#include "model.h"

static _Alignas(16) uint8_t arena[COMMANDS_ARENA_BYTES];
static int8_t input[COMMANDS_INPUT_BYTES];
static int8_t output[COMMANDS_OUTPUT_BYTES];

int main(int argc, char **argv) {
    if (commands_check(arena) != EK_OK) {
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        commands_input_from_text(argv[i], (uint32_t)strlen(argv[i]), input);
        if (commands_run(input, output, arena) != EK_OK) {
            return 2;
        }
        fwrite(input, 1, sizeof input, stdout);
        fwrite(output, 1, sizeof output, stdout);
    }
    return 0;
}
"""


def test_texts_go_in_and_outputs_come_out(tmp_path: Path) -> None:
    model = text_model()
    folder = write_library(model, out=tmp_path / "library", prefix="commands").folder
    (tmp_path / "main.c").write_text(MAIN)
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{folder}/include"]
    sources = sorted(map(str, folder.glob("src/*.c")))
    program = tmp_path / "main"
    subprocess.run(["cc", *flags, *sources, tmp_path / "main.c", "-o", program], check=True)
    texts = [*COMMANDS[:12], "é ü 안녕 😀", "x" * 3_000]
    said = subprocess.run([program, *texts], capture_output=True, check=True).stdout
    rows = np.frombuffer(said, np.uint8).reshape(len(texts), -1)
    runner = Runner(model.image)
    ids = runner.text_ids(texts)
    assert rows[:, : ids[0].nbytes].tobytes() == ids.tobytes()
    assert rows[:, ids[0].nbytes :].tobytes() == runner.run(ids).tobytes()
