"""Fetch the files that edgekit builds on or tests with, but does not keep in git.

They come from archives on the package index, pinned by hash, and land in `build/third_party/NAME/`:
Monocypher 4 (C sources, from the source distribution of pymonocypher), and the JSON schema of Thing
Descriptions of the W3C (from the wheel of labthings-fastapi, of which nothing else is used).
Running it again does nothing.

    python tools/third_party.py
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "third_party"


class FetchError(Exception):
    """The files could not be fetched or are not what was pinned."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What is taken out of one archive of the package index.

    Attributes:
        name: Folder below `build/third_party`.
        wheel: Whether it is the wheel; else the source distribution.
        files: Name here to path in the archive.
    """

    name: str
    package: str
    version: str
    sha256: str
    files: Mapping[str, str]
    wheel: bool = False


_MONOCYPHER = "pymonocypher-4.0.3.4"
ARCHIVES = (
    Archive(
        name="monocypher",
        package="pymonocypher",
        version="4.0.3.4",
        sha256="5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a",
        files={
            name: f"{_MONOCYPHER}/{name}"
            for name in ("monocypher.c", "monocypher.h", "LICENSE.txt")
        },
    ),
    Archive(
        name="wot",
        package="labthings-fastapi",
        version="0.3.0",
        sha256="e919d8ececc3e6b3867d0373853f25ae6a9908a27fb6c966bf1fc63d1ad1d0c7",
        files={
            "td-json-schema-validation.json": "labthings_fastapi/thing_description/"
            "td-json-schema-validation.json"
        },
        wheel=True,
    ),
)


def unpack(wanted: Archive, archive: Path, folder: Path) -> None:
    """Check the archive against the pinned hash and put its files into folder, whole.

    Raises:
        FetchError: If the hash differs or a file is missing in the archive.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != wanted.sha256:
        raise FetchError(f"{archive.name}: sha256 is {found}, expected {wanted.sha256}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        whole = Path(scratch) / wanted.name
        whole.mkdir()
        for name, member in wanted.files.items():
            (whole / name).write_bytes(_member(archive, member))
        (whole / "archive.sha256").write_text(found + "\n", encoding="ascii")
        if folder.exists():
            shutil.rmtree(folder)
        try:
            whole.rename(folder)
        except OSError as exc:
            if not is_present(wanted, folder):  # another process was faster
                raise FetchError(f"cannot write {folder}: {exc.strerror}") from exc


def _member(archive: Path, member: str) -> bytes:
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            if source is None:
                raise FetchError(f"{archive.name}: {member} is not a file")
            with source:
                return source.read()
    except KeyError as exc:
        raise FetchError(f"{archive.name}: has no {member}") from exc


def is_present(wanted: Archive, folder: Path) -> bool:
    """Tell whether folder holds the files of the pinned archive."""
    stamp = folder / "archive.sha256"
    return (
        stamp.is_file()
        and stamp.read_text(encoding="ascii").strip() == wanted.sha256
        and all((folder / name).is_file() for name in wanted.files)
    )


def download(wanted: Archive, folder: Path) -> Path:
    """Download the archive with pip into folder and return its path.

    Raises:
        FetchError: If pip fails.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    form = ["--only-binary" if wanted.wheel else "--no-binary", wanted.package]
    name = f"{wanted.package}=={wanted.version}"
    command = [*pip, "--no-deps", *form, "--dest", str(folder), name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.whl" if wanted.wheel else "*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        lines = result.stderr.strip().splitlines() or [f"pip ended with {result.returncode}"]
        raise FetchError(f"cannot download {name}: {lines[-1]}")
    return archives[0]


def fetch(wanted: Archive, folder: Path) -> bool:
    """Make sure that folder holds the files; return whether something was downloaded.

    Raises:
        FetchError: If the download fails or is not what was pinned.
    """
    if is_present(wanted, folder):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        unpack(wanted, download(wanted, Path(scratch)), folder)
    return True


def main() -> int:
    """Fetch into the checkout's build folder."""
    for wanted in ARCHIVES:
        folder = FOLDER / wanted.name
        try:
            fetched = fetch(wanted, folder)
        except (FetchError, OSError) as exc:
            print(f"third_party: {exc}", file=sys.stderr)
            return 1
        print(f"third_party: {folder.relative_to(ROOT)} {'fetched' if fetched else 'is there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
