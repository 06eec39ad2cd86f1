"""The C library on the host: it builds with its one line and gives the runtime's bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fused_models import keras_attention, keras_layer_norm
from gru_models import unrolled_gru
from library_models import FOREIGN, LABELS, documented, plain, shell, tiny
from op_cases import CASES
from reference_models import MODELS, widening
from sanitized import SANITIZE
from sentence_models import small_text
from streaming_models import streaming

from edgekit import share
from edgekit.cli.model import describe_image
from edgekit.export import c_text
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.library import Library, write_library
from edgekit.export.toolchain import WARNINGS
from edgekit.formats.container import Section
from edgekit.formats.image import write_image
from edgekit.formats.image_reader import image_sections, read_image
from edgekit.ops import FAMILIES, OPS
from edgekit.runtime import Runner
from edgekit.runtime.head import HeadTrainer

pytestmark = pytest.mark.cc

FIRMWARE_TESTS = Path(__file__).resolve().parents[1] / "firmware"
Built = Callable[[CompiledModel], tuple[Library, str]]


def _candidates() -> Iterator[CompiledModel]:
    """Models that hold every kernel together; those with many come first."""
    rng = np.random.default_rng(6)
    # Some packed forms are only for larger layers.
    whole = (MODELS["small_cnn"](), small_text("attention")[1].data, widening())
    whole += tuple(make(rng).to_bytes() for make in (keras_layer_norm, keras_attention))
    for source in (*whole, unrolled_gru(rng, reset_after=True).to_bytes()):
        for family in FAMILIES:
            yield compile_tflite(
                source, name="m", family=family, fuse=True, passes=False, pairs=True
            )
    for seed in (6, 7, 8):
        for number, case in enumerate(CASES.values()):
            source = case(np.random.default_rng([seed, number])).to_bytes()
            for family in FAMILIES:
                yield compile_tflite(
                    source, name="m", family=family, fuse=False, passes=False, pairs=False
                )


@cache
def by_kernel() -> dict[str, CompiledModel]:
    found: dict[str, CompiledModel] = {}
    for model in _candidates():
        for op in model.ops:
            found.setdefault(op, model)
        if len(found) == len(OPS):
            break
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Write and build a model's library by the documented line, once."""
    known: dict[int, tuple[Library, str]] = {}

    def build(model: CompiledModel) -> tuple[Library, str]:
        if id(model) not in known:
            folder = tmp_path_factory.mktemp("kernel")
            library = write_library(model, out=folder / "lib")
            shell(documented(library.folder, "cc"), library.folder, folder / "build")
            (example,) = (folder / "build").iterdir()
            done = subprocess.run([example], capture_output=True, text=True, check=True)
            known[id(model)] = library, done.stdout
        return known[id(model)]

    return build


def program(folder: Path, prefix: str, out: Path, flags: Sequence[str], *, raw: bool) -> Path:
    macros = [f"-DLIBRARY_{name}={prefix.upper()}_{name}" for name in NAMES]
    macros += [f"-DLIBRARY_{name.upper()}={prefix}_{name}" for name in ("run", "check")]
    macros.append(f"-DLIBRARY_STATUS_TEXT={prefix}_status_text")
    if raw:
        macros.append(f"-DLIBRARY_RAW={prefix}_input_from_raw")
    if f"{prefix}_reset(" in (folder / "include" / "model.h").read_text():
        macros.append(f"-DLIBRARY_RESET={prefix}_reset")
    line = ["cc", "-std=c11", *WARNINGS, *flags, *macros, f"-I{folder / 'include'}"]
    line += [*map(str, sorted((folder / "src").glob("*.[cS]")))]
    line += [str(Path(__file__).with_name("library_main.c")), "-o", str(out)]
    subprocess.run(line, check=True)
    return out


NAMES = ("ARENA_ALIGN", "ARENA_BYTES", "INPUT_BYTES", "OUTPUT_BYTES")


def assert_equals_runner(model: CompiledModel, folder: Path, tmp_path: Path) -> None:
    library = write_library(model, out=folder)
    runner = Runner(model.image)
    raw = runner.image.features.kind != "none"
    rng = np.random.default_rng(8)
    inputs = rng.integers(0, 256, (8, runner.raw_bytes), np.uint8)
    expected = runner.run_raw(inputs)
    for name, flags in (("plain", ("-O2",)), ("sanitized", ("-O1", "-g", *SANITIZE))):
        exe = program(folder, library.prefix, tmp_path / name, flags, raw=raw)
        done = subprocess.run([exe], input=inputs.tobytes(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        found = np.frombuffer(done.stdout, np.int8).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("make", [tiny, plain], ids=["features", "plain"])
def test_library_gives_the_outputs_of_the_runner(
    make: Callable[[], CompiledModel], tmp_path: Path
) -> None:
    assert_equals_runner(make(), tmp_path / "lib", tmp_path)


def test_library_of_a_model_that_streams_keeps_its_variables(tmp_path: Path) -> None:
    model = compile_tflite(streaming(), name="stream")
    assert_equals_runner(model, tmp_path / "lib", tmp_path)
    out = shell(documented(tmp_path / "lib", "cc"), tmp_path / "lib", tmp_path / "build")
    assert out == ""


def test_library_of_an_image_file_gives_the_outputs_of_the_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FIRMWARE_TESTS))
    from tiny_model import tiny_image

    assert_equals_runner(describe_image(tiny_image()), tmp_path / "lib", tmp_path)


