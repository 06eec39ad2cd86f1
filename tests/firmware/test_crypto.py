"""SHA-512 and Ed25519 of the device against published vectors and another implementation."""

from __future__ import annotations

import hashlib
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firmware_twin import Op, Twin

from edgekit.link.status import Status

pytestmark = pytest.mark.cc

# Source: NIST, Secure Hash Standard example values for SHA-512 (one block, two blocks, empty).
NIST = {
    b"": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    b"abc": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu": "8e959b75dae313da8cf4f72814fc143f"
    "8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433a"
    "c7d329eeb6dd26545e96e55b874be909",
}

# Source: RFC 8032, 7.1 (secret key, public key, message, signature).
RFC8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)

ORDER = 2**252 + 27742317777372353535851937790883648493


def _call(signature: bytes, key: bytes, message: bytes, prefix: bytes = b"") -> bytes:
    return signature + key + bytes([len(prefix)]) + prefix + message


@pytest.mark.parametrize(("message", "digest"), NIST.items())
def test_sha512_gives_the_standards_values(twin: Twin, message: bytes, digest: str) -> None:
    """The example values of the standard."""
    assert twin.bytes(Op.SHA512, message).hex() == digest


def test_sha512_agrees_at_every_length(twin: Twin) -> None:
    """All lengths over two blocks, where padding goes into another block at 112."""
    messages = [bytes(i & 0xFF for i in range(n)) for n in range(300)]
    answers = twin.run_all([(Op.SHA512, message) for message in messages])
    assert [out for _, out in answers] == [hashlib.sha512(item).digest() for item in messages]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC8032)
def test_ed25519_accepts_the_rfc_vectors(
    twin: Twin, secret: str, public: str, message: str, signature: str
) -> None:
    """The test vectors of RFC 8032 verify, and are what the host's library makes."""
    made = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).sign(bytes.fromhex(message))
    assert made.hex() == signature
    call = _call(made, bytes.fromhex(public), bytes.fromhex(message))
    assert twin.run(Op.ED25519, call)[0] is Status.OK


def test_ed25519_refuses_what_was_not_signed(twin: Twin) -> None:
    """Another key, message or prefix, and any flipped bit of the signature."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = private.public_key().public_bytes_raw()
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    message, prefix = b"manifest" * 20, b"ek-manifest-1"
    signature = private.sign(prefix + message)
    assert twin.run(Op.ED25519, _call(signature, key, message, prefix))[0] is Status.OK
    bad = [
        _call(signature, other, message, prefix),
        _call(signature, key, message[:-1], prefix),
        _call(signature, key, message, b"ek-manifest-2"),
        _call(bytes(64), key, message, prefix),
    ]
    for i in range(64):
        flipped = bytearray(signature)
        flipped[i] ^= 1 << (i % 8)
        bad.append(_call(bytes(flipped), key, message, prefix))
    answers = twin.run_all([(Op.ED25519, call) for call in bad])
    assert {status for status, _ in answers} == {Status.SIGNATURE}


def test_ed25519_refuses_malleated_signatures(twin: Twin) -> None:
    """S + L verifies the same equation; only S below L is a signature (RFC 8032, 5.1.7)."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = private.public_key().public_bytes_raw()
    signature = private.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    malleated = signature[:32] + scalar.to_bytes(32, "little")
    assert twin.run(Op.ED25519, _call(malleated, key, b"message"))[0] is Status.SIGNATURE


def test_ed25519_refuses_encodings_that_are_not_canonical(twin: Twin) -> None:
    """y = 2^255 - 18 is y = 1 in disguise: with key and R neutral, every S = 0 would verify."""
    neutral = (1).to_bytes(32, "little")
    disguised = (2**255 - 18).to_bytes(32, "little")
    for key, point in ((disguised, neutral), (neutral, disguised)):
        call = _call(point + bytes(32), key, b"any message")
        assert twin.run(Op.ED25519, call)[0] is Status.SIGNATURE


def test_ed25519_agrees_with_the_host_on_random_messages(twin: Twin) -> None:
    """Signatures of the host's library verify on the device."""
    generator = random.Random(4)
    calls = []
    for _ in range(40):
        private = Ed25519PrivateKey.from_private_bytes(generator.randbytes(32))
        message = generator.randbytes(generator.randrange(400))
        key = private.public_key().public_bytes_raw()
        calls.append((Op.ED25519, _call(private.sign(message), key, message)))
    assert {status for status, _ in twin.run_all(calls)} == {Status.OK}
