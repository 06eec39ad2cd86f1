"""Fetching objects from devices: which pulls run, and who waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import DeviceError, EdgekitError, LinkError
from edgekit.link.chunks import ChunkPull, object_id_of_hash
from edgekit.link.messages import Chunk, ChunkRequest

PullDone = Callable[[bytes | EdgekitError], None]


@dataclass(slots=True)
class _Running:
    pull: ChunkPull
    waiting: list[PullDone]


class Pulls:
    """All pulls of a server; for its thread only.

    Args:
        send: Sends a request to a device.
        tell: Calls back with a result, and survives what that raises.
    """

    def __init__(
        self,
        *,
        send: Callable[[str, ChunkRequest], None],
        tell: Callable[[PullDone, bytes | EdgekitError], None],
    ) -> None:
        self._send = send
        self._tell = tell
        self._running: dict[tuple[str, int], _Running] = {}

    def start(
        self, device: str, *, object_id: int, total: int, digest: bytes, done: PullDone
    ) -> None:
        """Start a pull, or join the one that runs.

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
            pull = ChunkPull(
                object_id=object_id, total=total, digest=digest, now_s=time.monotonic()
            )
            running = self._running[device, object_id] = _Running(pull, [])
        running.waiting.append(done)

    def take(self, device: str, chunk: Chunk) -> None:
        """Take a chunk, and ask for more."""
        running = self._running.get((device, chunk.object_id))
        if running is None:
            return
        try:
            running.pull.receive(chunk)
            if running.pull.done:
                self._finish((device, chunk.object_id), running.pull.result())
                return
        except LinkError as exc:
            self._finish((device, chunk.object_id), exc)
            return
        self._ask((device, chunk.object_id))

    def ask(self, is_reachable: Callable[[str], bool | None]) -> None:
        """Send all requests that are due.

        Args:
            is_reachable: Whether a device can be asked now; None if never again.
        """
        for key in list(self._running):
            reachable = is_reachable(key[0])
            if reachable is None:
                self._finish(key, DeviceError(f"device '{key[0]}' was revoked"))
            elif reachable:
                self._ask(key)

    def _ask(self, key: tuple[str, int]) -> None:
        try:
            requests = self._running[key].pull.requests(time.monotonic())
        except LinkError as exc:
            self._finish(key, exc)
            return
        for request in requests:
            self._send(key[0], request)

    def _finish(self, key: tuple[str, int], result: bytes | EdgekitError) -> None:
        for done in self._running.pop(key).waiting:
            self._tell(done, result)
