"""Model families: a frozen configuration and a function that builds the Keras model.

Nothing here imports the training framework; the build functions do when they are called.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.errors import ConfigError
from edgekit.models.tinyvit import TinyVitConfig, build_tinyvit


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model.

    Attributes:
        config: Frozen dataclass of its sizes; every field has a default.
        build: Makes the Keras model from a configuration and a seed.
    """

    name: str
    config: type[Any]
    build: Callable[..., Any]


MODELS: tuple[Family, ...] = (Family("tinyvit", TinyVitConfig, build_tinyvit),)


def find_family(name: str) -> Family:
    """Look up a family.

    Raises:
        ConfigError: If there is none of that name.
    """
    for family in MODELS:
        if family.name == name:
            return family
    names = ", ".join(family.name for family in MODELS)
    raise ConfigError(f"model family {name!r} is not known; there are: {names}")


def make_config(name: str, sizes: Mapping[str, int]) -> Any:
    """Make a family's configuration from sizes by name.

    Raises:
        ConfigError: If a size is unknown, not an integer or does not fit the others.
    """
    family = find_family(name)
    known = [field.name for field in dataclasses.fields(family.config)]
    for key, value in sizes.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"model family {name!r}: unknown size {key!r}{hint}")
        if type(value) is not int:
            raise ConfigError(f"model family {name!r}: size {key!r} is {value!r}, not an integer")
    try:
        return family.config(**sizes)
    except ValueError as exc:
        raise ConfigError(f"model family {name!r}: {exc}") from exc
