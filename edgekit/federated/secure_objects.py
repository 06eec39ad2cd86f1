"""The objects of secure aggregation: what device and server hand each other in each phase.

Twin: firmware/link/PROTOCOL.md, "Secure aggregation"; firmware/learn/ek_secure.c
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from edgekit.federated.secure_graph import LEAST, MAX_NEIGHBOURS
from edgekit.federated.secure_keys import KEY_BYTES, SEALED_BYTES, Place, PublicKeys, UInt32Array
from edgekit.federated.secure_quantize import MAX_LEVELS, Scale
from edgekit.link.status import Status, refuse

MAGIC = b"EKSA"
VERSION = 1
BOUNDS = float(np.float32(1e-6)), float(np.float32(1e30))
NOBODY = 0xFFFFFFFF  # index of a device that has not been told its own

_HEADER = struct.Struct("<4sHHQII")  # magic, version, kind, run, round, index
_ROSTER = struct.Struct("<HHIfI")  # threshold, count, levels, bound, most weight
_ROSTER_ROW = struct.Struct("<I32s32s")
_SEALED_ROW = struct.Struct(f"<I{SEALED_BYTES}s")
_ASKED_ROW = struct.Struct("<II")
_REVEALED_ROW = struct.Struct("<II32s")
_COUNT = struct.Struct("<I")
_COMMITTED = struct.Struct("<32sI")

HEADER_BYTES = _HEADER.size
KEYS_BYTES = _HEADER.size + 2 * KEY_BYTES


class Kind(IntEnum):
    """What an object is."""

    KEYS = 1
    ROSTER = 2
    SHARES = 3
    INBOX = 4
    MASKED = 5
    REQUEST = 6
    REVEALED = 7


class Part(IntEnum):
    """Which of its two secrets a share is of."""

    SEED = 0  # of a device whose masked update is in the sum
    MASK_KEY = 1  # of one that shared its secrets and then was silent


@dataclass(frozen=True, slots=True)
class Roster:
    """What a member is told before it shares its secrets.

    Attributes:
        index: Its own.
        threshold: Shares that put a secret together.
        peers: Public keys of its neighbours by index, rising.
    """

    index: int
    threshold: int
    scale: Scale
    peers: Mapping[int, PublicKeys]


@dataclass(frozen=True, slots=True)
class Shares:
    """Sealed shares by the index of who is to open them, and what proves the seed."""

    commitment: bytes
    sealed: Mapping[int, bytes]


Revealed = Mapping[int, tuple[Part, bytes]]


def encode_keys(place: Place, keys: PublicKeys) -> bytes:
    """Return a device's public keys of a round."""
    return _head(Kind.KEYS, place, NOBODY) + keys.share + keys.mask


def decode_keys(data: bytes, place: Place) -> PublicKeys:
    """Read public keys.

    Raises:
        LinkError: If they are of another round, or cut short.
    """
    body = _body(data, Kind.KEYS, place, NOBODY)
    _expect_bytes(body, 2 * KEY_BYTES, "keys")
    return PublicKeys(body[:KEY_BYTES], body[KEY_BYTES:])


def encode_roster(place: Place, roster: Roster) -> bytes:
    """Return what a member is told of its neighbours."""
    scale = roster.scale
    head = _ROSTER.pack(
        roster.threshold, len(roster.peers), scale.levels, scale.bound, scale.most_weight
    )
    rows = (_ROSTER_ROW.pack(i, keys.share, keys.mask) for i, keys in roster.peers.items())
    return _head(Kind.ROSTER, place, roster.index) + head + b"".join(rows)


