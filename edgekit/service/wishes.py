"""What a device is to be: the wish behind its desired document, and its event; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from edgekit.config import LearnSection
from edgekit.fleet.devices import task_body, task_from_body
from edgekit.journal import Event
from edgekit.link.messages import Desired, FederatedTask, Learning, SignedManifest
from edgekit.runtime.online import METHODS


class Keep(Enum):
    """Stands for a part of a wish that stays as it is."""

    KEEP = "keep"


KEEP = Keep.KEEP


def learning_of(section: LearnSection) -> Learning | None:
    """Return how the devices of a project learn by themselves, None if they do not."""
    if not section.enabled or section.steps_per_minute == 0:
        return None
    return Learning(
        steps_per_minute=section.steps_per_minute,
        method=METHODS[section.method],
        rate=section.rate,
        momentum=section.momentum,
        standardize=int(section.standardize),
        warm_up=section.warm_up if section.standardize else 0,
        window=section.window if section.standardize else 0,
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """A desired document without its time.

    Attributes:
        since_s: Unix seconds of its event; a task's deadline counts from there.
    """

    version: int = 0
    model: SignedManifest | None = None
    task: FederatedTask | None = None
    since_s: float = 0.0

    def changed(
        self,
        *,
        model: SignedManifest | Keep | None,
        task: FederatedTask | Keep | None,
        now_s: float,
    ) -> Wish:
        """Return the next version of this wish."""
        return Wish(
            version=self.version + 1,
            model=self.model if isinstance(model, Keep) else model,
            task=self.task if isinstance(task, Keep) else task,
            since_s=now_s,
        )

    def document(
        self, *, now_s: float, heartbeat_s: int, learning: Learning | None = None
    ) -> Desired:
        """Return the document as it is said now: a task has less time left than at first."""
        task = self.task
        if task is not None:
            left_s = max(1, task.deadline_s - max(0, int(now_s - self.since_s)))
            task = replace(task, deadline_s=left_s)
        return Desired(
            version=self.version,
            time_s=int(now_s),
            model=self.model,
            task=task,
            heartbeat_s=heartbeat_s,
            learning=learning,
        )

    def body(self, device: str) -> dict[str, Any]:
        """Body of its `device.desired` event."""
        return {
            "device": device,
            "version": self.version,
            "manifest": None if self.model is None else self.model.manifest.hex(),
            "signature": None if self.model is None else self.model.signature.hex(),
            "task": None if self.task is None else task_body(self.task),
        }


def wish_of(event: Event) -> Wish:
    """Return the wish that a `device.desired` event holds."""
    body: Mapping[str, Any] = event.body
    manifest, task = body.get("manifest"), body.get("task")
    model = None
    if manifest is not None:
        model = SignedManifest(bytes.fromhex(manifest), bytes.fromhex(body["signature"]))
    return Wish(
        version=body["version"],
        model=model,
        task=None if task is None else task_from_body(task),
        since_s=event.time_ms / 1_000,
    )
