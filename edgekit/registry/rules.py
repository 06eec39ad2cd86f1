"""The rules of what fits where: functions from what a model needs and a board offers to reasons.

A rule says nothing about what is not known, except where a budget asks for a number: a model whose
latency nobody measured is not within 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# RAM that the agent takes beside arena and learning head: static data and stack, at most.
FIRMWARE_RAM_BYTES = 48 * 1024 + 16 * 1024
# Safety on top: a tenth, but at least so many bytes.
MARGIN_DIVISOR = 10
MARGIN_LEAST_BYTES = 2 * 1024
PORTABLE = "portable"
DATA_ONLY = "data"

# Reasons in the order in which they are worth reading: the first one is the one to solve first.
_WORDS: dict[str, str] = {
    "revoked": "device was revoked at {found}",
    "device_class": "made for {needed}, found {found}",
    "support": "board is {found}, expected {needed}",
    "ram": "needs {needed} bytes of RAM with firmware and margin, board has {found}",
    "arena": "needs {needed} bytes of arena, board offers {found}",
    "ram_free": "needs {needed} bytes of arena, device has {found} for the next model",
    "slot": "image has {needed} bytes, a model slot {found}",
    "slot_free": "image has {needed} bytes, the free slot {found}",
    "flash": "needs {needed} bytes of flash, board has {found}",
    "kernels": "operators of the board are unknown: {found}, expected {needed}",
    "kernel_set": "board is described with kernel set {needed}, device reports {found}",
    "operator": "operator {needed} is {found}",
    "runtime": "needs runtime {needed}, found {found}",
    "sensor": "sensor {needed} is {found}",
    "rate": "needs {needed} samples a second, the sensor gives {found}",
    "license": "licence is {found}, allowed are {needed}",
    "data_license": "licence of the training data is {found}, allowed are {needed}",
    "latency": "one inference may take {needed} us, found {found}",
    "energy": "one inference may take {needed} uJ, found {found}",
}
ORDER = {code: number for number, code in enumerate(_WORDS)}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something does not fit.

    Attributes:
        code: Word for programs, for example `ram` or `operator`.
        needed: What the model or the budget asks for: a number, or a word.
        found: What there is.
    """

    code: str
    needed: int | float | str
    found: int | float | str

    def __str__(self) -> str:
        return _WORDS[self.code].format(needed=self.needed, found=self.found)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model version asks for, and what a choice is made by."""

    iri: str
    name: str
    version: str
    image_bytes: int
    min_ram_bytes: int
    arena_bytes: int | None = None
    min_flash_bytes: int | None = None
    task: str = ""
    accuracy: float | None = None
    operators: frozenset[str] = frozenset()
    sensors: frozenset[str] = frozenset()
    device_classes: frozenset[str] = frozenset()
    rate_hz: float | None = None
    runtime_number: int | None = None
    runtime_version: str = ""
    license: str = ""
    data_license: str = ""

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Offers:
    """What a type of board offers; with what a device of it reported, if it is about a device.

    Attributes:
        ram_free_bytes: RAM that its firmware leaves to models, where it was measured.
        flash_free_bytes: As for the flash.
        sensors: Kind to highest rate in samples a second, None if that is not known.
        reported_kernel_set: Of the device.
        arena_free_bytes: What the device has for its next model.
        slot_free_bytes: Free slot of the device.
    """

    iri: str
    name: str
    ram_bytes: int
    flash_bytes: int
    slot_bytes: int = 0
    arena_bytes: int = 0
    ram_free_bytes: int | None = None
    flash_free_bytes: int | None = None
    support: str = ""
    kernel_set: str = ""
    operators: frozenset[str] = frozenset()
    sensors: Mapping[str, float | None] = field(default_factory=dict)
    runtime_number: int | None = None
    runtime_version: str = ""
    reported_kernel_set: str = ""
    arena_free_bytes: int | None = None
    slot_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one inference of a model takes on a board; None where nobody measured."""

    latency_us: int | None = None
    energy_uj: int | None = None


UNMEASURED = Cost()


@dataclass(frozen=True, slots=True)
class Budget:
    """What the one who asks allows.

    Attributes:
        latency_us: Longest inference.
        energy_uj: Most energy of one inference.
        licenses: SPDX identifiers that model and data may have; empty allows all.
        planned: Also boards that edgekit has no firmware for.
        slots: Copies of a model that the flash must hold; two make an update safe.
    """

    latency_us: int | None = None
    energy_uj: int | None = None
    licenses: frozenset[str] = frozenset()
    planned: bool = False
    slots: int = 2


ANY = Budget()


