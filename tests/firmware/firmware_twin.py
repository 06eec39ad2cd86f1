"""The C side of every twin, spoken to from Python: operations of twin.c."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from edgekit import share
from edgekit.link.status import Status

HERE = Path(__file__).resolve().parent
KERNEL_SET_HASH = bytes(range(1, 9))  # of the board.h that these tests compile with


class Op(IntEnum):
    """Operations of twin.c."""

    FRAME_CLOSE = 0
    FRAME_OPEN = 1
    COBS_ENCODE = 2
    COBS_DECODE = 3
    SEAL_CLOSE = 4
    SEAL_OPEN = 5
    HELLO = 6
    PING = 7
    CLAIM_REQUEST = 8
    REPORTED = 9
    TELEMETRY = 10
    LOG = 11
    CHUNK_REQUEST = 12
    CHUNK = 13
    BOOT_READ = 14
    CLAIM_RESPONSE_READ = 15
    DESIRED_READ = 16
    CHUNK_REQUEST_READ = 17
    CHUNK_READ = 18
    MANIFEST_READ = 19
    SHA512 = 20
    ED25519 = 21
    UPDATE = 22
    HEAD_OPEN = 23
    PROVISION_READ = 24
    PULL = 25
    EXP = 26
    LOG_F32 = 27
    UTF8 = 28
    TEXT_QUESTION_READ = 29
    TEXT_ANSWER = 30
    SECURE = 31


class Twin:
    """The C side of every twin."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def run_all(self, calls: Sequence[tuple[Op, bytes]]) -> list[tuple[Status, bytes]]:
        """Run many operations in one process."""
        sent = b"".join(struct.pack("<BI", op, len(data)) + data for op, data in calls)
        done = subprocess.run([self._program], input=sent, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        out, at = [], 0
        while at < len(done.stdout):
            status, length = struct.unpack_from("<BI", done.stdout, at)
            out.append((Status(-status), done.stdout[at + 5 : at + 5 + length]))
            at += 5 + length
        assert len(out) == len(calls)
        return out

    def run(self, op: Op, data: bytes) -> tuple[Status, bytes]:
        """Run one operation."""
        return self.run_all([(op, data)])[0]

    def bytes(self, op: Op, data: bytes) -> bytes:
        """Run one operation that must go well."""
        status, out = self.run(op, data)
        assert status is Status.OK
        return out


def sources(*folders: str) -> list[Path]:
    """All C files of these folders of firmware/."""
    return [path for name in folders for path in sorted((share.firmware() / name).glob("*.c"))]
