"""How a vector of differences travels: float32, float16, int8 by blocks, or its largest entries.

Every codec is deterministic; the rounding of int8 is stochastic by a hash of seed and index, so the
device and this file make the same bytes.

Twin: firmware/link/PROTOCOL.md, "Head and update objects"
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.federated.settings import CODECS, SPARSE
from edgekit.link.status import Status, refuse

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
UInt32Array = npt.NDArray[np.uint32]

INT8_BLOCK = 256  # values that share a scale
HALF_MAX = 65504.0  # largest finite float16


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A vector that was read.

    Attributes:
        values: float32 `[P]`, 0 where nothing was sent.
        sent: Which entries were sent; None: all.
    """

    values: Float32Array
    sent: BoolArray | None


def kept(size: int, share: float) -> int:
    """Return how many entries of `size` a top-P codec sends: the share, rounded up."""
    return min(size, max(1, math.ceil(share * size)))


def payload_bytes(codec: str, size: int, share: float) -> int:
    """Return the bytes of a vector of `size` values."""
    if codec in SPARSE:
        count = kept(size, share)
        return _bitmap_bytes(size) + (2 * count if codec == "top_p" else _int8_bytes(count))
    return {"float32": 4 * size, "float16": 2 * size, "int8": _int8_bytes(size)}[codec]


def encode(values: Float32Array, codec: str, *, share: float = 1.0, seed: int = 0) -> bytes:
    """Write a vector.

    Args:
        values: float32 `[P]`, finite.
        codec: Name in CODECS.
        share: Of the entries that a top-P codec sends.
        seed: 32 bits for the rounding of int8; the reader does not need it.
    """
    if codec == "float32":
        return values.astype("<f4").tobytes()
    if codec == "float16":
        return _half(values)
    if codec == "int8":
        return _int8(values, seed)
    chosen = largest(values, kept(len(values), share))
    bitmap = np.packbits(chosen, bitorder="little").tobytes()
    return bitmap + (_half(values[chosen]) if codec == "top_p" else _int8(values[chosen], seed))


def decode(data: bytes, codec: str, size: int) -> Received:
    """Read a vector of `size` values.

    Raises:
        LinkError: If the bytes are not as many as the codec says, or the bitmap has bits too many.
    """
    if codec not in SPARSE:
        _check_length(data, payload_bytes(codec, size, 1.0), codec)
        return Received(_dense(data, codec, size), None)
    begin = _bitmap_bytes(size)
    if len(data) < begin:
        raise refuse(Status.TRUNCATED, f"bitmap of {size} entries has {len(data)} bytes")
    bits = np.unpackbits(np.frombuffer(data, np.uint8, begin), bitorder="little").astype(bool)
    if bits[size:].any():
        raise refuse(Status.RANGE, f"bitmap has bits beyond its {size} entries")
    sent = bits[:size]
    count = int(sent.sum())
    inner = "float16" if codec == "top_p" else "int8"
    _check_length(data, begin + payload_bytes(inner, count, 1.0), codec)
    values = np.zeros(size, np.float32)
    values[sent] = _dense(data[begin:], inner, count)
    return Received(values, sent)


def with_feedback(
    values: Float32Array, residual: Float32Array, codec: str, *, share: float = 1.0, seed: int = 0
) -> tuple[bytes, Float32Array]:
    """Write a vector plus what earlier ones left out; return the bytes and what is left out now.

    Source: Seide et al., "1-Bit Stochastic Gradient Descent", 2014; Stich et al., "Sparsified SGD
        with Memory", 2018, Algorithm 1
    """
    wanted = values + residual
    data = encode(wanted, codec, share=share, seed=seed)
    return data, wanted - decode(data, codec, len(values)).values


def largest(values: Float32Array, count: int) -> BoolArray:
    """Choose the `count` largest by magnitude; of equal ones those with the lower index."""
    order = np.argsort(-np.abs(values), kind="stable")
    chosen = np.zeros(len(values), bool)
    chosen[order[:count]] = True
    return chosen


def mix(values: UInt32Array) -> UInt32Array:
    """Hash 32 bits to 32 bits.

    Source: C. Wellons, "lowbias32", in "Prospecting for Hash Functions", 2018
    """
    x = values.copy()
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def codec_number(codec: str) -> int:
    """Return what names a codec on the wire."""
    return CODECS.index(codec)


def _half(values: Float32Array) -> bytes:
    return np.clip(values, -HALF_MAX, HALF_MAX).astype("<f2").tobytes()


def _int8(values: Float32Array, seed: int) -> bytes:
    index = np.arange(len(values), dtype=np.uint32) + np.uint32(seed & 0xFFFFFFFF)
    chance = (mix(index) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    out = bytearray()
    for begin in range(0, len(values), INT8_BLOCK):
        block = values[begin : begin + INT8_BLOCK]
        scale = np.float32(np.abs(block).max()) / np.float32(127)
        out += np.asarray(scale, "<f4").tobytes()
        if scale == 0:
            out += bytes(len(block))
            continue
        levels = np.floor(block / scale + chance[begin : begin + INT8_BLOCK])
        out += np.clip(levels, -127, 127).astype(np.int8).tobytes()
    return bytes(out)


def _dense(data: bytes, codec: str, size: int) -> Float32Array:
    if codec == "float32":
        return np.frombuffer(data, "<f4", size).astype(np.float32)
    if codec == "float16":
        return np.frombuffer(data, "<f2", size).astype(np.float32)
    values = np.empty(size, np.float32)
    at = 0
    for begin in range(0, size, INT8_BLOCK):
        count = min(INT8_BLOCK, size - begin)
        scale = np.frombuffer(data, "<f4", 1, at)[0]
        levels = np.frombuffer(data, np.int8, count, at + 4)
        with np.errstate(over="ignore", invalid="ignore"):  # judged as not finite later
            values[begin : begin + count] = levels.astype(np.float32) * scale
        at += 4 + count
    return values


def _int8_bytes(size: int) -> int:
    return size + 4 * -(-size // INT8_BLOCK)


def _bitmap_bytes(size: int) -> int:
    return -(-size // 8)


def _check_length(data: bytes, expected: int, codec: str) -> None:
    if len(data) != expected:
        status = Status.TRUNCATED if len(data) < expected else Status.RANGE
        raise refuse(status, f"{codec} data has {len(data)} bytes, expected {expected}")
