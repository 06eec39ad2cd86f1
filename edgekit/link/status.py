"""The status numbers that travel on the link, and the error that carries one.

Twin: firmware/include/ek_status.def
"""

from __future__ import annotations

from enum import IntEnum

from edgekit.errors import LinkError


class Status(IntEnum):
    """One result of the C code; 0 is good, errors are negative."""

    OK = 0
    ARGUMENT = -1
    TRUNCATED = -2
    MAGIC = -3
    VERSION = -4
    CRC = -5
    RANGE = -6
    OP = -7
    ARENA = -8
    SHAPE = -9
    HASH = -10
    SIGNATURE = -11
    COUNTER = -12
    CLASS = -13
    GOLDEN = -14
    FLASH = -15
    SPACE = -16
    MAC = -17
    REPLAY = -18
    STATE = -19
    TIMEOUT = -20
    CBOR = -21
    NOT_FINITE = -22
    EXPIRED = -23
    LABEL = -24
    BASE = -25

    @property
    def text(self) -> str:
        """What the status means, in the words of `ek_status.def`."""
        return _TEXTS[self]


_TEXTS = {
    Status.OK: "ok",
    Status.ARGUMENT: "argument out of contract",
    Status.TRUNCATED: "data ends too early",
    Status.MAGIC: "magic does not match",
    Status.VERSION: "version is not known",
    Status.CRC: "checksum does not match",
    Status.RANGE: "offset, size or value out of range",
    Status.OP: "operator is unknown or not built in",
    Status.ARENA: "arena is too small or misaligned",
    Status.SHAPE: "shape does not fit",
    Status.HASH: "hash does not match",
    Status.SIGNATURE: "signature does not verify",
    Status.COUNTER: "release counter is not higher than the installed one",
    Status.CLASS: "made for another device class or kernel set",
    Status.GOLDEN: "golden vector does not match",
    Status.FLASH: "flash operation failed",
    Status.SPACE: "does not fit into its region",
    Status.MAC: "message code does not verify",
    Status.REPLAY: "message counter was seen before",
    Status.STATE: "not possible in this state",
    Status.TIMEOUT: "no answer in time",
    Status.CBOR: "CBOR is malformed or not deterministic",
    Status.NOT_FINITE: "value is not finite",
    Status.EXPIRED: "release has expired",
    Status.LABEL: "label is out of range",
    Status.BASE: "federated base differs from the local head",
}


def refuse(status: Status, message: str) -> LinkError:
    """Make the error for a refused frame, message or chunk."""
    return LinkError(message, status=int(status))
