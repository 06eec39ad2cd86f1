"""Messages travel unchanged, and everything else is refused."""

from __future__ import annotations

import contextlib
import dataclasses

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import LinkError
from edgekit.link.cbor import decode_map, encode_map
from edgekit.link.fields import Message
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimRequest,
    ClaimResponse,
    Desired,
    FederatedReport,
    FederatedState,
    FederatedTask,
    FreeBytes,
    Hello,
    Log,
    LogLevel,
    Manifest,
    Ping,
    Pong,
    Reported,
    SignedManifest,
    Telemetry,
    UpdateReport,
    UpdateState,
    Welcome,
)
from edgekit.link.status import Status

HASH = bytes(range(32))
TASK = FederatedTask(
    run=2**63,
    round=3,
    base_head_hash=HASH,
    head_object=7,
    head_bytes=2_572,
    epochs=2,
    rate=0.125,
    decay=0.0,
    deadline_s=120,
)
REPORTED = Reported(
    boot=2,
    desired_version=5,
    board="mps2_an386",
    firmware="0.1.0",
    kernel_set_hash=b"12345678",
    active_image=HASH,
    counter=4,
    update=UpdateReport(
        state=UpdateState.REFUSED, image_id=HASH, bytes_done=9, status=Status.GOLDEN, counter=5
    ),
    free=FreeBytes(100_000, 400_000),
    federated=FederatedReport(run=1, state=FederatedState.READY, update_hash=HASH, samples=30),
    uptime_s=61,
    head_hash=None,
)
MESSAGES: list[Message] = [
    Hello("board-1", 3),
    Welcome(3),
    Ping(2**32 - 1),
    Pong(0),
    ClaimRequest(token_id=b"t" * 8, public_key=HASH, mac=b"m" * 16),
    ClaimResponse(HASH, b"m" * 16),
    REPORTED,
    dataclasses.replace(REPORTED, sensors=("camera", "imu_9-dof"), battery_mv=3_700),
    Desired(
        version=5,
        time_s=1_800_000_000,
        model=SignedManifest(b"x", b"s" * 64),
        task=TASK,
        heartbeat_s=15,
    ),
    Desired(version=1, time_s=0, model=None, task=None, heartbeat_s=1),
    Telemetry(uptime_ms=2**40, inferences=1, bytes_in=2, bytes_out=3, frames_refused=4),
    Log(LogLevel.WARNING, "läuft"),
    Manifest(
        name="digits",
        version="2",
        counter=2,
        image_id=HASH,
        image_bytes=61_440,
        blocks_hash=HASH,
        device_class="mps2_an386",
        kernel_set_hash=b"12345678",
        arena_bytes=20_000,
        expiry_s=2**33,
    ),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_travels_unchanged(message: Message) -> None:
    data = message.encode()
    assert type(message).decode(data) == message
    assert encode_map(decode_map(data)) == data


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_refuses_missing_and_unknown_keys(message: Message) -> None:
    values = message.to_map()
    for number in set(values) - ({12, 13} if isinstance(message, Reported) else set()):
        less = {key: value for key, value in values.items() if key != number}
        with pytest.raises(LinkError, match="missing keys"):
            type(message).decode(encode_map(less))
    with pytest.raises(LinkError, match="unknown keys"):
        type(message).decode(encode_map({**values, 40: 0}))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_refuses_every_cut(message: Message) -> None:
    data = message.encode()
    for length in range(len(data)):
        with pytest.raises(LinkError):
            type(message).decode(data[:length])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message_with_a_flipped_byte_is_another_message_or_refused(message: Message) -> None:
    data = message.encode()
    for at in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            bent = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            try:
                other = type(message).decode(bent)
            except LinkError:
                continue
            assert other.encode() == bent


@given(st.binary(max_size=200))
def test_any_bytes_give_a_link_error_or_a_message(data: bytes) -> None:
    for kind in {type(message) for message in MESSAGES}:
        try:
            message = kind.decode(data)
        except LinkError:
            continue
        assert message.encode() == data
    for chunk in (ChunkRequest, Chunk):
        try:
            assert chunk.decode(data).encode() == data
        except LinkError:
            continue


_VALUES = st.recursive(
    st.integers()
    | st.binary(max_size=8)
    | st.text(max_size=8)
    | st.booleans()
    | st.none()
    | st.floats(),
    lambda inner: (
        st.dictionaries(st.integers(0, 2**64 - 1) | st.text(max_size=2), inner, max_size=4)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_any_cbor_value_is_refused_or_comes_back(value: object) -> None:
    data = cbor2.dumps(value, canonical=True)
    with contextlib.suppress(LinkError):
        assert encode_map(decode_map(data)) == data


@pytest.mark.parametrize(
    ("hexadecimal", "status"),
    [
        ("", Status.TRUNCATED),
        ("a1", Status.TRUNCATED),
        ("a100", Status.TRUNCATED),
        ("a10043ffff", Status.TRUNCATED),
        ("a1001b00", Status.TRUNCATED),
        ("a1005bffffffffffffffff00", Status.TRUNCATED),
        ("80", Status.CBOR),  # an array
        ("00", Status.CBOR),  # not a map
        ("a1000000", Status.CBOR),  # a byte too many
        ("a1001800", Status.CBOR),  # longer integer than needed
        ("a101000000", Status.CBOR),
        ("a201000000", Status.CBOR),  # keys fall
        ("a200000000", Status.CBOR),  # key twice
        ("bf0000ff", Status.CBOR),  # indefinite map
        ("a1005f4100ff", Status.CBOR),  # indefinite bytes
        ("a10020", Status.CBOR),  # negative
        ("a100c100", Status.CBOR),  # tag
        ("a100f93c00", Status.CBOR),  # float
        ("a100f7", Status.CBOR),  # undefined
        ("a100f820", Status.CBOR),  # simple value
        ("a10080", Status.CBOR),  # an array inside
        ("a1410000", Status.CBOR),  # a key that is no integer
        ("a10061ff", Status.CBOR),  # not UTF-8
        ("a100a100a100a100a0", Status.CBOR),  # five deep
        ("a100a100a100a0", Status.OK),
        ("b84100", Status.CBOR),  # 65 items
    ],
)
def test_cbor_outside_the_subset_is_refused(hexadecimal: str, status: Status) -> None:
    data = bytes.fromhex(hexadecimal)
    if status is Status.OK:
        assert encode_map(decode_map(data)) == data
        return
    with pytest.raises(LinkError) as caught:
        decode_map(data)
    assert caught.value.status == status


def test_encode_refuses_what_decode_would_refuse() -> None:
    for bad in (
        Hello("Board", 1),
        Hello("a", 2**32),
        Hello("a" * 33, 1),
        Log(LogLevel.INFO, "x" * 201),
        SignedManifest(b"x", b"short"),
    ):
        with pytest.raises(ValueError, match=r"expected|form|at most"):
            bad.encode()


@pytest.mark.parametrize("field", ["board", "firmware"])
def test_report_that_speaks_to_a_terminal_is_refused(field: str) -> None:
    key = {"board": 2, "firmware": 3}[field]
    for text in ("\x1b[2J", "two\nlines", "nul\x00", "\u202egpj"):
        with pytest.raises(LinkError, match=f"Reported.{field}"):
            Reported.decode(encode_map({**REPORTED.to_map(), key: text}))


def test_task_with_a_rate_that_is_not_finite_is_refused() -> None:
    values = TASK.to_map()
    for bits in (0x7F800000, 0x7FC00000, 0xFF800000):
        with pytest.raises(LinkError) as caught:
            FederatedTask.decode(encode_map({**values, 6: bits}))
        assert caught.value.status == Status.NOT_FINITE


def test_status_travels_without_its_sign() -> None:
    update = REPORTED.to_map()[7]
    assert isinstance(update, dict)
    assert update[3] == 14


def test_chunk_messages_travel_unchanged() -> None:
    request = ChunkRequest(2**64 - 1, 4_096, 4_096)
    assert ChunkRequest.decode(request.encode()) == request
    chunk = Chunk(5, 4_096, 5_000, b"x" * 904)
    assert Chunk.decode(chunk.encode()) == chunk
    unknown = Chunk(5, 0, 0, b"")
    assert Chunk.decode(unknown.encode()) == unknown
    for bad in (b"", b"x" * 15, Chunk(5, 4_097, 5_000, b"x" * 904).encode()):
        with pytest.raises(LinkError):
            Chunk.decode(bad)
    for length in (0, 4_097, 2**32 - 1):
        with pytest.raises(LinkError):
            ChunkRequest.decode(bytes(12) + length.to_bytes(4, "little"))


def test_what_may_be_left_out_is_understood_when_it_is() -> None:
    """Agents from before there were sensors and a battery in the report."""
    old = decode_map(REPORTED.encode())
    assert 12 not in old and 13 not in old
    assert Reported.decode(encode_map(old)) == REPORTED
    for key, value in ((12, ""), (12, "camera,,x"), (12, "Camera"), (13, 0), (14, 1)):
        with pytest.raises(LinkError):
            Reported.decode(encode_map({**old, key: value}))
