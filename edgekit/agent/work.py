"""What a device does behind its protocol: the model that it runs and the head that it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgekit.link.messages import FederatedTask, FreeBytes, Learning, Log, Manifest
from edgekit.link.status import Status


@dataclass(frozen=True, slots=True)
class Active:
    """The model that runs.

    Attributes:
        image_id: None if there is none.
        counter: Release counter, 0 if there is none.
        head_hash: Of its trainable head, None if it has none.
    """

    image_id: bytes | None = None
    counter: int = 0
    head_hash: bytes | None = None
    free: FreeBytes = FreeBytes(0, 0)  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class Practised:
    """What learning by itself came to.

    Attributes:
        said: What is to be told the server.
        goes_on: Whether it is at it; False after a refusal.
    """

    said: tuple[Log, ...]
    goes_on: bool


class Work(Protocol):
    """What a client asks of its device.

    All but `active` and `check` may run in another thread, one after the other.
    """

    def active(self) -> Active:
        """Return the model that runs now."""
        ...

    def activate(self, manifest: Manifest, image: bytes | None) -> Status:
        """Prove an image, keep it and run it; None keeps the image and raises its counter."""
        ...

    def check(self, task: FederatedTask) -> tuple[Status, int]:
        """Say whether a task can be done, and on how many samples."""
        ...

    def learn(self, task: FederatedTask, head: bytes) -> bytes | Status:
        """Train a head object; return the update object, or why not."""
        ...

    def practise(self, wish: Learning | None, steps: int) -> Practised:
        """Learn by itself, at most so many samples more; None: stop, and keep what was learnt."""
        ...

    def answer(self, number: int, text: bytes) -> bytes:
        """Return the TEXT_ANSWER to a question."""
        ...
