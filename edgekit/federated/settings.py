"""The settings of a run: steps of the server, defences, codec, cohort and privacy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.config_federated import CODECS, SETTING_RANGES, FederatedSection

__all__ = ["CODECS", "SPARSE", "Settings"]
SPARSE = ("top_p", "top_p_int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run does beside its strategy's name; every field has a default that is meant.

    Attributes:
        server_rate: Step of the server; 0: the strategy's own (alpha of the Reptile family).
        momentum: Of fedavgm.
        beta1: Of fedadam and fedyogi, as beta2 and tau.
        mu: Proximal term of fedprox in the loss of the devices: mu / 2 * |w - base|^2.
        buffer: Updates that fedbuff waits for.
        max_staleness: Versions behind the current one at which fedbuff discards an update.
        trim: Share of trimmed_mean that is dropped at either end.
        byzantine: Share of liars that multi_krum bears.
        local: Parameters at the end of the vector that tiny_metafed keeps on the device.
        clip: An update's norm counts at most this multiple of the round's median; 0: off.
        weight_cap: Claimed samples count at most this multiple of their median; 0: off.
        align: Leave out updates that point away from the mean of the clipped ones.
        codec: How updates travel.
        share: Of the entries that the top-P codecs send.
        feedback: Whether devices keep what a lossy codec left out, and add it next time.
        cohort: Updates that a round wants, of devices drawn anew; 0: all devices.
        over_select: So many times the cohort are asked.
        seed: Of the draw of cohorts and of the noise; 0: no cohort, no noise.
        noise: Noise multiplier z of DP-FedAvg; 0: off.
        norm: Fixed clipping norm C of DP-FedAvg.
        privacy_delta: The delta at which epsilon is said.
    """

    server_rate: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    mu: float = 0.01
    buffer: int = 4
    max_staleness: int = 20
    trim: float = 0.2
    byzantine: float = 0.2
    local: int = 0
    clip: float = 1.0
    weight_cap: float = 2.0
    align: bool = True
    codec: str = "float32"
    share: float = 0.25
    feedback: bool = False
    cohort: int = 0
    over_select: float = 1.3
    seed: int = 0
    noise: float = 0.0
    norm: float = 1.0
    privacy_delta: float = 1e-5

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
