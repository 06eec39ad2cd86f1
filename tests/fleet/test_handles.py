"""The limit of open files, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from edgekit.errors import ToolError
from edgekit.fleet.handles import allow_connections
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
try:
    print(allow_connections({devices}), *resource.getrlimit(resource.RLIMIT_NOFILE))
except ToolError as exc:
    print(exc)
"""


def said(**numbers: int) -> str:
    words = [sys.executable, "-c", PROGRAM.format(**numbers)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_limit_is_raised_as_far_as_the_machine_allows() -> None:
    assert said(soft=64, hard=1_000, devices=700) == "744 1000 1000"


def test_fleet_that_is_too_large_for_the_machine_is_told() -> None:
    text = said(soft=64, hard=900, devices=700)
    assert text.startswith("700 devices need 956 open files, this process may have 900; 'ulimit")