def decode_roster(data: bytes, place: Place) -> Roster:
    """Read a roster, and refuse one that would not protect its reader.

    Raises:
        LinkError: Also if there are too few neighbours, or so low a threshold that two halves of
            them could be asked for different secrets.
    """
    body = _body(data, Kind.ROSTER, place, None)
    index = _HEADER.unpack_from(data)[5]
    if len(body) < _ROSTER.size:
        raise refuse(Status.TRUNCATED, f"roster has {len(body)} bytes, expected {_ROSTER.size}")
    threshold, count, levels, bound, most_weight = _ROSTER.unpack_from(body)
    rows = _rows(body, _ROSTER.size, count, _ROSTER_ROW, "roster")
    if not LEAST - 1 <= count <= MAX_NEIGHBOURS:
        raise refuse(
            Status.RANGE, f"roster has {count} neighbours, expected {LEAST - 1} .. {MAX_NEIGHBOURS}"
        )
    if not (count + 1) // 2 < threshold <= count + 1:
        raise refuse(
            Status.RANGE,
            f"threshold is {threshold} of {count + 1} holders, expected more than half",
        )
    if not (1 <= levels <= MAX_LEVELS and 1 <= most_weight <= 2**31 - 1):
        raise refuse(Status.RANGE, f"roster has {levels} levels and weights up to {most_weight}")
    if not BOUNDS[0] <= bound <= BOUNDS[1]:
        raise refuse(Status.RANGE, f"roster has bound {bound}, expected {BOUNDS[0]} .. {BOUNDS[1]}")
    peers = {row[0]: PublicKeys(row[1], row[2]) for row in rows}
    if index in peers:
        raise refuse(Status.RANGE, f"roster names its reader, member {index}, as a neighbour")
    return Roster(index, threshold, Scale(levels, bound, most_weight), peers)


def encode_shares(place: Place, index: int, shares: Shares) -> bytes:
    """Return a member's sealed shares for its neighbours."""
    head = _COMMITTED.pack(shares.commitment, len(shares.sealed))
    return _head(Kind.SHARES, place, index) + head + _sealed_rows(shares.sealed)


def decode_shares(data: bytes, place: Place, index: int, expected: Iterable[int]) -> Shares:
    """Read the sealed shares of a member.

    Raises:
        LinkError: Also if they are not exactly for its neighbours.
    """
    body = _body(data, Kind.SHARES, place, index)
    if len(body) < _COMMITTED.size:
        raise refuse(Status.TRUNCATED, f"shares have {len(body)} bytes")
    proof, count = _COMMITTED.unpack_from(body)
    sealed = dict(_rows(body, _COMMITTED.size, count, _SEALED_ROW, "shares"))
    if set(sealed) != set(expected):
        raise refuse(
            Status.RANGE,
            f"shares are for members {sorted(sealed)}, expected {sorted(expected)}",
        )
    return Shares(proof, sealed)


def encode_inbox(place: Place, index: int, sealed: Mapping[int, bytes]) -> bytes:
    """Return the shares that a member's neighbours sealed for it, by the sender's index."""
    return _head(Kind.INBOX, place, index) + _COUNT.pack(len(sealed)) + _sealed_rows(sealed)


def decode_inbox(data: bytes, place: Place, index: int) -> dict[int, bytes]:
    """Read sealed shares by their senders' indices.

    Raises:
        LinkError: If they are of another round, or for another member.
    """
    body = _body(data, Kind.INBOX, place, index)
    return dict(_rows(body, _COUNT.size, _count(body), _SEALED_ROW, "inbox"))


def encode_masked(place: Place, index: int, values: UInt32Array) -> bytes:
    """Return a masked update."""
    return _head(Kind.MASKED, place, index) + values.astype("<u4").tobytes()


def decode_masked(data: bytes, place: Place, index: int, size: int) -> UInt32Array:
    """Read a masked update, uint32 `[size]`.

    Raises:
        LinkError: If it is of another round, member or size.
    """
    body = _body(data, Kind.MASKED, place, index)
    _expect_bytes(body, 4 * size, "masked update")
    return np.frombuffer(body, "<u4").astype(np.uint32)


def masked_bytes(size: int) -> int:
    """Return the bytes of a masked update of `size` values."""
    return HEADER_BYTES + 4 * size


def shares_bytes(count: int) -> int:
    """Return the bytes of the shares for `count` neighbours."""
    return HEADER_BYTES + _COMMITTED.size + count * _SEALED_ROW.size


def revealed_bytes(count: int) -> int:
    """Return the bytes of `count` revealed shares."""
    return HEADER_BYTES + _COUNT.size + count * _REVEALED_ROW.size


def round_bytes(neighbours: int, values: int) -> tuple[int, int]:
    """Return the bytes that a device sends and is sent in a round, without the head and frames.

    Args:
        neighbours: That it has.
        values: Of a masked update.
    """
    up = KEYS_BYTES + shares_bytes(neighbours) + masked_bytes(values)
    roster = HEADER_BYTES + _ROSTER.size + neighbours * _ROSTER_ROW.size
    inbox = HEADER_BYTES + _COUNT.size + neighbours * _SEALED_ROW.size
    request = HEADER_BYTES + _COUNT.size + (neighbours + 1) * _ASKED_ROW.size
    return up + revealed_bytes(neighbours + 1), roster + inbox + request


