"""Kernels and container in Python and in C: compiled C prints its numbers, Python compares."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edgekit import share
from edgekit.errors import ConfigError
from edgekit.formats import container
from edgekit.graph import MAX_RANK
from edgekit.ops import KERNEL_SETS, OPS, conv, kernel_set, kernel_set_hash
from edgekit.ops.conv import MAX_TERMS
from edgekit.ops.fixed import Rounding

PROGRAM = """
#include <stdio.h>
#include "ek_container.h"
#include "ek_fixed.h"
#include "ek_kernel.h"
int main(void) {
#define X(id, number, name, in_place) printf("op %s %d %d\\n", #name, number, in_place);
#define X16(id, number, name, in_place) printf("op %s_s16 %d %d\\n", #name, number, in_place);
#include "ek_ops.def"
#define P(name) printf("const %s %ld\\n", #name, (long)(name));
    P(EK_CONTAINER_VERSION) P(EK_HEADER_BYTES) P(EK_SECTION_BYTES) P(EK_MAX_SECTIONS)
    P(EK_SECTION_ALIGN) P(EK_OPS_HEADER_BYTES) P(EK_NODE_BYTES) P(EK_PLAN_HEADER_BYTES)
    P(EK_TENSOR_BYTES) P(EK_FEATURES_HEADER_BYTES) P(EK_HEAD_HEADER_BYTES)
    P(EK_GOLDEN_HEADER_BYTES) P(EK_MAX_BYTES) P(EK_MAX_NODE_TENSORS) P(EK_MAX_RANK)
    P(EK_MAX_TERMS) P(EK_S8) P(EK_S32) P(EK_S16) P(EK_KIND_ARENA) P(EK_KIND_WEIGHTS)
    P(EK_FEATURES_LUT_U8) P(EK_ROUND_DOUBLE) P(EK_ROUND_SINGLE)
    P(EK_SECTION_META) P(EK_SECTION_FEATURES) P(EK_SECTION_OPS) P(EK_SECTION_WEIGHTS)
    P(EK_SECTION_PLAN) P(EK_SECTION_HEAD) P(EK_SECTION_GOLDEN) P(EK_SECTION_NAMES)
    P(EK_SECTION_VARIABLES) P(EK_VARIABLES_HEADER_BYTES) P(EK_VARIABLE_BYTES) P(EK_MAX_VARIABLES)
    return 0;
}
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    folder = tmp_path_factory.mktemp("twins")
    source, program = folder / "twins.c", folder / "twins"
    source.write_text(PROGRAM)
    firmware = share.firmware()
    includes = [f"-I{firmware / name}" for name in ("include", "runtime", "kernels")]
    subprocess.run(["cc", "-std=c11", *includes, "-o", program, source], check=True)
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.cc
def test_kernels_have_the_same_numbers(printed: list[list[str]]) -> None:
    found = [(row[1], int(row[2]), bool(int(row[3]))) for row in printed if row[0] == "op"]
    assert found == [(kernel.name, kernel.number, kernel.in_place) for kernel in OPS]


@pytest.mark.cc
def test_container_has_the_same_numbers(printed: list[list[str]]) -> None:
    found = {row[1]: int(row[2]) for row in printed if row[0] == "const"}
    expected = {
        "EK_CONTAINER_VERSION": container.VERSION,
        "EK_HEADER_BYTES": container.HEADER_BYTES,
        "EK_SECTION_BYTES": container.SECTION_BYTES,
        "EK_MAX_SECTIONS": container.MAX_SECTIONS,
        "EK_SECTION_ALIGN": container.SECTION_ALIGN,
        "EK_OPS_HEADER_BYTES": container.OPS_HEADER_BYTES,
        "EK_NODE_BYTES": container.NODE_BYTES,
        "EK_PLAN_HEADER_BYTES": container.PLAN_HEADER_BYTES,
        "EK_TENSOR_BYTES": container.TENSOR_BYTES,
        "EK_FEATURES_HEADER_BYTES": container.FEATURES_HEADER_BYTES,
        "EK_HEAD_HEADER_BYTES": container.HEAD_HEADER_BYTES,
        "EK_GOLDEN_HEADER_BYTES": container.GOLDEN_HEADER_BYTES,
        "EK_MAX_BYTES": container.MAX_BYTES,
        "EK_MAX_NODE_TENSORS": container.MAX_NODE_TENSORS,
        "EK_MAX_RANK": MAX_RANK,
        "EK_MAX_TERMS": MAX_TERMS,
        "EK_VARIABLES_HEADER_BYTES": container.VARIABLES_HEADER_BYTES,
        "EK_VARIABLE_BYTES": container.VARIABLE_BYTES,
        "EK_MAX_VARIABLES": container.MAX_VARIABLES,
        "EK_S8": container.TYPE_S8,
        "EK_S32": container.TYPE_S32,
        "EK_S16": container.TYPE_S16,
        "EK_KIND_ARENA": container.Kind.ARENA,
        "EK_KIND_WEIGHTS": container.Kind.WEIGHTS,
        "EK_FEATURES_LUT_U8": container.FEATURES_LUT_U8,
        "EK_ROUND_DOUBLE": Rounding.DOUBLE,
        "EK_ROUND_SINGLE": Rounding.SINGLE,
    } | {f"EK_SECTION_{kind.name}": int(kind) for kind in container.Section}
    assert found == expected


