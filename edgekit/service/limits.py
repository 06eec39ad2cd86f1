"""What a hostile device may cost the server: journal, log and claims per second, and at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from edgekit.fleet.rates import Bucket
from edgekit.journal import Journal
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
        self._waiting: dict[str, dict[str, dict[str, Any]]] = {}  # device, kind, body
        self._buckets: dict[str, Bucket] = {}

    def note(self, device: str, kind: str, body: dict[str, Any]) -> None:
        """Journal an event of a device now, or `tell` it later.

        Raises:
            StoreError: If it could not be journaled now; it is tried again.
        """
        self._waiting.setdefault(device, {})[kind] = body
        self._tell(device)

    def tell(self) -> None:
        """Journal what has waited long enough.

        Raises:
            StoreError: If the disk is full, say.
        """
        for device in list(self._waiting):
            self._tell(device)

    def forget(self, device: str) -> None:
        """Drop what a device has not told yet."""
        self._waiting.pop(device, None)

    def _tell(self, device: str) -> None:
        now_s = time.monotonic()
        bucket = self._buckets.get(device)
        if bucket is None:
            bucket = self._buckets[device] = Bucket(_EVENTS_PER_S, now_s, burst=_EVENTS_BURST)
        waiting = self._waiting[device]
        while waiting and bucket.take(now_s):
            kind = next(iter(waiting))
            self._journal.append(kind, device, waiting[kind], actor=device)
            del waiting[kind]
        if not waiting:
            del self._waiting[device]
