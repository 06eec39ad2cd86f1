"""Fields of messages: a key, and a codec between a Python value and a CBOR value.

A codec's `load` is the one place where a field's rule stands: decoding refuses with it, and
encoding runs its own result through it.
"""

from __future__ import annotations

import dataclasses
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self, cast

from edgekit.errors import LinkError
from edgekit.link.cbor import Map, Value, decode_map, encode_map
from edgekit.link.status import Status, refuse


@dataclass(frozen=True, slots=True)
class Codec:
    """How a field travels.

    Attributes:
        dump: Python value to CBOR value.
        load: CBOR value and the field's name to Python value; raises LinkError.
    """

    dump: Callable[[Any], Value]
    load: Callable[[Value, str], Any]


def key(number: int, codec: Codec, **options: Any) -> Any:
    """Declare a dataclass field that travels under a key."""
    return dataclasses.field(metadata={"key": number, "codec": codec}, **options)


def optional_key(number: int, codec: Codec, default: Any) -> Any:
    """Declare a field that travels under a key only if it says something: not None, not empty.

    Who does not know the key yet must be taught before anybody sends it; who does not send it is
    understood by all.
    """
    metadata = {"key": number, "codec": codec, "optional": True}
    return dataclasses.field(metadata=metadata, default=default)


class Message:
    """Base of all messages that are CBOR maps."""

    __slots__ = ()

    def encode(self) -> bytes:
        """Return the deterministic CBOR of this message.

        Raises:
            ValueError: If a field is out of its range.
        """
        return encode_map(self.to_map())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message.

        Raises:
            LinkError: CBOR, TRUNCATED, RANGE or NOT_FINITE.
        """
        return cls.from_map(decode_map(data), cls.__name__)

    def to_map(self) -> Map:
        """Return keys and values as they travel."""
        out: Map = {}
        for number, name, codec, optional in _fields(type(self)):
            said = getattr(self, name)
            if optional and not said:
                continue
            value = codec.dump(said)
            try:
                codec.load(value, f"{type(self).__name__}.{name}")
            except LinkError as exc:
                raise ValueError(str(exc)) from exc
            out[number] = value
        return out

    @classmethod
    def from_map(cls, value: Value, where: str) -> Self:
        """Read a message from a decoded map; `where` names it in errors."""
        if not isinstance(value, dict):
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected a map")
        fields = _fields(cls)
        known = {number for number, *_ in fields}
        missing = [number for number, _, _, optional in fields if not (optional or number in value)]
        unknown = [number for number in value if number not in known]
        if missing or unknown:
            raise refuse(Status.CBOR, f"{where}: missing keys {missing}, unknown keys {unknown}")
        return cls(
            **{
                name: codec.load(value[number], f"{where}.{name}")
                for number, name, codec, _ in fields
                if number in value
            }
        )


_Fields = list[tuple[int, str, Codec, bool]]
_CACHE: dict[type, _Fields] = {}


def _fields(cls: type) -> _Fields:
    known = _CACHE.get(cls)
    if known is None:
        known = [
            (
                field.metadata["key"],
                field.name,
                field.metadata["codec"],
                field.metadata.get("optional", False),
            )
            for field in dataclasses.fields(cls)
        ]
        known.sort(key=lambda item: item[0])
        _CACHE[cls] = known
    return known


def _name(value: object) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def _same(value: Any) -> Value:
    return cast(Value, value)


def unsigned(bits: int, *, minimum: int = 0, maximum: int | None = None) -> Codec:
    """Unsigned integer of at most so many bits."""
    top = (1 << bits) - 1 if maximum is None else maximum

    def load(value: Value, where: str) -> int:
        if type(value) is not int:
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected an unsigned integer")
        if not minimum <= value <= top:
            raise refuse(Status.RANGE, f"{where} is {value}, expected {minimum} .. {top}")
        return value

    return Codec(lambda value: int(value), load)


def constant(expected: int) -> Codec:
    """Integer that can only be this one."""

    def load(value: Value, where: str) -> int:
        if type(value) is not int or value != expected:
            raise refuse(Status.VERSION, f"{where} is {value!r}, expected {expected}")
        return value

    return Codec(_same, load)


def limited(minimum: int, maximum: int) -> Codec:
    """Byte string of minimum .. maximum bytes."""

    def load(value: Value, where: str) -> bytes:
        if not isinstance(value, bytes):
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected a byte string")
        if not minimum <= len(value) <= maximum:
            raise refuse(
                Status.RANGE, f"{where} has {len(value)} bytes, expected {minimum} .. {maximum}"
            )
        return value

    return Codec(_same, load)


def exact(length: int) -> Codec:
    """Byte string of one length."""
    return limited(length, length)


def text(maximum: int, *, check: Callable[[str], bool] | None = None) -> Codec:
    """Text of at most so many bytes in UTF-8, and of a form if `check` is given."""

    def load(value: Value, where: str) -> str:
        if not isinstance(value, str):
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected text")
        length = len(value.encode("utf-8", "surrogatepass"))
        if length > maximum:
            raise refuse(Status.RANGE, f"{where} has {length} bytes of text, at most {maximum}")
        if check is not None and not check(value):
            raise refuse(Status.RANGE, f"{where} is {value!r}, which has not the form it needs")
        return value

    return Codec(_same, load)


_WORD = re.compile(r"[a-z0-9_-]+")


def words(maximum: int) -> Codec:
    """Words of small letters, digits, - and _, as one text with commas; at least one."""
    whole = text(maximum)

    def load(value: Value, where: str) -> tuple[str, ...]:
        found = tuple(whole.load(value, where).split(","))
        if not all(map(_WORD.fullmatch, found)):
            raise refuse(Status.RANGE, f"{where} is {value!r}, expected words joined by commas")
        return found

    return Codec(lambda value: ",".join(value), load)


def enum(kind: type[IntEnum]) -> Codec:
    """Member of an enumeration, as its number."""

    def load(value: Value, where: str) -> IntEnum:
        if type(value) is not int:
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected an unsigned integer")
        try:
            return kind(value)
        except ValueError as exc:
            raise refuse(Status.RANGE, f"{where} is {value}, not one of {kind.__name__}") from exc

    return Codec(lambda value: int(value), load)


def status() -> Codec:
    """Status, as its number without the sign."""

    def load(value: Value, where: str) -> Status:
        if type(value) is not int:
            raise refuse(Status.CBOR, f"{where} is {_name(value)}, expected an unsigned integer")
        try:
            return Status(-value)
        except ValueError as exc:
            raise refuse(Status.RANGE, f"{where} is {value}, which is no status") from exc

    return Codec(lambda value: -int(value), load)


def float32() -> Codec:
    """Finite number, as the 32 bits of its float32."""

    def load(value: Value, where: str) -> float:
        if type(value) is not int or not 0 <= value < 2**32:
            raise refuse(Status.CBOR, f"{where} is {value!r}, expected the bits of a float32")
        number: float = struct.unpack("<f", value.to_bytes(4, "little"))[0]
        if not math.isfinite(number):
            raise refuse(Status.NOT_FINITE, f"{where} is {number}, expected a finite number")
        return number

    def dump(value: float) -> Value:
        try:
            return int.from_bytes(struct.pack("<f", value), "little")
        except OverflowError as exc:
            raise ValueError(f"{value} does not fit a float32") from exc

    return Codec(dump, load)


def nullable(codec: Codec) -> Codec:
    """Null, or what another codec says."""
    return Codec(
        lambda value: None if value is None else codec.dump(value),
        lambda value, where: None if value is None else codec.load(value, where),
    )


def nested(kind: type[Message]) -> Codec:
    """Message inside a message, as a map."""
    return Codec(lambda value: value.to_map(), kind.from_map)
