"""The C library: deterministic text, builds with its one line, the bytes of the host's runtime."""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from litert_models import classifier
from op_cases import CASES

from edgekit import share
from edgekit.cli import main as frame
from edgekit.cli.model import describe_image
from edgekit.errors import ConfigError
from edgekit.export import c_text
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.elf import read_elf
from edgekit.export.library import library_files, write_library
from edgekit.export.toolchain import WARNINGS
from edgekit.formats.image import Features, read_image, write_image
from edgekit.ops import OPS
from edgekit.runtime import Runner

ROOT = Path(__file__).resolve().parents[2]
TABLE = Features("lut_u8", np.arange(-128, 128, dtype=np.int8).tobytes())
FOREIGN = ("kws_dscnn_int8", "micro_speech_quantized", "hello_world_int8")
SANITIZE = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LABELS = ("null??/", 'say "hé"', "back\\slash", "*/ int x; /*", "new\nline")
MEMORY = {"memcpy", "memset"}
# The compiler's own run time: division, 64-bit products, switch tables.
COMPILER = re.compile(r"__aeabi_\w+|__gnu_thumb1_case_\w+")
HEAP = {"malloc", "free", "calloc", "realloc", "_sbrk", "_malloc_r"}


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


@cache
def by_kernel() -> dict[str, CompiledModel]:
    found: dict[str, CompiledModel] = {}
    for number, (name, case) in enumerate(CASES.items()):
        source = case(np.random.default_rng([6, number])).to_bytes()
        compiled = compile_tflite(source, name=name)
        for op in compiled.ops:
            found.setdefault(op, compiled)
    return found


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


def program(folder: Path, prefix: str, out: Path, flags: Sequence[str], *, raw: bool) -> Path:
    macros = [f"-DLIBRARY_{name}={prefix.upper()}_{name}" for name in NAMES]
    macros += [f"-DLIBRARY_{name.upper()}={prefix}_{name}" for name in ("run", "check")]
    macros.append(f"-DLIBRARY_STATUS_TEXT={prefix}_status_text")
    if raw:
        macros.append(f"-DLIBRARY_RAW={prefix}_input_from_raw")
    line = ["cc", "-std=c11", *WARNINGS, *flags, *macros, f"-I{folder / 'include'}"]
    line += [*map(str, sorted((folder / "src").glob("*.c")))]
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
    for name, flags in (("plain", ("-O2",)), ("sanitized", ("-O1", *SANITIZE))):
        exe = program(folder, library.prefix, tmp_path / name, flags, raw=raw)
        done = subprocess.run([exe], input=inputs.tobytes(), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        found = np.frombuffer(done.stdout, np.int8).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.cc
@pytest.mark.parametrize("make", [tiny, plain], ids=["features", "plain"])
def test_library_gives_the_outputs_of_the_runner(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert_equals_runner(make(), tmp_path / "lib", tmp_path)


@pytest.mark.cc
def test_library_of_an_image_file_gives_the_outputs_of_the_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "firmware"))
    from tiny_model import tiny_image

    assert_equals_runner(describe_image(tiny_image()), tmp_path / "lib", tmp_path)


@pytest.mark.cc
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


@pytest.mark.cc
@pytest.mark.parametrize("op", [found.name for found in OPS])
def test_library_of_every_kernel_builds_with_the_documented_line(op: str, tmp_path: Path) -> None:
    if op not in by_kernel():
        pytest.fail(f"tests/op_cases.py has no case that needs {op}")
    model = by_kernel()[op]
    library = write_library(model, out=tmp_path / "lib")
    build = tmp_path / "build"
    shell(documented(library.folder, "cc"), library.folder, build)
    (example,) = build.iterdir()
    done = subprocess.run([example], capture_output=True, text=True, check=True)
    assert re.match(r"golden check: [1-4] vectors equal\nlargest output: ", done.stdout)
    kernels = {name for name in library.files if re.fullmatch(r"src/ek_\w+_s8\.c", name)}
    needed = {f"src/ek_{name}_s8.c" for name in model.ops}
    unneeded = {f"src/ek_{found.name}_s8.c" for found in OPS} - needed
    assert needed <= kernels
    assert not unneeded & kernels


