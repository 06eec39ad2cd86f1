"""The provisioning page and the file of samples, as a board finds them at its first boot.

Twin: firmware/boot/ek_provision.c
"""

from __future__ import annotations

import ipaddress
import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.link.topics import is_device_id

PAGE_BYTES = 256
MAGIC = b"EKPV"
SAMPLES_MAGIC = b"EKSM"
VERSION = 1
_PAGE = struct.Struct("<4sHH32s4sHH8s32s32s32s100x")
_SAMPLES = struct.Struct("<4sHHII")


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


def encode_samples(raw: NDArray[np.uint8], labels: NDArray[np.uint16]) -> bytes:
    """Write labelled samples as a board's `ek_port_sample_next` reads them.

    Args:
        raw: Samples, [N, raw_bytes].
        labels: Their classes, [N].

    Raises:
        ValueError: If shapes or types do not fit each other.
    """
    if raw.ndim != 2 or raw.dtype != np.uint8 or raw.shape[1] == 0:
        raise ValueError(f"samples are {raw.dtype} {raw.shape}, expected uint8 [N, raw_bytes]")
    if labels.shape != raw.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are {labels.dtype} {labels.shape}, expected [{raw.shape[0]}]")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < 2**16:
        raise ValueError("labels are outside 0 .. 65535")
    count, raw_bytes = raw.shape
    body = np.empty((count, 2 + raw_bytes), np.uint8)
    body[:, :2] = labels.astype("<u2")[:, None].view(np.uint8)
    body[:, 2:] = raw
    return _SAMPLES.pack(SAMPLES_MAGIC, VERSION, 0, count, raw_bytes) + body.tobytes()


def decode_samples(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Read what `encode_samples` wrote: samples [N, raw_bytes] and labels [N].

    Raises:
        FormatError: If header and length do not fit.
    """
    if len(data) < _SAMPLES.size:
        raise FormatError(f"sample file has {len(data)} bytes, expected at least {_SAMPLES.size}")
    magic, version, zero, count, raw_bytes = _SAMPLES.unpack_from(data)
    if magic != SAMPLES_MAGIC or version != VERSION or zero:
        raise FormatError(f"sample file starts with {magic!r} version {version}")
    whole = _SAMPLES.size + count * (2 + raw_bytes)
    if raw_bytes == 0 or len(data) != whole:
        raise FormatError(f"sample file has {len(data)} bytes, its header says {whole}")
    body = np.frombuffer(data, np.uint8, offset=_SAMPLES.size).reshape(count, 2 + raw_bytes)
    labels = np.ascontiguousarray(body[:, :2]).view("<u2")[:, 0].astype(np.uint16)
    return body[:, 2:].copy(), labels
