"""The processes behind `registry serve`: some that read the store, one that writes.

A request has a time; when it is over, the process is killed and another takes its place. So no
query can hold up the service, whatever it does inside the engine.
"""

from __future__ import annotations

import contextlib
import math
import queue
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from edgekit.errors import StoreError
from edgekit.registry.embedded import is_held
from edgekit.registry.sync import STORE_FOLDER
from edgekit.registry.worker import MEMORY_BYTES, Message, read_message, write_message

_START_S = 60.0
_FOLLOW_S = 60.0


class _Process:
    """One worker, started when it is needed."""

    def __init__(self, root: Path, role: str) -> None:
        self._root = root
        self._role = role
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it has the store.

        Raises:
            StoreError: If it cannot have it.
        """
        if self.runs:
            return
        self.kill()
        line = [sys.executable, "-m", "edgekit.registry.worker", str(self._root), self._role]
        try:
            self._child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as exc:
            raise StoreError(f"no process for the registry: {exc.strerror}") from exc
        found = self._read(_START_S)
        if found is None or found[0]["status"] != 200:
            self.kill()
            reason = "the process ended" if found is None else found[0]["error"]
            raise StoreError(str(reason))

    def ask(self, head: dict[str, Any], body: bytes, time_s: float) -> Message:
        """Return the answer; status 503 if there is none in time or the process ends."""
        self.start()
        assert self._child is not None and self._child.stdin is not None
        try:
            write_message(self._child.stdin, head, body)
            answer = self._read(time_s)
        except (BrokenPipeError, ValueError):
            answer = None
        if answer is not None:
            return answer
        ended = self._child.poll() is not None
        self.kill()
        if ended:
            limit = MEMORY_BYTES // 1024**2
            why = f"needed more than {limit} MiB of memory, or failed the engine"
        else:
            why = f"took more than {math.ceil(time_s * 10) / 10:g} s and was stopped"
        return {"status": 503, "error": f"{head['task']}: {why}"}, b""

    def kill(self) -> None:
        """End it at once; an update that it was at has not happened."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def stop(self) -> None:
        """Let it end by itself, so that it closes the store; kill it if it does not."""
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=10.0)
        self.kill()

    def _read(self, time_s: float) -> Message | None:
        assert self._child is not None and self._child.stdout is not None
        # The buffer is empty between messages, so the descriptor tells.
        ready, _, _ = select.select([self._child.stdout], [], [], time_s)
        return read_message(self._child.stdout) if ready else None


class Pool:
    """Readers and a writer on the store of a project.

    Args:
        root: The folder `.edgekit`.
        readers: How many queries run at a time.
        time_s: What one request may take, waiting for its turn included.
    """

    def __init__(self, root: Path, *, readers: int, time_s: float) -> None:
        self._time_s = time_s
        self._folder = root / STORE_FOLDER
        self._writer = _Process(root, "writer")
        self._writing = threading.Lock()
        self._version = 0
        self._free: queue.Queue[_Process] = queue.Queue()
        self._readers = [_Process(root, "reader") for _ in range(readers)]
        for reader in self._readers:
            self._free.put(reader)
        self.follows = True

    def start(self) -> None:
        """Follow the journal; if another process writes to the store, serve what that one writes.

        Raises:
            StoreError: If the store cannot be opened at all.
        """
        self.follow()
        self._readers[0].start()

    def close(self) -> None:
        """End all processes."""
        for process in (*self._readers, self._writer):
            process.stop()

    def read(self, head: dict[str, Any], body: bytes) -> Message:
        """Let a reader answer; status 503 if all are busy for the time of a request."""
        begin = time.monotonic()
        try:
            reader = self._free.get(timeout=self._time_s)
        except queue.Empty:
            return {"status": 503, "error": "all readers are busy; ask again later"}, b""
        try:
            rest = max(0.1, self._time_s - (time.monotonic() - begin))
            return reader.ask({**head, "version": self._version}, body, rest)
        except StoreError as exc:
            return {"status": 503, "error": str(exc)}, b""
        finally:
            self._free.put(reader)

    def write(self, head: dict[str, Any], body: bytes) -> Message:
        """Let the writer answer; readers see the change from then on."""
        try:
            with self._writing:
                answer = self._writer.ask(head, body, self._time_s)
        except StoreError as exc:
            return {"status": 503, "error": str(exc)}, b""
        if answer[0]["status"] < 300:
            self._version += 1
        return answer

    def follow(self) -> None:
        """Bring what is new in the journal into the store.

        If another process writes to the store, that one does it: its changes are served, and when
        it ends its work is taken over.

        Raises:
            StoreError: If the store cannot be written.
        """
        more = True
        while more:
            with self._writing:
                head = self._followed()
            if head["status"] != 200:
                raise StoreError(str(head["error"]))
            if head["events"]:
                self._version += 1
            more = head["more"]

    def _followed(self) -> dict[str, Any]:
        """Let the writer follow for some events; if it cannot, readers look anew."""
        elsewhere = {"status": 200, "events": 1, "more": False}
        self.follows = self._writer.runs or not is_held(self._folder)
        if not self.follows:
            return elsewhere
        try:
            return self._writer.ask({"task": "follow"}, b"", _FOLLOW_S)[0]
        except StoreError as exc:
            if "in use by" not in str(exc):
                raise
            self.follows = False  # Another process was faster.
            return elsewhere
