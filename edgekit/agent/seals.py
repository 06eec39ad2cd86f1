"""The identity of a device, and its claim, seals and counters; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from edgekit.fleet.identity import Token, claim_request, finish_claim
from edgekit.link.frames import Frame, FrameType, encode_frame
from edgekit.link.messages import ClaimResponse
from edgekit.link.seal import Direction, Sealed, open_frame, seal_frame
from edgekit.link.status import Status, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a device is, from one boot to the next.

    Attributes:
        private: X25519 private key of its claim, 32 bytes; the same until the claim is answered.
        key: Device key, None before the claim.
        boot: Boot counter, from 1.
    """

    device: str
    token: Token
    boot: int
    private: bytes = field(repr=False)
    key: bytes | None = field(default=None, repr=False)


class Seals:
    """Opens what comes and seals what goes, with counters that only rise.

    Attributes:
        key: Device key, None before the claim is answered.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.key = identity.key
        self._sequence = 0
        self._heard = 0

    def claim(self) -> bytes:
        """Return the frame that asks for a device key."""
        me = self.identity
        public = self._private().public_key().public_bytes_raw()
        request = claim_request(me.token, me.device, public)
        return encode_frame(FrameType.CLAIM_REQUEST, request.encode())

    def take_claim(self, response: ClaimResponse) -> None:
        """Take the answer, which gives the device key.

        Raises:
            SecurityError: If it was not made with the token's secret.
        """
        me = self.identity
        self.key = finish_claim(me.token, me.device, self._private(), response).device_key

    def seal(self, kind: FrameType, content: bytes) -> bytes:
        """Return a frame of this boot, with the next counter."""
        if self.key is None:
            raise ValueError(f"device '{self.identity.device}' has no key yet")
        self._sequence += 1
        counter = self.identity.boot << 32 | self._sequence
        return seal_frame(self.key, Direction.TO_SERVER, kind, content, counter)

    def open(self, frame: Frame) -> Sealed:
        """Verify a frame of the server.

        Raises:
            LinkError: MAC, REPLAY, TRUNCATED, or STATE if it is for another boot or too early.
        """
        if self.key is None:
            raise refuse(Status.STATE, f"{frame.type.name} came before the claim was answered")
        sealed = open_frame(self.key, Direction.TO_DEVICE, frame, after=self._heard)
        if sealed.boot != self.identity.boot:
            raise refuse(
                Status.STATE,
                f"{frame.type.name} is for boot {sealed.boot}, this is {self.identity.boot}",
            )
        self._heard = sealed.counter
        return sealed

    def _private(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.identity.private)
