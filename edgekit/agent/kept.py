"""What an agent remembers of itself: `state.json` in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import FormatError, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What lies in `state.json`; every value is a number or hex.

    Attributes:
        token: Id of the token that the keys belong to.
        image: Id of the active image, empty if there is none.
    """

    boot: int = 0
    token: str = ""
    private: str = ""
    key: str = ""
    image: str = ""
    counter: int = 0


def load_kept(path: Path) -> Kept:
    """Read the file.

    Raises:
        StoreError: If it cannot be read.
        FormatError: If it is damaged.
    """
    checks: dict[str, Callable[[object], bool]] = {
        name: (lambda value: type(value) is int) if name in ("boot", "counter") else _is_hex
        for name in Kept.__slots__
    }
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Kept()
    except OSError as exc:
        raise StoreError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise FormatError(f"{path}: is no JSON: {exc}") from exc
    if (
        not isinstance(value, dict)
        or set(value) != set(checks)
        or not all(check(value[name]) for name, check in checks.items())
    ):
        raise FormatError(f"{path}: is not the state of an agent")
    return Kept(**value)


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and len(value) % 2 == 0 and set(value) <= set("0123456789abcdef")
