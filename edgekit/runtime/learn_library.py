"""The device's learning code as a library of this machine, in both kinds of number."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from edgekit import share
from edgekit.errors import ToolError
from edgekit.link.status import Status, refuse

# The flags that keep float32 equal everywhere: no fused multiply-add, no reordering.
_FLAGS = ("-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-shared")
_COMMON = ("ek_exp.c", "ek_net.c", "ek_client.c", "ek_online.c", "ek_moments.c", "ek_guard.c")
KINDS = {
    "float32": ("ek_train.c", "ek_head_hash.c", "ek_codec.c", *_COMMON),
    "fixed": ("fixed/ek_fixed_real.c", *_COMMON),
}
"""Sources in firmware/learn by kind of number, which is also a folder with `ek_real.h`."""

_HEADERS = ("learn", "learn/float32", "learn/fixed", "link", "include")
_POINTER = ctypes.c_void_p
_SIGNATURES = {
    "ek_net_lay": (_POINTER, ctypes.c_uint32, _POINTER, ctypes.c_int, _POINTER, _POINTER),
    "ek_step_rule_check": (_POINTER,),
    "ek_net_forward": (_POINTER, _POINTER),
    "ek_client_epoch": (_POINTER,) * 4,
    "ek_online_start": (*(_POINTER,) * 5, ctypes.c_size_t),
    "ek_online_predict": (_POINTER,) * 3,
    "ek_online_learn": (_POINTER, _POINTER, ctypes.c_uint32, _POINTER),
    "ek_online_fit": (_POINTER,) * 4,
    "ek_online_take_counts": (_POINTER,),
    "ek_moments_add": (_POINTER,) * 2,
    "ek_guard_see": (_POINTER, ctypes.c_int32),
}
_SIZES = {
    "ek_net_scratch": (_POINTER,),
    "ek_net_step_bytes": (_POINTER,),
    "ek_net_batch_bytes": (_POINTER, ctypes.c_uint32),
    "ek_online_bytes": (_POINTER,),
}


def check(status: int, what: str) -> None:
    """Refuse a status that is not OK.

    Raises:
        LinkError: With the status.
    """
    if status != 0:
        name = Status(status)
        raise refuse(name, f"{what}: {name.name}")


@cache
def learn_library(kind: str = "float32") -> ctypes.CDLL:
    """Load the library: the one of the package, else one built now if its sources changed.

    Raises:
        ToolError: As `learn_library_path`, or if it cannot be loaded.
    """
    library = learn_library_path(kind)
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as exc:
        raise ToolError(f"{library}: cannot be loaded: {exc}") from exc
    for name, arguments in (_SIGNATURES | _SIZES).items():
        function = getattr(loaded, name)
        function.argtypes = list(arguments)
        function.restype = ctypes.c_size_t if name in _SIZES else ctypes.c_int
    number = ctypes.c_float if kind == "float32" else ctypes.c_int32
    loaded.ek_guard_see.argtypes = [_POINTER, number]
    for name in ("ek_net_output", "ek_online_state"):
        getattr(loaded, name).restype = _POINTER
    loaded.ek_net_output.argtypes = [_POINTER]
    loaded.ek_online_state.argtypes = [_POINTER, _POINTER]
    for name, count in (("ek_online_put_counts", 1), ("ek_moments_apply", 5)):
        getattr(loaded, name).restype = None
        getattr(loaded, name).argtypes = [_POINTER] * count
    loaded.ek_moments_standardize.restype = ctypes.c_int
    loaded.ek_moments_standardize.argtypes = [_POINTER, number, ctypes.c_int32, _POINTER, _POINTER]
    loaded.ek_moments_apply.argtypes = [_POINTER, _POINTER, number, ctypes.c_int32, _POINTER]
    if kind == "float32":
        loaded.ek_head_train_epoch.argtypes = [_POINTER] * 5
        loaded.ek_head_train_epoch.restype = ctypes.c_int
        loaded.ek_head_predict.argtypes = [_POINTER] * 3
        loaded.ek_head_predict.restype = ctypes.c_int
        loaded.ek_head_hash.argtypes = [_POINTER] * 2
        loaded.ek_head_hash.restype = None
        loaded.ek_codec_bytes.argtypes = [_POINTER, ctypes.c_uint32]
        loaded.ek_codec_write.argtypes = [_POINTER, _POINTER, ctypes.c_uint32, _POINTER]
        for name in ("ek_codec_bytes", "ek_codec_write"):
            getattr(loaded, name).restype = ctypes.c_size_t
    return loaded


def _sources(kind: str) -> list[Path]:
    learn = share.firmware() / "learn"
    return [*(learn / name for name in KINDS[kind]), share.third_party() / "monocypher.c"]


def learn_library_path(kind: str) -> Path:
    """Return where the library is: in the package, else built now and kept by source hash.

    Raises:
        ToolError: If there is no C compiler, the sources of Monocypher are missing, or it fails.
    """
    name = f"libedgekit_learn_{kind}.so"
    packaged = Path(share.__file__).resolve().parent / "_share" / "host" / name
    if share.checkout() is None and packaged.is_file():
        return packaged
    firmware, monocypher = share.firmware(), share.third_party()
    headers = [p for name in _HEADERS for p in sorted((firmware / name).glob("*.[hd]*"))]
    key = hashlib.blake2b(" ".join((*_FLAGS, kind)).encode(), digest_size=12)
    for path in (*_sources(kind), *headers):
        key.update(path.name.encode() + path.read_bytes())
    library = share.cache_dir() / "host" / f"learn-{kind}-{key.hexdigest()}.so"
    if not library.is_file():
        include = [firmware / "include", firmware, firmware / "learn", firmware / "learn" / kind]
        _build(library, [*include, monocypher], _sources(kind))
    return library


def _build(library: Path, include: list[Path], sources: list[Path]) -> None:
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        raise ToolError("a C compiler is missing; apt-get install gcc libc6-dev")
    library.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=library.parent, suffix=".so")
    os.close(handle)
    flags = [*_FLAGS, *(f"-I{path}" for path in include)]
    try:
        done = subprocess.run(
            [compiler, *flags, *map(str, sources), "-o", name],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ToolError(f"building {library.name} failed: {done.stderr.strip()[:300]}")
        os.replace(name, library)
    finally:
        Path(name).unlink(missing_ok=True)