@pytest.mark.cc
def test_constant_image_equals_what_the_loader_finds(tmp_path: Path) -> None:
    """Twin: templates/library/model.c, firmware/runtime/ek_image.c."""
    for number, model in enumerate((tiny(), plain())):
        folder = write_library(model, out=tmp_path / f"lib{number}").folder
        firmware = share.firmware()
        line = ["cc", "-std=c11", f"-I{folder / 'include'}", f"-I{folder / 'src'}"]
        line += [str(Path(__file__).with_name("library_twin.c"))]
        line += [str(path) for path in (folder / "src").glob("ek_*.c")]
        line += [f"-I{firmware / name}" for name in ("include", "kernels", "runtime")]
        for name in ("kernels", "runtime", "features"):
            line += map(str, sorted((firmware / name).glob("*.c")))
        exe = tmp_path / f"twin{number}"
        subprocess.run([*line, "-o", str(exe)], check=True)
        done = subprocess.run([exe], capture_output=True, text=True)
        assert done.stdout == ""
        assert done.returncode == 0


@pytest.mark.cc
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
        for source in (folder / "src").glob("*.c"):
            objects.append(tmp_path / f"{folder.name}_{source.stem}.o")
            line = ["cc", "-c", "-std=c11", f"-I{folder / 'include'}", str(source)]
            subprocess.run([*line, "-o", str(objects[-1])], check=True)
    exe = tmp_path / "both"
    subprocess.run(["cc", "-std=c11", main, *objects, "-o", exe], check=True)
    assert subprocess.run([exe]).returncode == 0


