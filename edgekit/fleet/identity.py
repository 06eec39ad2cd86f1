"""Identity of devices: one-use claim tokens and the agreement on a device key.

The agreement is that of firmware/link/PROTOCOL.md, "Claiming": X25519 from `cryptography`, bound to
the token's secret by keyed BLAKE2b.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import blake2b

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edgekit.errors import SecurityError
from edgekit.link.messages import ClaimRequest, ClaimResponse

TOKEN_ID_BYTES = 8
SECRET_BYTES = 32
_MAC_BYTES = 16
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    """A one-use right to become a device."""

    id: bytes
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim came to: the two public keys and the device key that only both ends know."""

    device_public: bytes
    server_public: bytes
    device_key: bytes = field(repr=False)


def new_token() -> Token:
    """Make a token from the system's generator."""
    return Token(secrets.token_bytes(TOKEN_ID_BYTES), secrets.token_bytes(SECRET_BYTES))


def claim_request(token: Token, device: str, device_public: bytes) -> ClaimRequest:
    """Make the request of a device.

    Twin: firmware/agent/
    """
    mac = _keyed(token, _MAC_BYTES, b"ek-claim-request", device.encode(), device_public)
    return ClaimRequest(token_id=token.id, public_key=device_public, mac=mac)


def finish_claim(
    token: Token, device: str, private: X25519PrivateKey, response: ClaimResponse
) -> Claim:
    """Verify the server's answer on the device's side and derive the device key.

    Raises:
        SecurityError: If the answer was not made with the token's secret.
    """
    public = private.public_key().public_bytes_raw()
    expected = _response_mac(token, device, public, response.public_key)
    if not hmac.compare_digest(expected, response.mac):
        raise SecurityError(f"device '{device}': claim answer has a code that does not verify")
    return _derive(token, device, private, response.public_key, public, response.public_key)


def answer_claim(token: Token, device: str, request: ClaimRequest, bound: Claim | None) -> Claim:
    """Decide about a request: bind the token to the first valid key, repeat for the same one.

    Args:
        bound: What the token was bound to before, None if it is unused.

    Raises:
        SecurityError: If the code does not verify, or the token belongs to another key.
    """
    mac = _keyed(token, _MAC_BYTES, b"ek-claim-request", device.encode(), request.public_key)
    if not hmac.compare_digest(mac, request.mac):
        raise SecurityError(f"device '{device}': claim request has a code that does not verify")
    if bound is not None:
        if bound.device_public != request.public_key:
            raise SecurityError(f"device '{device}': its token was used with another key")
        return bound
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return _derive(token, device, private, request.public_key, request.public_key, public)


def claim_response(token: Token, device: str, claim: Claim) -> ClaimResponse:
    """Make the answer of the server; for one claim always the same."""
    mac = _response_mac(token, device, claim.device_public, claim.server_public)
    return ClaimResponse(claim.server_public, mac)


def _response_mac(token: Token, device: str, device_public: bytes, server_public: bytes) -> bytes:
    return _keyed(
        token,
        _MAC_BYTES,
        b"ek-claim-response",
        device.encode(),
        device_public,
        server_public,
    )


def _derive(
    token: Token,
    device: str,
    private: X25519PrivateKey,
    peer: bytes,
    device_public: bytes,
    server_public: bytes,
) -> Claim:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as exc:
        raise SecurityError(f"device '{device}': public key is of low order") from exc
    key = _keyed(token, _KEY_BYTES, b"ek-device-key", shared, device_public, server_public)
    return Claim(device_public, server_public, key)


def _keyed(token: Token, length: int, *parts: bytes) -> bytes:
    return blake2b(b"".join(parts), key=token.secret, digest_size=length).digest()
