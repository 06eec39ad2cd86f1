"""C compilers: which one a core needs, and compiling with a cache of objects.

An object is found again by the hash of everything that makes it: compiler, flags, source, and the
headers that it includes. Nothing in it names a folder of this machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgekit import share
from edgekit.errors import ToolError

JOBS = 2

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"\n]+)"|(\w+))', re.MULTILINE)

WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Werror",
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler with the flags of one core.

    Attributes:
        ports: Folders of firmware/ports that every board with this core gets.
        link_script: Template of the linker script, empty if the system has one.
    """

    compiler: str
    package: str
    core_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    ports: tuple[str, ...] = ()
    link_script: str = ""


_BARE_METAL_LINK = (
    "--specs=nano.specs",
    "--specs=nosys.specs",
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--no-warn-rwx-segments",
    "-Wl,--build-id=none",
)


def _cortex_m(cpu: str, floats: tuple[str, ...], *folders: str) -> Toolchain:
    return Toolchain(
        compiler="arm-none-eabi-gcc",
        package="gcc-arm-none-eabi libnewlib-arm-none-eabi",
        core_flags=(f"-mcpu={cpu}", "-mthumb", *floats),
        link_flags=_BARE_METAL_LINK,
        ports=("common", "cortex_m", *(f"cortex_m/{folder}" for folder in folders)),
        link_script="bare_metal.ld",
    )


