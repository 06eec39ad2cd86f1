"""Fetch the C sources that edgekit builds on but does not keep in git: Monocypher 4.

They come from the source distribution of pymonocypher on the package index, pinned by hash, and
land in `build/third_party/monocypher/`. Running it again does nothing.

    python tools/third_party.py
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "pymonocypher"
VERSION = "4.0.3.4"
ARCHIVE_SHA256 = "5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a"
FILES = ("monocypher.c", "monocypher.h", "LICENSE.txt")

ROOT = Path(__file__).resolve().parent.parent


class FetchError(Exception):
    """The sources could not be fetched or are not what was pinned."""


def unpack(archive: Path, folder: Path) -> None:
    """Check the archive against the pinned hash and put its sources into folder, whole.

    Raises:
        FetchError: If the hash differs or a file is missing in the archive.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != ARCHIVE_SHA256:
        raise FetchError(f"{archive.name}: sha256 is {found}, expected {ARCHIVE_SHA256}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        whole = Path(scratch) / "monocypher"
        whole.mkdir()
        with tarfile.open(archive) as tar:
            for name in FILES:
                member = f"{PACKAGE}-{VERSION}/{name}"
                try:
                    source = tar.extractfile(member)
                except KeyError as exc:
                    raise FetchError(f"{archive.name}: has no {member}") from exc
                if source is None:
                    raise FetchError(f"{archive.name}: {member} is not a file")
                (whole / name).write_bytes(source.read())
        (whole / "archive.sha256").write_text(found + "\n", encoding="ascii")
        if folder.exists():
            shutil.rmtree(folder)
        try:
            whole.rename(folder)
        except OSError as exc:
            if not is_present(folder):  # another process was faster
                raise FetchError(f"cannot write {folder}: {exc.strerror}") from exc


def is_present(folder: Path) -> bool:
    """Tell whether folder holds the sources of the pinned archive."""
    stamp = folder / "archive.sha256"
    return (
        stamp.is_file()
        and stamp.read_text(encoding="ascii").strip() == ARCHIVE_SHA256
        and all((folder / name).is_file() for name in FILES)
    )


def download(folder: Path) -> Path:
    """Download the source distribution with pip into folder and return its path.

    Raises:
        FetchError: If pip fails.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-deps", "--no-binary", PACKAGE, "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    result = subprocess.run(pip + wanted, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.tar.gz"))
    if result.returncode != 0 or len(archives) != 1:
        lines = result.stderr.strip().splitlines() or [f"pip ended with {result.returncode}"]
        raise FetchError(f"cannot download {PACKAGE}=={VERSION}: {lines[-1]}")
    return archives[0]


def fetch(folder: Path) -> bool:
    """Make sure that folder holds the sources; return whether something was downloaded.

    Raises:
        FetchError: If the download fails or is not what was pinned.
    """
    if is_present(folder):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        unpack(download(Path(scratch)), folder)
    return True


def main() -> int:
    """Fetch into the checkout's build folder."""
    folder = ROOT / "build" / "third_party" / "monocypher"
    try:
        fetched = fetch(folder)
    except (FetchError, OSError) as exc:
        print(f"third_party: {exc}", file=sys.stderr)
        return 1
    print(f"third_party: {folder.relative_to(ROOT)} {'fetched' if fetched else 'is there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
