"""The C library on Cortex-M: its size, what it needs from outside, and that it runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from library_models import FOREIGN, documented, shell, tiny
from reference_models import autoencoder, small_cnn

from edgekit.boards import load_board
from edgekit.export.compile import compile_tflite
from edgekit.export.elf import read_elf
from edgekit.export.library import write_library
from edgekit.formats.container import Section
from edgekit.formats.image_reader import image_sections, read_image
from edgekit.ops import FAMILIES
from edgekit.runtime import Runner
from tools.bench.flash import code_bytes

pytestmark = pytest.mark.emulator

FULL = bool(os.environ.get("EDGEKIT_FULL"))

MEMORY = {"memcmp", "memcpy", "memset"}
# The compiler's own run time: division, 64-bit products, switch tables.
COMPILER = re.compile(r"__aeabi_\w+|__gnu_thumb1_case_\w+")
HEAP = {"malloc", "free", "calloc", "realloc", "_sbrk", "_malloc_r"}


CORES = {"cortex-m0": (), "cortex-m4": ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")}


@pytest.mark.data("models")
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("name", FOREIGN)
def test_flash_of_the_library_is_printed_and_it_needs_nothing_else(
    core: str, name: str, tmp_path: Path, models_dir: Path
) -> None:
    model = compile_tflite((models_dir / f"{name}.tflite").read_bytes(), name=name, version="1")
    library = write_library(model, out=tmp_path / "lib", prefix="kws")
    line = documented(library.folder, "arm-none-eabi-gcc").replace("cortex-m4", core)
    line += "".join(f" {flag}" for flag in CORES[core])
    objects = tmp_path / "objects"
    shell(line, library.folder, objects)

    symbols = shell("arm-none-eabi-nm -g *.o", library.folder, objects).splitlines()
    known = {word[2] for word in map(str.split, symbols) if len(word) == 3}
    needed = {word[1] for word in map(str.split, symbols) if len(word) == 2 and word[0] == "U"}
    assert all(name.startswith("kws_") for name in known)
    outside = {symbol for symbol in needed - known if COMPILER.fullmatch(symbol) is None}
    assert outside <= MEMORY
    writable = [w for w in map(str.split, symbols) if len(w) == 3 and w[1] in "bBdDcC"]
    assert writable == []

    sizes = {}
    calls = {
        "run": "return (int)kws_run(input, output, arena);",
        "check": "return (int)(kws_check(arena) | kws_run(input, output, arena));",
        "empty": "return arena[0] + input[0] + output[0];",
    }
    for kind, body in calls.items():
        main = tmp_path / f"{kind}.c"
        main.write_text(
            '#include "model.h"\n'
            "_Alignas(16) uint8_t arena[KWS_ARENA_BYTES];\n"
            "int8_t input[KWS_INPUT_BYTES], output[KWS_OUTPUT_BYTES];\n"
            f"int main(void) {{ {body} }}\n"
        )
        elf = tmp_path / f"{kind}.elf"
        shell(
            f"arm-none-eabi-gcc -mcpu={core} -mthumb {' '.join(CORES[core])} -std=c11 -Os"
            " -ffunction-sections -I$MODEL/include --specs=nano.specs -nostartfiles"
            " -Wl,--gc-sections,--entry=main,--no-warn-rwx-segments,--build-id=none"
            f" {main} *.o -o {elf}",
            library.folder,
            objects,
        )
        sizes[kind] = read_elf(elf).flash_bytes
        linked = shell(f"arm-none-eabi-nm {elf}", library.folder, objects).split()
        assert not HEAP & set(linked)
    constants = model.weight_bytes + sizes["empty"]
    code = {kind: sizes[kind] - constants for kind in ("run", "check")}
    print(
        f"{name} on {core}: code and constants {code['run']} bytes"
        f" ({code['check']} with the golden check), weights {model.weight_bytes} bytes"
    )
    golden = image_sections(model.image)[Section.GOLDEN][1]
    assert 0 < code["run"] < 12_000
    assert golden < code["check"] - code["run"] < golden + 1_000


def test_flash_of_an_autoencoder_without_weights_stays_below_its_limit() -> None:
    assert flash(autoencoder()) <= 6_000


@pytest.mark.data("models")
def test_flash_of_a_foreign_model_without_weights_stays_below_its_limit(models_dir: Path) -> None:
    assert flash((models_dir / "kws_dscnn_int8.tflite").read_bytes()) <= 12_000


def flash(source: bytes) -> int:
    board = load_board("mps2_an386")
    model = compile_tflite(source, name="model", family=board.chip.kernel_family)
    return code_bytes(model, board)


ALL_CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55", "cortex-m33")


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "host"])
def test_one_line_takes_the_kernels_of_the_core(family: str, tmp_path: Path) -> None:
    model = compile_tflite(small_cnn(), name="cnn", family=family)
    library = write_library(model, out=tmp_path / "lib", prefix="cnn")
    forms = {path.stem for path in (library.folder / "src").glob("*_on_*")}
    assert forms or family == "small"
    line = documented(library.folder, "arm-none-eabi-gcc")
    for core in ALL_CORES if FULL else ALL_CORES[::2]:
        objects = tmp_path / core
        chosen = "cortex-m55 -mfloat-abi=hard" if core == "cortex-m55" else core
        shell(line.replace("cortex-m4", chosen), library.folder, objects)
        filled = {
            path.stem
            for path in objects.glob("*.o")
            if "_on_" in path.stem and shell(f"arm-none-eabi-nm {path}", tmp_path, objects)
        }
        wanted = {
            "cortex-m0": ("armv6m",),
            "cortex-m3": ("armv7m",),
            "cortex-m55": ("mve", "dsp"),
        }.get(core, ("dsp",))
        best: dict[str, str] = {}
        for stem in forms:
            base, _, architecture = stem.rpartition("_on_")
            if architecture in wanted:
                old = best.get(base, architecture)
                best[base] = min(old, architecture, key=wanted.index)
        assert filled == {f"{base}_on_{architecture}" for base, architecture in best.items()}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "host"])
@pytest.mark.parametrize("core", ("cortex-m0", "cortex-m3", "cortex-m4"))
def test_packed_models_run_on_every_core(core: str, family: str, tmp_path: Path) -> None:
    model = compile_tflite(small_cnn(), name="cnn", family=family)
    library = write_library(model, out=tmp_path / "lib")
    (first, *_) = run_example(library.folder, core, tmp_path)
    assert first == f"golden check: {len(read_image(model.image).golden)} vectors equal"


@pytest.mark.parametrize("core", CORES)
def test_example_runs_in_the_emulator(core: str, tmp_path: Path) -> None:
    library = write_library(tiny(), out=tmp_path / "lib")
    printed = run_example(library.folder, core, tmp_path)
    runner = Runner(tiny().image)
    (output,) = runner.run(np.zeros((1, *runner.input_shape[1:]), np.int8))
    best = int(np.argmax(output))
    quant = runner.image.graph.tensor(runner.image.graph.outputs[0]).quant
    assert quant is not None
    value = (int(output.flat[best]) - quant.zero_point) * quant.scale
    vectors_run = f"golden check: {len(runner.image.golden)} vectors equal"
    assert printed == [vectors_run, f"largest output: {best}, {value:f}"]


def run_example(folder: Path, core: str, tmp_path: Path) -> list[str]:
    """Return the lines that the example of a library prints in the emulator."""
    objects = tmp_path / "objects"
    line = documented(folder, "arm-none-eabi-gcc").replace("cortex-m4", core)
    shell(line, folder, objects)
    vectors = Path(__file__).with_name("library_vectors.c")
    shell(
        f"arm-none-eabi-gcc -mcpu={core} -mthumb -std=c11 -I$MODEL/include --specs=rdimon.specs"
        " -Wl,--gc-sections,--section-start=.vectors=0,--no-warn-rwx-segments,-u,vectors"
        f" $MODEL/example/main.c {vectors} *.o -o example.elf",
        folder,
        objects,
    )
    command = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-kernel", "example.elf"]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(
        command, cwd=objects, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
