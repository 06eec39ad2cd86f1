"""Build the C runtime as a shared library of this machine, and load it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgekit import share
from edgekit.errors import ToolError

FOLDERS = ("kernels", "runtime", "features", "features/text", "host")
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffp-contract=off")
SOURCES = ("learn/ek_exp.c", "learn/ek_answer.c")
"""What the host takes of other folders."""
LIBRARY = "libedgekit.so"
IMAGE_STRUCT_BYTES = 256
"""At least sizeof(ek_image). Twin: firmware/runtime/ek_image.c, EK_IMAGE_STRUCT_LIMIT."""


def arch_folders() -> tuple[str, ...]:
    """Return the folders of firmware/ with kernels for this machine's processor.

    What an instruction set adds is chosen while running: one library serves every x86-64.
    """
    return ("kernels/arch/x86",) if platform.machine() in ("x86_64", "AMD64") else ()


def host_sources(firmware: Path, arch: tuple[str, ...]) -> list[Path]:
    """Return the sources; a file of an arch folder replaces the portable one of the same name."""
    fast = {path.name: path for folder in arch for path in (firmware / folder).glob("*.c")}
    portable = {path.name: path for folder in FOLDERS for path in (firmware / folder).glob("*.c")}
    chosen = [path for _, path in sorted((portable | fast).items())]
    return [*chosen, *(firmware / name for name in SOURCES)]


def _includes(firmware: Path) -> list[str]:
    return [f"-I{firmware / folder}" for folder in ("include", *FOLDERS, *arch_folders())]


def _source_hash(firmware: Path, compiler: str) -> str:
    digest = hashlib.blake2b(" ".join((compiler, *FLAGS)).encode(), digest_size=16)
    for folder in ("include", *FOLDERS, *arch_folders()):
        for path in sorted((firmware / folder).glob("*.*")):
            digest.update(f"{folder}/{path.name}\0".encode() + path.read_bytes() + b"\0")
    for name in SOURCES:
        digest.update(name.encode() + (firmware / name).read_bytes())
    return digest.hexdigest()


def build_host_library(out: Path, *, portable: bool = False) -> Path:
    """Compile the C runtime into the shared library `out`.

    Args:
        portable: Leave out what is written for this machine's processor.

    Raises:
        ToolError: If there is no C compiler or it fails.
    """
    firmware = share.firmware()
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolError("no C compiler 'cc'; install one, as with 'apt-get install gcc'")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        fresh = Path(folder) / out.name
        command = [compiler, *FLAGS, *_includes(firmware), "-o", str(fresh)]
        command += [
            str(path) for path in host_sources(firmware, () if portable else arch_folders())
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolError(f"the C compiler failed on the runtime: {done.stderr.strip()[:500]}")
        os.replace(fresh, out)
    return out


def host_library_path() -> Path:
    """Return where the library is: in the package, else built now and kept by source hash.

    Raises:
        ToolError: If it cannot be built.
    """
    packaged = Path(share.__file__).resolve().parent / "_share" / "host" / LIBRARY
    if share.checkout() is None and packaged.is_file():
        return packaged
    key = _source_hash(share.firmware(), os.environ.get("CC", "cc"))
    path = share.cache_dir() / "host" / key / LIBRARY
    return path if path.is_file() else build_host_library(path)


@functools.cache
def host_library() -> ctypes.CDLL:
    """Load the library.

    Raises:
        ToolError: If it cannot be built or loaded.
    """
    try:
        return declare(ctypes.CDLL(str(host_library_path())))
    except OSError as exc:
        raise ToolError(f"the C runtime does not load: {exc}") from exc


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """State the types of the functions of a library that was loaded, and return it."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, arguments in (
        ("ek_image_open", (pointer, pointer, size)),
        ("ek_run", (pointer, pointer, size, pointer, pointer)),
        ("ek_run_features", (pointer, pointer, size, pointer, pointer)),
        ("ek_features_apply", (pointer, pointer, pointer)),
        ("ek_golden_check", (pointer, pointer, size)),
        ("ek_state_reset", (pointer, pointer, size)),
        ("ek_program_open", (pointer, pointer, size, pointer)),
        ("ek_program_run", (pointer, pointer, pointer, size)),
        ("ek_program_features", (pointer, pointer, pointer, size)),
        ("ek_text_apply", (pointer, pointer, size, pointer, pointer)),
        ("ek_tokens_prove", (pointer, ctypes.c_uint32)),
        ("ek_answer", (pointer, pointer, pointer, pointer)),
    ):
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = ctypes.c_int
    for name in ("bytes", "arena_bytes", "input_bytes", "output_bytes", "raw_bytes", "node_count"):
        function = getattr(library, f"ek_image_{name}")
        function.argtypes = (pointer,)
        function.restype = size
    library.ek_program_bytes.argtypes = (pointer,)
    library.ek_program_bytes.restype = size
    library.ek_status_text.argtypes = (ctypes.c_int,)
    library.ek_status_text.restype = ctypes.c_char_p
    return library
