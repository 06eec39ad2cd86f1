"""Model families: a frozen configuration and a function that builds the Keras model.

Nothing here imports the training framework; the build functions do when they are called.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import ConfigError
from edgekit.models.embbert import PRESETS, EmbBertConfig, build_embbert
from edgekit.models.text_baselines import (
    BertConfig,
    EmbedConvConfig,
    LexicalConfig,
    build_bert,
    build_embed_conv,
    build_lexical,
)
from edgekit.models.tinyvit import TinyVitConfig, build_tinyvit

Size = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model.

    Attributes:
        config: Frozen dataclass of its sizes; every field has a default.
        build: Makes the Keras model from a configuration and a seed.
        presets: Configurations with a name; the size "preset" chooses one.
    """

    name: str
    config: type[Any]
    build: Callable[..., Any]
    presets: Mapping[str, Any] = field(default_factory=dict)


MODELS: tuple[Family, ...] = (
    Family("tinyvit", TinyVitConfig, build_tinyvit),
    Family("embbert", EmbBertConfig, build_embbert, PRESETS),
    Family("bert", BertConfig, build_bert),
    Family("embed_conv", EmbedConvConfig, build_embed_conv),
    Family("lexical", LexicalConfig, build_lexical),
)


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


def make_config(name: str, sizes: Mapping[str, Size]) -> Any:
    """Make a family's configuration from sizes by name; `preset` names what the others change.

    Raises:
        ConfigError: If a size is unknown, of another type or does not fit the others.
    """
    family = find_family(name)
    base = _preset(family, sizes.get("preset"))
    known = {field.name: type(getattr(base, field.name)) for field in dataclasses.fields(base)}
    changes: dict[str, Size] = {}
    for key, value in sizes.items():
        if key == "preset" and family.presets:
            continue
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"model family {name!r}: unknown size {key!r}{hint}")
        wanted = known[key]
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ConfigError(
                f"model family {name!r}: size {key!r} is {value!r}, not {KINDS[wanted]}"
            )
        changes[key] = wanted(value)
    try:
        return dataclasses.replace(base, **changes)
    except ValueError as exc:
        raise ConfigError(f"model family {name!r}: {exc}") from exc


KINDS: Mapping[type, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
}


def _preset(family: Family, wanted: Size | None) -> Any:
    """Return the configuration that sizes change: the defaults, or one by name."""
    if wanted is None or not family.presets:
        return family.config()
    if wanted not in family.presets:
        names = ", ".join(family.presets)
        raise ConfigError(f"model family {family.name!r}: no preset {wanted!r}; there are: {names}")
    return family.presets[str(wanted)]
