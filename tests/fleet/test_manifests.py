"""Signed manifests: what is accepted, and each way of being refused in its own words."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgekit.errors import SecurityError
from edgekit.fleet.manifests import (
    ReleaseKey,
    block_list,
    build_manifest,
    key_id,
    release_key,
    sign_manifest,
    verify_manifest,
)
from edgekit.link.cbor import decode_map, encode_map
from edgekit.link.messages import Manifest, SignedManifest

IMAGE = bytes(range(256)) * 33  # 8,448 bytes: two whole blocks and a part
NOW = 1_800_000_000
KEY = ReleaseKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = ReleaseKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))


def make_manifest(**changes: object) -> Manifest:
    manifest = build_manifest(
        IMAGE,
        name="digits",
        version="2",
        counter=5,
        device_class="mps2_an386",
        kernel_set_hash=b"\x11" * 8,
        arena_bytes=20_000,
        expiry_s=NOW + 1000,
    )
    return dataclasses.replace(manifest, **changes)  # type: ignore[arg-type]


def check(signed: SignedManifest, **changes: object) -> Manifest:
    values: dict[str, object] = {
        "public_key": KEY.public,
        "now_s": NOW,
        "installed_counter": 4,
        "device_class": "mps2_an386",
        "kernel_set_hash": b"\x11" * 8,
    }
    return verify_manifest(signed, **(values | changes))  # type: ignore[arg-type]


def signed_raw(data: bytes) -> SignedManifest:
    return SignedManifest(data, KEY.private.sign(b"ek-manifest-1" + data))


def test_signed_manifest_is_accepted_and_says_what_was_signed() -> None:
    manifest = make_manifest()
    assert check(sign_manifest(manifest, KEY)) == manifest


def test_manifest_takes_sizes_and_hashes_from_the_image() -> None:
    manifest = make_manifest()
    blocks = [IMAGE[:4096], IMAGE[4096:8192], IMAGE[8192:]]
    expected = b"".join(hashlib.blake2b(block, digest_size=32).digest() for block in blocks)
    assert block_list(IMAGE) == expected
    assert manifest.image_id == hashlib.blake2b(IMAGE, digest_size=32).digest()
    assert manifest.image_bytes == 8448 and manifest.block_bytes == 4096
    assert manifest.blocks_hash == hashlib.blake2b(expected, digest_size=32).digest()


def test_signature_is_ed25519_over_context_and_bytes() -> None:
    signed = sign_manifest(make_manifest(), KEY)
    KEY.private.public_key().verify(signed.signature, b"ek-manifest-1" + signed.manifest)


def test_wrong_key_is_refused_with_the_expected_key() -> None:
    with pytest.raises(SecurityError, match=f"release key {KEY.id}: signed by another key"):
        check(sign_manifest(make_manifest(), OTHER))


def test_signature_without_context_is_refused() -> None:
    data = make_manifest().encode()
    with pytest.raises(SecurityError, match="does not verify"):
        check(SignedManifest(data, KEY.private.sign(data)))


@pytest.mark.parametrize("field", range(12))
def test_every_tampered_field_is_refused(field: int) -> None:
    signed = sign_manifest(make_manifest(), KEY)
    content = decode_map(signed.manifest)
    value = content[field]
    if isinstance(value, int):
        content[field] = value + 1
    elif isinstance(value, str):
        content[field] = value + "x"
    else:
        assert isinstance(value, bytes)
        content[field] = bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises(SecurityError, match=r"does not verify|not what was signed"):
        check(SignedManifest(encode_map(content), signed.signature))


def test_every_flipped_bit_of_the_signature_is_refused() -> None:
    signed = sign_manifest(make_manifest(), KEY)
    for bit in range(512):
        broken = bytearray(signed.signature)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SecurityError, match="does not verify"):
            check(SignedManifest(signed.manifest, bytes(broken)))


def test_every_truncation_is_refused() -> None:
    signed = sign_manifest(make_manifest(), KEY)
    for length in range(1, len(signed.manifest)):
        with pytest.raises(SecurityError, match="is cut off"):
            check(SignedManifest(signed.manifest[:length], signed.signature))


def test_trailing_bytes_are_refused() -> None:
    signed = sign_manifest(make_manifest(), KEY)
    with pytest.raises(SecurityError, match="not what was signed"):
        check(SignedManifest(signed.manifest + b"\0", signed.signature))


def test_signed_but_malformed_is_refused() -> None:
    data = make_manifest().encode()
    for bad in (data + b"\0", data[:-1], encode_map({0: 1})):
        with pytest.raises(SecurityError, match="signed but malformed"):
            check(signed_raw(bad))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"now_s": NOW + 1000}, "expired 0 s ago"),
        ({"now_s": NOW + 1060}, "expired 60 s ago"),
        ({"installed_counter": 5}, "installed already"),
        ({"installed_counter": 6}, "older than the installed 6"),
        ({"device_class": "microbit_v1"}, "device class 'mps2_an386', expected 'microbit_v1'"),
        ({"kernel_set_hash": b"\x22" * 8}, "kernel set 1111111111111111, expected 2222"),
    ],
)
def test_valid_signature_does_not_excuse_the_rest(
    changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(SecurityError, match=expected):
        check(sign_manifest(make_manifest(), KEY), **changes)


def test_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = release_key(tmp_path / "keys")
    path = tmp_path / "keys" / "release.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["release.pem"]
    assert release_key(tmp_path / "keys").public == first.public
    assert first.id == key_id(first.public) and len(first.id) == 16
    assert "PRIVATE" not in repr(first)


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    release_key(tmp_path)
    (tmp_path / "release.pem").chmod(0o644)
    with pytest.raises(SecurityError, match="mode 0600"):
        release_key(tmp_path)


def test_file_without_an_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    path.write_text("nothing\n")
    path.chmod(0o600)
    with pytest.raises(SecurityError, match="no readable private key"):
        release_key(tmp_path)
    other = X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SecurityError, match="expected an Ed25519 key"):
        release_key(tmp_path)
