"""Malformed input: the device's readers refuse it, without a wrong read, and as the server's do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from firmware_twin import Op, Twin
from test_link_twin import HASH, KEY, MANIFEST, TASK

from edgekit.errors import LinkError
from edgekit.link.messages import (
    Chunk,
    ChunkRequest,
    ClaimResponse,
    Desired,
    Learning,
    Manifest,
    SignedManifest,
    TextQuestion,
    Welcome,
)
from edgekit.link.status import Status

pytestmark = pytest.mark.cc

INPUTS_PER_READER = 5_000

READERS: dict[Op, tuple[bytes, Callable[[bytes], object]]] = {
    Op.DESIRED_READ: (
        Desired(
            version=300,
            time_s=1_800_000_000,
            model=SignedManifest(MANIFEST.encode(), HASH * 2),
            task=TASK,
            heartbeat_s=15,
            learning=Learning(steps_per_minute=600, method=3, rate=0.25),
        ).encode(),
        Desired.decode,
    ),
    Op.MANIFEST_READ: (MANIFEST.encode(), Manifest.decode),
    Op.CLAIM_RESPONSE_READ: (ClaimResponse(KEY, HASH[:16]).encode(), ClaimResponse.decode),
    Op.BOOT_READ: (Welcome(70_000).encode(), Welcome.decode),
    Op.CHUNK_READ: (Chunk(9, 8, 40, bytes(range(32))).encode(), Chunk.decode),
    Op.TEXT_QUESTION_READ: (TextQuestion(70_000, b"li\xffght").encode(), TextQuestion.decode),
    Op.CHUNK_REQUEST_READ: (ChunkRequest(9, 8, 40).encode(), ChunkRequest.decode),
}


def _mutate(data: bytes, generator: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        at = generator.randrange(len(out) + 1)
        match generator.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << generator.randrange(8)
            case 1 if at < len(out):
                out[at] = generator.choice(
                    (0, 0x17, 0x18, 0x19, 0x1B, 0x1F, 0x40, 0xA0, 0xBF, 0xF6, 0xFF)
                )
            case 2:
                del out[at:]
            case 3:
                out[at:at] = generator.randbytes(generator.randrange(1, 9))
            case _:
                del out[at : at + generator.randrange(1, 9)]
        if not out:
            out = bytearray(generator.randbytes(1))
    return bytes(out)


@pytest.mark.parametrize("op", READERS, ids=lambda op: op.name.lower())
def test_reader_agrees_with_its_twin_on_mutated_input(twin: Twin, op: Op) -> None:
    """C (under address and undefined-behaviour sanitizers) accepts exactly what Python accepts."""
    whole, decode = READERS[op]
    generator = random.Random(op)
    inputs = [_mutate(whole, generator) for _ in range(INPUTS_PER_READER)]
    inputs += [whole[:n] for n in range(len(whole))] + [whole + b"\x00", whole]

    def accepted(data: bytes) -> bool:
        try:
            decode(data)
        except LinkError:
            return False
        return True

    answers = twin.run_all([(op, data) for data in inputs])
    for data, (status, _) in zip(inputs, answers, strict=True):
        assert (status is Status.OK) == accepted(data), data.hex()


def test_noise_is_refused(twin: Twin) -> None:
    """Random bytes are no frame, no page, no head object, and harm nothing."""
    generator = random.Random(2)
    ops = (Op.FRAME_OPEN, Op.COBS_DECODE, Op.DESIRED_READ, Op.MANIFEST_READ)
    calls = [
        (op, generator.randbytes(generator.randrange(300))) for op in ops for _ in range(2_000)
    ]
    calls += [(Op.PROVISION_READ, generator.randbytes(256)) for _ in range(500)]
    calls += [(Op.PROVISION_READ, b"EKPV\x01\x00" + generator.randbytes(250)) for _ in range(500)]
    answers = twin.run_all(calls)
    refused = [
        status
        for (op, _), (status, _) in zip(calls, answers, strict=True)
        if op is not Op.COBS_DECODE
    ]
    assert Status.OK not in refused
