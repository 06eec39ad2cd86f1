"""What set-up takes out of a pinned archive, and what it refuses."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tools.third_party import ARCHIVES, Archive, FetchError, is_present, unpack

BODY = b"what the archive holds"


def packed(folder: Path, ending: str) -> tuple[Archive, Path]:
    path = folder / f"part{ending}"
    if ending == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("inner/file.txt", BODY)
    else:
        with tarfile.open(path, "w:gz") as tar:
            entry = tarfile.TarInfo("inner/file.txt")
            entry.size = len(BODY)
            tar.addfile(entry, io.BytesIO(BODY))
    pinned = hashlib.sha256(path.read_bytes()).hexdigest()
    return replace(ARCHIVES[0], sha256=pinned, files={"file.txt": "inner/file.txt"}), path


@pytest.mark.parametrize("ending", [".tar.gz", ".whl"])
def test_files_come_out_whole(tmp_path: Path, ending: str) -> None:
    wanted, archive = packed(tmp_path, ending)
    folder = tmp_path / "out"
    unpack(wanted, archive, folder)
    assert (folder / "file.txt").read_bytes() == BODY
    assert is_present(wanted, folder)


@pytest.mark.parametrize("ending", [".tar.gz", ".whl"])
def test_other_archive_is_refused_and_nothing_written(tmp_path: Path, ending: str) -> None:
    wanted, archive = packed(tmp_path, ending)
    folder = tmp_path / "out"
    with pytest.raises(FetchError, match="expected 0000"):
        unpack(replace(wanted, sha256="00" * 32), archive, folder)
    with pytest.raises(FetchError, match="has no inner/other"):
        unpack(replace(wanted, files={"other": "inner/other"}), archive, folder)
    assert not folder.exists()