def with_margin(needed_bytes: int) -> int:
    """Return a need with a tenth of it on top, or 2 KiB if that is more."""
    return needed_bytes + max(-(-needed_bytes // MARGIN_DIVISOR), MARGIN_LEAST_BYTES)


def capacities(needs: Needs, offers: Offers, budget: Budget) -> list[tuple[str, int, int]]:
    """Return (code, needed bytes, bytes that are there) for each memory that is known.

    Arena, head, runtime and a margin count against RAM; two copies of an image against flash.
    """
    arena, image = needs.arena_bytes, needs.image_bytes
    if offers.ram_free_bytes is None:
        found = [("ram", with_margin(needs.min_ram_bytes + FIRMWARE_RAM_BYTES), offers.ram_bytes)]
    else:
        found = [("ram", with_margin(needs.min_ram_bytes), offers.ram_free_bytes)]
    if arena is not None:
        if offers.arena_bytes:
            found.append(("arena", arena, offers.arena_bytes))
        if offers.arena_free_bytes is not None:
            found.append(("ram_free", arena, offers.arena_free_bytes))
    if offers.slot_free_bytes is not None:
        found.append(("slot_free", image, offers.slot_free_bytes))
    flash = image if needs.min_flash_bytes is None else needs.min_flash_bytes
    if offers.slot_bytes:
        found.append(("slot", image, offers.slot_bytes))
    else:
        flash += (budget.slots - 1) * image
    free = offers.flash_free_bytes
    found.append(("flash", flash, offers.flash_bytes if free is None else free))
    return found


def _memory(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    return [
        Reason(code, needed, found)
        for code, needed, found in capacities(needs, offers, budget)
        if needed > found
    ]


def _class(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    made_for = needs.device_classes
    if not made_for or PORTABLE in made_for or offers.name in made_for:
        return []
    return [Reason("device_class", name, offers.name) for name in made_for]


def _support(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    if offers.support != DATA_ONLY or budget.planned:
        return []
    return [Reason("support", "a board that edgekit builds firmware for", "data only")]


def _kernels(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    found = []
    if not offers.operators:
        if offers.support != DATA_ONLY:
            wanted = "a description that lists its kernel operators"
            found.append(Reason("kernels", wanted, "none listed"))
    elif not needs.operators <= offers.operators:
        missing = needs.operators - offers.operators
        found += [Reason("operator", name, "not built in") for name in missing]
    reported = offers.reported_kernel_set
    if reported and offers.kernel_set and reported != offers.kernel_set:
        found.append(Reason("kernel_set", offers.kernel_set, reported))
    return found


def _runtime(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    least, has = needs.runtime_number, offers.runtime_number
    if least is None or has is None or has >= least:
        return []
    return [Reason("runtime", needs.runtime_version, offers.runtime_version)]


def _sensors(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    found = []
    for kind in needs.sensors:
        if kind not in offers.sensors:
            found.append(Reason("sensor", kind, "not on the board"))
            continue
        rate = offers.sensors[kind]
        if rate is not None and needs.rate_hz is not None and needs.rate_hz > rate:
            found.append(Reason("rate", needs.rate_hz, rate))
    return found


def _licences(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    allowed = budget.licenses
    if not allowed:
        return []
    said = (("license", needs.license), ("data_license", needs.data_license))
    words = ", ".join(sorted(allowed))
    return [Reason(code, words, name or "unknown") for code, name in said if name not in allowed]


def _costs(needs: Needs, offers: Offers, budget: Budget, cost: Cost) -> list[Reason]:
    limits = (
        ("latency", budget.latency_us, cost.latency_us),
        ("energy", budget.energy_uj, cost.energy_uj),
    )
    return [
        Reason(code, limit, "not measured" if found is None else found)
        for code, limit, found in limits
        if limit is not None and (found is None or found > limit)
    ]


Rule = Callable[[Needs, Offers, Budget, Cost], list[Reason]]

# Memory comes first: it is cheap and most often says no, and `fits` stops at the first reason.
RULES: tuple[Rule, ...] = (
    _memory,
    _sensors,
    _class,
    _support,
    _kernels,
    _runtime,
    _licences,
    _costs,
)


def reasons(
    needs: Needs, offers: Offers, budget: Budget = ANY, cost: Cost = UNMEASURED
) -> tuple[Reason, ...]:
    """Return all that speaks against it, the most telling first."""
    found = [reason for rule in RULES for reason in rule(needs, offers, budget, cost)]
    return in_order(found)


def fits(needs: Needs, offers: Offers, budget: Budget = ANY, cost: Cost = UNMEASURED) -> bool:
    """Whether nothing speaks against it; looks no further than the first reason."""
    for _, needed, found in capacities(needs, offers, budget):
        if needed > found:
            return False
    return not any(rule(needs, offers, budget, cost) for rule in RULES[1:])


def headroom(needs: Needs, offers: Offers, budget: Budget = ANY) -> dict[str, int]:
    """Return the bytes that are left of each memory, negative where they do not suffice."""
    return {code: found - needed for code, needed, found in capacities(needs, offers, budget)}


def in_order(found: list[Reason]) -> tuple[Reason, ...]:
    """Sort reasons: what is to be solved first comes first."""
    return tuple(sorted(found, key=lambda reason: (ORDER[reason.code], str(reason.needed))))