def encode_request(place: Place, index: int, wanted: Mapping[int, Part]) -> bytes:
    """Return what a member is asked to reveal of itself and its neighbours."""
    rows = (_ASKED_ROW.pack(other, part) for other, part in wanted.items())
    return _head(Kind.REQUEST, place, index) + _COUNT.pack(len(wanted)) + b"".join(rows)


def decode_request(data: bytes, place: Place, index: int) -> dict[int, Part]:
    """Read what is to be revealed.

    Raises:
        LinkError: If it is of another round, or for another member.
    """
    body = _body(data, Kind.REQUEST, place, index)
    rows = _rows(body, _COUNT.size, _count(body), _ASKED_ROW, "request")
    return {other: _part(part) for other, part in rows}


def encode_revealed(place: Place, index: int, revealed: Revealed) -> bytes:
    """Return the shares that a member reveals."""
    rows = (_REVEALED_ROW.pack(other, part, share) for other, (part, share) in revealed.items())
    return _head(Kind.REVEALED, place, index) + _COUNT.pack(len(revealed)) + b"".join(rows)


def decode_revealed(data: bytes, place: Place, index: int) -> dict[int, tuple[Part, bytes]]:
    """Read revealed shares.

    Raises:
        LinkError: If they are of another round or member, or cut short.
    """
    body = _body(data, Kind.REVEALED, place, index)
    rows = _rows(body, _COUNT.size, _count(body), _REVEALED_ROW, "revealed shares")
    return {other: (_part(part), share) for other, part, share in rows}


def _head(kind: Kind, place: Place, index: int) -> bytes:
    return _HEADER.pack(MAGIC, VERSION, kind, place.run, place.round, index)


def _body(data: bytes, kind: Kind, place: Place, index: int | None) -> bytes:
    name = kind.name.lower()
    if len(data) < _HEADER.size:
        raise refuse(Status.TRUNCATED, f"{name} has {len(data)} bytes, its header {_HEADER.size}")
    magic, version, found, run, round_, of = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise refuse(Status.MAGIC, f"{name} starts with {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise refuse(Status.VERSION, f"{name} has version {version}, known is {VERSION}")
    if found != kind:
        raise refuse(Status.STATE, f"object is of kind {found}, expected {int(kind)}, {name}")
    if (run, round_) != (place.run, place.round):
        raise refuse(
            Status.REPLAY,
            f"{name} is for run {run} round {round_}, expected {place.run} and {place.round}",
        )
    if index is not None and of != index:
        raise refuse(Status.RANGE, f"{name} is of member {of}, expected {index}")
    return data[_HEADER.size :]


def _count(body: bytes) -> int:
    if len(body) < _COUNT.size:
        raise refuse(Status.TRUNCATED, f"list has {len(body)} bytes, expected its length")
    return int(_COUNT.unpack_from(body)[0])


def _rows(
    body: bytes, begin: int, count: int, row: struct.Struct, name: str
) -> list[tuple[Any, ...]]:
    if count > MAX_NEIGHBOURS + 1:
        raise refuse(Status.RANGE, f"{name} has {count} rows, at most {MAX_NEIGHBOURS + 1}")
    _expect_bytes(body[begin:], count * row.size, name)
    found = list(row.iter_unpack(body[begin:]))
    indices = [each[0] for each in found]
    if indices != sorted(set(indices)):
        raise refuse(Status.RANGE, f"{name} names members {indices}, expected each once, rising")
    return found


def _sealed_rows(sealed: Mapping[int, bytes]) -> bytes:
    return b"".join(_SEALED_ROW.pack(other, sealed[other]) for other in sorted(sealed))


def _expect_bytes(body: bytes, expected: int, name: str) -> None:
    if len(body) != expected:
        status = Status.TRUNCATED if len(body) < expected else Status.RANGE
        raise refuse(status, f"{name} has {len(body)} bytes behind its head, expected {expected}")


def _part(value: int) -> Part:
    if value not in (0, 1):
        raise refuse(Status.RANGE, f"part of a secret is {value}, expected 0 or 1")
    return Part(value)
