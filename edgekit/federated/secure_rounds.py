"""Rounds of secure aggregation as facts: four phases between the opening and the end of a round.

    KEYS ──► SHARES ──► MASKED ──► UNMASK ──► the round closes
      └─────────┴──────────┴───────────┴────► or fails, if too few are left

Each phase ends when all that are asked have answered, or at its deadline; who has not is out of the
round. The state holds the sum of the masked updates, never one that is not masked.

Source: Bonawitz et al., 2017, figure 4 (Server)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgekit.errors import LinkError
from edgekit.federated.secure_graph import LEAST, MAX_NEIGHBOURS, parts
from edgekit.federated.secure_keys import Place
from edgekit.federated.secure_objects import (
    KEYS_BYTES,
    Revealed,
    Roster,
    decode_keys,
    decode_masked,
    decode_revealed,
    decode_shares,
    encode_inbox,
    encode_request,
    encode_roster,
    masked_bytes,
    revealed_bytes,
    shares_bytes,
)
from edgekit.federated.secure_open import is_fit, low_order, opened
from edgekit.federated.secure_quantize import Sum
from edgekit.federated.secure_state import (
    Ring,
    SecurePhase,
    SecureRound,
    ring_of,
    scale_of,
    values_of,
    wanted_parts,
)
from edgekit.federated.state import Fact, Phase, RunState

ANSWER = "federated.secure_answer"
PHASE = "federated.secure_phase"
KINDS = (ANSWER, PHASE)


def first(state: RunState) -> SecureRound | None:
    """Return the beginning of the round that was opened; None if the run is not secure."""
    if not state.plan.settings.secure:
        return None
    place = Place(state.plan.run, state.round)
    return SecureRound(place, SecurePhase.KEYS, state.opened_s, (state.invited,))


def receive(state: RunState, device: str, phase: SecurePhase, data: bytes) -> Fact:
    """Judge what a device delivered for a phase."""
    reason = _reason(state, device, phase, data)
    return _answer(state, device, phase, reason, data if not reason else None)


def reject(state: RunState, device: str, phase: SecurePhase, reason: str) -> Fact | None:
    """Return the fact that a device's answer does not count; None if that is known."""
    if device not in state.plan.devices or (device, reason) in state.rejected:
        return None
    return _answer(state, device, phase, reason, None)


def answer_bytes(state: RunState, device: str) -> tuple[int, int]:
    """Return the fewest and the most bytes of a device's answer to the phase."""
    secure = _of(state)
    if secure.phase is SecurePhase.KEYS:
        return KEYS_BYTES, KEYS_BYTES
    if secure.phase is SecurePhase.SHARES:
        ring = _ring(state)
        size = shares_bytes(len(ring.known[ring.indices[device]]))
        return size, size
    if secure.phase is SecurePhase.MASKED:
        size = masked_bytes(_values(state))
        return size, size
    return revealed_bytes(0), revealed_bytes(MAX_NEIGHBOURS + 1)


def input_of(state: RunState, device: str) -> bytes:
    """Return what a device is handed in this phase; empty bytes in the first one."""
    first_ = _of(state).phase is SecurePhase.KEYS
    return b"" if first_ else _input(state, _ring(state), device)


def inputs(state: RunState) -> dict[str, bytes]:
    """Return what each device is handed that is asked in this phase and has not answered."""
    return {device: input_of(state, device) for device in state.missing}


def due(state: RunState, now_s: float) -> bool:
    """Say whether the phase is to end."""
    secure = _of(state)
    if not secure.missing or now_s - secure.opened_s >= deadline_s(state):
        return True
    if secure.phase is SecurePhase.MASKED:
        wanted = state.plan.wanted
        return 0 < wanted and max(wanted, LEAST, state.plan.min_updates) <= len(secure.masked)
    return secure.phase is SecurePhase.UNMASK and is_fit(secure, _ring(state), scale_of(state.plan))


def deadline_s(state: RunState) -> float:
    """Return how long the phase may take."""
    plan = state.plan
    trains = _of(state).phase is SecurePhase.MASKED
    return plan.deadline_s if trains else plan.settings.phase_s


