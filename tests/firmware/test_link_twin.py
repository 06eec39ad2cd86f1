"""Frames, seals and messages: the device's bytes equal the server's."""

from __future__ import annotations

import dataclasses
import random
import struct
from hashlib import blake2b

import pytest
from firmware_twin import Op, Twin

from edgekit.link.frames import FrameType, cobs_decode, cobs_encode, decode_frame, encode_frame
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
    Learning,
    Log,
    LogLevel,
    Manifest,
    Ping,
    Reported,
    SecureTask,
    SignedManifest,
    Telemetry,
    TextAnswer,
    TextQuestion,
    UpdateReport,
    UpdateState,
    Welcome,
)
from edgekit.link.seal import Direction, open_frame, seal_frame
from edgekit.link.status import Status

pytestmark = pytest.mark.cc

HASH = blake2b(b"hash", digest_size=32).digest()
KEY = bytes(range(100, 132))
SIZES = (0, 1, 2, 253, 254, 255, 256, 508, 509, 4096, 4224)

TASK = FederatedTask(
    run=2**63 + 5,
    round=7,
    base_head_hash=HASH,
    head_object=12345678901234567890,
    head_bytes=652,
    epochs=3,
    rate=0.05,
    decay=1e-4,
    deadline_s=600,
)
FULL_TASK = dataclasses.replace(TASK, codec=4, entries=70_000, mu=0.25, local=10, feedback=1)
SPARSE_TASK = dataclasses.replace(TASK, mu=1e-3, feedback=1)
SECURE_TASKS = (
    dataclasses.replace(TASK, secure=SecureTask(phase=1)),
    dataclasses.replace(TASK, secure=SecureTask(phase=4, input_hash=HASH, input_bytes=2**31)),
)
MANIFEST = Manifest(
    name="digits-tiny",
    version="2",
    counter=300,
    image_id=HASH,
    image_bytes=70_000,
    blocks_hash=HASH[::-1],
    device_class="host",
    kernel_set_hash=bytes(range(8)),
    arena_bytes=24_576,
    expiry_s=1_900_000_000,
)


def test_every_frame_type_has_equal_bytes(twin: Twin) -> None:
    """A frame of each type and of many sizes is the same, and reads back in C."""
    bodies = [(kind, bytes(i % 251 for i in range(n))) for kind in FrameType for n in SIZES]
    frames = twin.run_all([(Op.FRAME_CLOSE, bytes([kind]) + body) for kind, body in bodies])
    assert [out for _, out in frames] == [encode_frame(kind, body) for kind, body in bodies]
    opened = twin.run_all([(Op.FRAME_OPEN, out) for _, out in frames])
    assert opened == [(Status.OK, bytes([kind]) + body) for kind, body in bodies]


def test_frame_with_any_byte_flipped_is_refused(twin: Twin) -> None:
    """Each byte of a frame matters; both sides refuse with the same status."""
    whole = encode_frame(FrameType.PING, Ping(77).encode() + bytes(40))
    bad = [
        whole[:i] + bytes([whole[i] ^ (1 << b)]) + whole[i + 1 :]
        for i in range(len(whole))
        for b in (0, 7)
    ]
    bad += [whole[:n] for n in range(len(whole))] + [whole + b"\x00"]
    answers = twin.run_all([(Op.FRAME_OPEN, data) for data in bad])
    for data, (status, _) in zip(bad, answers, strict=True):
        with pytest.raises(Exception) as caught:
            decode_frame(data)
        assert status is not Status.OK
        assert caught.value.status == status


def test_cobs_has_equal_bytes(twin: Twin) -> None:
    """Coding and decoding agree for runs around 254 bytes and for zeros."""
    generator = random.Random(1)
    data = [bytes(n) for n in SIZES] + [b"\x01" * n for n in SIZES]
    data += [bytes(generator.choice((0, 1, 9)) for _ in range(n)) for n in SIZES]
    coded = twin.run_all([(Op.COBS_ENCODE, item) for item in data])
    assert [out for _, out in coded] == [cobs_encode(item) for item in data]
    back = twin.run_all([(Op.COBS_DECODE, out[:-1]) for _, out in coded])
    assert back == [(Status.OK, item) for item in data]
    assert cobs_decode(coded[-1][1]) == data[-1]


