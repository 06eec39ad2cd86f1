"""What all tests share: what this machine has, where real data lies, and the order of running."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Programs a marker stands for: any one of each group must be there.
TOOLS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cc": (("cc", "gcc", "clang"),),
    "emulator": (("arm-none-eabi-gcc",), ("qemu-system-arm",)),
    "broker": (("mosquitto", "/usr/sbin/mosquitto"),),
    "browser": (("chromium", "chromium-browser", "google-chrome"),),
}

# Slow and exclusive needs come first, so that no worker is left with a long tail.
ORDER = ("train", "emulator", "broker", "browser", "cc")


# Folders outside the repository, and the environment variables that name them.
FOLDERS = {"data": "EDGEKIT_DATA", "models": "EDGEKIT_MODELS"}


def data_folder(name: str) -> Path | None:
    """Return the folder an environment variable names, else the one beside the checkout, if any."""
    given = os.environ.get(FOLDERS[name], "")
    folder = Path(given) if given else ROOT.parent / "shared" / name
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; for tests with marker `data`."""
    return _folder_or_skip("data")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of foreign models; for tests with marker `data("models")`."""
    return _folder_or_skip("models")


def _folder_or_skip(name: str) -> Path:
    folder = data_folder(name)
    if folder is None:
        pytest.skip(f"no folder of real {name}: set {FOLDERS[name]}")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take long; the order within a file stays."""
    ranks: dict[Path, int] = {}
    for item in items:
        rank = min(
            (ORDER.index(n) for n in ORDER if item.get_closest_marker(n)), default=len(ORDER)
        )
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what this machine lacks; where CI=true only `data` may be skipped."""
    for mark in item.iter_markers("data"):
        for name in mark.args or FOLDERS:
            if data_folder(name) is None:
                pytest.skip(f"no folder of real {name}: set {FOLDERS[name]}")
    if item.get_closest_marker("board"):
        pytest.skip("no board is attached")
    for marker, probe in PROBES.items():
        if item.get_closest_marker(marker) is None:
            continue
        missing = probe()
        if missing and os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{missing} is missing, and CI skips only marker data", pytrace=False)
        if missing:
            pytest.skip(f"{missing} is missing")


@cache
def _missing_training() -> str:
    from importlib.util import find_spec

    return "" if find_spec("tensorflow") and find_spec("keras") else "package tensorflow"


def _missing_tool(marker: str) -> Callable[[], str]:
    def probe() -> str:
        for group in TOOLS[marker]:
            if not any(shutil.which(name) for name in group):
                return group[0]
        return ""

    return probe


@cache
def _missing_jax() -> str:
    from importlib.util import find_spec

    return "" if find_spec("jax") else "package jax"


PROBES: dict[str, Callable[[], str]] = {
    "train": _missing_training,
    "jax": _missing_jax,
    **{marker: _missing_tool(marker) for marker in TOOLS},
}
