# ruff: noqa: RUF009 (a field here is a key and a codec, both frozen)
"""The messages: one frozen dataclass each, strict in both directions.

Each field names its key and its codec; `encode` and `decode` follow from that. Decoding refuses
missing and unknown keys, wrong types, lengths and ranges with a LinkError.

Twin: firmware/link/ek_message.c
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from edgekit.link.fields import (
    Message,
    constant,
    enum,
    exact,
    float32,
    key,
    limited,
    nested,
    nullable,
    optional_key,
    status,
    text,
    unsigned,
    words,
)
from edgekit.link.status import Status, refuse
from edgekit.link.topics import is_device_id

HASH_BYTES = 32
BLOCK_BYTES = 4_096
MAX_CHUNK_BYTES = 4_096
MAX_NAME_BYTES = 64
MAX_LOG_BYTES = 200
MAX_SENSORS_BYTES = 128
MAX_MANIFEST_BYTES = 1_024
MAX_TEXT_BYTES = 4_000
MAX_OUTPUTS_BYTES = 1_024
MAX_SKILLS_BYTES = 128
LAST_PHASE = 4

_HASH = exact(HASH_BYTES)
_NAME = text(MAX_NAME_BYTES)
_SAID = text(MAX_NAME_BYTES, check=str.isprintable)  # is shown to people as it is
_DEVICE = text(32, check=is_device_id)


class UpdateState(IntEnum):
    """How far a device is with the model it is to install."""

    IDLE = 0
    DOWNLOADING = 1
    VERIFYING = 2
    INSTALLED = 3
    REFUSED = 4


class FederatedState(IntEnum):
    """How far a device is with its federated task."""

    IDLE = 0
    FETCHING = 1
    TRAINING = 2
    READY = 3
    REFUSED = 4


class LogLevel(IntEnum):
    """Weight of a line of log."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """A device says that it is there."""

    device: str = key(0, _DEVICE)
    boot: int = key(1, unsigned(32))


@dataclass(frozen=True, slots=True)
class Welcome(Message):
    """The gateway has heard a Hello."""

    boot: int = key(0, unsigned(32))


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """A device keeps its path open."""

    boot: int = key(0, unsigned(32))


@dataclass(frozen=True, slots=True)
class Pong(Message):
    """The gateway has heard a Ping."""

    boot: int = key(0, unsigned(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest(Message):
    """A device asks for a device key with its one-use token."""

    token_id: bytes = key(0, exact(8))
    public_key: bytes = key(1, exact(32))
    mac: bytes = key(2, exact(16))


@dataclass(frozen=True, slots=True)
class ClaimResponse(Message):
    """The server's half of the key agreement."""

    public_key: bytes = key(0, exact(32))
    mac: bytes = key(1, exact(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport(Message):
    """Where a device stands with an update; part of Reported."""

    state: UpdateState = key(0, enum(UpdateState), default=UpdateState.IDLE)
    image_id: bytes | None = key(1, nullable(_HASH), default=None)
    bytes_done: int = key(2, unsigned(32), default=0)
    status: Status = key(3, status(), default=Status.OK)
    counter: int = key(4, unsigned(64), default=0)


@dataclass(frozen=True, slots=True)
class FreeBytes(Message):
    """Free memory of a device; part of Reported."""

    ram: int = key(0, unsigned(32))
    slot: int = key(1, unsigned(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedReport(Message):
    """Where a device stands with a federated task; part of Reported.

    Attributes:
        phase: Of secure aggregation, 0 if the task has none; the samples are not told then.
    """

    run: int = key(0, unsigned(64), default=0)
    round: int = key(1, unsigned(32), default=0)
    state: FederatedState = key(2, enum(FederatedState), default=FederatedState.IDLE)
    update_object: int = key(3, unsigned(64), default=0)
    update_bytes: int = key(4, unsigned(32), default=0)
    update_hash: bytes | None = key(5, nullable(_HASH), default=None)
    samples: int = key(6, unsigned(32), default=0)
    status: Status = key(7, status(), default=Status.OK)
    phase: int = optional_key(8, unsigned(32, minimum=1, maximum=LAST_PHASE), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Message):
    """What a device is and does: its whole state as one document.

    Attributes:
        sensors: Kinds of those that work; empty if it does not say.
        battery_mv: None if it has no battery, or cannot measure it.
        skills: What it can do that older firmware cannot: codecs, secure.
    """

    boot: int = key(0, unsigned(32))
    desired_version: int = key(1, unsigned(32))
    board: str = key(2, _SAID)
    firmware: str = key(3, _SAID)
    kernel_set_hash: bytes = key(4, exact(8))
    active_image: bytes | None = key(5, nullable(_HASH))
    counter: int = key(6, unsigned(64))
    update: UpdateReport = key(7, nested(UpdateReport))
    free: FreeBytes = key(8, nested(FreeBytes))
    federated: FederatedReport = key(9, nested(FederatedReport))
    uptime_s: int = key(10, unsigned(32))
    head_hash: bytes | None = key(11, nullable(_HASH))
    sensors: tuple[str, ...] = optional_key(12, words(MAX_SENSORS_BYTES), ())
    battery_mv: int | None = optional_key(13, unsigned(32, minimum=1), None)
    skills: tuple[str, ...] = optional_key(14, words(MAX_SKILLS_BYTES), ())


@dataclass(frozen=True, slots=True)
class SignedManifest(Message):
    """Bytes of a manifest and the release key's signature over them."""

    manifest: bytes = key(0, limited(1, MAX_MANIFEST_BYTES))
    signature: bytes = key(1, exact(64))


LAST_CODEC = 4
MAX_LOCAL = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureTask(Message):
    """A phase of secure aggregation, as asked of one device; part of FederatedTask.

    Attributes:
        phase: 1 keys, 2 shares, 3 masked, 4 unmask.
        input_hash: BLAKE2b-256 of the object that it needs; None in phase 1.
    """

    phase: int = key(0, unsigned(32, minimum=1, maximum=LAST_PHASE))
    input_hash: bytes | None = key(1, nullable(_HASH), default=None)
    input_bytes: int = key(2, unsigned(32), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedTask(Message):
    """One round of a federated run, as asked of one device.

    Attributes:
        rate: Learning rate; travels as float32.
        decay: L2 decay; travels as float32.
        codec: How the update is to travel, number of a codec.
        entries: That a top-P codec sends, 0 for the others.
        mu: Proximal term of FedProx; travels as float32.
        local: Parameters at the end that TinyMetaFed keeps on the device.
        feedback: Whether the device adds what a codec left out the next time.
        secure: None: the update travels as it is.
    """

    run: int = key(0, unsigned(64))
    round: int = key(1, unsigned(32))
    base_head_hash: bytes = key(2, _HASH)
    head_object: int = key(3, unsigned(64))
    head_bytes: int = key(4, unsigned(32))
    epochs: int = key(5, unsigned(32))
    rate: float = key(6, float32())
    decay: float = key(7, float32())
    deadline_s: int = key(8, unsigned(32))
    codec: int = optional_key(9, unsigned(32, minimum=1, maximum=LAST_CODEC), 0)
    entries: int = optional_key(10, unsigned(32, minimum=1), 0)
    mu: float = optional_key(11, float32(), 0.0)
    local: int = optional_key(12, unsigned(32, minimum=1, maximum=MAX_LOCAL), 0)
    feedback: int = optional_key(13, unsigned(32, minimum=1, maximum=1), 0)
    secure: SecureTask | None = optional_key(14, nested(SecureTask), None)


MOST_STEPS_PER_MINUTE = 60_000
LAST_METHOD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning(Message):
    """How the head of a device goes on learning by itself, from samples of its own.

    Attributes:
        steps_per_minute: At most so many.
        method: Number of a `edgekit.runtime.online.Method`: 0 ol, 1 ol-v2, 2 lwf, 3 cwr.
        rate: Learning rate; travels as float32.
        momentum: Of the steps; travels as float32.
        standardize: Whether the model reads its input by the input's own mean and variance.
        warm_up: Samples after which these stay as they are; 0: never.
        window: Samples that they follow; 0: all.
    """

    steps_per_minute: int = key(0, unsigned(32, minimum=1, maximum=MOST_STEPS_PER_MINUTE))
    method: int = key(1, unsigned(32, maximum=LAST_METHOD))
    rate: float = key(2, float32())
    momentum: float = optional_key(3, float32(), 0.0)
    standardize: int = optional_key(4, unsigned(32, minimum=1, maximum=1), 0)
    warm_up: int = optional_key(5, unsigned(32, minimum=1), 0)
    window: int = optional_key(6, unsigned(32, minimum=1), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired(Message):
    """What a device is to be: its whole wished state as one document."""

    version: int = key(0, unsigned(32))
    time_s: int = key(1, unsigned(64))
    model: SignedManifest | None = key(2, nullable(nested(SignedManifest)))
    task: FederatedTask | None = key(3, nullable(nested(FederatedTask)))
    heartbeat_s: int = key(4, unsigned(32, minimum=1))
    learning: Learning | None = key(5, nullable(nested(Learning)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry(Message):
    """Counts since start."""

    uptime_ms: int = key(0, unsigned(64))
    inferences: int = key(1, unsigned(64))
    bytes_in: int = key(2, unsigned(64))
    bytes_out: int = key(3, unsigned(64))
    frames_refused: int = key(4, unsigned(64))


@dataclass(frozen=True, slots=True)
class Log(Message):
    """One line of a device's log."""

    level: LogLevel = key(0, enum(LogLevel))
    text: str = key(1, text(MAX_LOG_BYTES))


@dataclass(frozen=True, slots=True)
class TextQuestion(Message):
    """A text for the device's model, UTF-8 or not."""

    number: int = key(0, unsigned(32))
    text: bytes = key(1, limited(0, MAX_TEXT_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswer(Message):
    """What a device's model says about a text.

    Attributes:
        number: Of the question.
        status: STATE if the device has no model, or one that takes no text; then the rest is empty.
        image_id: The model.
        label: Number of the class.
        score: Its probability, float32.
        tokens: Ids that the model read, at most its length.
        outputs: Of the model, its bytes; empty if they are more than 1,024.
    """

    number: int = key(0, unsigned(32))
    status: Status = key(1, status(), default=Status.OK)
    image_id: bytes | None = key(2, nullable(_HASH), default=None)
    label: int = key(3, unsigned(32), default=0)
    score: float = key(4, float32(), default=0.0)
    tokens: int = key(5, unsigned(32), default=0)
    outputs: bytes = key(6, limited(0, MAX_OUTPUTS_BYTES), default=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Message):
    """What a release key signs about one image for one device class.

    Attributes:
        counter: Release counter; must exceed the installed one.
        blocks_hash: BLAKE2b-256 of the list of block hashes.
        expiry_s: Unix seconds of server time.
    """

    format: int = key(0, constant(1), default=1)
    name: str = key(1, _NAME)
    version: str = key(2, _NAME)
    counter: int = key(3, unsigned(64, minimum=1))
    image_id: bytes = key(4, _HASH)
    image_bytes: int = key(5, unsigned(32, minimum=1))
    block_bytes: int = key(6, constant(BLOCK_BYTES), default=BLOCK_BYTES)
    blocks_hash: bytes = key(7, _HASH)
    device_class: str = key(8, _NAME)
    kernel_set_hash: bytes = key(9, exact(8))
    arena_bytes: int = key(10, unsigned(32))
    expiry_s: int = key(11, unsigned(64))


_CHUNK_REQUEST = struct.Struct("<QII")
_CHUNK = struct.Struct("<QII")


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Asks the holder of an object for a range of its bytes."""

    object_id: int
    offset: int
    length: int

    def encode(self) -> bytes:
        """Return the 16 bytes of the request."""
        if not 1 <= self.length <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunk length {self.length} is outside 1 .. {MAX_CHUNK_BYTES}")
        return _CHUNK_REQUEST.pack(self.object_id, self.offset, self.length)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a request.

        Raises:
            LinkError: TRUNCATED or RANGE.
        """
        if len(data) != _CHUNK_REQUEST.size:
            raise refuse(
                Status.TRUNCATED if len(data) < _CHUNK_REQUEST.size else Status.RANGE,
                f"chunk request has {len(data)} bytes, expected {_CHUNK_REQUEST.size}",
            )
        object_id, offset, length = _CHUNK_REQUEST.unpack(data)
        if not 1 <= length <= MAX_CHUNK_BYTES:
            raise refuse(
                Status.RANGE, f"chunk request asks for {length} bytes, at most {MAX_CHUNK_BYTES}"
            )
        return cls(object_id, offset, length)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of an object; total 0 and no bytes mean that the object is not known."""

    object_id: int
    offset: int
    total: int
    data: bytes

    def encode(self) -> bytes:
        """Return the 16 bytes of the header and the data."""
        if len(self.data) > MAX_CHUNK_BYTES:
            raise ValueError(f"chunk has {len(self.data)} bytes, at most {MAX_CHUNK_BYTES}")
        return _CHUNK.pack(self.object_id, self.offset, self.total) + self.data

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Read a chunk.

        Raises:
            LinkError: TRUNCATED, or RANGE if the data does not lie inside the total.
        """
        if len(content) < _CHUNK.size:
            raise refuse(
                Status.TRUNCATED, f"chunk has {len(content)} bytes, expected {_CHUNK.size} or more"
            )
        object_id, offset, total = _CHUNK.unpack_from(content)
        length = len(content) - _CHUNK.size
        if length > MAX_CHUNK_BYTES or offset + length > total or (total > 0 and length == 0):
            raise refuse(
                Status.RANGE, f"chunk holds {length} bytes at {offset} of an object of {total}"
            )
        return cls(object_id, offset, total, content[_CHUNK.size :])