def test_seal_from_device_opens_on_server(twin: Twin) -> None:
    """The device's seal carries boot and sequence and verifies in Python."""
    content = b"content" * 30
    head = KEY + struct.pack("<IIB", 9, 41, FrameType.TELEMETRY)
    body = twin.bytes(Op.SEAL_CLOSE, head + content)
    frame = decode_frame(encode_frame(FrameType.TELEMETRY, body))
    sealed = open_frame(KEY, Direction.TO_SERVER, frame, after=(9 << 32) + 41)
    assert (sealed.content, sealed.counter) == (content, (9 << 32) + 42)


def test_seal_from_server_opens_on_device_once(twin: Twin) -> None:
    """The right counter opens; an old one, another boot, a flip and a mirrored frame do not."""
    counter = (9 << 32) + 42
    kind = FrameType.CHUNK

    def body(**change: object) -> bytes:
        values = {"key": KEY, "direction": Direction.TO_DEVICE, "counter": counter} | change
        frame = seal_frame(
            values["key"],
            values["direction"],
            kind,
            b"bytes",
            values["counter"],  # type: ignore[arg-type]
        )
        return decode_frame(frame).body

    head = KEY + struct.pack("<IIB", 9, 41, kind)
    assert twin.run(Op.SEAL_OPEN, head + body()) == (Status.OK, b"bytes")
    again = KEY + struct.pack("<IIB", 9, 42, kind)
    assert twin.run(Op.SEAL_OPEN, again + body())[0] is Status.REPLAY
    assert twin.run(Op.SEAL_OPEN, head + body(counter=(8 << 32) + 99))[0] is Status.REPLAY
    assert twin.run(Op.SEAL_OPEN, head + body(counter=(10 << 32) + 1))[0] is Status.REPLAY
    assert twin.run(Op.SEAL_OPEN, head + body(direction=Direction.TO_SERVER))[0] is Status.MAC
    assert twin.run(Op.SEAL_OPEN, head + body(key=bytes(32)))[0] is Status.MAC
    flipped = [bytearray(body()) for _ in body()]
    for i, item in enumerate(flipped):
        item[i] ^= 4
    answers = twin.run_all([(Op.SEAL_OPEN, head + bytes(item)) for item in flipped])
    assert {status for status, _ in answers} == {Status.MAC}
    assert twin.run(Op.SEAL_OPEN, head + body()[:23])[0] is Status.TRUNCATED


def _optional(value: bytes | None) -> bytes:
    return b"\x00" + bytes(32) if value is None else b"\x01" + value


def _reported_record(r: Reported) -> bytes:
    update, task = r.update, r.federated
    out = struct.pack("<II", r.boot, r.desired_version) + r.kernel_set_hash
    out += _optional(r.active_image) + struct.pack("<QB", r.counter, update.state)
    out += _optional(update.image_id) + struct.pack("<I", update.bytes_done)
    out += struct.pack("<BQII", -update.status, update.counter, r.free.ram, r.free.slot)
    out += struct.pack(
        "<QIBQI", task.run, task.round, task.state, task.update_object, task.update_bytes
    )
    out += _optional(task.update_hash) + struct.pack("<IBI", task.samples, -task.status, r.uptime_s)
    out += _optional(r.head_hash)
    for text in (r.board, r.firmware, ",".join(r.sensors)):
        out += bytes([len(text)]) + text.encode()
    skills = ",".join(r.skills).encode()
    out += struct.pack("<II", r.battery_mv or 0, task.phase)
    return out + bytes([len(skills)]) + skills + bytes(32)


REPORTS = (
    Reported(
        boot=1,
        desired_version=0,
        board="host",
        firmware="0.1.0",
        kernel_set_hash=bytes(8),
        active_image=None,
        counter=0,
        update=UpdateReport(),
        free=FreeBytes(0, 0),
        federated=FederatedReport(),
        uptime_s=0,
        head_hash=None,
    ),
    Reported(
        boot=2**32 - 1,
        desired_version=70_000,
        board="mps2_an386",
        firmware="10.20.30",
        kernel_set_hash=HASH[:8],
        active_image=HASH,
        counter=2**64 - 1,
        update=UpdateReport(
            state=UpdateState.REFUSED,
            image_id=HASH,
            bytes_done=65_536,
            status=Status.GOLDEN,
            counter=256,
        ),
        free=FreeBytes(163_840, 393_216),
        federated=FederatedReport(
            run=2**64 - 1,
            round=24,
            state=FederatedState.READY,
            update_object=2**40,
            update_bytes=712,
            update_hash=HASH,
            samples=255,
            status=Status.BASE,
            phase=4,
        ),
        uptime_s=86_400,
        head_hash=HASH[::-1],
        sensors=("accelerometer", "microphone"),
        battery_mv=3_712,
        skills=("secure", "x"),
    ),
)