def test_kernels_have_the_same_number_of_parameters() -> None:
    """Each C file, or the header of its part, lists its parameters in an enum; PARAMS ends it."""
    folder = share.firmware() / "kernels"
    for kernel in OPS:
        text = (folder / f"{kernel.stem}.c").read_text()
        for header in re.findall(r'#include "(ek_(?:window_s8|pool)\.h)"', text):
            text = (folder / header).read_text() + text
        count = sum(1 if isinstance(param, str) else param[1] for param in kernel.params)
        match = re.search(r"enum \{([^}]*\bPARAMS\b[^}]*)\}", text)
        stated = 0
        for name in [part.strip() for part in match.group(1).split(",")] if match else []:
            if "=" in name:
                value = name.split("=")[1].replace("EK_MAX_RANK", str(MAX_RANK))
                value = value.replace("WINDOW_PARAMS", str(len(conv.PARAMS)))
                left, _, right = value.partition("*")
                stated = int(left) * int(right) if right else int(value)
            if name.startswith("PARAMS"):
                break
            stated += 1
        assert stated == count, kernel.name


PARTS = {"ek_matmul_s8.c", "ek_window_s8.c", "ek_attend_s8.c"}


def test_every_kernel_has_one_file() -> None:
    folder = share.firmware() / "kernels"
    files = {path.name for path in folder.glob("ek_*_s[18]*.c")} - PARTS
    assert files == {f"{kernel.stem}.c" for kernel in OPS}


@pytest.mark.parametrize("name", KERNEL_SETS)
def test_kernel_set_is_ordered_and_hashed(name: str) -> None:
    names = kernel_set(name)
    assert kernel_set_hash(reversed(names)) == kernel_set_hash(names)
    assert len(kernel_set_hash(names)) == 8
    assert kernel_set_hash(names) != kernel_set_hash(names[:-1])


def test_kernel_set_hash_is_frozen() -> None:
    """Devices in the field report this number; it changes only with a kernel's revision."""
    assert kernel_set_hash(["conv_2d", "add"]).hex() == KNOWN_HASH


KNOWN_HASH = "93f0397f742004a8"


def test_kernel_set_refuses_unknown_names() -> None:
    with pytest.raises(ConfigError, match="no kernel set 'speech'"):
        kernel_set("speech")
    with pytest.raises(ConfigError, match="no kernel 'conv_9d'"):
        kernel_set_hash(["conv_9d"])


@pytest.mark.cc
def test_op_set_header_leaves_kernels_out(tmp_path: Path) -> None:
    """The firmware is built with a subset of ek_ops.def; the rest is unknown to it."""
    (tmp_path / "ek_op_set.h").write_text("X(EK_OP_ADD, 5, add, 1)\n")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "ek_op_table.h"\n'
        'int main(void) { printf("%d %d", ek_op_find(5) != NULL, ek_op_find(1) != NULL); }\n'
    )
    firmware = share.firmware()
    command = ["cc", "-std=c11", '-DEK_OP_SET_HEADER="ek_op_set.h"', f"-I{tmp_path}"]
    command += [f"-I{firmware / name}" for name in ("include", "runtime", "kernels")]
    command += [tmp_path / "main.c", firmware / "runtime/ek_op_table.c"]
    command += [firmware / "kernels/ek_add_s8.c", firmware / "kernels/ek_add_row.c"]
    command += ["-o", tmp_path / "main"]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert done.stdout == "1 0"
