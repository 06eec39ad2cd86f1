"""Federated runs as the journal tells them, and the orders that start and end them.

An order is a fact in the journal like any other; the driver of a running server takes it up from
there, and a server that is started later does too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from edgekit.errors import RefusedError
from edgekit.federated.codecs import HeadWeights
from edgekit.federated.combine import check_head
from edgekit.federated.rounds import (
    KINDS,
    Fact,
    Phase,
    RunPlan,
    RunState,
    apply,
    finish,
    follows,
    open_run,
)
from edgekit.journal import Event, Journal

log = logging.getLogger(__name__)


class Known(Protocol):
    """What is to be known of other runs before one begins."""

    @property
    def plan(self) -> RunPlan: ...

    @property
    def phase(self) -> Phase: ...


def needed_skills(plan: RunPlan) -> dict[str, str]:
    """Return what devices must say that they can do, and what to call it."""
    settings, needed = plan.settings, {}
    if settings.secure:
        needed["secure"] = "secure aggregation"
    elif settings.codec != "float32" or settings.local or plan.mu:
        needed["codecs"] = f"{plan.strategy} with codec {settings.codec}"
    return needed


def begin(
    plan: RunPlan,
    head: HeadWeights,
    *,
    claimed: Collection[str],
    states: Mapping[int, Known],
    skills: Mapping[str, Collection[str]] | None = None,
) -> Fact:
    """Return the fact that starts a run.

    Args:
        skills: What devices say that they can do; None: they are not asked for it.

    Raises:
        RefusedError: If the number was used, or a device is not claimed, in another run, or has no
            firmware for it.
        ConfigError: If the head has not the local part that the settings ask for.
    """
    check_head(plan.settings, classes=head.classes, features=head.features)
    if plan.run in states:
        raise RefusedError(f"run {plan.run} exists already, expected a new number")
    for device in plan.devices:
        if device not in claimed:
            raise RefusedError(f"device '{device}' is not a claimed device of the fleet")
        for run, state in states.items():
            if state.phase is not Phase.FINISHED and device in state.plan.devices:
                raise RefusedError(f"device '{device}' is in run {run}")
        for skill, what in needed_skills(plan).items():
            if skills is not None and skill not in skills.get(device, ()):
                raise RefusedError(
                    f"device '{device}' does not know {what}; newer firmware does, or leave it out"
                    " of the run"
                )
    return open_run(plan, head)


def abort(state: RunState, reason: str) -> Fact:
    """Return the fact that somebody ended a run.

    Raises:
        RefusedError: If it has finished.
    """
    if state.phase is Phase.FINISHED:
        raise RefusedError(f"run {state.plan.run} has finished: {state.reason}")
    return finish(state, f"aborted: {reason}")


def unknown_run(run: int, known: Iterable[int]) -> RefusedError:
    """Make the error for a run that is not there."""
    names = ", ".join(str(other) for other in sorted(known))
    return RefusedError(f"run {run} is unknown, known are {names or 'none'}")


def take_event(state: RunState | None, journal: Journal, event: Event) -> RunState | None:
    """Fold one event into a run; None if it came too late to change anything."""
    if not follows(state, event.kind):
        log.info("event %d, %s of run %s, comes too late", event.seq, event.kind, event.subject)
        return None
    blob = None if event.blob is None else journal.blob(event.blob)
    return apply(state, event.kind, event.body, time_s=event.time_ms / 1000, blob=blob)


def head_of_image(image: bytes) -> HeadWeights:
    """Return the trainable head of a model image, where a run starts.

    Raises:
        RefusedError: If it has none.
    """
    from edgekit.formats.image_reader import read_image

    content = read_image(image)
    if content.head is None:
        raise RefusedError(f"image '{content.meta.name}' has no trainable head")
    return HeadWeights(content.head.weights, content.head.bias)


def run_states(journal: Journal, run: int | None = None) -> dict[int, RunState]:
    """Replay the runs of a journal, by number, oldest first; or only one of them.

    All updates are read again; `edgekit.federated.live` tells how far a run is without them.
    """
    states: dict[int, RunState] = {}
    subject = None if run is None else str(run)
    for event in journal.events(kinds=KINDS, subject=subject):
        run = int(event.body["run"])
        state = take_event(states.get(run), journal, event)
        if state is not None:
            states[run] = state
    return states
