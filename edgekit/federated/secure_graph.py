"""Who is whose neighbour in a round of secure aggregation, and who holds whose shares.

Source: Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", 2020,
    section 3 (a ring of the members in random order, each bound to the nearest ones)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence

from edgekit.federated.secure_keys import Place

LEAST = 3  # devices in a sum; of two, each knows the other's part
MAX_NEIGHBOURS = 16  # Twin: firmware/learn/ek_secure.h, EK_SECURE_PEERS_MAX


def neighbours(members: Sequence[int], wanted: int, place: Place) -> dict[int, tuple[int, ...]]:
    """Return the neighbours of each member, in rising order.

    Args:
        members: Indices, each once.
        wanted: Neighbours of each; all others if these are not more, else an even number.
    """
    if len(members) - 1 <= wanted:
        return {one: tuple(sorted(set(members) - {one})) for one in members}
    ring = sorted(members, key=lambda index: _order(index, place))
    reach = max(1, wanted // 2)
    found: dict[int, tuple[int, ...]] = {}
    for at, one in enumerate(ring):
        steps = (*range(-reach, 0), *range(1, reach + 1))
        found[one] = tuple(sorted(ring[(at + step) % len(ring)] for step in steps))
    return found


def holders(index: int, known: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    """Return who holds shares of a member, at the places 1, 2, ...: itself, then its neighbours."""
    return (index, *known[index])


def threshold_of(count: int, share: float) -> int:
    """Return how many of `count` holders are needed: more than the share, and more than half."""
    return min(count, max(math.floor(share * count), count // 2) + 1)


def parts(members: Collection[int], known: Mapping[int, tuple[int, ...]]) -> list[set[int]]:
    """Return the groups of members that neighbourhood holds together."""
    left, found = set(members), []
    while left:
        group, edge = set(), {left.pop()}
        while edge:
            one = edge.pop()
            group.add(one)
            edge |= (left & set(known[one])) - group
            left -= edge
        found.append(group)
    return found


def _order(index: int, place: Place) -> bytes:
    text = b"ek-secure-ring" + place.encode() + index.to_bytes(4, "little")
    return hashlib.blake2b(text, digest_size=16).digest()
