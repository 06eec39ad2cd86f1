"""The thread that owns a server's state: messages and calls come through its queue."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from edgekit.errors import EdgekitError, LinkError, SecurityError
from edgekit.link.status import Status
from edgekit.service import limits

logger = logging.getLogger(__name__)

_BATCH = 64
_MAX_WAITING = 20_000  # messages; what is lost is said again, as over a lossy link
_TICK_S = 0.1

T = TypeVar("T")
Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the broker, as it came."""

    topic: str
    payload: bytes
    retained: bool


class Loop:
    """One thread, and the queue in front of it.

    Args:
        verify: Judges a message and adds what it is to cause to a list of steps.
        save: Makes durable what verifying has changed; if it raises, no message takes effect.
        tick: Called every tenth of a second.

    Attributes:
        refused: How many messages and steps failed, by status.
    """

    def __init__(
        self,
        *,
        verify: Callable[[Message, list[Step]], None],
        save: Step,
        tick: Step,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._verify = verify
        self._save = save
        self._tick = tick
        self._tickers: list[_Ticker] = []
        self._queue: queue.SimpleQueue[Message | Step] = queue.SimpleQueue()
        self._complain = limits.complainer(logger)
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="edgekit-service", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """End the thread when all that waits is done; False if it did not run."""
        if self._thread is None:
            return False
        self._queue.put(self._end)
        self._thread.join()
        self._thread = None
        return True

    def hear(self, topic: str, payload: bytes, retained: bool) -> None:
        """Let a message wait for its turn; dropped and counted if too many wait."""
        if self._queue.qsize() < _MAX_WAITING:
            self._queue.put(Message(topic, payload, retained))
        else:
            self.refused["OVERLOAD"] += 1

    def put(self, step: Step) -> None:
        """Let a step wait for its turn."""
        self._queue.put(step)

    def call(self, fn: Callable[[], T]) -> T:
        """Run a function on the thread and return its result, or raise its exception."""
        if self._thread is None or threading.current_thread() is self._thread:
            return fn()
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(fn())
            except BaseException as exc:
                future.set_exception(exc)

        self._queue.put(run)
        return future.result()

    def add_ticker(self, period_s: float, fn: Callable[[float], None]) -> None:
        """Have a function called every so often, with the time in Unix seconds."""
        self._tickers.append(_Ticker(period_s, fn))

    def guarded(self, step: Step) -> bool:
        """Run a step; what it raises is counted and logged, and the thread goes on."""
        try:
            step()
        except LinkError as exc:
            self.refused[Status(exc.status).name] += 1
            self._complain(logging.INFO, f"refused: {exc}")
        except SecurityError as exc:
            self.refused["SECURITY"] += 1
            self._complain(logging.WARNING, f"refused: {exc}")
        except EdgekitError as exc:
            self.refused["ERROR"] += 1
            self._complain(logging.ERROR, str(exc))
        except Exception:
            self.refused["BUG"] += 1
            logger.exception("a step of the service failed")
        else:
            return True
        return False

    def _run(self) -> None:
        next_tick_s = 0.0
        while not self._stopping:
            items: list[Message | Step] = []
            try:
                items.append(self._queue.get(timeout=max(0.0, next_tick_s - time.monotonic())))
                while len(items) < _BATCH:
                    items.append(self._queue.get_nowait())
            except queue.Empty:
                pass
            self._work(items)
            if time.monotonic() >= next_tick_s:
                next_tick_s = time.monotonic() + _TICK_S
                self._on_tick(time.monotonic())

    def _end(self) -> None:
        self._stopping = True

    def _work(self, items: list[Message | Step]) -> None:
        """Verify all messages, make durable what that changed, then let them take effect."""
        effects: list[Step] = []
        for item in items:
            if isinstance(item, Message):
                self.guarded(lambda message=item: self._verify(message, effects))  # type: ignore[misc]
            else:
                effects.append(item)
        if not self.guarded(self._save):
            effects = [item for item in items if not isinstance(item, Message)]
        for effect in effects:
            self.guarded(effect)

    def _on_tick(self, now_s: float) -> None:
        self.guarded(self._tick)
        for ticker in self._tickers:
            if now_s >= ticker.next_s:
                ticker.next_s = now_s + ticker.period_s  # of a clock that nobody sets
                self.guarded(lambda fn=ticker.fn: fn(time.time()))  # type: ignore[misc]


@dataclass(slots=True)
class _Ticker:
    period_s: float
    fn: Callable[[float], None]
    next_s: float = 0.0
