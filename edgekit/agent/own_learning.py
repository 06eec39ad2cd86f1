"""When a device learns by itself: as wished, no faster, and never beside a federated task.

Twin: firmware/agent/ek_agent_online.c (what decides; `practice.py` is what learns)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgekit.agent.work import Practised, Work
from edgekit.link.messages import Learning, Log

MOST_STEPS = 500  # in one piece of work


class OwnLearning:
    """Gives the work its steps.

    Args:
        start: Has a function done, now or in another thread, and hands its result on.
        say: Sends a line to the server.
    """

    def __init__(
        self,
        work: Work,
        *,
        start: Callable[[Callable[[], Any], Callable[[Any], None]], None],
        say: Callable[[Log], None],
    ) -> None:
        self._work, self._start, self._say = work, start, say
        self._wish: Learning | None = None  # None also after a refusal, until it is wished anew
        self._is_open = self._is_busy = False
        self._next_s = -math.inf

    def wish(self, wish: Learning | None, *, idle: bool) -> None:
        """Take what is wished; idle: no federated task."""
        self._wish = wish
        if self._is_open and (wish is None or not idle):
            self._is_open = False
            self._start(lambda: self._work.practise(None, 0), self._tell)

    def tick(self, now_s: float, *, idle: bool) -> None:
        """Do the steps that are due."""
        wish = self._wish
        if wish is None or not idle or self._is_busy or now_s < self._next_s:
            return
        gap_s = 60.0 / wish.steps_per_minute
        due = int((now_s - self._next_s) / gap_s) + 1 if self._is_open else 1
        steps = min(due, MOST_STEPS)
        # What could not be done in time is left out, not done later.
        self._next_s = now_s + gap_s if steps < due or due == 1 else self._next_s + steps * gap_s
        self._is_open = self._is_busy = True
        self._start(lambda: self._work.practise(wish, steps), self._take)

    def next_due_s(self, *, idle: bool) -> float:
        """When `tick` has something to do at the latest."""
        return self._next_s if self._wish is not None and idle else math.inf

    def _take(self, result: Practised) -> None:
        self._is_busy = False
        self._tell(result)
        if not result.goes_on and self._is_open:
            self._wish, self._is_open = None, False

    def _tell(self, result: Practised) -> None:
        for line in result.said:
            self._say(line)
