"""Head and update objects: bytes as the protocol says, and everything else refused."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from edgekit.errors import LinkError
from edgekit.federated.codecs import (
    HeadWeights,
    Update,
    decode_head,
    decode_update,
    head_bytes,
    update_bytes,
)
from edgekit.link.status import Status


def make_head(classes: int = 3, features: int = 4, seed: int = 0) -> HeadWeights:
    rng = np.random.default_rng(seed)
    return HeadWeights(
        rng.normal(size=(classes, features)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )


def make_update(head: HeadWeights, **changes: object) -> Update:
    values: dict[str, object] = {
        "run": 2**63 + 5,
        "round": 2,
        "samples": 70,
        "base_hash": head.hash,
        "loss_first": 1.5,
        "loss_last": 0.5,
        "weights": np.full(head.weights.shape, 0.25, np.float32),
        "bias": np.full(head.bias.shape, -0.5, np.float32),
    }
    return Update(**(values | changes))  # type: ignore[arg-type]


def test_head_bytes_are_as_the_protocol_says() -> None:
    head = make_head()
    parameters = head.weights.astype("<f4").tobytes() + head.bias.astype("<f4").tobytes()
    assert head.encode() == b"EKHD" + struct.pack("<HHI", 1, 3, 4) + parameters
    assert head.hash == hashlib.blake2b(parameters, digest_size=32).digest()
    assert len(head.encode()) == head_bytes(3, 4)


def test_head_survives_the_round_trip() -> None:
    head = make_head()
    back = decode_head(head.encode())
    assert back.encode() == head.encode() and back.hash == head.hash
    assert back.weights.flags.writeable


def test_update_bytes_are_as_the_protocol_says() -> None:
    head = make_head(2, 3)
    data = make_update(head).encode()
    header = b"EKUP" + struct.pack("<HHQII", 1, 0, 2**63 + 5, 2, 70) + head.hash
    header += struct.pack("<IHHff", 3, 2, 0, 1.5, 0.5)
    assert len(header) == 72 and data[:72] == header
    assert data[72:] == struct.pack("<6f", *[0.25] * 6) + struct.pack("<2f", -0.5, -0.5)
    assert len(data) == update_bytes(2, 3)


def test_update_survives_the_round_trip() -> None:
    update = make_update(make_head())
    assert decode_update(update.encode()).encode() == update.encode()


@pytest.mark.parametrize("what", ["head", "update"])
def test_every_length_but_the_right_one_is_refused(what: str) -> None:
    head = make_head()
    data, decode = (
        (head.encode(), decode_head)
        if what == "head"
        else (make_update(head).encode(), decode_update)
    )
    for length in range(len(data)):
        with pytest.raises(LinkError):
            decode(data[:length])
    with pytest.raises(LinkError, match="expected"):
        decode(data + b"\0")


@pytest.mark.parametrize(
    ("offset", "value", "status"),
    [
        (0, b"EKHX", Status.MAGIC),
        (4, b"\2\0", Status.VERSION),
        (6, b"\0\0", Status.SHAPE),
        (8, b"\0\0\0\0", Status.SHAPE),
        (8, b"\xff\xff\xff\xff", Status.TRUNCATED),
        (12, struct.pack("<f", float("nan")), Status.NOT_FINITE),
        (12, struct.pack("<f", float("inf")), Status.NOT_FINITE),
    ],
)
def test_head_with_a_wrong_field_is_refused(offset: int, value: bytes, status: Status) -> None:
    data = bytearray(make_head().encode())
    data[offset : offset + len(value)] = value
    with pytest.raises(LinkError) as caught:
        decode_head(bytes(data))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("offset", "value", "status"),
    [
        (0, b"EKHD", Status.MAGIC),
        (4, b"\0\0", Status.VERSION),
        (6, b"\5\0", Status.VERSION),
        (6, b"\1\0", Status.RANGE),
        (56, b"\0\0\0\0", Status.SHAPE),
        (60, b"\0\0", Status.SHAPE),
        (60, b"\xff\xff", Status.TRUNCATED),
        (62, b"\1\0", Status.RANGE),
    ],
)
def test_update_with_a_wrong_field_is_refused(offset: int, value: bytes, status: Status) -> None:
    data = bytearray(make_update(make_head()).encode())
    data[offset : offset + len(value)] = value
    with pytest.raises(LinkError) as caught:
        decode_update(bytes(data))
    assert caught.value.status == status


def test_arrays_that_do_not_fit_together_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expected"):
        HeadWeights(np.zeros((2, 3), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="float32"):
        HeadWeights(np.zeros((2, 3)), np.zeros(2))  # type: ignore[arg-type]
