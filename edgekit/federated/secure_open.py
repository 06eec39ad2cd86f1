"""Taking the masks from a sum: secrets are put together of shares, for the sum and nothing else.

Of a device whose masked update is in the sum its seed is put together, of one that shared its
secrets and was silent then its mask key; never both, so no single update can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgekit.errors import LinkError
from edgekit.federated.secure_keys import (
    PublicKeys,
    commitment,
    pair_mask,
    public_key,
    self_mask,
)
from edgekit.federated.secure_objects import Part
from edgekit.federated.secure_quantize import Scale, Sum, summed
from edgekit.federated.secure_shamir import combine
from edgekit.federated.secure_state import Ring, SecurePhase, SecureRound
from edgekit.link.status import Status, refuse

_TRIES = 500  # sets of shares, if some of them are wrong: 3 of 13 at least


def low_order(key: bytes) -> bool:
    """Say whether a public key would make every common secret 0 (RFC 7748, 6.1)."""
    try:
        X25519PrivateKey.from_private_bytes(b"\x01" * 32).exchange(
            X25519PublicKey.from_public_bytes(key)
        )
    except ValueError:
        return True
    return False


def needed(secure: SecureRound, ring: Ring) -> dict[int, Part]:
    """Return which secret of which member takes the masks away."""
    masked = {ring.indices[device] for device in secure.masked}
    sharers = {ring.indices[device] for device in secure.stages[SecurePhase.MASKED - 1]}
    found = {}
    for index in sorted(sharers):
        if index in masked:
            found[index] = Part.SEED
        elif masked & set(ring.known[index]):
            found[index] = Part.MASK_KEY
    return found


def is_fit(secure: SecureRound, ring: Ring, scale: Scale) -> bool:
    """Say whether there are shares enough, and those that are wrong are outnumbered."""
    enough = all(
        len(_shares(secure, ring, index)) >= ring.threshold(index) for index in needed(secure, ring)
    )
    if not enough:
        return False
    found = _outcome(secure, ring, scale)
    return isinstance(found, Sum) or found.status != int(Status.HASH)


def opened(secure: SecureRound, ring: Ring, scale: Scale) -> Sum:
    """Take the masks from the sum.

    Raises:
        LinkError: STATE if there are too few shares of a secret, HASH if they do not fit together,
            RANGE if the sum cannot be that of updates.
    """
    found = _outcome(secure, ring, scale)
    if isinstance(found, LinkError):
        raise found
    return found


@lru_cache(maxsize=4)  # by identity: it is asked for at each tick, and when a round closes
def _outcome(secure: SecureRound, ring: Ring, scale: Scale) -> Sum | LinkError:
    try:
        return _opened(secure, ring, scale)
    except LinkError as exc:
        return exc


def _opened(secure: SecureRound, ring: Ring, scale: Scale) -> Sum:
    if secure.total is None:
        raise refuse(Status.STATE, "no masked update has come")
    total = secure.total.copy()
    for index, part in needed(secure, ring).items():
        secret = _together(secure, ring, index, part)
        if part is Part.SEED:
            total -= self_mask(secret, secure.place, index, len(total))
            continue
        for other in ring.known[index]:
            if ring.devices[other] in secure.masked:
                # What the silent one would have added is what is left over.
                public = secure.keys[ring.devices[other]].mask
                total += pair_mask(secret, public, secure.place, index, other, len(total))
    return summed(total, scale, len(secure.masked))


def _shares(secure: SecureRound, ring: Ring, index: int) -> dict[int, bytes]:
    """Return the shares of a member's secret that were revealed, by their places."""
    found = {}
    for place, holder in enumerate(ring.holders(index), 1):
        revealed = secure.revealed.get(ring.devices[holder], {})
        if index in revealed:
            found[place] = revealed[index][1]
    return found


def _together(secure: SecureRound, ring: Ring, index: int, part: Part) -> bytes:
    device, least = ring.devices[index], ring.threshold(index)
    shares = _shares(secure, ring, index)
    name = part.name.lower().replace("_", " ")
    if len(shares) < least:
        raise refuse(
            Status.STATE, f"{len(shares)} shares of the {name} of {device} came, {least} are needed"
        )
    proof = _proof(part, secure.keys[device], secure.shares[device].commitment)
    return _fitting(shares, least, proof, f"the {name} of {device}")


def _proof(part: Part, keys: PublicKeys, committed: bytes) -> Callable[[bytes], bool]:
    if part is Part.SEED:
        return lambda secret: commitment(secret) == committed
    return lambda secret: public_key(secret) == keys.mask


def _fitting(
    shares: Mapping[int, bytes], least: int, proof: Callable[[bytes], bool], what: str
) -> bytes:
    """Return the secret that is proven right, leaving out few of the shares if some are wrong."""
    places = sorted(shares)
    left_out = (
        set(some)
        for count in range(len(places) - least + 1)
        for some in itertools.combinations(places, count)
    )
    for some in itertools.islice(left_out, _TRIES):
        used = [place for place in places if place not in some][:least]
        secret = combine({place: shares[place] for place in used})
        if proof(secret):
            return secret
    raise refuse(Status.HASH, f"the {len(shares)} shares of {what} do not fit together")
