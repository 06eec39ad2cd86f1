"""The settings of a run: steps of the server, defences, codec, cohort and privacy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.config_federated import CODECS, SETTING_RANGES, FederatedSection, FederatedSettings

__all__ = ["CODECS", "SPARSE", "Settings"]
SPARSE = ("top_p", "top_p_int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FederatedSettings):
    """The settings of a run, checked."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ValueError(f"codec '{self.codec}' is unknown, known are {', '.join(CODECS)}")
        for name, (low, high) in SETTING_RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{name} is {value!r}, must be {low:g} to {high:g}")
        for name in ("clip", "weight_cap"):
            if 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, must be 0 (off) or 1 and more"
                )

    def changes(self) -> dict[str, Any]:
        """Return what differs from the defaults, as the journal keeps it."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @classmethod
    def of_section(cls, section: FederatedSection) -> Settings:
        """Make settings from `[federated]` of a project."""
        return cls(
            **{field.name: getattr(section, field.name) for field in dataclasses.fields(cls)}
        )

    @classmethod
    def of(cls, changes: Mapping[str, Any]) -> Settings:
        """Make settings from what differs from the defaults."""
        return cls(**changes)
