"""Reading a TOML file strictly: each value has a type, each key is asked for, errors say where."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self, TypeVar, cast

from edgekit.errors import ConfigError

_T = TypeVar("_T")


class TomlTable:
    """A table of a TOML file that knows where it is and which keys were read.

    Args:
        label: Name of the table, empty for the whole document.
        known: Keys that any table may have; another key explains one that is missing.
    """

    def __init__(
        self, path: Path, label: str, values: Mapping[str, object], known: Collection[str]
    ) -> None:
        self._path = path
        self._known = known
        self._label = label
        self._values = values
        self._read: list[str] = []

    @classmethod
    def open(cls, path: Path, tables: tuple[str, ...], known: Collection[str]) -> Self:
        """Read a file of these tables.

        Raises:
            ConfigError: If it cannot be read, is no TOML or has other tables.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise ConfigError(f"{_short(path)}: {exc.strerror}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{_short(path)}: {exc}") from exc
        document = cls(path, "", values, known)
        document._read.extend(tables)
        document.close()
        return document

    def error(self, text: str) -> ConfigError:
        """Make an error that says where it is."""
        where = f" [{self._label}]" if self._label else ""
        return ConfigError(f"{_short(self._path)}:{where} {text}")

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return key in self._values

    def names(self) -> tuple[str, ...]:
        """Return the keys in order."""
        return tuple(self._values)

    def table(self, key: str) -> TomlTable:
        """Return a table below this one."""
        label = f"{self._label}.{key}" if self._label else key
        values = self._value(key, dict, None)
        return TomlTable(self._path, label, cast("Mapping[str, object]", values), self._known)

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """Return a value of this type.

        Raises:
            ConfigError: If it has another, or is missing and has no default.
        """
        return self._value(key, kind, default)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from low to high."""
        value = self._value(key, int, default)
        if not low <= value <= high:
            raise self.error(f"'{key}' is {value}, expected {low} to {high}")
        return value

    def choice(self, key: str, choices: tuple[_T, ...]) -> _T:
        """Return a value that is one of these."""
        value = self._value(key, str, None)
        for choice in choices:
            if value == choice:
                return choice
        raise self.error(f"'{key}' is '{value}', expected one of {', '.join(map(str, choices))}")

    def name(self, key: str, stem: str) -> str:
        """Return a name, which is also that of the file."""
        value = self._value(key, str, None)
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
            raise self.error(
                f"'{key}' is '{value}', expected a-z, 0-9 and _, at most 32 characters"
            )
        if value != stem:
            raise self.error(f"'{key}' is '{value}', the file is called '{stem}.toml'")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = cast("list[object]", self._value(key, list, None))
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"'{key}' holds {value!r}, expected strings")
        return tuple(str(value) for value in values)

    def close(self) -> None:
        """Refuse keys that nobody has read."""
        for key in self._values:
            if key not in self._read:
                where = f" in [{self._label}]" if self._label else ""
                raise ConfigError(
                    f"{_short(self._path)}: unknown key '{key}'{where}{suggest(key, self._read)}"
                )

    def _value(self, key: str, kind: type[_T], default: _T | None) -> _T:
        self._read.append(key)
        if key not in self._values:
            if default is not None:
                return default
            # A misspelt key explains a missing one better than its absence does.
            unknown = [other for other in self._values if other not in self._known]
            for other in difflib.get_close_matches(key, unknown, n=1):
                where = f" in [{self._label}]" if self._label else ""
                raise ConfigError(
                    f"{_short(self._path)}: unknown key '{other}'{where}; did you mean '{key}'?"
                )
            raise self.error(f"key '{key}' is missing")
        value = self._values[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            found = type(value).__name__
            raise self.error(f"'{key}' is of type {found}, expected {kind.__name__}")
        return value


def suggest(name: str, known: Collection[str]) -> str:
    """Return the end of a line about an unknown name: the nearest one, or all."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(sorted(known))}"


def _short(path: Path) -> str:
    return "/".join(path.parts[-3:])
