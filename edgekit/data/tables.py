"""Tables of text: CSV, TSV and JSON lines, plain or gzip; refused by file and line."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.errors import FormatError

MAX_CELL_BYTES = 1_000_000
"""Largest text of one row; more is a broken file (an unclosed quote, say), not a sentence."""
KINDS = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        line: Where it begins in the file, from 1.
        cells: Values in the order of the wanted columns; text, or what JSON says.
    """

    line: int
    cells: tuple[Any, ...]


def table_kind(path: Path) -> str:
    """Tell the kind of a table by its ending, `.gz` left out.

    Raises:
        FormatError: If it is none of KINDS.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise FormatError(f"{path}: ends with {kind!r}; a table is {known}, or one of them .gz")
    return kind


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read the given columns of every row.

    CSV has quotes as in RFC 4180, TSV has none; both begin with a line of column names. JSON lines
    have one object per line. Lines without anything are skipped.

    Raises:
        FormatError: If the file is missing, empty, not UTF-8, or a row is not as its columns say.
    """
    kind = table_kind(path)
    text = read_text(path)
    rows = _json_rows(path, text) if kind == ".jsonl" else _separated_rows(path, text, kind)
    found = [_choose(path, line, values, columns) for line, values in rows]
    if not found:
        raise FormatError(f"{path}: has no rows")
    return found


def read_text(path: Path) -> str:
    """Read a whole file of UTF-8 text, unpacked if it ends with `.gz`.

    Raises:
        FormatError: If it cannot be read, is empty or not UTF-8.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise FormatError(f"{path}: is not a whole gzip file: {exc}") from exc
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if not data.strip():
        raise FormatError(f"{path}: is empty")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise FormatError(
            f"{path}:{line}: is not UTF-8 text (byte 0x{data[exc.start]:02x});"
            " write the file again as UTF-8"
        ) from exc


def _separated_rows(path: Path, text: str, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # One cell may be longer than the module's own limit, which belongs to the whole process.
    before = csv.field_size_limit(2 * MAX_CELL_BYTES)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if kind == ".tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if kind == ".tsv" else ",",
        quoting=quoting,
        strict=True,
    )
    try:
        names = [name.strip() for name in next(reader)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise FormatError(f"{path}:1: column {repeated[0]!r} appears twice")
        begin = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(names):
                raise FormatError(
                    f"{path}:{begin}: has {len(cells)} cells, the first line names"
                    f" {len(names)} columns"
                )
            if cells:
                yield begin, dict(zip(names, cells, strict=True))
            begin = reader.line_num + 1
    except csv.Error as exc:
        raise FormatError(f"{path}:{reader.line_num}: is no row of a table: {exc}") from exc
    finally:
        csv.field_size_limit(before)


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): a JSON text may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise FormatError(f"{path}:{number}: is not JSON: {exc}") from exc
        if not isinstance(values, dict):
            raise FormatError(f"{path}:{number}: is {line.strip()[:40]!r}, must be an object")
        yield number, values


def _choose(path: Path, line: int, values: dict[str, Any], columns: Sequence[str]) -> Row:
    for column in columns:
        if column not in values:
            near = difflib.get_close_matches(column, list(values), n=1)
            there = ", ".join(map(repr, values))
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {there}"
            raise FormatError(f"{path}:{line}: has no column {column!r}{hint}")
        cell = values[column]
        if isinstance(cell, str) and len(cell.encode("utf-8", "replace")) > MAX_CELL_BYTES:
            raise FormatError(
                f"{path}:{line}: column {column!r} has {len(cell):,} characters,"
                f" more than {MAX_CELL_BYTES:,} bytes; shorten the text or mend the quotes"
            )
    return Row(line, tuple(values[column] for column in columns))
