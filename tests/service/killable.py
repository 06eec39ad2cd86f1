"""A server process that is killed at a chosen point: one process that forks it, again and again.

A point is a statement of one of its databases, or a file that gets its name: the places between
which nothing durable happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from edgekit.link.mqtt import BrokerAddress

_PROGRAM = """
import os, signal, sys, threading, time
from pathlib import Path
from edgekit.federated.rounds import Phase
from edgekit.link.mqtt import BrokerAddress
from edgekit.service.federated import FederatedDriver
from edgekit.service.server import FleetServer

root, port = Path(sys.argv[1]), int(sys.argv[2])


def serve(run, points):
    left, lock = [points], threading.Lock()

    def count(*what):
        with lock:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    server = FleetServer(
        root=root, fleet="test", broker=BrokerAddress("127.0.0.1", port), heartbeat_s=1
    )
    server.journal._database.set_trace_callback(count)
    server._store._database.set_trace_callback(count)
    sys.addaudithook(lambda name, what: count() if name == "os.rename" else None)
    with server:
        driver = FederatedDriver(server)
        state = driver.wait(run, 300)
        assert state.phase is Phase.FINISHED
        while not points and not server.is_connected:
            time.sleep(0.01)  # what devices are to do is said again as soon as the broker is there
    print("end", points - left[0], flush=True)


for line in sys.stdin:
    run, points = map(int, line.split())
    pid = os.fork()
    if pid == 0:
        try:
            serve(run, points)
        finally:
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else "whole", flush=True)
"""


class KillableServer:
    """Runs servers of one project, one after the other, until each is killed or its run ends."""

    def __init__(self, root: Path, broker: BrokerAddress) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(root), str(broker.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serve(self, run: int, points: int) -> int | None:
        """Serve until the run has ended; return how many points that took, None if killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{run} {points}\n")
        self._process.stdin.flush()
        words: list[str] = []
        while not words or words[-1] not in ("killed", "whole"):
            line = self._process.stdout.readline()
            assert line, "the server process has ended"
            words += line.split()
        if words == ["killed"]:
            return None
        assert words[0] == "end", words
        return int(words[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.communicate()
