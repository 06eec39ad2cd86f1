"""What a hostile device may cost the server: journal, log and claims per second, and at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from edgekit.fleet.rates import Bucket
from edgekit.journal import Entry, Journal
from edgekit.link.messages import Log

_EVENTS_PER_S, _EVENTS_BURST = 2.0, 100.0
_LINES_PER_S, _LINES_BURST = 10.0, 100.0
_CLAIMS_PER_S, _CLAIMS_BURST = 5.0, 50.0
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)

logger = logging.getLogger(__name__)


def claims() -> Bucket:
    """Make the limit on the claims of one device; each may cost a look at the whole store."""
    return Bucket(_CLAIMS_PER_S, time.monotonic(), burst=_CLAIMS_BURST)


def lines() -> Bucket:
    """Make the limit on lines of log from one source."""
    return Bucket(_LINES_PER_S, time.monotonic(), burst=_LINES_BURST)


def complainer(log: logging.Logger) -> Callable[[int, str], None]:
    """Make a function that logs what was refused; anybody can cause that, so not all of it."""
    bucket = lines()

    def complain(level: int, text: str) -> None:
        if bucket.take(time.monotonic()):
            log.log(level, "%s", text)

    return complain


def log_line(bucket: Bucket, device: str, line: Log) -> None:
    """Log a device's line, if it may, as one line that says nothing to a terminal."""
    if bucket.take(time.monotonic()):
        logger.log(_LEVELS[line.level], "device '%s': %s", device, printable(line.text))


def printable(text: str) -> str:
    r"""Escape what is not printable.

    >>> printable("one\nline \x1b[31m")
    'one\\nline \\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class News:
    """Events of what devices are; of changes faster than a device's share only the newest stays."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: dict[str, list[Entry]] = {}
        self._buckets: dict[str, Bucket] = {}

    def note(self, device: str, kind: str, body: dict[str, Any]) -> None:
        """Let an event of a device wait for the next `tell`."""
        waiting = self._waiting.setdefault(device, [])
        waiting.append(Entry(kind, device, body, actor=device))
        if len(waiting) > _EVENTS_BURST:
            self._waiting[device] = _newest(waiting)

    def tell(self) -> None:
        """Journal what may be told now, in one step.

        Raises:
            StoreError: If the disk is full, say; then all of it is told later.
        """
        now_s = time.monotonic()
        told: dict[str, int] = {}
        for device, waiting in self._waiting.items():
            bucket = self._buckets.get(device)
            if bucket is None:
                bucket = self._buckets[device] = Bucket(_EVENTS_PER_S, now_s, burst=_EVENTS_BURST)
            told[device] = next(
                (at for at in range(len(waiting)) if not bucket.take(now_s)), len(waiting)
            )
        entries = [entry for device in told for entry in self._waiting[device][: told[device]]]
        if entries:
            self._journal.append_all(entries)
        for device, count in told.items():
            self._waiting[device] = _newest(self._waiting[device][count:])
            if not self._waiting[device]:
                del self._waiting[device]

    def forget(self, device: str) -> None:
        """Drop what a device has reported and that is not told yet; that it is there stays true."""
        waiting = self._waiting.pop(device, [])
        if left := [entry for entry in waiting if entry.kind == "device.presence"]:
            self._waiting[device] = left


def _newest(entries: list[Entry]) -> list[Entry]:
    """Of each kind the newest."""
    return list({entry.kind: entry for entry in entries}.values())
