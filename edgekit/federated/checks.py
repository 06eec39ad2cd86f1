"""Judging an update: what has to hold before it counts, and the reason where it does not."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgekit.errors import LinkError
from edgekit.federated import payload
from edgekit.federated.codecs import HeadWeights, Update, decode_update
from edgekit.federated.settings import SPARSE

NORM_FACTOR = 4.0  # of the norm of the base head
NORM_FLOOR = 20.0  # for heads that start near zero
MAX_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What a round expects of an update.

    Attributes:
        bases: Hashes of the heads that an update may start from, by round.
        devices: Those invited.
        asked: Round of the task that each device is at.
        max_norm: Largest Euclidean norm of the whole difference.
        max_samples: Largest number of samples a device may claim, as it is its weight.
        codec: How updates are to travel.
        share: Of the entries that a top-P codec sends.
        local: Entries at the end that do not travel.
    """

    run: int
    round: int
    bases: Mapping[int, bytes]
    classes: int
    features: int
    devices: frozenset[str]
    asked: Mapping[str, int]
    max_norm: float
    max_samples: int = MAX_SAMPLES
    codec: str = "float32"
    share: float = 1.0
    local: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one update; `reason` is empty if it was accepted.

    `update` is None if the bytes could not be read.
    """

    accepted: bool
    reason: str
    update: Update | None


@lru_cache(maxsize=16)  # by identity: each update of a round asks
def norm_bound(base: HeadWeights) -> float:
    """Return the largest norm of an update that a base head of this size makes plausible."""
    return max(NORM_FLOOR, NORM_FACTOR * _norm(base))


def judge(data: bytes, *, device: str, terms: Terms, answered: Collection[str]) -> Verdict:
    """Judge the update object that a device delivered for the current round."""
    if device not in terms.devices:
        return Verdict(False, f"device {device} is not invited to round {terms.round}", None)
    try:
        update = decode_update(data)
    except LinkError as exc:
        return Verdict(False, str(exc), None)
    reason = _reason(update, device, terms, answered)
    return Verdict(not reason, reason, update)


def _reason(update: Update, device: str, terms: Terms, answered: Collection[str]) -> str:
    if update.run != terms.run:
        return f"update is for run {update.run}, expected {terms.run}"
    if update.round not in terms.bases:
        word = "late" if update.round < terms.round else "early"
        return f"{word}: update is for round {update.round}, expected {terms.round}"
    if device in answered:
        return f"duplicate: {device} has answered round {terms.round}"
    if terms.asked.get(device) != update.round:
        return f"replay: update is for round {update.round}, which {device} is not asked for"
    base_hash = terms.bases[update.round]
    if update.base_hash != base_hash:
        return (
            f"update starts from head {update.base_hash.hex()[:12]},"
            f" expected {base_hash.hex()[:12]}"
        )
    if update.weights.shape != (terms.classes, terms.features):
        return (
            f"update has shape {list(update.weights.shape)},"
            f" expected {[terms.classes, terms.features]}"
        )
    if update.codec != terms.codec:
        return f"update came as {update.codec}, expected {terms.codec}"
    if update.local != terms.local:
        return f"update leaves out {update.local} local entries, expected {terms.local}"
    if update.sent is not None and update.codec in SPARSE:
        sent = int(update.sent.sum())
        allowed = payload.kept(len(update.sent) - update.local, terms.share)
        if sent != allowed:
            return f"update holds {sent} entries, expected {allowed}"
    if update.samples == 0:
        return "update has 0 samples, expected at least 1"
    if update.samples > terms.max_samples:
        return f"update claims {update.samples} samples, at most {terms.max_samples} count"
    if not (math.isfinite(update.loss_first) and math.isfinite(update.loss_last)):
        return f"loss {update.loss_first} .. {update.loss_last} is not finite"
    bad = _not_finite(update)
    if bad:
        return f"update has {bad} values that are not finite"
    norm = _norm(update)
    if norm > terms.max_norm:
        return f"norm of the update is {norm:.6g}, at most {terms.max_norm:.6g}"
    return ""


def _not_finite(update: Update) -> int:
    return int((~np.isfinite(update.weights)).sum() + (~np.isfinite(update.bias)).sum())


def _norm(part: HeadWeights | Update) -> float:
    # Not by linalg.norm: its threads cost more than they bring, tenfold on a busy machine.
    squares = (np.square(x.astype(np.float64)).sum() for x in (part.weights, part.bias))
    return math.sqrt(float(sum(squares)))
