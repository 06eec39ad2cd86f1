"""Processes of our own that import the training framework, so that nobody else has to.

A worker is `python -m MODULE`. It reads one JSON request from standard input and answers with one
JSON object per line; the last has `"event": "done"`. Standard input stays open as long as the
parent lives: at its end the worker exits, so none outlives a killed parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgekit
from edgekit import errors

Event = dict[str, Any]
Emit = Callable[[Event], None]

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    # Spinning threads make a step 20 times slower as soon as another process wants the cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_DETERMINISTIC_OPS": "1",
    # Its choice of kernel, and with it the last bits, depends on the processor.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    # Results must not depend on whether this machine has a graphics card.
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONHASHSEED": "0",
}
TAIL_LINES = 8


def run_worker(module: str, request: Event, on_event: Emit) -> None:
    """Run a worker to its end and hand over each of its events; stop it on any exception.

    Raises:
        ToolError: If it dies; the message has the end of its error output.
        EdgekitError: What the worker itself raised, of the same type.
    """
    environment = {**os.environ, **ENVIRONMENT}
    root = str(Path(edgekit.__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (os.environ.get("PYTHONPATH", ""), root) if part
    )
    done = False
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            _send(process, request)
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "error":
                    raise _error(event)
                done = event["event"] == "done"
                if not done:
                    on_event(event)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stdin.close()
        if code != 0 or not done:
            log.seek(0)
            raise errors.ToolError(_death(module, code, log.read().decode(errors="replace")))


def serve_worker(work: Callable[[Event, Emit], None]) -> int:
    """Be a worker: read the request, do the work, report; to be called by `__main__`."""
    # Libraries that print must not break the protocol.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C goes to the whole group: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def emit(event: Event) -> None:
        answers.write(json.dumps(event, separators=(",", ":")) + "\n")
        answers.flush()

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    try:
        work(request, emit)
    except errors.EdgekitError as exc:
        emit({"event": "error", "type": type(exc).__name__, "message": str(exc)})
        return 1
    emit({"event": "done"})
    answers.close()
    return 0


def _exit_with_parent() -> None:
    # Not through sys.stdin: a daemon thread inside its lock would abort the interpreter's exit.
    while os.read(0, 4096):
        pass
    os._exit(1)


def _send(process: subprocess.Popen[bytes], request: Event) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # It died at once; its exit code and error output tell more than the pipe.


def _error(event: Event) -> errors.EdgekitError:
    kind = getattr(errors, str(event["type"]), errors.EdgekitError)
    try:
        error = kind(event["message"])
    except TypeError:  # One with more facts than the message.
        error = errors.EdgekitError(event["message"])
    assert isinstance(error, errors.EdgekitError)
    return error


def _death(module: str, code: int, log: str) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
    tail = [line for line in log.splitlines() if line.strip()][-TAIL_LINES:]
    if any("No module named 'tensorflow'" in line or "'keras'" in line for line in tail):
        return f"{module} needs the training framework; pip install 'edgekit[train]'"
    return "\n".join([f"{module} {how}; its last output:", *tail])
