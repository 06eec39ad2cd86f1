"""Release keys and signed manifests: what makes a model image a release.

Twin: firmware/boot/ek_manifest.c; the bytes are in firmware/link/PROTOCOL.md, "Manifest".
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edgekit.errors import LinkError, SecurityError, StoreError
from edgekit.link.messages import BLOCK_BYTES, Manifest, SignedManifest
from edgekit.link.status import Status

CONTEXT = b"ek-manifest-1"
KEY_NAME = "release"


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """The key that a fleet's devices trust to name models."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> bytes:
        """The 32 bytes that go into the provisioning page."""
        return self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def id(self) -> str:
        """A short name for the public half."""
        return key_id(self.public)


def key_id(public: bytes) -> str:
    """Return the short name of a public key: the first 8 bytes of its BLAKE2b-256, in hex."""
    return hashlib.blake2b(public, digest_size=32).digest()[:8].hex()


def release_key(folder: Path, name: str = KEY_NAME) -> ReleaseKey:
    """Read the release key `<name>.pem` of a folder of keys, made there if there is none.

    Raises:
        StoreError: If the file cannot be read or written.
        SecurityError: If others than its owner can read it, or it holds no Ed25519 key.
    """
    path = folder / f"{name}.pem"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            raise SecurityError(f"{path}: can be read by others, expected mode 0600 (chmod 600)")
        pem = path.read_bytes()
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as exc:
        raise SecurityError(f"{path}: holds no readable private key") from exc
    if not isinstance(private, Ed25519PrivateKey):
        raise SecurityError(f"{path}: holds a {type(private).__name__}, expected an Ed25519 key")
    return ReleaseKey(private)


def block_list(image: bytes) -> bytes:
    """Return the BLAKE2b-256 of each block of an image, 32 bytes each, in order."""
    blocks = (image[at : at + BLOCK_BYTES] for at in range(0, len(image), BLOCK_BYTES))
    return b"".join(hashlib.blake2b(block, digest_size=32).digest() for block in blocks)


def build_manifest(
    image: bytes,
    *,
    name: str,
    version: str,
    counter: int,
    device_class: str,
    kernel_set_hash: bytes,
    arena_bytes: int,
    expiry_s: int,
) -> Manifest:
    """Describe an image for one device class; sizes and hashes come from its bytes."""
    return Manifest(
        name=name,
        version=version,
        counter=counter,
        image_id=hashlib.blake2b(image, digest_size=32).digest(),
        image_bytes=len(image),
        blocks_hash=hashlib.blake2b(block_list(image), digest_size=32).digest(),
        device_class=device_class,
        kernel_set_hash=kernel_set_hash,
        arena_bytes=arena_bytes,
        expiry_s=expiry_s,
    )


def sign_manifest(manifest: Manifest, key: ReleaseKey) -> SignedManifest:
    """Sign a manifest as devices check it.

    Source: RFC 8032, section 5.1.6 (Ed25519, without prehash)
    """
    data = manifest.encode()
    return SignedManifest(data, key.private.sign(CONTEXT + data))


def verify_manifest(
    signed: SignedManifest,
    *,
    public_key: bytes,
    now_s: float,
    installed_counter: int = 0,
    device_class: str | None = None,
    kernel_set_hash: bytes | None = None,
) -> Manifest:
    """Check a signed manifest as a device does and return it.

    Args:
        public_key: The release key that is trusted.
        now_s: Unix seconds by the server's clock.
        installed_counter: Counter of the release that runs now, 0 if none.
        device_class: Board name that it must be made for; None skips this check.
        kernel_set_hash: Kernel set that it must be made for; None skips this check.

    Raises:
        SecurityError: Saying which of the checks failed.
    """
    public = Ed25519PublicKey.from_public_bytes(public_key)
    try:
        public.verify(signed.signature, CONTEXT + signed.manifest)
    except InvalidSignature:
        raise SecurityError(_explain(signed.manifest, public_key)) from None
    try:
        manifest = Manifest.decode(signed.manifest)
    except LinkError as exc:
        raise SecurityError(f"manifest is signed but malformed: {exc}") from exc
    where = f"release '{manifest.name}' {manifest.version}"
    if now_s >= manifest.expiry_s:
        late_s = int(now_s) - manifest.expiry_s
        raise SecurityError(f"{where} expired {late_s} s ago, at {manifest.expiry_s}")
    if manifest.counter == installed_counter:
        raise SecurityError(
            f"{where} has counter {manifest.counter}, which is installed already; expected a"
            " higher one"
        )
    if manifest.counter < installed_counter:
        raise SecurityError(
            f"{where} has counter {manifest.counter}, older than the installed {installed_counter}"
        )
    if device_class is not None and manifest.device_class != device_class:
        raise SecurityError(
            f"{where} is made for device class '{manifest.device_class}', expected '{device_class}'"
        )
    if kernel_set_hash is not None and manifest.kernel_set_hash != kernel_set_hash:
        raise SecurityError(
            f"{where} is made for kernel set {manifest.kernel_set_hash.hex()},"
            f" expected {kernel_set_hash.hex()}"
        )
    return manifest


def _create(path: Path) -> None:
    """Write a new key under its final name at once and never over another."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            return  # another process was first; its key holds
    finally:
        partial.unlink()


def _explain(manifest: bytes, public_key: bytes) -> str:
    """Say why a signature may not verify; the content is not trusted, only its form."""
    try:
        Manifest.decode(manifest)
    except LinkError as exc:
        if exc.status == Status.TRUNCATED:
            return f"manifest of {len(manifest)} bytes is cut off: {exc}"
        return f"manifest of {len(manifest)} bytes is not what was signed: {exc}"
    return (
        f"manifest signature does not verify with release key {key_id(public_key)}: signed by"
        " another key, or changed after it was signed"
    )
