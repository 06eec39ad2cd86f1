"""Frames: version, type, length, body and CRC-32; COBS for serial lines.

Twin: firmware/link/ek_frame.c
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from edgekit.link.status import Status, refuse

VERSION = 1
MAX_BODY_BYTES = 4_224
MAX_FRAME_BYTES = MAX_BODY_BYTES + 8
_HEADER = struct.Struct("<BBH")
_CRC_BYTES = 4


class FrameType(IntEnum):
    """What a frame carries; the table of PROTOCOL.md."""

    HELLO = 0x01
    WELCOME = 0x02
    PING = 0x03
    PONG = 0x04
    CLAIM_REQUEST = 0x10
    CLAIM_RESPONSE = 0x11
    REPORTED = 0x20
    DESIRED = 0x21
    CHUNK_REQUEST = 0x22
    CHUNK = 0x23
    TELEMETRY = 0x24
    LOG = 0x25
    TEXT_QUESTION = 0x26
    TEXT_ANSWER = 0x27


_TYPES = {int(kind): kind for kind in FrameType}
SEALED_TYPES = frozenset(kind for kind in FrameType if kind >= FrameType.REPORTED)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame whose version, length and CRC have been proven.

    Attributes:
        body: Content, then for sealed types counter and message code.
    """

    type: FrameType
    body: bytes


def header_bytes(kind: FrameType, length: int) -> bytes:
    """Return version, type and length as they stand at the start of a frame."""
    return _HEADER.pack(VERSION, kind, length)


def encode_frame(kind: FrameType, body: bytes) -> bytes:
    """Put a body into a frame.

    Raises:
        ValueError: If the body is longer than MAX_BODY_BYTES.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"frame body has {len(body)} bytes, at most {MAX_BODY_BYTES}")
    head = _HEADER.pack(VERSION, kind, len(body)) + body
    return head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little")


def decode_frame(data: bytes) -> Frame:
    """Take a frame apart.

    Raises:
        LinkError: TRUNCATED, VERSION, RANGE (length or type) or CRC.
    """
    if len(data) < _HEADER.size + _CRC_BYTES:
        raise refuse(Status.TRUNCATED, f"frame has {len(data)} bytes, expected at least 8")
    version, kind, length = _HEADER.unpack_from(data)
    if version != VERSION:
        raise refuse(Status.VERSION, f"frame has version {version}, expected {VERSION}")
    if length > MAX_BODY_BYTES:
        raise refuse(Status.RANGE, f"frame says {length} bytes of body, at most {MAX_BODY_BYTES}")
    whole = _HEADER.size + length + _CRC_BYTES
    if len(data) < whole:
        raise refuse(Status.TRUNCATED, f"frame has {len(data)} bytes, its header says {whole}")
    if len(data) > whole:
        raise refuse(Status.RANGE, f"frame has {len(data)} bytes, its header says {whole}")
    crc = int.from_bytes(data[-_CRC_BYTES:], "little")
    found = zlib.crc32(memoryview(data)[:-_CRC_BYTES])
    if crc != found:
        raise refuse(Status.CRC, f"frame has CRC {crc:08x}, its bytes give {found:08x}")
    if kind not in _TYPES:
        raise refuse(Status.RANGE, f"frame has type 0x{kind:02x}, which is not known")
    return Frame(_TYPES[kind], data[_HEADER.size : -_CRC_BYTES])


def cobs_encode(data: bytes) -> bytes:
    """Code bytes without 0x00, and end them with one.

    Source: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM ToN 7(2), 1999
    """
    out = bytearray()
    block = bytearray()
    for byte in data:
        if byte:
            block.append(byte)
            if len(block) == 254:
                out += b"\xff" + block
                block.clear()
        else:
            out.append(len(block) + 1)
            out += block
            block.clear()
    out.append(len(block) + 1)
    out += block
    out.append(0)
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """Undo `cobs_encode`; the ending 0x00 may be left off.

    Raises:
        LinkError: TRUNCATED if a block is cut short, RANGE if 0x00 stands inside.
    """
    coded = data[:-1] if data.endswith(b"\x00") else data
    if b"\x00" in coded:
        raise refuse(Status.RANGE, "COBS data holds a 0x00 before its end")
    if not coded:
        raise refuse(Status.TRUNCATED, "COBS data is empty")
    out = bytearray()
    at = 0
    while at < len(coded):
        code = coded[at]
        if at + code > len(coded):
            raise refuse(Status.TRUNCATED, f"COBS block at byte {at} is cut short")
        out += coded[at + 1 : at + code]
        at += code
        if code < 255 and at < len(coded):
            out.append(0)
    return bytes(out)
