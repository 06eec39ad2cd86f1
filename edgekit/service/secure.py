"""What the devices of a secure round are handed, and what is wrong with what they offer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from edgekit.federated.codecs import update_bytes
from edgekit.federated.secure_rounds import answer_bytes, deadline_s, input_of
from edgekit.federated.state import RunState
from edgekit.link.messages import FederatedReport, FederatedTask, SecureTask


def phase_tasks(
    state: RunState, task: FederatedTask, devices: Sequence[str], now_s: float
) -> tuple[dict[str, FederatedTask], list[bytes]]:
    """Return the task of each device in the current phase, and the objects that these name.

    Args:
        task: Of the round.
        now_s: As the deadline is counted.
    """
    secure = state.secure
    if secure is None:
        return {}, []
    left_s = max(1, math.ceil(secure.opened_s + deadline_s(state) - now_s))
    tasks, objects = {}, []
    for device in devices:
        data = input_of(state, device)
        digest = blake2b(data, digest_size=32).digest() if data else None
        asked = SecureTask(phase=secure.phase, input_hash=digest, input_bytes=len(data))
        tasks[device] = replace(task, secure=asked, deadline_s=left_s)
        if data:
            objects.append(data)
    return tasks, objects


def late_reason(state: RunState, device: str, report: FederatedReport) -> str:
    """Say what a device is too late for, which is out of the round by now; empty if it is not."""
    secure = state.secure
    if secure is None or report.round != state.round or secure.awaits(device):
        return ""
    left_in = secure.left_in(device)
    if not 0 < report.phase == left_in < secure.phase:
        return ""
    name = secure.phase.__class__(report.phase).text
    return f"late: phase '{name}' of round {state.round} is closed"


def wrong_size(state: RunState, device: str, found: int) -> str:
    """Say what is wrong with the size of what a device offers, empty if nothing is."""
    settings = state.plan.settings
    least = most = update_bytes(
        state.head.classes, state.head.features, settings.codec, settings.share, settings.local
    )
    if state.secure is not None:
        least, most = answer_bytes(state, device)
    if least <= found <= most:
        return ""
    expected = f"{least}" if least == most else f"{least} .. {most}"
    return f"update of {found} bytes is on offer, expected {expected}"
