"""One service per project: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from edgekit.errors import StoreError


def lock_folder(root: Path) -> IO[str]:
    """Hold a project's `.edgekit` folder until the returned file is closed.

    Raises:
        StoreError: If another service holds it, or it cannot be written.
    """
    path = root / "service.lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as exc:
        raise StoreError(f"{path}: cannot open: {exc.strerror}") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise StoreError(f"{root}: another edgekit service works on this folder") from exc
    return file