@pytest.mark.cc
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
    begin = source.index("] = {\n") + len("] = {\n")
    end = source.index("};", begin)
    wrong = "".join(f"{byte}," for byte in other)
    (folder / "src" / "model.c").write_text(source[:begin] + wrong + source[end:])
    exe = program(folder, "tiny", tmp_path / "exe", (), raw=True)
    done = subprocess.run([exe], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "check: golden vector does not match\n"


@pytest.mark.cc
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


@pytest.mark.cc
def test_header_is_cpp_too(tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("c++ is missing")
    folder = write_library(tiny(), out=tmp_path / "lib", prefix="tiny").folder
    source = tmp_path / "use.cpp"
    source.write_text('#include "model.h"\nint main() { return tiny_check(nullptr); }\n')
    shell(f"c++ -Wall -Wextra -Werror -fsyntax-only -I$MODEL/include {source}", folder, tmp_path)


@pytest.mark.cc
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


CORES = {"cortex-m0": (), "cortex-m4": ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")}


@pytest.mark.emulator
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
    code = {kind: sizes[kind] - len(model.image) - sizes["empty"] for kind in ("run", "check")}
    print(
        f"{name} on {core}: code and constants {code['run']} bytes"
        f" ({code['check']} with the golden check), image {len(model.image)} bytes"
    )
    assert 0 < code["run"] <= code["check"] < 12_000


@pytest.mark.emulator
@pytest.mark.parametrize("core", CORES)
def test_example_runs_in_the_emulator(core: str, tmp_path: Path) -> None:
    library = write_library(tiny(), out=tmp_path / "lib")
    objects = tmp_path / "objects"
    line = documented(library.folder, "arm-none-eabi-gcc").replace("cortex-m4", core)
    shell(line, library.folder, objects)
    vectors = Path(__file__).with_name("library_vectors.c")
    shell(
        f"arm-none-eabi-gcc -mcpu={core} -mthumb -std=c11 -I$MODEL/include --specs=rdimon.specs"
        " -Wl,--gc-sections,--section-start=.vectors=0,--no-warn-rwx-segments,-u,vectors"
        f" $MODEL/example/main.c {vectors} *.o -o example.elf",
        library.folder,
        objects,
    )
    command = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-kernel", "example.elf"]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(
        command, cwd=objects, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    runner = Runner(tiny().image)
    (output,) = runner.run(np.zeros((1, *runner.input_shape[1:]), np.int8))
    best = int(np.argmax(output))
    quant = runner.image.graph.tensor(runner.image.graph.outputs[0]).quant
    assert quant is not None
    value = (int(output.flat[best]) - quant.zero_point) * quant.scale
    vectors_run = f"golden check: {len(runner.image.golden)} vectors equal"
    assert done.stdout.splitlines() == [vectors_run, f"largest output: {best}, {value:f}"]


def test_two_exports_are_equal_in_every_byte(tmp_path: Path) -> None:
    first = write_library(tiny(), out=tmp_path / "a" / "lib")
    second = write_library(tiny(), out=tmp_path / "other" / "place")
    assert first.files == second.files
    for name in first.files:
        data = (first.folder / name).read_bytes()
        assert data == (second.folder / name).read_bytes(), name
        assert str(tmp_path).encode() not in data
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"lib"}


def test_library_holds_the_image_with_its_id() -> None:
    files = library_files(tiny())
    body = files["src/model.c"].split("] = {\n")[1].split("\n};")[0]
    assert bytes(int(word, 16) for word in re.findall(r"0x([0-9a-f]{2})", body)) == tiny().image
    assert tiny().id.hex() in files["src/model.c"]
    assert json.loads(files["edgekit.json"])["image_id"] == tiny().id.hex()


def test_licence_is_the_one_of_the_repository() -> None:
    assert library_files(plain())["LICENSE"] == (ROOT / "LICENSE").read_text()
    assert "Apache-2.0" in library_files(tiny())["NOTICE"]


def test_library_is_replaced_while_nobody_changed_it(tmp_path: Path) -> None:
    out = tmp_path / "lib"
    write_library(tiny(), out=out)
    written = write_library(plain(), out=out)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == set(written.files)
    assert [path.name for path in tmp_path.iterdir()] == ["lib"]


def test_folder_that_edgekit_did_not_write_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    write_library(plain(), out=out)  # an empty folder holds nothing to lose
    (out / "src" / "model.c").write_text("changed")
    with pytest.raises(ConfigError, match=r"'src/model\.c' was changed since edgekit wrote it"):
        write_library(plain(), out=out)
    assert (out / "src" / "model.c").read_text() == "changed"
    other = tmp_path / "other"
    write_library(plain(), out=other)
    (other / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"edgekit did not write 'notes\.txt' in it"):
        write_library(plain(), out=other)
    (other / "edgekit.json").unlink()
    with pytest.raises(ConfigError, match="was not written by edgekit"):
        write_library(plain(), out=other)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is no folder"):
        write_library(plain(), out=file)


def test_failed_write_leaves_the_old_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "lib"
    write_library(plain(), out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if ".new-" in self.name:
            raise OSError("disk went away")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk went away"):
        write_library(tiny(), out=out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["lib"]


def test_examples_of_the_text_functions_hold() -> None:
    assert doctest.testmod(c_text).failed == 0


@pytest.mark.parametrize("prefix", ["int", "class", "ek_x", "Kws", "3x", "a-b", "", "x" * 32])
def test_prefix_that_c_does_not_allow_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=f"prefix '{prefix}'"):
        library_files(plain(), prefix=prefix)


@pytest.mark.cc
@pytest.mark.parametrize("name", ["float", "ek_run", "3x3", "", "Größe", "string", "a" * 90])
def test_any_model_name_makes_a_library_that_builds(name: str, tmp_path: Path) -> None:
    model = compile_tflite(CASES["relu"](np.random.default_rng(1)).to_bytes(), name=name)
    library = write_library(model, out=tmp_path / "lib")
    shell(documented(library.folder, "cc"), library.folder, tmp_path / "build")


def test_command_writes_the_library(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "m.ekm"
    path.write_bytes(plain().image)
    arguments = ["export", str(path), "--to", "c", "--out", str(tmp_path / "c")]
    assert frame.main([*arguments, "--prefix", "kws", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["to"], facts["prefix"]) == ("c", "kws")
    assert facts["image_id"] == plain().id.hex()
    assert sorted(facts["files"]) == sorted(
        file.relative_to(tmp_path / "c").as_posix()
        for file in (tmp_path / "c").rglob("*")
        if file.is_file()
    )
    assert frame.main([*arguments, "--prefix", "while"]) == 1
    assert capsys.readouterr().err.startswith("error: prefix 'while' is a reserved word")
    assert frame.main(["export", str(path), "--prefix", "kws"]) == 2
