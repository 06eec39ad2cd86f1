"""Chips and boards, read strictly from `devices/chips/*.toml` and `devices/boards/*.toml`.

A fact about hardware is written there once; `board.h`, the linker script, the capacity check and
the RDF description derive from the dataclasses of this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from edgekit import share
from edgekit.errors import ConfigError
from edgekit.toml_table import TomlTable, suggest

Support = Literal["emulated", "built", "data"]

SUPPORT: tuple[Support, ...] = ("emulated", "built", "data")
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55", "rv32imac", "host")
KERNEL_FAMILIES = ("portable", "dsp", "mve", "small", "host")
"""Twin: edgekit/ops/__init__.py, FAMILIES; this module stands below it."""
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Chip:
    """What the silicon has.

    Attributes:
        flash_base: Address that the firmware is linked to.
        peripherals: Addresses, interrupt numbers and clocks that the port asks for by name.
    """

    name: str
    core: str
    has_fpu: bool
    has_dsp: bool
    ram_bytes: int
    flash_bytes: int
    flash_page_bytes: int
    kernel_family: str
    flash_base: int
    ram_base: int
    peripherals: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the persistent memory."""

    offset: int
    bytes: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the region."""
        return self.offset + self.bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the persistent memory.

    `samples` and `bench` stand for hardware outside the flash.
    """

    provision: Region
    state: Region
    learn: Region
    slot_a: Region
    slot_b: Region
    samples: Region
    bench: Region

    def __iter__(self) -> Iterator[tuple[str, Region]]:
        """Yield every region with its name, in the order of the fields."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    @property
    def end(self) -> int:
        """Offset of the first byte behind all regions."""
        return max(region.end for _, region in self)


# Regions that do not lie in the chip's flash.
OUTSIDE_FLASH = ("samples", "bench")


@dataclass(frozen=True, slots=True)
class EmulatorData:
    """How QEMU plays this board.

    Attributes:
        persistent_bytes: Size of the file that backs the persistent memory at persistent_base; 0
            for a board without an agent.
        ethernet: Controller that QEMU connects to its network, for a board without an agent to one
            that leads nowhere; empty if there is none.
        instruction_ns: Virtual time of one instruction, a power of two.
    """

    machine: str
    persistent_base: int
    persistent_bytes: int
    ethernet: str
    instruction_ns: int


@dataclass(frozen=True, slots=True)
class Board:
    """A chip with a clock, a port and a plan of its memory.

    Attributes:
        agent: Whether the firmware is the agent of a fleet. Without it the firmware only runs
            models that a job file brings, and the board has no layout.
        layout: Plan of the persistent memory; None without an agent, and for boards of which
            only the data is known (support = "data").
    """

    name: str
    chip: Chip
    port: str
    support: Support
    agent: bool
    clock_hz: int
    ticks_hz: int
    sensors: tuple[str, ...]
    arena_bytes: int
    feature_cache_bytes: int
    stack_bytes: int
    layout: Layout | None
    emulator: EmulatorData | None
    sensor_rates_hz: tuple[tuple[str, float], ...] = ()
    connectivity: tuple[str, ...] = ()

    @property
    def core(self) -> str:
        """Name of the processor core."""
        return self.chip.core

    @property
    def ram_bytes(self) -> int:
        """RAM of the chip."""
        return self.chip.ram_bytes

    @property
    def flash_bytes(self) -> int:
        """Flash of the chip."""
        return self.chip.flash_bytes

    @property
    def slot_bytes(self) -> int:
        """Bytes of one model slot, 0 if the board has none."""
        return 0 if self.layout is None else self.layout.slot_a.bytes

    @property
    def firmware_bytes(self) -> int:
        """Flash that is left for the firmware beside the persistent regions."""
        if self.layout is None:
            return self.flash_bytes
        taken = [region for name, region in self.layout if name not in OUTSIDE_FLASH]
        return self.flash_bytes - max(region.end for region in taken)


def boards() -> tuple[str, ...]:
    """Return the names of all boards, sorted."""
    return tuple(sorted(path.stem for path in (share.devices() / "boards").glob("*.toml")))


def chips() -> tuple[str, ...]:
    """Return the names of all chips, sorted."""
    return tuple(sorted(path.stem for path in (share.devices() / "chips").glob("*.toml")))


def load_board(name: str) -> Board:
    """Read the board called name and its chip.

    Raises:
        ConfigError: If there is no such board, or a file is wrong.
    """
    known = boards()
    if name not in known:
        raise ConfigError(f"board '{name}' is not known{suggest(name, known)}")
    return read_board(share.devices() / "boards" / f"{name}.toml")


def load_chip(name: str) -> Chip:
    """Read the chip called name.

    Raises:
        ConfigError: If there is no such chip, or its file is wrong.
    """
    known = chips()
    if name not in known:
        raise ConfigError(f"chip '{name}' is not known{suggest(name, known)}")
    return read_chip(share.devices() / "chips" / f"{name}.toml")


def read_chip(path: Path) -> Chip:
    """Read one chip file.

    Raises:
        ConfigError: If the file is wrong; the message names file, table and key.
    """
    document = TomlTable.open(path, ("chip", "peripherals"), _KEYS)
    table = document.table("chip")
    chip = Chip(
        name=table.name("name", path.stem),
        core=table.choice("core", CORES),
        has_fpu=table.get("has_fpu", bool),
        has_dsp=table.get("has_dsp", bool),
        ram_bytes=table.integer("ram_bytes", 1_024, GIB),
        flash_bytes=table.integer("flash_bytes", 4_096, GIB),
        flash_page_bytes=table.integer("flash_page_bytes", 64, 1 << 20),
        kernel_family=table.choice("kernel_family", KERNEL_FAMILIES),
        flash_base=table.integer("flash_base", 0, 0xFFFF_FFFF, 0),
        ram_base=table.integer("ram_base", 0, 0xFFFF_FFFF, 0x2000_0000),
        peripherals=_read_peripherals(document) if document.has("peripherals") else (),
    )
    table.close()
    if chip.flash_bytes % chip.flash_page_bytes:
        raise table.error(
            f"flash_bytes {chip.flash_bytes} is not a multiple of flash_page_bytes"
            f" {chip.flash_page_bytes}"
        )
    return chip


def _read_peripherals(document: TomlTable) -> tuple[tuple[str, int], ...]:
    table = document.table("peripherals")
    for key in table.names():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            raise table.error(f"'{key}' is no name of a peripheral, expected a-z, 0-9 and _")
    return tuple((key, table.integer(key, 0, 0xFFFF_FFFF)) for key in table.names())


def read_board(path: Path) -> Board:
    """Read one board file and the chip that it names.

    Raises:
        ConfigError: If the file is wrong; the message names file, table and key.
    """
    document = TomlTable.open(path, ("board", "layout", "emulator"), _KEYS)
    table = document.table("board")
    support = table.choice("support", SUPPORT)
    bare = support == "data"
    chip_name = table.get("chip", str)
    if chip_name not in chips():
        raise table.error(f"chip '{chip_name}' is not known{suggest(chip_name, chips())}")
    chip = load_chip(chip_name)
    ram = chip.ram_bytes
    agent = table.get("agent", bool, True)
    if document.has("layout") and not agent:
        raise table.error("a [layout] is the agent's, but agent is false")
    clock_hz = table.integer("clock_hz", 1, 10**10)
    board = Board(
        name=table.name("name", path.stem),
        chip=chip,
        port=table.get("port", str, "" if bare else None),
        support=support,
        agent=agent,
        clock_hz=clock_hz,
        ticks_hz=table.integer("ticks_hz", 1_000, 10**10, clock_hz),
        sensors=table.strings("sensors"),
        arena_bytes=table.integer("arena_bytes", 0, ram, 0 if bare else None),
        feature_cache_bytes=table.integer("feature_cache_bytes", 0, ram, 0),
        stack_bytes=table.integer("stack_bytes", 512, ram),
        layout=_read_layout(document, chip)
        if document.has("layout") or (agent and not bare)
        else None,
        emulator=_read_emulator(document, agent=agent) if document.has("emulator") else None,
        sensor_rates_hz=_read_rates(table),
        connectivity=table.strings("connectivity") if table.has("connectivity") else (),
    )
    table.close()
    _check_board(board, table, document)
    return board


def _read_rates(table: TomlTable) -> tuple[tuple[str, float], ...]:
    if not table.has("sensor_rates_hz"):
        return ()
    known = table.strings("sensors")
    rates = table.table("sensor_rates_hz")
    found = []
    for kind in rates.names():
        if kind not in known:
            raise rates.error(f"'{kind}' is not among the sensors{suggest(kind, known)}")
        rate = rates.get(kind, object)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e9:
            raise rates.error(f"'{kind}' is {rate!r}, expected samples a second, above 0")
        found.append((kind, float(rate)))
    return tuple(found)


def _check_board(board: Board, table: TomlTable, document: TomlTable) -> None:
    if board.arena_bytes % 16:
        raise table.error(f"arena_bytes {board.arena_bytes} is not a multiple of 16")
    planned = board.arena_bytes + board.feature_cache_bytes + board.stack_bytes
    if planned > board.ram_bytes:
        raise table.error(
            f"arena, feature cache and stack take {planned} bytes,"
            f" chip '{board.chip.name}' has {board.ram_bytes} bytes of RAM"
        )
    if board.emulator is None:
        return
    if board.agent and board.layout is None:
        raise document.error("an [emulator] needs a [layout]")
    if board.emulator.instruction_ns.bit_count() != 1:
        raise document.table("emulator").error(
            f"'instruction_ns' is {board.emulator.instruction_ns}, expected a power of two"
        )
    if board.layout is not None and board.layout.end > board.emulator.persistent_bytes:
        raise document.table("layout").error(
            f"regions end at {board.layout.end:#x}, persistent_bytes of [emulator] is"
            f" {board.emulator.persistent_bytes:#x}"
        )


def _read_layout(document: TomlTable, chip: Chip) -> Layout:
    table = document.table("layout")
    page = chip.flash_page_bytes
    regions: dict[str, Region] = {}
    for field in fields(Layout):
        entry = table.table(field.name)
        region = Region(entry.integer("offset", 0, GIB), entry.integer("bytes", 1, GIB))
        entry.close()
        if region.offset % page or region.bytes % page:
            raise entry.error(
                f"offset {region.offset:#x} and bytes {region.bytes} must be multiples of the"
                f" flash page, {page}"
            )
        inside = field.name not in OUTSIDE_FLASH
        if inside and region.end > chip.flash_bytes:
            raise entry.error(
                f"ends at {region.end:#x}, chip '{chip.name}' has {chip.flash_bytes:#x} bytes of"
                " flash"
            )
        for name, other in regions.items():
            if region.offset < other.end and other.offset < region.end:
                raise entry.error(f"overlaps with '{name}'")
        regions[field.name] = region
    table.close()
    if regions["slot_a"].bytes != regions["slot_b"].bytes:
        raise table.error("slot_a and slot_b differ in size")
    return Layout(**regions)


def _read_emulator(document: TomlTable, *, agent: bool) -> EmulatorData:
    table = document.table("emulator")
    data = EmulatorData(
        machine=table.get("machine", str),
        persistent_base=table.integer("persistent_base", 0, 0xFFFF_FFFF) if agent else 0,
        persistent_bytes=table.integer("persistent_bytes", 4_096, 2 * GIB) if agent else 0,
        ethernet=table.choice("ethernet", ("lan9118",)) if agent or table.has("ethernet") else "",
        instruction_ns=table.integer("instruction_ns", 1, 1_024),
    )
    table.close()
    return data


_KEYS = frozenset(
    field.name for kind in (Chip, Region, Layout, EmulatorData, Board) for field in fields(kind)
)
