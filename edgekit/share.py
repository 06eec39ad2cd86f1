"""Where the files lie that are no Python code: firmware, devices, ontologies, third-party sources.

In a checkout they stand beside the package; in an installed package they are in `edgekit/_share`.
Nobody else looks for them.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.errors import ToolError

_PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """Return the root of the checkout that this package is part of, None if it is installed."""
    root = _PACKAGE.parent
    return root if (root / "firmware" / "include" / "ek_port.h").is_file() else None


def firmware() -> Path:
    """Return the folder of the C sources."""
    return _find("firmware")


def devices() -> Path:
    """Return the folder with `chips/` and `boards/`."""
    return _find("devices")


def ontologies() -> Path:
    """Return the folder of the ontology, its shapes and examples."""
    return _find("ontologies")


def third_party() -> Path:
    """Return the folder with `monocypher.c` and `monocypher.h`.

    Raises:
        ToolError: If they were not fetched yet.
    """
    root = checkout()
    folder = (
        root / "build" / "third_party" / "monocypher"
        if root is not None
        else _PACKAGE / "_share" / "third_party" / "monocypher"
    )
    if not (folder / "monocypher.c").is_file() or not (folder / "monocypher.h").is_file():
        raise ToolError("Monocypher sources are missing; run 'python tools/third_party.py'")
    return folder


def cache_dir() -> Path:
    """Return a writable folder for what is built once.

    It is `build/` in a checkout, else in the user's cache.

    Source: XDG Base Directory Specification 0.8, XDG_CACHE_HOME.
    """
    root = checkout()
    if root is not None:
        folder = root / "build"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        folder = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "edgekit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _find(name: str) -> Path:
    root = checkout()
    folder = root / name if root is not None else _PACKAGE / "_share" / name
    if not folder.is_dir():
        raise ToolError(f"folder '{name}' of edgekit is missing at {folder}; install edgekit again")
    return folder
