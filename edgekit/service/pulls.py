"""Fetching objects from devices: which pulls run, and who waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import DeviceError, EdgekitError, LinkError
from edgekit.link.chunks import MAX_OBJECT_BYTES, ChunkPull, object_id_of_hash
from edgekit.link.messages import Chunk, ChunkRequest

MAX_AT_ONCE = 32
"""Pulls that make progress at the same time. With more, devices answer late, requests are repeated,
and their answers come later still."""
_IDLE_S = 2.0  # a pull that hears nothing for so long holds up no other,
_IDLE_ANSWERS = 4.0  # or for so many times what an answer takes, where answers take longer
_SMOOTHING = 0.05

PullDone = Callable[[bytes | EdgekitError], None]


@dataclass(slots=True)
class _Running:
    """A pull and who waits for it.

    Attributes:
        pull: None until it is its turn.
        heard_s: When it began, or the last chunk came.
    """

    total: int
    digest: bytes
    waiting: list[PullDone]
    pull: ChunkPull | None = None
    heard_s: float = 0.0


class Pulls:
    """All pulls of a server; for its thread only.

    Args:
        send: Sends a request to a device.
        tell: Calls back with a result, and survives what that raises.
        is_reachable: Whether a device can be asked now; None if never again.
    """

    def __init__(
        self,
        *,
        send: Callable[[str, ChunkRequest], None],
        tell: Callable[[PullDone, bytes | EdgekitError], None],
        is_reachable: Callable[[str], bool | None],
    ) -> None:
        self._send = send
        self._tell = tell
        self._is_reachable = is_reachable
        self._running: dict[tuple[str, int], _Running] = {}
        self._begun: dict[tuple[str, int], _Running] = {}
        self._queue: deque[tuple[str, int]] = deque()  # those that have not begun
        self._answer_s = 0.0  # that answers take at present, of all pulls

    def start(
        self, device: str, *, object_id: int, total: int, digest: bytes, done: PullDone
    ) -> None:
        """Start a pull when it is its turn, or join the one that runs.

        Raises:
            DeviceError: If the id is not that of the hash.
            ValueError: If the size is out of range.
        """
        if object_id != object_id_of_hash(digest):
            raise DeviceError(
                f"device '{device}': object {object_id:016x} is not named by its hash"
            )
        running = self._running.get((device, object_id))
        if running is None:
            if not 1 <= total <= MAX_OBJECT_BYTES:
                raise ValueError(f"object of {total} bytes is outside 1 .. {MAX_OBJECT_BYTES}")
            running = self._running[device, object_id] = _Running(total, digest, [])
            self._queue.append((device, object_id))
        running.waiting.append(done)

    def take(self, device: str, chunk: Chunk) -> None:
        """Take a chunk, and ask for more."""
        running = self._running.get((device, chunk.object_id))
        if running is None or running.pull is None:
            return
        running.heard_s = time.monotonic()
        try:
            running.pull.receive(chunk, running.heard_s)
            self._answer_s += _SMOOTHING * (running.pull.answer_s - self._answer_s)
            if running.pull.done:
                self._finish((device, chunk.object_id), running.pull.result())
                return
        except LinkError as exc:
            self._finish((device, chunk.object_id), exc)
            return
        self._ask((device, chunk.object_id))

    def ask(self) -> None:
        """Begin the pulls whose turn it is, and send all requests that are due."""
        now_s = time.monotonic()
        idle_s = max(_IDLE_S, _IDLE_ANSWERS * self._answer_s)
        free = MAX_AT_ONCE - sum(now_s - each.heard_s < idle_s for each in self._begun.values())
        while free > 0 and self._queue:
            free -= self._begin(now_s)
        for key in list(self._begun):
            if self._is_reachable(key[0]) is None:
                self._finish(key, DeviceError(f"device '{key[0]}' was revoked"))
            else:
                self._ask(key)

    def _begin(self, now_s: float) -> bool:
        """Begin the pull that has waited longest; False if it has ended meanwhile."""
        key = self._queue.popleft()
        running = self._running.get(key)
        if running is None or running.pull is not None:
            return False
        running.heard_s = now_s
        running.pull = ChunkPull(
            object_id=key[1],
            total=running.total,
            digest=running.digest,
            now_s=now_s,
            answer_s=self._answer_s,
        )
        self._begun[key] = running
        return True

    def _ask(self, key: tuple[str, int]) -> None:
        pull = self._running[key].pull
        if pull is None or not self._is_reachable(key[0]):
            return
        try:
            requests = pull.requests(time.monotonic())
        except LinkError as exc:
            self._finish(key, exc)
            return
        for request in requests:
            self._send(key[0], request)

    def _finish(self, key: tuple[str, int], result: bytes | EdgekitError) -> None:
        running = self._running.pop(key)
        self._begun.pop(key, None)
        for done in running.waiting:
            self._tell(done, result)
        while running.pull is not None and self._queue:  # its place is free
            following = self._queue[0]
            if self._begin(time.monotonic()):
                self._ask(following)
                break
