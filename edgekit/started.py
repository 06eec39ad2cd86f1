"""What `with` closes, and what it starts before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Opened(ABC):
    """Something open; `with` closes it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Started(Opened):
    """Something with threads or processes of its own; `with` starts and closes it."""

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    def __enter__(self) -> Self:
        self.start()
        return self
