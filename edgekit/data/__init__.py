"""Data sets and the preprocessing that devices repeat."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.data.dataset import Dataset
from edgekit.data.digits import load_digits
from edgekit.errors import ConfigError

DATASETS: tuple[tuple[str, Callable[[], Dataset]], ...] = (("digits", load_digits),)


def load_dataset(name: str) -> Dataset:
    """Load a data set by name.

    Raises:
        ConfigError: If there is none of that name.
    """
    for known, load in DATASETS:
        if known == name:
            return load()
    names = ", ".join(known for known, _ in DATASETS)
    raise ConfigError(f"data set {name!r} is not known; there are: {names}")
