"""The whole registry as one N-Quads file, and back.

A backup is the store at one moment. What is restored takes the place of the old
store when it is whole, and then follows the journal: no event is lost that came after the backup.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import pyoxigraph as ox

from edgekit.errors import FormatError, StoreError
from edgekit.journal.journal import Journal
from edgekit.registry.store import Store
from edgekit.registry.sync import STORE_FOLDER, catch_up, make_anew

_UNPACKED = ".registry-unpacked.nq"


def write_backup(store: Store, path: Path) -> int:
    """Write all quads to a file, compressed if its name ends in .gz; return how many.

    Raises:
        StoreError: If the file cannot be written; there is none then, or the old one.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as plain, ExitStack() as stack:
            packed = path.suffix == ".gz"
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, plain)) if packed else plain
            ox.serialize(store.quads(), cast(IO[bytes], file), format=ox.RdfFormat.N_QUADS)
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    return len(store)


def restore_backup(root: Path, path: Path) -> int:
    """Put a backup in the place of a project's registry and follow the journal; return its quads.

    Args:
        root: The folder `.edgekit` of the project.

    Raises:
        FormatError: If the file is no N-Quads, with line and column; the registry is as it was.
        StoreError: If it cannot be read, another process writes to the registry, or the journal
            is behind the backup.
    """
    unpacked = root / _UNPACKED
    folder = root / STORE_FOLDER
    try:
        if not path.is_file():
            raise StoreError(f"{path}: no such file")
        root.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as plain, unpacked.open("wb") as whole:
            source = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain
            shutil.copyfileobj(source, whole)
        return make_anew(folder, lambda store: _fill(store, root, unpacked, path))
    except (OSError, EOFError, zlib.error) as exc:
        raise StoreError(f"{path}: cannot be restored: {exc}") from exc
    finally:
        unpacked.unlink(missing_ok=True)


def _fill(store: Store, root: Path, unpacked: Path, path: Path) -> None:
    try:
        store.fill(unpacked)
    except FormatError as exc:
        raise FormatError(str(exc).replace(str(unpacked), str(path))) from exc
    if (root / "journal.db").is_file():
        with Journal.open(root) as journal:
            catch_up(store, journal)