@pytest.mark.data("models")
@pytest.mark.parametrize("name", FOREIGN)
def test_library_of_a_foreign_model_gives_the_outputs_of_the_runner(
    name: str, tmp_path: Path, models_dir: Path
) -> None:
    source = (models_dir / f"{name}.tflite").read_bytes()
    model = compile_tflite(source, name=name)
    assert_equals_runner(model, tmp_path / "lib", tmp_path)
    out = shell(documented(tmp_path / "lib", "cc"), tmp_path / "lib", tmp_path / "build")
    assert out == ""


@pytest.mark.parametrize("op", [found.name for found in OPS])
def test_library_of_every_kernel_builds_with_the_documented_line(op: str, built: Built) -> None:
    if op not in by_kernel():
        pytest.fail(f"no model of by_kernel needs {op}")
    model = by_kernel()[op]
    library, printed = built(model)
    assert re.match(r"golden check: [1-4] vectors equal\nlargest output: ", printed)
    kernels = {name for name in library.files if re.fullmatch(r"src/ek_\w+_s(8|16)\.c", name)}
    needed = {f"src/{found.stem}.c" for found in OPS if found.name in model.ops}
    unneeded = {f"src/{found.stem}.c" for found in OPS} - needed
    assert needed <= kernels
    assert not unneeded & kernels


def test_constant_image_equals_what_the_loader_finds(tmp_path: Path) -> None:
    """Twin: templates/library/model.c and ek_resolve.c, firmware/runtime/ek_image.c."""
    whole = [compile_tflite(make(), name=name, family="dsp") for name, make in MODELS.items()]
    firmware = share.firmware()
    include = [f"-I{firmware / name}" for name in ("include", "kernels", "runtime", "features")]
    folders = ("kernels", "runtime", "features", "features/text")
    sources = [path for name in folders for path in sorted((firmware / name).glob("*.c"))]
    (runtime := tmp_path / "runtime").mkdir()
    subprocess.run(["cc", "-std=c11", "-c", *include, *sources], cwd=runtime, check=True)
    for number, model in enumerate((tiny(), plain(), *whole)):
        folder = write_library(model, out=tmp_path / f"lib{number}").folder
        data = c_text.byte_lines(model.image)
        (folder / "image.h").write_text(
            f"_Alignas(16) static const uint8_t image_bytes[] = {{{data}}};\n"
        )
        line = ["cc", "-std=c11", f"-I{folder / 'include'}", f"-I{folder / 'src'}", f"-I{folder}"]
        line += [str(Path(__file__).with_name("library_twin.c"))]
        line += [str(path) for path in (folder / "src").glob("ek_*.[cS]")]
        line += ["-DHEAD"] if read_image(model.image).head is not None else []
        line += [*include, *map(str, runtime.glob("*.o"))]
        exe = tmp_path / f"twin{number}"
        subprocess.run([*line, "-o", str(exe)], check=True)
        done = subprocess.run([exe], capture_output=True, text=True)
        assert done.stdout == ""
        assert done.returncode == 0


def test_two_libraries_link_into_one_program(tmp_path: Path) -> None:
    first = write_library(tiny(), out=tmp_path / "a", prefix="first").folder
    second = write_library(plain(), out=tmp_path / "b", prefix="second").folder
    main = tmp_path / "main.c"
    main.write_text(
        '#include "a/include/model.h"\n#include "b/include/model.h"\n'
        "static _Alignas(16) uint8_t arena[FIRST_ARENA_BYTES + SECOND_ARENA_BYTES];\n"
        "int main(void) { return first_check(arena) != EK_OK || second_check(arena) != EK_OK; }\n"
    )
    objects = []
    for folder in (first, second):
        for source in (folder / "src").glob("*.[cS]"):
            objects.append(tmp_path / f"{folder.name}_{source.stem}.o")
            line = ["cc", "-c", "-std=c11", f"-I{folder / 'include'}", str(source)]
            subprocess.run([*line, "-o", str(objects[-1])], check=True)
    exe = tmp_path / "both"
    subprocess.run(["cc", "-std=c11", main, *objects, "-o", exe], check=True)
    assert subprocess.run([exe]).returncode == 0


