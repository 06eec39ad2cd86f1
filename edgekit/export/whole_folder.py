"""Folders of generated files: written whole, replaced only while they are as edgekit left them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import ConfigError

MANIFEST = "edgekit.json"


def write_folder(out: Path, files: Mapping[str, str]) -> None:
    """Write files into a new folder beside out, then give it the name out.

    Nobody sees a part of it under that name. An older one is moved aside first and removed last;
    if the process dies between, it lies beside out as `.NAME.old-*`.

    Args:
        files: Text by path; `edgekit.json` lists the SHA-256 of all others under "files".

    Raises:
        ConfigError: If out is there and is not what edgekit wrote.
    """
    if os.path.lexists(out):
        check_untouched(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.new-"))
    try:
        for name, text in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        fresh.chmod(0o755)
        _take_name(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _take_name(fresh: Path, out: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.old-"))
    out.rename(old)
    try:
        fresh.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)


def check_untouched(out: Path) -> None:
    """Check that a folder is empty, or exactly what edgekit wrote.

    Raises:
        ConfigError: If it is not; says what is in the way.
    """
    hint = "choose another folder, or move this one away"
    if out.is_symlink() or not out.is_dir():
        raise ConfigError(f"{out}: is no folder; {hint}")
    found = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not found:
        return
    written = _written(out / MANIFEST)
    if written is None:
        raise ConfigError(f"{out}: was not written by edgekit; {hint}")
    foreign = sorted(found - set(written) - {MANIFEST})
    if foreign:
        raise ConfigError(f"{out}: edgekit did not write '{foreign[0]}' in it; {hint}")
    for name in sorted(found & set(written)):
        path = out / name
        content = b"" if path.is_symlink() else path.read_bytes()
        if hashlib.sha256(content).hexdigest() != written[name]:
            raise ConfigError(f"{out}: '{name}' was changed since edgekit wrote it; {hint}")


def _written(manifest: Path) -> dict[str, str] | None:
    """Return the hashes that a manifest lists, None if it is none of ours."""
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or "edgekit" not in value:
        return None
    files = value.get("files")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        return None
    return {str(name): text for name, text in files.items()}
