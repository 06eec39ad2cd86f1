"""The seal of a message: a counter that only rises and a keyed BLAKE2b code.

Twin: firmware/link/ek_seal.c
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from edgekit.link.frames import MAX_BODY_BYTES, Frame, FrameType, encode_frame, header_bytes
from edgekit.link.status import Status, refuse

KEY_BYTES = 32
MAC_BYTES = 16
SEAL_BYTES = 8 + MAC_BYTES
MAX_CONTENT_BYTES = MAX_BODY_BYTES - SEAL_BYTES


class Direction(Enum):
    """Who speaks; part of the code, so that nothing can be mirrored."""

    TO_SERVER = b"D"
    TO_DEVICE = b"S"


def seal_mac(
    key: bytes, direction: Direction, kind: FrameType, content: bytes, counter: int
) -> bytes:
    """Compute the message code over direction, header, content and counter."""
    code = blake2b(direction.value, key=key, digest_size=MAC_BYTES)
    code.update(header_bytes(kind, len(content) + SEAL_BYTES))
    code.update(content)
    code.update(counter.to_bytes(8, "little"))
    return code.digest()


def seal_frame(
    key: bytes, direction: Direction, kind: FrameType, content: bytes, counter: int
) -> bytes:
    """Seal content and put it into a frame.

    Raises:
        ValueError: If the content is longer than MAX_CONTENT_BYTES.
    """
    mac = seal_mac(key, direction, kind, content, counter)
    return encode_frame(kind, content + counter.to_bytes(8, "little") + mac)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A message whose code has been verified.

    Attributes:
        counter: Boot counter in the high 32 bits, a sequence in the low 32.
    """

    type: FrameType
    content: bytes
    counter: int

    @property
    def boot(self) -> int:
        """Boot counter of the sender, or of the device that is answered."""
        return self.counter >> 32


def open_frame(key: bytes, direction: Direction, frame: Frame, *, after: int) -> Sealed:
    """Verify the seal of a frame.

    Args:
        after: Highest counter accepted so far; the new one must be greater.

    Raises:
        LinkError: TRUNCATED, MAC or REPLAY.
    """
    if len(frame.body) < SEAL_BYTES:
        raise refuse(
            Status.TRUNCATED,
            f"{frame.type.name} has {len(frame.body)} bytes, its seal alone has {SEAL_BYTES}",
        )
    content = frame.body[:-SEAL_BYTES]
    counter = int.from_bytes(frame.body[-SEAL_BYTES:-MAC_BYTES], "little")
    mac = seal_mac(key, direction, frame.type, content, counter)
    if not hmac.compare_digest(mac, frame.body[-MAC_BYTES:]):
        raise refuse(Status.MAC, f"{frame.type.name} has a message code that does not verify")
    if counter <= after:
        raise refuse(
            Status.REPLAY, f"{frame.type.name} has counter {counter}, expected more than {after}"
        )
    return Sealed(frame.type, content, counter)
