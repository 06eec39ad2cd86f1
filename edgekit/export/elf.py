"""Sizes of a linked program, read from its ELF section headers.

Source: System V ABI, Object Files, "Section Header"; 32 and 64 bit, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import FormatError

_ALLOC = 0x2
_WRITE = 0x1
_NOBITS = 8


@dataclass(frozen=True, slots=True)
class Section:
    """A section that takes memory when the program runs."""

    name: str
    bytes: int
    writable: bool
    loaded: bool


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named piece of a section."""

    name: str
    address: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ElfSizes:
    """Sections and symbols of one program."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    @property
    def flash_bytes(self) -> int:
        """Bytes that are stored: code, constants, initial values."""
        return sum(section.bytes for section in self.sections if section.loaded)

    @property
    def ram_bytes(self) -> int:
        """Bytes that are writable while the program runs."""
        return sum(section.bytes for section in self.sections if section.writable)

    def section_bytes(self, name: str) -> int:
        """Return the size of a section, 0 if there is none of that name."""
        return sum(section.bytes for section in self.sections if section.name == name)


def read_elf(path: Path) -> ElfSizes:
    """Read sections and sized symbols.

    Raises:
        FormatError: If the file is not a little-endian ELF file.
    """
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[4] not in (1, 2) or data[5] != 1:
        raise FormatError(f"{path.name}: not a little-endian ELF file")
    wide = data[4] == 2
    try:
        return _read(data, wide)
    except (struct.error, IndexError, ValueError) as exc:
        raise FormatError(f"{path.name}: section headers are damaged") from exc


def _read(data: bytes, wide: bool) -> ElfSizes:
    (table,) = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)
    size, count, names = struct.unpack_from("<HHH", data, 58 if wide else 46)
    layout = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
    headers = [struct.unpack_from(layout, data, table + i * size) for i in range(count)]
    labels = headers[names][4]
    sections = []
    symbols: list[Symbol] = []
    for name, kind, flags, _address, offset, length, link, _info, _align, entry in headers:
        if flags & _ALLOC:
            sections.append(
                Section(
                    name=_text(data, labels + name),
                    bytes=length,
                    writable=bool(flags & _WRITE),
                    loaded=kind != _NOBITS,
                )
            )
        if kind == 2:  # symbol table
            texts = headers[link][4]
            for at in range(offset, offset + length, entry):
                if wide:
                    text, _, _, _, value, extent = struct.unpack_from("<IBBHQQ", data, at)
                else:
                    text, value, extent, _, _, _ = struct.unpack_from("<IIIBBH", data, at)
                if extent:
                    symbols.append(Symbol(_text(data, texts + text), value, extent))
    return ElfSizes(tuple(sections), tuple(symbols))


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode("utf-8", "replace")
