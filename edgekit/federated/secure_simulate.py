"""A run with secure aggregation on this machine: every object as it would travel.

Masks and shares are drawn anew each time; the heads do not depend on them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

from edgekit.errors import LinkError
from edgekit.federated import secure_rounds
from edgekit.federated.codecs import HeadWeights, decode_head, decode_update
from edgekit.federated.plan import RunPlan
from edgekit.federated.rounds import (
    OPENED,
    ROUND_CLOSED,
    ROUND_OPENED,
    Fact,
    Phase,
    advance,
    apply,
    open_run,
)
from edgekit.federated.secure_client import Member
from edgekit.federated.secure_keys import KEY_BYTES
from edgekit.federated.secure_state import SecurePhase
from edgekit.federated.state import RunState

Answer = Callable[[str, int, HeadWeights], list[bytes]]
"""(device, round, base) -> update object that it would deliver, as a list of one or none."""
Gone = Callable[[int, SecurePhase, str], bool]
"""(round, phase, device) -> whether it is silent from there on in the round."""


def simulate_secure(
    plan: RunPlan,
    head: HeadWeights,
    answer: Answer,
    *,
    present: Collection[str],
    gone: Gone = lambda round_, phase, device: False,
    evaluate: Callable[[HeadWeights], float] | None = None,
    told: Callable[[RunState], None] | None = None,
) -> RunState:
    """Run all rounds of a plan.

    Args:
        present: Devices that answer at all.
        evaluate: Accuracy of a head, 0 .. 1.
        told: Is given the state after each round; StopIteration ends the run.
    """
    fact = open_run(plan, head)
    state = apply(None, OPENED, fact.body, time_s=0.0, blob=fact.blob)
    members: dict[str, Member] = {}
    away: set[str] = set()
    now_s = 0.0

    def take(made: Fact) -> None:
        nonlocal state
        state = apply(state, made.kind, made.body, time_s=now_s, blob=made.blob)

    while state.phase is not Phase.FINISHED:
        following = advance(state, now_s)
        if following is None:
            for device in _asked(state, present, away, gone):
                if secure_rounds.due(state, now_s):
                    break
                data = _said(state, members[device], device, answer)
                if data is None:
                    away.add(device)
                elif state.secure is not None:
                    take(secure_rounds.receive(state, device, state.secure.phase, data))
            if not secure_rounds.due(
                state, now_s
            ):  # the others keep the phase waiting until its deadline
                now_s += secure_rounds.deadline_s(state)
            continue
        if following.kind == ROUND_CLOSED and evaluate is not None and following.blob is not None:
            following.body["accuracy"] = evaluate(decode_head(following.blob))
        take(following)
        if following.kind == ROUND_OPENED:
            roots = {device: secrets.token_bytes(KEY_BYTES) for device in state.invited}
            members = {
                device: Member(plan.run, state.round, root) for device, root in roots.items()
            }
            away = set()
        if following.kind == ROUND_CLOSED and told is not None:
            try:
                told(state)
            except StopIteration:
                break
    return state


def _asked(
    state: RunState, present: Collection[str], away: set[str], gone: Gone
) -> tuple[str, ...]:
    if state.secure is None:
        return ()
    for device in state.missing:
        if device not in present or gone(state.round, state.secure.phase, device):
            away.add(device)
    return tuple(device for device in state.missing if device not in away)


def _said(state: RunState, member: Member, device: str, answer: Answer) -> bytes | None:
    """Return what a device says in the current phase; None if it refuses."""
    assert state.secure is not None
    handed = secure_rounds.input_of(state, device)
    try:
        if state.secure.phase is SecurePhase.KEYS:
            return member.keys()
        if state.secure.phase is SecurePhase.SHARES:
            return member.shares(handed)
        if state.secure.phase is SecurePhase.UNMASK:
            return member.reveal(handed)
        updates = answer(device, state.round, state.head)
        return member.masked(handed, decode_update(updates[0])) if updates else None
    except LinkError:
        return None
