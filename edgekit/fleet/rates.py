"""Rate limits: what nobody has proven to come from a friend may not cost much."""

from __future__ import annotations


class Bucket:
    """A rate limit: so many per second, and some at once.

    Args:
        burst: How many may pass at once; a second's worth if None.
    """

    __slots__ = ("_at_s", "_burst", "_level", "_rate")

    def __init__(self, rate: float, now_s: float, *, burst: float | None = None) -> None:
        self._rate, self._at_s = rate, now_s
        self._burst = self._level = rate if burst is None else burst

    def take(self, now_s: float) -> bool:
        """Say whether one more may pass."""
        level = min(self._burst, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        self._level = level - 1.0 if level >= 1.0 else level
        return level >= 1.0
