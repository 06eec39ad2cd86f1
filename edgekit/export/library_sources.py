"""The sources of a C library: what its kernels are made of, for every core at once.

A kernel may have other forms for some cores, in `firmware/kernels/arch/`. The library has them all,
each between lines that ask the compiler for its core: one compiler line is right everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgekit import share
from edgekit.errors import ToolError

# Where the sources of the library come from; one name stands in one folder only.
FOLDERS = ("include", "runtime", "kernels", "features", "learn", "link")
TOKENIZER = {True: "features/text", False: "features/no_text"}
PUBLIC = ("ek_status.h", "ek_status.def")
NAMES = "ek_names.h"
GENERATED = ("ek_ops.def", "ek_op_table", "ek_resolve")

ARCHITECTURES = {
    "mve": "defined(__ARM_FEATURE_MVE)",
    "dsp": "defined(__ARM_FEATURE_DSP) && defined(__thumb2__)",
    "armv7m": "defined(__ARM_ARCH_7M__)",
    "armv6m": "defined(__ARM_ARCH_6M__)",
    "rv32": "defined(__riscv) && __riscv_xlen == 32",
}
"""Folders of `firmware/kernels/arch/` that a library takes from, best first, and how a compiler
says that it compiles for such a core."""

# The lines that the firmware's build gives as flags.
_NO_EARLY_SCHEDULER = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns")
#endif
"""
_NO_FUSED_MULTIPLY_ADD = """\
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
"""
_STACK_NOTE = """
#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
"""

_INCLUDE = re.compile(r'^([ \t]*#[ \t]*include[ \t]+)"(?:[^"\n]*/)?([^"\n/]+)"', re.MULTILINE)
# A form that contains the portable one under another name.
_PASTED = re.compile(
    r'^#define (\w+) (\w+)\n#include "(?:[^"\n]*/)?(\w+)\.c"\n#undef \1\n', re.MULTILINE
)
# A definition at the beginning of a line that other files see.
_FUNCTION = re.compile(r"^(?!static\b|typedef\b)[a-z][\w *]*?\b(ek_\w+)\([^;\n]*$", re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_NAME = re.compile(r"\bek_\w+")


def library_sources(
    roots: Iterable[str], *, without: Iterable[str] = (), text: bool = False
) -> dict[str, str]:
    """Return all that some sources need, by path in the library.

    A header brings the source of its name, a source those that define what it calls.

    Args:
        roots: Names of sources without ending, as `ek_run`.
        without: Sources that the caller brings, as those of `GENERATED`.
        text: With the tokenizer.

    Raises:
        ToolError: If one is missing.
    """
    folders = _folders(text)
    homes = _homes(folders)
    waiting = list(roots)
    seen = {*GENERATED, *without}
    files: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        stem, dot, _ = name.partition(".")
        forms = _source_forms(stem, folders) if not dot else _header(name, folders)
        if not forms:
            raise ToolError(f"'{name}' is missing in edgekit's firmware; install edgekit again")
        for architecture, path in forms.items():
            code = _INCLUDE.sub(r'\1"\2"', _PASTED.sub(_paste, path.read_text(encoding="utf-8")))
            waiting += [found[1] for found in _INCLUDE.findall(code)]
            if dot:
                files[f"{'include' if name in PUBLIC else 'src'}/{name}"] = code
                waiting += [stem] if _source_forms(stem, folders) else []
                continue
            place = f"{stem}_on_{architecture}" if architecture else stem
            files[f"src/{place}{path.suffix}"] = _guarded(code, path, architecture, list(forms))
            called = _NAME.findall(_COMMENT.sub("", code))
            waiting += [homes[word] for word in called if word in homes]
    return files


def exported_names(sources: Mapping[str, str]) -> list[str]:
    """Return what the linker would see: functions of C, every name of ours in assembly."""
    names: set[str] = set()
    for path, text in sources.items():
        if path.endswith(".c"):
            names.update(_FUNCTION.findall(text))
        elif path.endswith(".S"):
            names.update(_NAME.findall(_COMMENT.sub("", _INCLUDE.sub("", text))))
    return sorted(names)


def _paste(match: re.Match[str]) -> str:
    """Return a portable source with a function renamed, as the preprocessor would."""
    old, new, stem = match.groups()
    text = _source_forms(stem, _folders(False))[""].read_text(encoding="utf-8")
    return re.sub(rf"\b{old}\b", new, text)


def _guarded(text: str, path: Path, architecture: str, forms: Sequence[str]) -> str:
    """Return a source with the model's prefix, compiled only where no better form is."""
    order = [each for each in ARCHITECTURES if each in forms]
    better = order[: order.index(architecture)] if architecture else order
    conditions = [f"!({ARCHITECTURES[each]})" for each in better]
    if architecture:
        conditions.insert(0, ARCHITECTURES[architecture])
    head = f'#include "{NAMES}"\n\n'
    if architecture and path.suffix == ".c":
        text = f"{_NO_EARLY_SCHEDULER}\n{text}"
    if path.parent.name == "learn":
        text = f"{_NO_FUSED_MULTIPLY_ADD}\n{text}"
    if not conditions:
        return head + text
    note = _STACK_NOTE if path.suffix == ".S" else ""
    return f"{head}#if {' && '.join(conditions)}\n\n{text}\n#endif\n{note}"


def _header(name: str, folders: Sequence[Path]) -> dict[str, Path]:
    found = [path for folder in folders if (path := folder / name).is_file()]
    return {"": found[0]} if found else {}


def _source_forms(stem: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the forms of a source by architecture; "" is the portable one."""
    forms = {}
    for folder in folders:
        for path in (folder / f"{stem}.S", folder / f"{stem}.c"):
            if path.is_file():
                forms[folder.name if folder.parent.name == "arch" else ""] = path
                break
    return forms


def _folders(text: bool) -> list[Path]:
    firmware = share.firmware()
    arch = firmware / "kernels" / "arch"
    names = (*FOLDERS, TOKENIZER[text])
    return [*(firmware / name for name in names), *(arch / name for name in ARCHITECTURES)]


def _homes(folders: Sequence[Path]) -> dict[str, str]:
    """Return which source defines a function, for all that a library may be made of."""
    return {
        function: path.stem
        for folder in folders
        for path in sorted(folder.glob("*.c"))
        for function in _FUNCTION.findall(path.read_text(encoding="utf-8"))
    }
