"""Where a round of secure aggregation is: what the server has heard in each of its phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from edgekit.federated.plan import RunPlan
from edgekit.federated.secure_graph import holders, neighbours, threshold_of
from edgekit.federated.secure_keys import Place, PublicKeys, UInt32Array
from edgekit.federated.secure_objects import Part, Revealed, Shares
from edgekit.federated.secure_quantize import EXTRA, Scale, levels_for
from edgekit.federated.strategies import STRATEGIES, Kind


class SecurePhase(IntEnum):
    """What the members of a round are asked for, as the link numbers it."""

    KEYS = 1
    SHARES = 2
    MASKED = 3
    UNMASK = 4

    @property
    def text(self) -> str:
        """How it is called in the journal."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class SecureRound:
    """One round; what later phases need of the earlier ones.

    Attributes:
        opened_s: When the phase was opened, Unix seconds.
        stages: Who was asked in each phase up to this one.
        answered: Devices and why they do not count in this phase; empty text if they do.
        total: Sum of the masked updates, uint32 `[P + 3]`; None before the first.
        masked: Devices whose masked update is in it.
    """

    place: Place
    phase: SecurePhase
    opened_s: float
    stages: tuple[tuple[str, ...], ...]
    answered: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, PublicKeys] = field(default_factory=dict)
    shares: Mapping[str, Shares] = field(default_factory=dict)
    total: UInt32Array | None = None
    masked: tuple[str, ...] = ()
    revealed: Mapping[str, Revealed] = field(default_factory=dict)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is asked in this phase."""
        return self.stages[-1]

    @property
    def missing(self) -> tuple[str, ...]:
        """Who is asked and has not answered."""
        return tuple(device for device in self.members if device not in self.answered)

    def awaits(self, device: str) -> bool:
        """Say whether a device is asked in this phase and has not answered."""
        return device in _set_of(self.members) and device not in self.answered

    def left_in(self, device: str) -> int:
        """Return the last phase that a device was asked in, 0 if in none."""
        return sum(device in _set_of(stage) for stage in self.stages)

    @property
    def counted(self) -> tuple[str, ...]:
        """Whose answers of this phase count, in the order of the plan."""
        return tuple(device for device in self.members if self.answered.get(device) == "")


@lru_cache(maxsize=16)
def _set_of(members: tuple[str, ...]) -> frozenset[str]:
    return frozenset(members)


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """Who is bound to whom, by the indices that members have in a plan.

    Attributes:
        indices: By device.
        devices: By index.
        known: Neighbours by index.
    """

    indices: Mapping[str, int]
    devices: Mapping[int, str]
    known: Mapping[int, tuple[int, ...]]
    share: float

    def threshold(self, index: int) -> int:
        """Return how many shares put the secrets of a member together."""
        return threshold_of(len(self.known[index]) + 1, self.share)

    def holders(self, index: int) -> tuple[int, ...]:
        """Return who holds its shares, at the places 1, 2, ..."""
        return holders(index, self.known)


@lru_cache(maxsize=16)
def ring_of(plan: RunPlan, place: Place, members: tuple[str, ...]) -> Ring:
    """Return the ring of those who sent keys."""
    places = {device: at for at, device in enumerate(plan.devices)}
    indices = {device: places[device] for device in members}
    known = neighbours(sorted(indices.values()), plan.settings.neighbours, place)
    devices = {index: device for device, index in indices.items()}
    return Ring(indices, devices, known, plan.settings.threshold)


def scale_of(plan: RunPlan) -> Scale:
    """Return how the values of a run become whole numbers: as finely as no sum can wrap."""
    alike = STRATEGIES[plan.strategy].kind is Kind.EQUAL
    most_weight = 1 if alike else plan.settings.most_weight
    return Scale(levels_for(plan.most_invited, most_weight), plan.settings.value_range, most_weight)


def wanted_parts(ring: Ring, index: int, sharers: set[int], masked: set[int]) -> dict[int, Part]:
    """Return what a member is to reveal: seeds of those in the sum, mask keys of those not."""
    return {
        other: Part.SEED if other in masked else Part.MASK_KEY
        for other in sorted((index, *ring.known[index]))
        if other in sharers
    }


def values_of(parameters: int) -> int:
    """Return the values of a masked update."""
    return parameters + EXTRA
