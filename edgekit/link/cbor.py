"""The small deterministic part of CBOR that control messages and manifests use.

Maps with unsigned integer keys; values are unsigned integers, byte strings, text, maps, false, true
and null. Every head is walked once without recursion before cbor2 sees the bytes, so that neither
depth nor a declared length nor a tag can cost more than the input's own size.

Source: RFC 8949, section 4.2.1 (core deterministic encoding)
Twin: firmware/link/ek_cbor.c
"""

from __future__ import annotations

from typing import cast

import cbor2

from edgekit.link.status import Status, refuse

MAX_DEPTH = 4
MAX_ITEMS = 64  # entries of one map
MAX_UNSIGNED = 2**64 - 1

Value = int | bytes | str | bool | None | dict[int, "Value"]
Map = dict[int, Value]

_UNSIGNED, _BYTES, _TEXT, _MAP, _SIMPLE = 0, 2, 3, 5, 7
_SIMPLE_VALUES = (20, 21, 22)  # false, true, null


def encode_map(value: Map) -> bytes:
    """Encode a map; keys are brought into ascending order.

    Raises:
        ValueError: If the value is outside the subset.
    """
    _check_value(value, depth=1)
    return cbor2.dumps(value, canonical=True)


def decode_map(data: bytes) -> Map:
    """Decode exactly one map.

    Raises:
        LinkError: CBOR if the bytes are malformed, not deterministic or outside the subset,
            TRUNCATED if they end too early.
    """
    _walk(data)
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError) as exc:
        raise refuse(Status.CBOR, f"CBOR of {len(data)} bytes: {exc}") from exc
    if type(value) is not dict:
        raise refuse(Status.CBOR, f"CBOR holds a {type(value).__name__}, expected a map")
    if cbor2.dumps(value, canonical=True) != data:
        raise refuse(Status.CBOR, f"CBOR of {len(data)} bytes is not in its deterministic form")
    return cast(Map, value)


def _walk(data: bytes) -> None:
    """Prove major types, lengths, depth, item counts and the total length."""
    at = 0
    open_maps: list[int] = []  # values and keys still to come, per open map
    while True:
        if at >= len(data):
            raise refuse(Status.TRUNCATED, f"CBOR ends at byte {at} inside a map")
        start, major, low = at, data[at] >> 5, data[at] & 0x1F
        at += 1
        argument = low
        if low >= 24 and major != _SIMPLE:
            width = {24: 1, 25: 2, 26: 4, 27: 8}.get(low)
            if width is None:
                raise refuse(Status.CBOR, f"CBOR byte {start} has an indefinite or reserved length")
            if at + width > len(data):
                raise refuse(Status.TRUNCATED, f"CBOR ends at byte {len(data)} inside a length")
            argument = int.from_bytes(data[at : at + width], "big")
            at += width
        is_key = bool(open_maps) and open_maps[-1] % 2 == 0
        if is_key and major != _UNSIGNED:
            raise refuse(
                Status.CBOR, f"CBOR byte {start}: key of major type {major}, expected 0 (unsigned)"
            )
        if not open_maps and major != _MAP:
            raise refuse(Status.CBOR, f"CBOR starts with major type {major}, expected 5 (map)")
        if open_maps:
            open_maps[-1] -= 1
        if major in (_BYTES, _TEXT):
            if argument > len(data) - at:
                raise refuse(
                    Status.TRUNCATED,
                    f"CBOR byte {start}: string of {argument} bytes, {len(data) - at} are left",
                )
            at += argument
        elif major == _MAP:
            if argument > MAX_ITEMS:
                raise refuse(
                    Status.CBOR, f"CBOR byte {start}: {argument} items, at most {MAX_ITEMS}"
                )
            if len(open_maps) == MAX_DEPTH:
                raise refuse(Status.CBOR, f"CBOR byte {start}: deeper than {MAX_DEPTH} maps")
            open_maps.append(2 * argument)
        elif major == _SIMPLE:
            if low not in _SIMPLE_VALUES:
                raise refuse(
                    Status.CBOR, f"CBOR byte {start}: float or simple value {low} is not in use"
                )
        elif major != _UNSIGNED:
            raise refuse(Status.CBOR, f"CBOR byte {start}: major type {major} is not in use")
        while open_maps and open_maps[-1] == 0:
            open_maps.pop()
        if not open_maps:
            break
    if at != len(data):
        raise refuse(Status.CBOR, f"CBOR map ends at byte {at}, the content at {len(data)}")


def _check_value(value: object, *, depth: int) -> None:
    if value is None or isinstance(value, bool | bytes | str):
        return
    if isinstance(value, int):
        if not 0 <= value <= MAX_UNSIGNED:
            raise ValueError(f"integer {value} is outside 0 .. 2**64-1")
        return
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} is not in the CBOR subset")
    if depth > MAX_DEPTH or len(value) > MAX_ITEMS:
        raise ValueError(f"map of {len(value)} items at depth {depth} is outside the CBOR subset")
    for key, item in value.items():
        if type(key) is not int or not 0 <= key <= MAX_UNSIGNED:
            raise ValueError(f"map key {key!r} is not an unsigned integer")
        _check_value(item, depth=depth + 1)