@pytest.mark.parametrize("standard", ["-std=c11", "-std=gnu11 -march=native"])
def test_head_trains_as_on_a_device(standard: str, tmp_path: Path) -> None:
    folder = write_library(tiny(), out=tmp_path / "lib", prefix="tiny").folder
    inputs = np.random.default_rng(9).integers(-128, 128, (20, 6 * 6 * 2), np.int8)
    main = Path(__file__).with_name("library_head.c")
    line = f"cc {standard} -O2 -Wall -Wextra -Werror -I$MODEL/include $MODEL/src/*.c"
    shell(f"{line} {main} -o head", folder, tmp_path)
    done = subprocess.run([tmp_path / "head"], input=inputs.tobytes(), capture_output=True)
    assert done.returncode == 0
    found = np.frombuffer(done.stdout, np.float32)

    runner = Runner(tiny().image)
    head = runner.image.head
    assert head is not None
    features = runner.features(inputs)
    trainer = HeadTrainer(head.weights, head.bias)
    quant = {"scale": head.scale, "zero_point": head.zero_point}
    losses = []
    for number, row in enumerate(features):
        label = np.array([number % head.classes])
        losses += trainer.train(row[None], label, rate=head.rate, decay=0.001, **quant)
    expected = [losses, trainer.weights, trainer.bias, trainer.predict(features[-1:], **quant)]
    flat = np.concatenate([np.asarray(part, np.float32).reshape(-1) for part in expected])
    np.testing.assert_array_equal(found.view(np.uint32), flat.view(np.uint32))


def test_check_finds_other_weights(tmp_path: Path) -> None:
    folder = write_library(tiny(), out=tmp_path / "lib", prefix="tiny").folder
    image = read_image(tiny().image)
    graph = image.graph
    index = graph.nodes[0].inputs[1]
    weights = graph.tensor(index).data
    assert weights is not None
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], data=np.negative(weights))
    other = write_image(
        meta=image.meta,
        graph=replace(graph, tensors=tuple(tensors)),
        plan=image.plan,
        features=image.features,
        head=image.head,
        golden=image.golden,
    )
    assert len(other) == len(tiny().image)
    source = (folder / "src" / "model.c").read_text()
    begin = source.index("] = {\n", source.index(" weights_bytes[")) + len("] = {\n")
    end = source.index("};", begin)
    offset, size = image_sections(other)[Section.WEIGHTS]
    wrong = "".join(f"{byte}," for byte in other[offset : offset + size])
    (folder / "src" / "model.c").write_text(source[:begin] + wrong + source[end:])
    exe = program(folder, "tiny", tmp_path / "exe", (), raw=True)
    done = subprocess.run([exe], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "check: golden vector does not match\n"


def test_labels_and_scales_survive_the_compiler(tmp_path: Path) -> None:
    folder = write_library(tiny(), out=tmp_path / "lib", prefix="tiny").folder
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        'int main(void) {\n    printf("%a %a %d %d%c", (double)TINY_INPUT_SCALE,\n'
        "           (double)TINY_OUTPUT_SCALE, TINY_INPUT_ZERO_POINT, TINY_OUTPUT_ZERO_POINT, 0);\n"
        "    for (unsigned i = 0; i < TINY_LABEL_COUNT; i++)\n"
        '        printf("%s%c", tiny_labels[i], 0);\n}\n'
    )
    line = f"cc -std=c11 -I$MODEL/include $MODEL/src/*.c {main} -o labels"
    shell(line, folder, tmp_path)
    found = subprocess.run([tmp_path / "labels"], capture_output=True, check=True).stdout
    numbers, *labels, rest = found.decode().split("\0")
    assert tuple(labels) == LABELS
    assert rest == ""
    graph = read_image(tiny().image).graph
    x, y = graph.tensor(graph.inputs[0]).quant, graph.tensor(graph.outputs[0]).quant
    assert x is not None and y is not None
    words = numbers.split()
    assert [float.fromhex(word) for word in words[:2]] == [x.scale, y.scale]
    assert [int(word) for word in words[2:]] == [x.zero_point, y.zero_point]


def test_header_is_cpp_too(tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("c++ is missing")
    folder = write_library(tiny(), out=tmp_path / "lib", prefix="tiny").folder
    source = tmp_path / "use.cpp"
    source.write_text('#include "model.h"\nint main() { return tiny_check(nullptr); }\n')
    shell(f"c++ -Wall -Wextra -Werror -fsyntax-only -I$MODEL/include {source}", folder, tmp_path)


def test_library_builds_with_cmake(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is missing")
    folder = write_library(tiny(), out=tmp_path / "lib").folder
    for line in (
        'cmake -S "$MODEL" -B build -DCMAKE_BUILD_TYPE=Release',
        "cmake --build build",
        "cd build && ctest --output-on-failure",
    ):
        shell(line, folder, tmp_path)
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "main.c").write_text((folder / "example" / "main.c").read_text())
    (outer / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(outer C)\nadd_subdirectory(../lib lib)\n"
        "add_executable(outer main.c)\ntarget_link_libraries(outer kws_ds_cnn_model)\n"
    )
    shell("cmake -S . -B build && cmake --build build && ./build/outer", folder, outer)


@pytest.mark.parametrize("name", ["float", "ek_run", "3x3", "", "Größe", "string", "a" * 90])
def test_any_model_name_makes_a_library_that_builds(name: str, tmp_path: Path) -> None:
    model = compile_tflite(CASES["relu"](np.random.default_rng(1)).to_bytes(), name=name)
    library = write_library(model, out=tmp_path / "lib")
    shell(documented(library.folder, "cc"), library.folder, tmp_path / "build")