TOOLCHAINS = {
    "cortex-m0": _cortex_m("cortex-m0", ("-mfloat-abi=soft",), "armv6m"),
    "cortex-m3": _cortex_m("cortex-m3", ("-mfloat-abi=soft",), "mainline", "armv7m"),
    "cortex-m4": _cortex_m(
        "cortex-m4", ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), "mainline", "armv7m"
    ),
    "cortex-m7": _cortex_m(
        "cortex-m7", ("-mfloat-abi=hard", "-mfpu=fpv5-d16"), "mainline", "armv7m"
    ),
    "cortex-m55": _cortex_m("cortex-m55", ("-mfloat-abi=hard",), "mainline", "armv8m"),
    "rv32imac": Toolchain(
        compiler="riscv64-unknown-elf-gcc",
        package="gcc-riscv64-unknown-elf",
        core_flags=("-march=rv32imac_zicsr", "-mabi=ilp32", "-ffreestanding"),
        link_flags=(
            "-march=rv32imac",  # as the compiler names its libgcc
            "-nostdlib",
            "-Wl,--gc-sections",
            "-Wl,--no-warn-rwx-segments",
            "-Wl,--build-id=none",
            "-lgcc",
        ),
        ports=("common", "riscv"),
        link_script="bare_metal.ld",
    ),
    "host": Toolchain(
        compiler="cc",
        package="gcc libc6-dev",
        core_flags=("-D_GNU_SOURCE",),
        link_flags=("-Wl,--gc-sections", "-Wl,--build-id=none", "-lm"),
    ),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A source with the flags that only it needs."""

    source: Path
    flags: tuple[str, ...] = ()


def find_compiler(toolchain: Toolchain) -> str:
    """Return the path of the compiler.

    Raises:
        ToolError: If it is missing; the message names the package.
    """
    path = shutil.which(toolchain.compiler)
    if path is None:
        raise ToolError(
            f"compiler '{toolchain.compiler}' is missing; apt-get install {toolchain.package}"
        )
    return path


@lru_cache(maxsize=8)
def compiler_version(compiler: str) -> str:
    """Return what a compiler says about its version."""
    result = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ToolError(f"'{compiler} --version' failed: {result.stderr.strip()[:200]}")
    return result.stdout


def compile_and_link(
    toolchain: Toolchain,
    units: Sequence[Unit],
    *,
    include: Sequence[Path],
    flags: Sequence[str],
    link_script: Path | None,
    elf: Path,
) -> str:
    """Compile units and link them into elf; reuse what is in the cache.

    Args:
        include: Folders of headers; the content of every header in them counts.
        flags: For all units, after those of the core.

    Returns:
        Hash of everything that the program is made from, 64 hex digits.

    Raises:
        ToolError: If the compiler is missing, or refuses a file; the message quotes its first
            error.
    """
    compiler = find_compiler(toolchain)
    base = hashlib.sha256(compiler_version(compiler).encode())
    headers = _Headers(include, flags)
    common = [*toolchain.core_flags, *flags]
    cache = share.cache_dir() / "objects"
    cache.mkdir(parents=True, exist_ok=True)

    def compile_unit(unit: Unit) -> Path:
        key = base.copy()
        key.update("\0".join([*common, *unit.flags, unit.source.name]).encode() + b"\0")
        headers.add_to(key, unit.source)
        output = cache / f"{key.hexdigest()}.o"
        if not output.is_file():
            command = [compiler, "-c", *common, *unit.flags]
            command += [f"-I{folder}" for folder in include]
            # Paths that a macro or an assertion may spell are the same on every machine.
            command += [f"-ffile-prefix-map={unit.source.parent}=."]
            _run_into(output, [*command, str(unit.source)], unit.source.name)
        return output

    with ThreadPoolExecutor(JOBS) as pool:
        objects = list(pool.map(compile_unit, units))

    key = hashlib.sha256("\0".join([path.name for path in objects]).encode())
    key.update("\0".join([*common, *toolchain.link_flags]).encode())
    script: list[str] = []
    if link_script is not None:
        key.update(link_script.read_bytes())
        script = [f"-T{link_script}"]
    digest = key.hexdigest()
    linked = cache / f"{digest}.elf"
    if not linked.is_file():
        command = [compiler, *toolchain.core_flags, *map(str, objects), *script]
        _run_into(linked, [*command, *toolchain.link_flags], elf.name)
    elf.parent.mkdir(parents=True, exist_ok=True)
    _copy_whole(linked, elf)
    return digest


class _Headers:
    """What a source includes, by the text of its #include lines."""

    def __init__(self, include: Sequence[Path], flags: Sequence[str]) -> None:
        self._folders = include
        # Headers that a macro names: -DNAME="file".
        self._macros: dict[str, str] = {}
        for flag in flags:
            match = re.fullmatch(r'-D(\w+)="([\w./]+)"', flag)
            if match is not None:
                self._macros[match.group(1)] = match.group(2)
        self._direct: dict[Path, tuple[bytes, tuple[Path, ...]]] = {}
        self._lock = threading.Lock()

    def add_to(self, digest: hashlib._Hash, source: Path) -> None:
        """Feed a source and everything that it includes, in a stable order, to a hash."""
        seen = {source: b""}
        waiting = [source]
        while waiting:
            path = waiting.pop()
            with self._lock:
                if path not in self._direct:
                    self._direct[path] = self._scan(path)
                content, children = self._direct[path]
            seen[path] = content
            for child in children:
                if child not in seen:
                    seen[child] = b""
                    waiting.append(child)
        for path in sorted(seen, key=lambda path: path.parts[-2:]):
            digest.update(path.name.encode() + b"\0" + seen[path] + b"\0")

    def _scan(self, path: Path) -> tuple[bytes, tuple[Path, ...]]:
        content = path.read_bytes()
        names = []
        for quoted, macro in _INCLUDE.findall(content.decode("utf-8", "replace")):
            names.append(quoted or self._macros.get(macro, ""))
        found = (self._find(path.parent, name) for name in names if name)
        return content, tuple(child for child in found if child is not None)

    def _find(self, beside: Path, name: str) -> Path | None:
        for folder in (beside, *self._folders):
            candidate = folder / name
            if candidate.is_file():
                return candidate.resolve()
        return None


def _run_into(output: Path, command: list[str], what: str) -> None:
    handle, name = tempfile.mkstemp(dir=output.parent, prefix="new-", suffix=output.suffix)
    os.close(handle)
    scratch = Path(name)
    try:
        result = subprocess.run([*command, "-o", name], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ToolError(f"{what}: {_first_error(result.stderr)}")
        scratch.chmod(0o755)
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for word in ("overflowed", "will not fit", "error:", "undefined reference", "cannot find"):
        for line in lines:
            if word in line:
                return line
    return lines[0] if lines else "the compiler failed without a word"


def _copy_whole(source: Path, target: Path) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    os.close(handle)
    scratch = Path(name)
    try:
        shutil.copyfile(source, scratch)
        scratch.chmod(0o755)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
