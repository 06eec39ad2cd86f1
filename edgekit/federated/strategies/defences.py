"""What bounds the influence of one device, whatever the strategy: its norm and its weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import BLOCK, Contribution, FloatArray


def defended(parts: Sequence[Contribution], settings: Settings) -> list[Contribution]:
    """Clip deltas to a multiple of the median norm, and claims of samples likewise.

    The norm of half of the devices cannot be moved far by fewer than half of liars, so no number
    has to be known beforehand. With two devices neither clips at a factor of 2.

    Source: norm clipping as in Sun et al., "Can You Really Backdoor Federated Learning?", 2019,
        section 5; the median as threshold is ours
    """
    made = list(parts)
    if settings.clip:
        norms = [norm(part.delta) for part in made]
        most = settings.clip * float(np.median(norms))
        made = [
            replace(part, scale=part.scale * most / length) if length > most > 0 else part
            for part, length in zip(made, norms, strict=True)
        ]
    if settings.weight_cap:
        claims = settings.weight_cap * float(np.median([part.samples for part in made]))
        bound = max(1, int(claims))
        made = [replace(part, samples=bound) if part.samples > bound else part for part in made]
    return made


def clipped(parts: Sequence[Contribution], most: float) -> list[Contribution]:
    """Scale every delta whose norm is above a fixed bound down to it.

    Source: McMahan et al., "Learning Differentially Private Recurrent Language Models", 2018,
        section 2.1 (flat clipping)
    """
    return [replace(part, scale=min(1.0, most / max(norm(part.delta), 1e-300))) for part in parts]


def norm(values: FloatArray) -> float:
    """Return the Euclidean norm, summed in float64 in a fixed order."""
    total = 0.0
    for begin in range(0, len(values), BLOCK):
        part = values[begin : begin + BLOCK].astype(np.float64)
        total += float(np.square(part).sum())
    return math.sqrt(total)
