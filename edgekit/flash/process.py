"""Child processes that never outlive their parent: emulators and virtual devices.

A child leads a process group of its own, writes to a log file, and is killed by the kernel when
this process dies, however it dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from edgekit.errors import DeviceError, ToolError

_PR_SET_PDEATHSIG = 1
_TERMINATE_S = 2.0

_libc = ctypes.CDLL(None, use_errno=True)

_Job = tuple[Callable[[], "subprocess.Popen[bytes]"], "SimpleQueue[object]"]
_jobs: SimpleQueue[_Job] = SimpleQueue()
_spawner_lock = threading.Lock()
_spawner: list[threading.Thread] = []


class ChildProcess:
    """A program that runs beside us, with its console in a log file.

    Args:
        command: Program and arguments.
        log: File that standard output and error are appended to.
        what: What messages call it.
    """

    def __init__(self, command: Sequence[str], *, log: Path, what: str) -> None:
        self._command = list(command)
        self._what = what
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    def start(self) -> None:
        """Start the program.

        Raises:
            DeviceError: If it runs already.
            ToolError: If it cannot be started.
        """
        if self.running:
            raise DeviceError(f"{self._what} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:

            def spawn() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(os.getpid()),
                )

            try:
                self._process = _on_spawner(spawn)
            except OSError as exc:
                raise ToolError(f"cannot start {self._what}: {exc.strerror}") from exc

    @property
    def running(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id; of the last run if it has ended, 0 if it never ran."""
        return 0 if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Exit status of the last run, negative for a signal, None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait until the program ends by itself and return its exit status.

        Raises:
            DeviceError: If it still runs after timeout_s; it is stopped then.
        """
        if self._process is None:
            raise DeviceError(f"{self._what} was not started")
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise DeviceError(
                f"{self._what} did not end within {timeout_s:g} s; log is {self.log}"
            ) from None

    def stop(self) -> None:
        """End the program and everything that it started; nothing happens if it has ended."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            process.wait(_TERMINATE_S)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self) -> None:
        """End the program at once, as a power cut does."""
        if self._process is not None and self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        if not self.log.is_file():
            return ""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _die_with_parent(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return prepare


def _on_spawner(spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    # The kernel ties the death signal to the thread that forked, so one thread that lives as long
    # as the process forks all children.
    with _spawner_lock:
        if not _spawner or not _spawner[0].is_alive():
            thread = threading.Thread(target=_spawn_forever, name="spawner", daemon=True)
            _spawner[:] = [thread]
            thread.start()
    answer: SimpleQueue[object] = SimpleQueue()
    _jobs.put((spawn, answer))
    result = answer.get()
    if isinstance(result, BaseException):
        raise result
    assert isinstance(result, subprocess.Popen)
    return result


def _spawn_forever() -> None:
    while True:
        spawn, answer = _jobs.get()
        try:
            answer.put(spawn())
        except (OSError, subprocess.SubprocessError, ValueError) as exc:
            answer.put(exc)