def following(state: RunState, now_s: float) -> Fact | str | Sum:
    """Return what follows on a phase that is due: the next one, why the round fails, or its sum."""
    secure, counted = _of(state), _of(state).counted
    least = max(LEAST, state.plan.min_updates)
    if secure.phase is SecurePhase.UNMASK:
        try:
            return opened(secure, _ring(state), scale_of(state.plan))
        except LinkError as exc:
            return str(exc)
    if len(counted) < least:
        text = f"{len(counted)} of {len(secure.members)} devices answered '{secure.phase.text}'"
        return f"{text}, at least {least} are needed"
    if secure.phase is not SecurePhase.KEYS:
        reason = _unfit(secure, _ring(state), counted)
        if reason:
            return reason
    body = {
        "run": secure.place.run,
        "round": secure.place.round,
        "phase": SecurePhase(secure.phase + 1).text,
        "members": list(counted),
        "after_s": max(0.0, now_s - state.opened_s),
    }
    return Fact(PHASE, body)


def apply_phase(state: RunState, body: Mapping[str, Any]) -> RunState:
    """Fold the beginning of a phase into the state.

    Raises:
        ValueError: If it does not follow on this state.
    """
    secure = _of(state)
    phase = SecurePhase[str(body["phase"]).upper()]
    if not state.collecting or (body["round"], phase) != (state.round, secure.phase + 1):
        raise ValueError(f"phase {phase.text} of round {body['round']} is out of turn")
    begun = replace(
        secure,
        phase=phase,
        opened_s=state.opened_s + float(body["after_s"]),
        stages=(*secure.stages, tuple(body["members"])),
        answered={},
    )
    return replace(state, secure=begun)


def apply_answer(state: RunState, body: Mapping[str, Any], blob: bytes | None) -> RunState:
    """Fold an answer into the state.

    Raises:
        ValueError: If it was accepted out of turn.
    """
    device, reason = str(body["device"]), str(body.get("reason") or "")
    phase = SecurePhase[str(body["phase"]).upper()]
    if body["accepted"]:
        if not state.awaits(device, int(body["round"]), phase) or blob is None:
            raise ValueError(f"{phase.text} of {device} was accepted out of turn")
        secure = _taken(state, device, blob)
        return replace(state, phase=Phase.COLLECTING, secure=secure)
    if body["round"] != state.round or not state.collecting:
        return state
    rejected = (*state.rejected, (device, reason))
    secure = _of(state)
    if state.awaits(device, state.round, phase):
        secure = replace(secure, answered={**secure.answered, device: reason})
    return replace(state, rejected=rejected, secure=secure)


def _taken(state: RunState, device: str, blob: bytes) -> SecureRound:
    secure = _of(state)
    heard = replace(secure, answered={**secure.answered, device: ""})
    place = secure.place
    if secure.phase is SecurePhase.KEYS:
        return replace(heard, keys={**secure.keys, device: decode_keys(blob, place)})
    ring = _ring(state)
    index = ring.indices[device]
    if secure.phase is SecurePhase.SHARES:
        shares = decode_shares(blob, place, index, ring.known[index])
        return replace(heard, shares={**secure.shares, device: shares})
    if secure.phase is SecurePhase.MASKED:
        values = decode_masked(blob, place, index, _values(state))
        total = values if secure.total is None else secure.total + values
        return replace(heard, total=total, masked=(*secure.masked, device))
    revealed = decode_revealed(blob, place, index)
    return replace(heard, revealed={**secure.revealed, device: revealed})


def _reason(state: RunState, device: str, phase: SecurePhase, data: bytes) -> str:
    secure = state.secure
    if secure is None or not state.collecting:
        return f"late: round {state.round} is closed"
    if device not in state.invited:
        return f"device {device} is not invited to round {state.round}"
    if phase < secure.phase:
        return f"late: phase '{phase.text}' of round {state.round} is closed"
    if phase > secure.phase:
        return f"early: round {state.round} is in phase '{secure.phase.text}'"
    if device in secure.answered:
        return f"duplicate: {device} has answered phase '{phase.text}' of round {state.round}"
    if not secure.awaits(device):
        return f"{device} is out of round {state.round} since phase '{secure.phase.text}'"
    try:
        return _judged(state, device, data)
    except LinkError as exc:
        return str(exc)


