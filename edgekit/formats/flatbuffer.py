"""Read FlatBuffers from untrusted bytes: every access is proven to lie inside the file.

Source: FlatBuffers internals, https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgekit.errors import FormatError


@dataclass(frozen=True, slots=True)
class Bytes:
    """The bytes of a file, and the name that errors give it."""

    data: bytes
    name: str

    def number(self, code: str, position: int) -> int | float:
        """Read one little-endian number; `code` is that of `struct`.

        Raises:
            FormatError: If it does not lie inside the file.
        """
        size = struct.calcsize(f"<{code}")
        if position < 0 or position + size > len(self.data):
            raise FormatError(
                f"{self.name}: {size} bytes at offset {position} of {len(self.data)} bytes"
            )
        value: int | float = struct.unpack_from(f"<{code}", self.data, position)[0]
        return value

    def integer(self, code: str, position: int) -> int:
        """Read one little-endian integer."""
        return int(self.number(code, position))

    def follow(self, position: int) -> int:
        """Return where the offset at a position leads."""
        return position + self.integer("I", position)

    def root(self) -> Table:
        """Return the root table."""
        return Table(self, self.follow(0))


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a FlatBuffer."""

    file: Bytes
    position: int

    def _field(self, index: int, size: int) -> int | None:
        """Return where a field stands, None if it is not there."""
        vtable = self.position - self.file.integer("i", self.position)
        vtable_bytes = self.file.integer("H", vtable)
        table_bytes = self.file.integer("H", vtable + 2)
        if vtable_bytes < 4 or vtable_bytes % 2 or table_bytes < 4:
            raise FormatError(
                f"{self.file.name}: table at {self.position} has a vtable of {vtable_bytes} "
                f"and a body of {table_bytes} bytes"
            )
        if 4 + 2 * index >= vtable_bytes:
            return None
        offset = self.file.integer("H", vtable + 4 + 2 * index)
        if offset == 0:
            return None
        if offset < 4 or offset + size > table_bytes:
            raise FormatError(
                f"{self.file.name}: field {index} of the table at {self.position} "
                f"is at {offset} of {table_bytes}"
            )
        return self.position + offset

    def number(self, index: int, code: str, default: float) -> int | float:
        """Return a number field."""
        position = self._field(index, struct.calcsize(f"<{code}"))
        return default if position is None else self.file.number(code, position)

    def integer(self, index: int, code: str, default: int) -> int:
        """Return an integer field."""
        return int(self.number(index, code, default))

    def table(self, index: int) -> Table | None:
        """Return a field that is a table."""
        position = self._field(index, 4)
        return None if position is None else Table(self.file, self.file.follow(position))

    def _vector(self, index: int, size: int) -> tuple[int, int]:
        position = self._field(index, 4)
        if position is None:
            return 0, 0
        start = self.file.follow(position)
        count = self.file.integer("I", start)
        if start + 4 + count * size > len(self.file.data):
            raise FormatError(
                f"{self.file.name}: vector of {count} elements of {size} bytes at offset {start} "
                f"of {len(self.file.data)} bytes"
            )
        return start + 4, count

    def raw(self, index: int) -> bytes:
        """Return a field that is a vector of bytes, or a string."""
        start, count = self._vector(index, 1)
        return self.file.data[start : start + count]

    def text(self, index: int) -> str:
        """Return a field that is a string."""
        return self.raw(index).decode("utf-8", "replace")

    def integers(self, index: int, code: str) -> tuple[int, ...]:
        """Return a field that is a vector of integers."""
        start, count = self._vector(index, struct.calcsize(f"<{code}"))
        return tuple(struct.unpack_from(f"<{count}{code}", self.file.data, start))

    def floats(self, index: int) -> tuple[float, ...]:
        """Return a field that is a vector of float32."""
        start, count = self._vector(index, 4)
        return tuple(struct.unpack_from(f"<{count}f", self.file.data, start))

    def tables(self, index: int) -> list[Table]:
        """Return a field that is a vector of tables."""
        start, count = self._vector(index, 4)
        return [Table(self.file, self.file.follow(start + 4 * number)) for number in range(count)]