@pytest.mark.parametrize("reported", REPORTS)
def test_reported_has_equal_bytes(twin: Twin, reported: Reported) -> None:
    """What the device reports is what the server's class encodes."""
    assert twin.bytes(Op.REPORTED, _reported_record(reported)) == reported.encode()


@pytest.mark.parametrize("boot", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1])
def test_small_messages_have_equal_bytes(twin: Twin, boot: int) -> None:
    """HELLO and PING, around each length of an integer; WELCOME and PONG are read."""
    word = struct.pack("<I", boot)
    assert twin.bytes(Op.HELLO, word + b"digit-01_a") == Hello("digit-01_a", boot).encode()
    assert twin.bytes(Op.PING, word) == Ping(boot).encode()
    assert twin.bytes(Op.BOOT_READ, Welcome(boot).encode()) == word


def test_claim_telemetry_log_and_chunks_have_equal_bytes(twin: Twin) -> None:
    """The other messages, both ways."""
    claim = ClaimRequest(token_id=HASH[:8], public_key=KEY, mac=HASH[16:])
    assert twin.bytes(Op.CLAIM_REQUEST, HASH[:8] + KEY + HASH[16:]) == claim.encode()
    answer = ClaimResponse(KEY, HASH[:16])
    assert twin.bytes(Op.CLAIM_RESPONSE_READ, answer.encode()) == KEY + HASH[:16]
    counts = (2**40, 5, 2**32, 65_536, 0)
    telemetry = Telemetry(
        uptime_ms=counts[0],
        inferences=counts[1],
        bytes_in=counts[2],
        bytes_out=counts[3],
        frames_refused=counts[4],
    )
    assert twin.bytes(Op.TELEMETRY, struct.pack("<5Q", *counts)) == telemetry.encode()
    for level, line in ((LogLevel.DEBUG, ""), (LogLevel.ERROR, "x" * 200)):
        assert twin.bytes(Op.LOG, bytes([level]) + line.encode()) == Log(level, line).encode()
    request = ChunkRequest(2**63 + 1, 4_096, 1_024)
    assert twin.bytes(Op.CHUNK_REQUEST, request.encode()) == request.encode()
    assert twin.bytes(Op.CHUNK_REQUEST_READ, request.encode()) == request.encode()
    chunk = Chunk(2**63 + 1, 4_096, 9_000, bytes(range(256)) * 4)
    unknown = Chunk(3, 0, 0, b"")
    assert twin.bytes(Op.CHUNK, chunk.encode()) == chunk.encode()
    assert twin.bytes(Op.CHUNK_READ, chunk.encode()) == chunk.encode()
    assert twin.bytes(Op.CHUNK_READ, unknown.encode()) == unknown.encode()


def test_questions_and_answers_have_equal_bytes(twin: Twin) -> None:
    """Any text up to the limit, UTF-8 or not; an answer with everything and an empty one."""
    for text in (b"", b"turn on the light", b"\xff\x00" * 2_000):
        question = TextQuestion(2**31 + 3, text)
        flat = struct.pack("<I", question.number) + text
        assert twin.bytes(Op.TEXT_QUESTION_READ, question.encode()) == flat
    full = TextAnswer(
        number=7, image_id=HASH, label=149, score=0.25, tokens=256, outputs=bytes(range(150))
    )
    flat = struct.pack("<IIIfIB", 7, 0, 149, 0.25, 256, 1) + HASH + full.outputs
    assert twin.bytes(Op.TEXT_ANSWER, flat) == full.encode()
    assert TextAnswer.decode(full.encode()) == full
    empty = TextAnswer(number=8, status=Status.STATE)
    flat = struct.pack("<IIIfIB", 8, 19, 0, 0.0, 0, 0) + bytes(32)
    assert twin.bytes(Op.TEXT_ANSWER, flat) == empty.encode()


