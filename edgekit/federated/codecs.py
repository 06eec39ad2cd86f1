"""Head and update objects: what server and device send each other in a federated round.

Twin: firmware/link/PROTOCOL.md, "Head and update objects"; firmware/learn/
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgekit.federated import payload
from edgekit.federated.settings import CODECS
from edgekit.link.status import Status, refuse

Float32Array = npt.NDArray[np.float32]

HEAD_MAGIC = b"EKHD"
UPDATE_MAGIC = b"EKUP"
VERSION = 1
HASH_BYTES = 32

_HEAD = struct.Struct("<4sHHI")
_UPDATE = struct.Struct("<4sHHQII32sIHHff")
HEAD_HEADER_BYTES = _HEAD.size  # 12
UPDATE_HEADER_BYTES = _UPDATE.size  # 72


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """The trainable head that a run agrees on.

    Attributes:
        weights: float32 `[k, h]`, one row per class.
        bias: float32 `[k]`.
    """

    weights: Float32Array
    bias: Float32Array

    def __post_init__(self) -> None:
        _check_shapes(self.weights, self.bias)

    @property
    def classes(self) -> int:
        """Number of rows, k."""
        return int(self.weights.shape[0])

    @property
    def features(self) -> int:
        """Number of columns, h."""
        return int(self.weights.shape[1])

    @property
    def hash(self) -> bytes:
        """BLAKE2b-256 of the weights and bias bytes; names the base of an update."""
        return hashlib.blake2b(parameter_bytes(self.weights, self.bias), digest_size=32).digest()

    def encode(self) -> bytes:
        """Return the head object that devices pull."""
        header = _HEAD.pack(HEAD_MAGIC, VERSION, self.classes, self.features)
        return header + parameter_bytes(self.weights, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What one device learned in one round: the difference to the base head.

    Attributes:
        run: Run that the update answers.
        round: Round that the update answers.
        samples: Labelled samples that the device trained on.
        base_hash: Hash of the head that the device started from.
        loss_first: Mean loss of the first epoch.
        loss_last: Mean loss of the last epoch.
        weights: float32 `[k, h]`, trained minus base.
        bias: float32 `[k]`, trained minus base.
        codec: Name in CODECS; how the difference travelled, or is to travel.
        data: The difference as it travelled; None: as `weights` and `bias` say, in float32.
        sent: Which entries of weights and bias travelled, bool `[k * (h + 1)]`; None: all.
        local: Entries at the end that never travel; see `Settings.local`.
    """

    run: int
    round: int
    samples: int
    base_hash: bytes
    loss_first: float
    loss_last: float
    weights: Float32Array
    bias: Float32Array
    codec: str = "float32"
    data: bytes | None = None
    sent: npt.NDArray[np.bool_] | None = None
    local: int = 0

    def __post_init__(self) -> None:
        _check_shapes(self.weights, self.bias)
        if self.data is None and (self.codec != "float32" or self.local):
            raise ValueError(f"update with codec {self.codec} has no data; use `compressed`")

    def encode(self) -> bytes:
        """Return the update object as a device would offer it."""
        header = _UPDATE.pack(
            UPDATE_MAGIC,
            VERSION,
            payload.codec_number(self.codec),
            self.run,
            self.round,
            self.samples,
            self.base_hash,
            self.weights.shape[1],
            self.weights.shape[0],
            self.local,
            self.loss_first,
            self.loss_last,
        )
        if self.data is not None:
            return header + self.data
        return header + parameter_bytes(self.weights, self.bias)


def compressed(
    update: Update, codec: str, *, share: float = 1.0, seed: int = 0, local: int = 0
) -> Update:
    """Return an update as its reader will see it after a lossy codec, ready to travel.

    Args:
        local: Entries at the end that stay behind.
    """
    if codec == "float32" and not local:
        return update
    values = _travelling(update, local)
    data = payload.encode(values, codec, share=share, seed=seed)
    return _with_data(update, codec, data, local)


def compressed_with_feedback(
    update: Update,
    left_out: Float32Array | None,
    codec: str,
    *,
    share: float = 1.0,
    seed: int = 0,
    local: int = 0,
) -> tuple[Update, Float32Array]:
    """As `compressed`, plus what earlier updates left out; also return what is left out now.

    Args:
        left_out: float32 `[P - local]`; None: nothing yet.
    """
    values = _travelling(update, local)
    before = np.zeros_like(values) if left_out is None else left_out
    data, after = payload.with_feedback(values, before, codec, share=share, seed=seed)
    return _with_data(update, codec, data, local), after


def rounding_seed(device: str, run: int, round_: int) -> int:
    """Return what a device rounds the int8 of a round by.

    Twin: firmware/agent/ek_agent_learn.c, codec_of
    """
    return zlib.crc32(struct.pack("<QI", run, round_), zlib.crc32(device.encode()))


def _travelling(update: Update, local: int) -> Float32Array:
    values = np.concatenate([update.weights.ravel(), update.bias])
    return values[: len(values) - local]


def _with_data(update: Update, codec: str, data: bytes, local: int) -> Update:
    split = update.weights.size
    received = _received(data, codec, split + len(update.bias), local)
    return replace(
        update,
        weights=received.values[:split].reshape(update.weights.shape),
        bias=received.values[split:],
        codec=codec,
        data=None if codec == "float32" and not local else data,
        sent=received.sent,
        local=local,
    )


