"""Objects in chunks, pulled by whoever wants them: serving and pulling as pure state.

Nothing here reads a clock or sends; times are given in seconds of the caller's clock.

Twin: firmware/link/ek_chunk.c
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from edgekit.link.messages import MAX_CHUNK_BYTES, Chunk, ChunkRequest
from edgekit.link.status import Status, refuse

WINDOW = 4
RETRY_S = 0.7
MAX_RETRY_S = 10.0
MAX_OBJECT_BYTES = 64 * 1024 * 1024
_SLOWEST_BYTES_PER_S = 4_096
_SLACK_S = 30.0
_LONGEST = 10.0  # deadlines that a transfer takes at most while something comes
_CACHED_OBJECTS = 8


def object_id(data: bytes) -> int:
    """Name of an object on the link: the first 8 bytes of its BLAKE2b-256, little-endian."""
    return object_id_of_hash(blake2b(data, digest_size=32).digest())


def object_id_of_hash(digest: bytes) -> int:
    """Name on the link of the object with this BLAKE2b-256."""
    return int.from_bytes(digest[:8], "little")


def transfer_deadline_s(total: int) -> float:
    """Seconds after which a transfer of so many bytes has failed."""
    return _SLACK_S + total / _SLOWEST_BYTES_PER_S


class ChunkStore:
    """Answers requests for the objects on offer.

    Args:
        load: Returns the bytes of an object, or None if it is not on offer.
    """

    def __init__(self, load: Callable[[int], bytes | None]) -> None:
        self._load = load
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    def answer(self, request: ChunkRequest) -> Chunk:
        """Return the chunk that a request asks for; an unknown object gives total 0.

        Raises:
            LinkError: RANGE if the range starts behind the end of the object.
        """
        data = self._recent.get(request.object_id)
        if data is None:
            data = self._load(request.object_id)
            if data is None:
                return Chunk(request.object_id, 0, 0, b"")
            self._recent[request.object_id] = data
            if len(self._recent) > _CACHED_OBJECTS:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(request.object_id)
        if request.offset >= len(data):
            raise refuse(
                Status.RANGE, f"chunk request at {request.offset} of an object of {len(data)} bytes"
            )
        part = data[request.offset : request.offset + request.length]
        return Chunk(request.object_id, request.offset, len(data), part)


@dataclass(slots=True)
class _Pending:
    length: int
    first_s: float
    sent_s: float
    retry_s: float
    attempts: int = 1

    def due_s(self) -> float:
        return self.sent_s + min(self.retry_s * 2.0 ** (self.attempts - 1), MAX_RETRY_S)


class ChunkPull:
    """Pulls one object: up to WINDOW requests under way, each repeated until answered.

    The holder may answer with less than was asked for; the rest is then asked for in pieces of that
    size. Chunks may come twice and in any order.

    Args:
        digest: BLAKE2b-256 that the bytes must have; None leaves that to the caller.
        answer_s: How long answers take at present, as far as is known.

    Attributes:
        answer_s: That an answer takes: of the last ones, smoothed.
    """

    def __init__(
        self,
        *,
        object_id: int,
        total: int,
        digest: bytes | None,
        now_s: float,
        chunk_bytes: int = MAX_CHUNK_BYTES,
        answer_s: float = 0.0,
    ) -> None:
        if not 1 <= total <= MAX_OBJECT_BYTES:
            raise ValueError(f"object of {total} bytes is outside 1 .. {MAX_OBJECT_BYTES}")
        if not 1 <= chunk_bytes <= MAX_CHUNK_BYTES:
            raise ValueError(f"chunks of {chunk_bytes} bytes are outside 1 .. {MAX_CHUNK_BYTES}")
        self.object_id = object_id
        self.total = total
        self.digest = digest
        self.deadline_s = now_s + transfer_deadline_s(total)
        self._last_s = now_s + _LONGEST * transfer_deadline_s(total)
        self._came_s = now_s
        self._chunk_bytes = chunk_bytes
        self._data = bytearray(total)
        self._missing = [(0, total)]  # ranges that nobody has been asked for, last one first out
        self._pending: dict[int, _Pending] = {}
        self._left = total
        self.answer_s = answer_s

    @property
    def done(self) -> bool:
        """Whether all bytes are there."""
        return self._left == 0

    def requests(self, now_s: float) -> list[ChunkRequest]:
        """Return what is to be sent now: repeats that are due, then new requests.

        Raises:
            LinkError: TIMEOUT when the deadline has passed and nothing came for half a minute.
        """
        if self.done:
            return []
        if now_s > self._ends_s():
            raise refuse(
                Status.TIMEOUT,
                f"object {self.object_id:016x}: {self.total - self._left} of {self.total} bytes"
                " when its time was up",
            )
        out = []
        for offset, pending in self._pending.items():
            if pending.due_s() <= now_s:
                pending.sent_s = now_s
                pending.attempts += 1
                out.append(ChunkRequest(self.object_id, offset, pending.length))
        while len(self._pending) < WINDOW and self._missing:
            start, stop = self._missing.pop()
            length = min(self._chunk_bytes, stop - start)
            if start + length < stop:
                self._missing.append((start + length, stop))
            # Whoever is slow to answer is not asked more often for it.
            retry_s = max(RETRY_S, 2.0 * self.answer_s)
            self._pending[start] = _Pending(length, now_s, now_s, retry_s)
            out.append(ChunkRequest(self.object_id, start, length))
        return out

    def receive(self, chunk: Chunk, now_s: float | None = None) -> None:
        """Take a chunk; one that was not asked for changes nothing.

        Args:
            now_s: When it came; None leaves the time between repeats as it is.

        Raises:
            LinkError: STATE if the holder does not know the object, RANGE if it is of another size.
        """
        if chunk.object_id != self.object_id or self.done:
            return
        if chunk.total == 0:
            raise refuse(Status.STATE, f"object {self.object_id:016x} is not known to its holder")
        if chunk.total != self.total:
            raise refuse(
                Status.RANGE,
                f"object {self.object_id:016x} has {chunk.total} bytes, expected {self.total}",
            )
        pending = self._pending.get(chunk.offset)
        if pending is None:
            return
        if now_s is not None:
            self.answer_s += 0.25 * (now_s - pending.first_s - self.answer_s)
        got = min(len(chunk.data), pending.length)
        del self._pending[chunk.offset]
        self._data[chunk.offset : chunk.offset + got] = chunk.data[:got]
        self._left -= got
        if now_s is not None:
            self._came_s = now_s
        if got < pending.length:
            self._chunk_bytes = min(self._chunk_bytes, got)
            self._missing.append((chunk.offset + got, chunk.offset + pending.length))

    def _ends_s(self) -> float:
        """When its time is up: what still comes is waited for, so that a crowd gets through."""
        return min(max(self.deadline_s, self._came_s + _SLACK_S), self._last_s)

    def next_due_s(self) -> float:
        """When `requests` has something to do at the latest."""
        return min([self._ends_s(), *(pending.due_s() for pending in self._pending.values())])

    def result(self) -> bytes:
        """Return the object.

        Raises:
            LinkError: HASH if the bytes are not what was promised, STATE if some are missing.
        """
        if not self.done:
            raise refuse(Status.STATE, f"object {self.object_id:016x} lacks {self._left} bytes")
        data = bytes(self._data)
        if self.digest is None:
            return data
        found = blake2b(data, digest_size=32).digest()
        if found != self.digest:
            raise refuse(
                Status.HASH,
                f"object {self.object_id:016x} has hash {found.hex()},"
                f" expected {self.digest.hex()}",
            )
        return data
