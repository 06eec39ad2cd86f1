"""Questions to devices: texts that a device's model is to classify."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from edgekit.errors import DeviceError, RefusedError
from edgekit.link.messages import MAX_TEXT_BYTES, TextAnswer, TextQuestion

_AGAIN_S = 1.0


@dataclass(slots=True)
class _Waiting:
    device: str
    question: TextQuestion
    answer: Future[TextAnswer]
    sent_s: float = 0.0


class Questions:
    """All questions of a server that have no answer yet; for its thread only.

    Args:
        send: Sends a question to a device.
    """

    def __init__(self, send: Callable[[str, TextQuestion], None]) -> None:
        self._send = send
        self._numbers = itertools.count(secrets.randbits(31))
        self._waiting: dict[int, _Waiting] = {}

    def start(self, device: str, text: bytes) -> tuple[int, Future[TextAnswer]]:
        """Take a question; `ask` sends it.

        Raises:
            RefusedError: If the text is longer than a message.
        """
        if len(text) > MAX_TEXT_BYTES:
            raise RefusedError(
                f"text has {len(text)} bytes, at most {MAX_TEXT_BYTES} go to a device:"
                " cut it, a model reads only its beginning"
            )
        number = next(self._numbers) & 0xFFFF_FFFF
        waiting = _Waiting(device, TextQuestion(number, text), Future())
        self._waiting[number] = waiting
        return number, waiting.answer

    def drop(self, number: int) -> None:
        """Forget a question."""
        self._waiting.pop(number, None)

    def take(self, device: str, answer: TextAnswer) -> None:
        """Give an answer to who waits for it; one that nobody waits for is forgotten."""
        waiting = self._waiting.get(answer.number)
        if waiting is not None and waiting.device == device:
            del self._waiting[answer.number]
            waiting.answer.set_result(answer)

    def ask(self, is_reachable: Callable[[str], bool | None]) -> None:
        """Send all questions that are due, again if they had no answer.

        Args:
            is_reachable: Whether a device can be asked now; None if never again.
        """
        now_s = time.monotonic()
        for number, waiting in list(self._waiting.items()):
            reachable = is_reachable(waiting.device)
            if reachable is None:
                del self._waiting[number]
                waiting.answer.set_exception(DeviceError(f"device '{waiting.device}' was revoked"))
            elif reachable and now_s - waiting.sent_s >= _AGAIN_S:
                waiting.sent_s = now_s
                self._send(waiting.device, waiting.question)