def _received(data: bytes, codec: str, size: int, local: int) -> payload.Received:
    """Read what travelled of `size` values; what is local is 0 and was not sent."""
    received = payload.decode(data, codec, size - local)
    if not local:
        return received
    sent = np.zeros(size, bool)
    sent[: size - local] = True if received.sent is None else received.sent
    return payload.Received(np.pad(received.values, (0, local)), sent)


def head_bytes(classes: int, features: int) -> int:
    """Return the size of a head object."""
    return HEAD_HEADER_BYTES + 4 * classes * (features + 1)


def update_bytes(
    classes: int, features: int, codec: str = "float32", share: float = 1.0, local: int = 0
) -> int:
    """Return the size of an update object.

    Args:
        codec: Name in CODECS.
        share: Of the entries that a top-P codec sends.
        local: Entries at the end that do not travel.
    """
    size = classes * (features + 1) - local
    return UPDATE_HEADER_BYTES + payload.payload_bytes(codec, size, share)


def decode_head(data: bytes) -> HeadWeights:
    """Read a head object.

    Raises:
        LinkError: If magic, version, sizes or a value are not as the protocol says.
    """
    if len(data) < HEAD_HEADER_BYTES:
        raise refuse(
            Status.TRUNCATED, f"head object has {len(data)} bytes, its header {HEAD_HEADER_BYTES}"
        )
    magic, version, classes, features = _HEAD.unpack_from(data)
    _check_start("head", magic, HEAD_MAGIC, version)
    _check_size("head", data, classes, features, head_bytes(classes, features))
    weights, bias = _parameters(data, HEAD_HEADER_BYTES, classes, features)
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise refuse(Status.NOT_FINITE, "head object holds values that are not finite")
    return HeadWeights(weights, bias)


def decode_update(data: bytes) -> Update:
    """Read an update object; whether its values are acceptable is for `checks.judge` to say.

    Raises:
        LinkError: If magic, version, codec, local part or sizes are not as the protocol says.
    """
    if len(data) < UPDATE_HEADER_BYTES:
        raise refuse(
            Status.TRUNCATED,
            f"update object has {len(data)} bytes, its header {UPDATE_HEADER_BYTES}",
        )
    (
        magic,
        version,
        codec,
        run,
        round_,
        samples,
        base_hash,
        features,
        classes,
        local,
        loss_first,
        loss_last,
    ) = _UPDATE.unpack_from(data)
    _check_start("update", magic, UPDATE_MAGIC, version)
    if codec >= len(CODECS):
        raise refuse(
            Status.VERSION, f"update object has codec {codec}, known are 0 to {len(CODECS) - 1}"
        )
    if classes == 0 or features == 0:
        raise refuse(Status.SHAPE, f"update object has {classes} classes of {features} features")
    size = classes * (features + 1)
    if local >= size:
        raise refuse(Status.RANGE, f"update object of {size} values has {local} local ones")
    name = CODECS[codec]
    body = data[UPDATE_HEADER_BYTES:]
    if name == "float32":
        expected = update_bytes(classes, features, local=local)
        _check_size("update", data, classes, features, expected)
    elif len(body) < (size - local) // 8:  # before anything of that size is made
        raise refuse(Status.TRUNCATED, f"update object of {size} values has {len(data)} bytes")
    received = _received(body, name, size, local)
    return Update(
        run,
        round_,
        samples,
        base_hash,
        loss_first,
        loss_last,
        received.values[: classes * features].reshape(classes, features),
        received.values[classes * features :],
        codec=name,
        data=None if name == "float32" and not local else body,
        sent=received.sent,
        local=local,
    )


def parameter_bytes(weights: Float32Array, bias: Float32Array) -> bytes:
    """Return weights and bias as they travel: float32, little-endian, row by row."""
    return weights.astype("<f4").tobytes() + bias.astype("<f4").tobytes()


def _check_start(what: str, magic: bytes, expected: bytes, version: int) -> None:
    if magic != expected:
        raise refuse(Status.MAGIC, f"{what} object starts with {magic!r}, expected {expected!r}")
    if version != VERSION:
        raise refuse(Status.VERSION, f"{what} object has version {version}, known is {VERSION}")


def _check_size(what: str, data: bytes, classes: int, features: int, expected: int) -> None:
    if classes == 0 or features == 0:
        raise refuse(Status.SHAPE, f"{what} object has {classes} classes of {features} features")
    if len(data) != expected:
        status = Status.TRUNCATED if len(data) < expected else Status.RANGE
        raise refuse(
            status,
            f"{what} object of {classes} classes and {features} features has {len(data)} bytes,"
            f" expected {expected}",
        )


def _parameters(
    data: bytes, offset: int, classes: int, features: int
) -> tuple[Float32Array, Float32Array]:
    values = np.frombuffer(data, dtype="<f4", offset=offset).astype(np.float32)
    return values[: classes * features].reshape(classes, features), values[classes * features :]


def _check_shapes(weights: Float32Array, bias: Float32Array) -> None:
    if weights.ndim != 2 or 0 in weights.shape or bias.shape != weights.shape[:1]:
        raise ValueError(f"weights {weights.shape} and bias {bias.shape}, expected [k, h] and [k]")
    if weights.dtype != np.float32 or bias.dtype != np.float32:
        raise ValueError(f"weights are {weights.dtype}, bias {bias.dtype}, expected float32")
