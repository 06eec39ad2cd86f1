"""Frames, COBS and seals: what is whole passes, everything else is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import LinkError
from edgekit.link.frames import (
    MAX_BODY_BYTES,
    FrameType,
    cobs_decode,
    cobs_encode,
    decode_frame,
    encode_frame,
)
from edgekit.link.messages import Log, LogLevel
from edgekit.link.seal import Direction, open_frame, seal_frame
from edgekit.link.status import Status

KEY = bytes(range(32))


@given(st.sampled_from(FrameType), st.binary(max_size=300))
def test_frame_travels_unchanged(kind: FrameType, body: bytes) -> None:
    frame = decode_frame(encode_frame(kind, body))
    assert (frame.type, frame.body) == (kind, body)


def test_frame_of_the_largest_body_travels_and_one_more_byte_does_not() -> None:
    body = b"\xa5" * MAX_BODY_BYTES
    assert decode_frame(encode_frame(FrameType.CHUNK, body)).body == body
    with pytest.raises(ValueError, match="4225 bytes"):
        encode_frame(FrameType.CHUNK, body + b"x")


def test_frame_refuses_each_flipped_bit_and_each_cut() -> None:
    data = encode_frame(FrameType.LOG, Log(LogLevel.INFO, "up").encode())
    for at in range(len(data)):
        for bit in range(8):
            bent = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(LinkError):
                decode_frame(bent)
        with pytest.raises(LinkError):
            decode_frame(data[:at])
    with pytest.raises(LinkError):
        decode_frame(data + b"\x00")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.TRUNCATED),
        (b"\x02\x01\x00\x00abcd", Status.VERSION),
        (b"\x01\x01\x81\x10abcd", Status.RANGE),
        (b"\x01\x01\x01\x00abcd", Status.TRUNCATED),
        (b"\x01\x01\x00\x00abcd", Status.CRC),
        (encode_frame(0x7F, b""), Status.RANGE),  # type: ignore[arg-type]
    ],
)
def test_frame_is_refused_with_the_status_of_its_fault(data: bytes, status: Status) -> None:
    with pytest.raises(LinkError) as caught:
        decode_frame(data)
    assert caught.value.status == status


@given(st.binary(max_size=600))
def test_any_bytes_are_a_frame_or_a_link_error(data: bytes) -> None:
    try:
        frame = decode_frame(data)
    except LinkError:
        return
    assert encode_frame(frame.type, frame.body) == data


@given(st.binary(max_size=600) | st.binary(min_size=250, max_size=260).map(lambda b: b"x" * len(b)))
def test_cobs_comes_back_and_holds_no_zero(data: bytes) -> None:
    coded = cobs_encode(data)
    assert coded[-1] == 0
    assert 0 not in coded[:-1]
    assert len(coded) <= len(data) + len(data) // 254 + 2
    assert cobs_decode(coded) == data
    assert cobs_decode(coded[:-1]) == data


@given(st.binary(max_size=300))
def test_any_bytes_are_cobs_or_a_link_error(data: bytes) -> None:
    with contextlib.suppress(LinkError):
        cobs_decode(data)


def test_seal_opens_with_the_same_key_direction_and_a_higher_counter() -> None:
    frame = decode_frame(seal_frame(KEY, Direction.TO_SERVER, FrameType.LOG, b"abc", 5 << 32 | 7))
    sealed = open_frame(KEY, Direction.TO_SERVER, frame, after=5 << 32 | 6)
    assert (sealed.content, sealed.boot, sealed.counter) == (b"abc", 5, 5 << 32 | 7)


def test_seal_refuses_another_key_another_direction_and_a_replay() -> None:
    frame = decode_frame(seal_frame(KEY, Direction.TO_SERVER, FrameType.LOG, b"abc", 9))
    cases = [
        (bytes(32), Direction.TO_SERVER, 0, Status.MAC),
        (KEY, Direction.TO_DEVICE, 0, Status.MAC),
        (KEY, Direction.TO_SERVER, 9, Status.REPLAY),
        (KEY, Direction.TO_SERVER, 10, Status.REPLAY),
    ]
    for key, direction, after, status in cases:
        with pytest.raises(LinkError) as caught:
            open_frame(key, direction, frame, after=after)
        assert caught.value.status == status


def test_seal_refuses_each_flipped_byte_even_when_the_crc_is_right() -> None:
    whole = seal_frame(KEY, Direction.TO_DEVICE, FrameType.DESIRED, b"content", 3)
    body = decode_frame(whole).body
    for at in range(len(body)):
        bent = body[:at] + bytes([body[at] ^ 0x10]) + body[at + 1 :]
        frame = decode_frame(encode_frame(FrameType.DESIRED, bent))
        with pytest.raises(LinkError):
            open_frame(KEY, Direction.TO_DEVICE, frame, after=0)
    other = decode_frame(encode_frame(FrameType.REPORTED, body))
    with pytest.raises(LinkError):
        open_frame(KEY, Direction.TO_DEVICE, other, after=0)
    short = decode_frame(encode_frame(FrameType.DESIRED, body[-23:]))
    with pytest.raises(LinkError):
        open_frame(KEY, Direction.TO_DEVICE, short, after=0)
