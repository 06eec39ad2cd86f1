"""The worker protocol, with real processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit.errors import QuantizationError, ToolError
from edgekit.models.worker import ENVIRONMENT, run_worker


@pytest.fixture(autouse=True)
def _worker_on_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def _run(do: str) -> list[dict]:
    events: list[dict] = []
    run_worker("echo_worker", {"do": do}, events.append)
    return events


def test_events_arrive_although_libraries_print():
    (event,) = _run("nothing")
    assert event["wait"] == "PASSIVE"


def test_error_of_ours_keeps_its_type():
    with pytest.raises(QuantizationError, match="too coarse"):
        _run("refuse")


def test_native_crash_is_a_tool_error():
    with pytest.raises(ToolError, match=r"echo_worker was ended by signal 6"):
        _run("die")


def test_bug_shows_the_end_of_its_traceback():
    with pytest.raises(ToolError, match=r"exited with 1(.|\n)*ValueError: a bug"):
        _run("fail")


def test_missing_module_is_a_tool_error():
    with pytest.raises(ToolError, match="no_such_worker"):
        run_worker("no_such_worker", {}, lambda event: None)


def _gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_exception_of_the_listener_ends_the_worker():
    pids = []

    def stop(event):
        pids.append(event["pid"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_worker("echo_worker", {"do": "sleep"}, stop)
    assert _gone(pids[0])


def test_worker_does_not_outlive_a_killed_parent():
    code = (
        "import os, signal\nfrom edgekit.models.worker import run_worker\n"
        "def told(event):\n    print(event['pid'], flush=True)\n"
        "run_worker('echo_worker', {'do': 'sleep'}, told)"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(Path(__file__).parent), str(root)])
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid = json.loads(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while not _gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _gone(pid)
