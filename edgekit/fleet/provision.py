"""The provisioning page: what makes a firmware image one particular device.

Twin: firmware/boot/ek_provision.c
"""

from __future__ import annotations

import ipaddress
import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum

from edgekit.errors import FormatError
from edgekit.link.topics import is_device_id

PAGE_BYTES = 256
MAGIC = b"EKPV"
VERSION = 1
_PAGE = struct.Struct("<4sHH32s4sHH8s32s32s32s100x")


class Mode(IntEnum):
    """What the firmware does after boot."""

    AGENT = 0
    BENCH = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """Everything that makes a firmware image one particular device.

    Attributes:
        gateway_host: IPv4 address of the gateway as the device sees it.
        release_key: Ed25519 public key that releases must be signed with.
        entropy: 32 bytes from the host's generator.
    """

    mode: Mode = Mode.AGENT
    device: str
    gateway_host: str
    gateway_port: int
    token_id: bytes = bytes(8)
    token_secret: bytes = field(default=bytes(32), repr=False)
    release_key: bytes = bytes(32)
    entropy: bytes = field(default=bytes(32), repr=False)

    def encode(self) -> bytes:
        """Return the page.

        Raises:
            ValueError: If a field is out of its range.
        """
        if not is_device_id(self.device):
            raise ValueError(f"device id {self.device!r} is not 1 to 32 characters of a-z 0-9 _ -")
        for name, length in (
            ("token_id", 8),
            ("token_secret", 32),
            ("release_key", 32),
            ("entropy", 32),
        ):
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} has {len(getattr(self, name))} bytes, expected {length}")
        if not 0 <= self.gateway_port < 2**16:
            raise ValueError(f"gateway port {self.gateway_port} is outside 0 .. 65535")
        page = _PAGE.pack(
            MAGIC,
            VERSION,
            self.mode,
            self.device.encode("ascii"),
            ipaddress.IPv4Address(self.gateway_host).packed,
            self.gateway_port,
            0,
            self.token_id,
            self.token_secret,
            self.release_key,
            self.entropy,
        )
        return page + zlib.crc32(page).to_bytes(4, "little")

    @classmethod
    def decode(cls, page: bytes) -> Provision:
        """Read a page.

        Raises:
            FormatError: If it is not whole.
        """
        if len(page) != PAGE_BYTES:
            raise FormatError(f"provisioning page has {len(page)} bytes, expected {PAGE_BYTES}")
        magic, version, mode, device, host, port, zero, *rest = _PAGE.unpack(page[:-4])
        if magic != MAGIC or version != VERSION:
            raise FormatError(
                f"provisioning page starts with {magic!r} version {version}, expected {MAGIC!r} 1"
            )
        if zlib.crc32(page[:-4]) != int.from_bytes(page[-4:], "little"):
            raise FormatError("provisioning page has a checksum that does not match")
        name = device.rstrip(b"\x00").decode("ascii", "replace")
        if mode not in (0, 1) or zero or any(page[152:252]) or not is_device_id(name):
            raise FormatError(f"provisioning page has mode {mode}, device {name!r}")
        token_id, token_secret, release_key, entropy = rest
        return cls(
            mode=Mode(mode),
            device=name,
            gateway_host=str(ipaddress.IPv4Address(host)),
            gateway_port=port,
            token_id=token_id,
            token_secret=token_secret,
            release_key=release_key,
            entropy=entropy,
        )