def _judged(state: RunState, device: str, data: bytes) -> str:
    """Read an answer to the current phase; raises LinkError if it cannot be."""
    secure = _of(state)
    if secure.phase is SecurePhase.KEYS:
        keys = decode_keys(data, secure.place)
        seen = {key for each in secure.keys.values() for key in (each.share, each.mask)}
        if keys.share == keys.mask or seen & {keys.share, keys.mask}:
            return "a public key is there twice"
        if low_order(keys.share) or low_order(keys.mask):
            return "a public key is of low order"
        return ""
    ring = _ring(state)
    index = ring.indices[device]
    if secure.phase is SecurePhase.SHARES:
        decode_shares(data, secure.place, index, ring.known[index])
    elif secure.phase is SecurePhase.MASKED:
        decode_masked(data, secure.place, index, _values(state))
    else:
        return _unasked(state, ring, index, decode_revealed(data, secure.place, index))
    return ""


def _unasked(state: RunState, ring: Ring, index: int, revealed: Revealed) -> str:
    secure = _of(state)
    wanted = wanted_parts(ring, index, _sharers(secure, ring), _masked(secure, ring))
    for other, (part, _) in revealed.items():
        if wanted.get(other) is not part:
            return f"reveals {part.name.lower()} of member {other}, which was not asked for"
    return ""


def _input(state: RunState, ring: Ring, device: str) -> bytes:
    secure, index = _of(state), ring.indices[device]
    if secure.phase is SecurePhase.SHARES:
        peers = {other: secure.keys[ring.devices[other]] for other in ring.known[index]}
        roster = Roster(index, ring.threshold(index), scale_of(state.plan), peers)
        return encode_roster(secure.place, roster)
    sharers = _sharers(secure, ring)
    if secure.phase is SecurePhase.MASKED:
        sealed = {
            other: secure.shares[ring.devices[other]].sealed[index]
            for other in ring.known[index]
            if other in sharers
        }
        return encode_inbox(secure.place, index, sealed)
    wanted = wanted_parts(ring, index, sharers, _masked(secure, ring))
    return encode_request(secure.place, index, wanted)


def _unfit(secure: SecureRound, ring: Ring, counted: tuple[str, ...]) -> str:
    """Say why those who are left cannot end the round, empty if they can."""
    left = {ring.indices[device] for device in counted}
    concerned = left if secure.phase is SecurePhase.SHARES else _sharers(secure, ring)
    for index in sorted(concerned):
        there, least = len(left & set(ring.holders(index))), ring.threshold(index)
        if there < least:
            return (
                f"{there} holders of the shares of {ring.devices[index]} are left after phase"
                f" '{secure.phase.text}', {least} are needed"
            )
    groups = parts(left, ring.known)
    if len(groups) > 1:
        smallest = min(len(group) for group in groups)
        return (
            f"the devices that are left fall into {len(groups)} groups that share no masks, the"
            f" smallest of {smallest}; more neighbours hold them together"
        )
    return ""


def _answer(
    state: RunState, device: str, phase: SecurePhase, reason: str, blob: bytes | None
) -> Fact:
    body: dict[str, Any] = {
        "run": state.plan.run,
        "round": state.round,
        "phase": phase.text,
        "device": device,
        "accepted": not reason,
    }
    return Fact(ANSWER, body | ({"reason": reason} if reason else {}), blob)


def _sharers(secure: SecureRound, ring: Ring) -> set[int]:
    return {ring.indices[device] for device in secure.stages[SecurePhase.MASKED - 1]}


def _masked(secure: SecureRound, ring: Ring) -> set[int]:
    return {ring.indices[device] for device in secure.masked}


def _ring(state: RunState) -> Ring:
    secure = _of(state)
    return ring_of(state.plan, secure.place, secure.stages[SecurePhase.SHARES - 1])


def _values(state: RunState) -> int:
    return values_of(state.head.classes * (state.head.features + 1))


def _of(state: RunState) -> SecureRound:
    if state.secure is None:
        raise ValueError(f"run {state.plan.run} is not in a round of secure aggregation")
    return state.secure


__all__ = [
    "ANSWER",
    "KINDS",
    "PHASE",
    "answer_bytes",
    "apply_answer",
    "apply_phase",
    "deadline_s",
    "due",
    "first",
    "following",
    "input_of",
    "inputs",
    "receive",
    "reject",
]