LEARNING = Learning(steps_per_minute=600, method=3, rate=0.25)
FULL_LEARNING = dataclasses.replace(
    LEARNING, momentum=0.5, standardize=1, warm_up=70_000, window=32
)


def _flat_desired(d: Desired) -> bytes:
    out = struct.pack("<IQII", d.version, d.time_s, d.heartbeat_s, d.model is not None)
    if d.model is not None:
        out += struct.pack("<I", len(d.model.manifest)) + d.model.manifest + d.model.signature
    out += struct.pack("<I", d.task is not None)
    if d.task is not None:
        t = d.task
        out += struct.pack("<QI", t.run, t.round) + t.base_head_hash
        out += struct.pack("<QIIff", t.head_object, t.head_bytes, t.epochs, t.rate, t.decay)
        out += struct.pack("<III", t.deadline_s, t.codec, t.entries)
        out += struct.pack("<fII", t.mu, t.local, t.feedback)
        phase = t.secure or SecureTask(phase=1)
        given = phase.input_hash is not None
        out += struct.pack("<II", phase.phase if t.secure else 0, given)
        out += (phase.input_hash or bytes(32)) + struct.pack("<I", phase.input_bytes)
    out += struct.pack("<I", d.learning is not None)
    if d.learning is not None:
        out += struct.pack("<IIffIII", *dataclasses.astuple(d.learning))
    return out


@pytest.mark.parametrize("model", [None, SignedManifest(MANIFEST.encode(), HASH * 2)])
@pytest.mark.parametrize("task", [None, TASK, FULL_TASK, SPARSE_TASK, *SECURE_TASKS])
@pytest.mark.parametrize("learning", [None, LEARNING, FULL_LEARNING])
def test_desired_is_read_whole(
    twin: Twin,
    model: SignedManifest | None,
    task: FederatedTask | None,
    learning: Learning | None,
) -> None:
    """Every field of a desired document arrives on the device."""
    desired = Desired(
        version=300,
        time_s=1_800_000_000,
        model=model,
        task=task,
        heartbeat_s=15,
        learning=learning,
    )
    assert twin.bytes(Op.DESIRED_READ, desired.encode()) == _flat_desired(desired)


def test_manifest_is_read_whole(twin: Twin) -> None:
    """Every field of a manifest arrives on the device."""
    m = MANIFEST
    flat = b"".join(struct.pack("<I", len(t)) + t.encode() for t in (m.name, m.version))
    flat += struct.pack("<Q", m.counter) + m.image_id + struct.pack("<I", m.image_bytes)
    flat += m.blocks_hash + struct.pack("<I", len(m.device_class)) + m.device_class.encode()
    flat += m.kernel_set_hash + struct.pack("<IQ", m.arena_bytes, m.expiry_s)
    assert twin.bytes(Op.MANIFEST_READ, m.encode()) == flat


@pytest.mark.parametrize("loss", [0, 10, 40])
@pytest.mark.parametrize("chunk_bytes", [256, 1_424, 4_096])
@pytest.mark.parametrize(("total", "start"), [(1, 0), (4_096, 0), (4_097, 4_096), (50_001, 8_192)])
def test_pull_survives_a_bad_link(
    twin: Twin, loss: int, chunk_bytes: int, total: int, start: int
) -> None:
    """Lost, repeated and reordered chunks end in the object's own bytes."""
    call = struct.pack("<5I", 5, total, start, chunk_bytes, loss)
    status, data = twin.run(Op.PULL, call)
    assert (status, len(data)) == (Status.OK, total - start)


def test_utf8_is_judged_as_python_does(twin: Twin) -> None:
    """Text with bad UTF-8 is refused: overlong, surrogates, too high, cut."""
    generator = random.Random(3)
    items = [
        bytes(
            generator.choice((0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0x9F, 0xA0))
            for _ in range(generator.randrange(5))
        )
        for _ in range(3_000)
    ]
    items += ["aä€😀".encode(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"]

    def valid(data: bytes) -> bool:
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True

    answers = twin.run_all([(Op.UTF8, item) for item in items])
    assert [status is Status.OK for status, _ in answers] == [valid(item) for item in items]
