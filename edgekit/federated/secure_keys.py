"""Keys, masks and sealed shares of one round of secure aggregation.

A device draws one secret per round, the root; all else that is secret follows from it. The
primitives are those of `cryptography` and hashlib: X25519, ChaCha20, ChaCha20-Poly1305, BLAKE2b.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning",
    2017, figure 4; RFC 7748 (X25519), RFC 8439 (ChaCha20, Poly1305), RFC 7693 (BLAKE2b)
Twin: firmware/learn/ek_secure.c; firmware/link/PROTOCOL.md, "Secure aggregation"
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from edgekit.link.status import Status, refuse

UInt32Array = npt.NDArray[np.uint32]

KEY_BYTES = 32
SECRET_BYTES = 64  # self-mask seed, then mask key
BLOCK_BYTES = 64  # of ChaCha20; one coefficient of the shares each
SEALED_BYTES = SECRET_BYTES + 16


@dataclass(frozen=True, slots=True)
class Place:
    """What every key is bound to: a run and a round of it."""

    run: int
    round: int

    def encode(self) -> bytes:
        """Return the 12 bytes that go into hashes."""
        return struct.pack("<QI", self.run, self.round)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What a device says at the beginning of a round.

    Attributes:
        share: X25519 public key under which shares are sent to it.
        mask: X25519 public key that pairwise masks are agreed with.
    """

    share: bytes
    mask: bytes


class Secrets:
    """The secrets of one device in one round.

    Args:
        root: 32 bytes that nobody else knows and that are never used again.
    """

    def __init__(self, root: bytes) -> None:
        self.share_key = _derived(root, b"ek-secure-share-key")
        self.mask_key = _derived(root, b"ek-secure-mask-key")
        self.seed = _derived(root, b"ek-secure-self")
        self._coefficients = _derived(root, b"ek-secure-coefficients")

    def public(self) -> PublicKeys:
        """Return the public halves of both keys."""
        return PublicKeys(public_key(self.share_key), public_key(self.mask_key))

    def shared(self) -> bytes:
        """Return what is shared among the holders: the seed, then the mask key."""
        return self.seed + self.mask_key

    def coefficients(self, threshold: int) -> list[bytes]:
        """Return the coefficients of x, x^2 and so on: the blocks of a key stream from 1 on."""
        stream = _key_stream(self._coefficients, BLOCK_BYTES * threshold)
        return [stream[at : at + BLOCK_BYTES] for at in range(BLOCK_BYTES, len(stream), 64)]


def public_key(private: bytes) -> bytes:
    """Return the public half of an X25519 key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def pair_key(private: bytes, public: bytes, label: bytes, place: Place, a: int, b: int) -> bytes:
    """Return the key that two devices have in common, by their indices in any order.

    Raises:
        LinkError: RANGE if the public key is of low order, so that the secret would be 0.
    """
    own = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as exc:
        raise refuse(Status.RANGE, "public key is of low order") from exc
    text = label + place.encode() + struct.pack("<II", min(a, b), max(a, b))
    return hashlib.blake2b(text, key=shared, digest_size=KEY_BYTES).digest()


def pair_mask(
    private: bytes, public: bytes, place: Place, own: int, other: int, size: int
) -> UInt32Array:
    """Return what a device adds for another one, uint32 `[size]`.

    The one with the lower index adds the key stream, the other one subtracts it.
    """
    key = pair_key(private, public, b"ek-secure-mask", place, own, other)
    mask = _values(key, size)
    return mask if own < other else np.negative(mask)


def self_mask(seed: bytes, place: Place, index: int, size: int) -> UInt32Array:
    """Return the mask that a device adds for itself, uint32 `[size]`."""
    text = b"ek-secure-own" + place.encode() + struct.pack("<I", index)
    return _values(hashlib.blake2b(text, key=seed, digest_size=KEY_BYTES).digest(), size)


def commitment(seed: bytes) -> bytes:
    """Return what shows later that a seed was put together of the right shares."""
    return hashlib.blake2b(b"ek-secure-commitment", key=seed, digest_size=KEY_BYTES).digest()


def seal_share(key: bytes, place: Place, sender: int, receiver: int, share: bytes) -> bytes:
    """Encrypt a share for its holder."""
    return ChaCha20Poly1305(key).encrypt(
        _nonce(sender), share, _associated(place, sender, receiver)
    )


def open_share(key: bytes, place: Place, sender: int, receiver: int, sealed: bytes) -> bytes:
    """Decrypt a share.

    Raises:
        LinkError: MAC if it is forged, or was made for another device, round or run.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(
            _nonce(sender), sealed, _associated(place, sender, receiver)
        )
    except InvalidTag as exc:
        raise refuse(Status.MAC, f"share of member {sender} does not verify") from exc


def _nonce(sender: int) -> bytes:
    # A pair has one key for both ways; each of the two seals one message with it.
    return struct.pack("<IQ", sender, 0)


def _associated(place: Place, sender: int, receiver: int) -> bytes:
    return b"ek-secure-share" + place.encode() + struct.pack("<II", sender, receiver)


def _derived(root: bytes, label: bytes) -> bytes:
    return hashlib.blake2b(label, key=root, digest_size=KEY_BYTES).digest()


def _key_stream(key: bytes, count: int) -> bytes:
    # 16 zero bytes: block counter and nonce; a key is used for one stream only.
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(count))


def _values(key: bytes, size: int) -> UInt32Array:
    return np.frombuffer(_key_stream(key, 4 * size), "<u4").astype(np.uint32)
