"""FedBuff: devices never wait for each other; the server steps whenever its buffer is full."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import (
    Contribution,
    Global,
    Kind,
    Strategy,
    rate_of,
    weighted_sum,
)


def fedbuff(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Add the mean of the buffer, each delta divided by sqrt(1 + its staleness).

    Source: Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", 2022,
        Algorithm 1; the staleness function is that of its section 5
    """
    count = len(parts)
    weighted = (
        (part.scale / (count * math.sqrt(1 + part.staleness)), part.delta) for part in parts
    )
    mean = weighted_sum(weighted, len(state.values))
    return Global(state.values + rate_of(settings, 1.0) * mean, state.moments)


FAMILY = {
    "fedbuff": Strategy(
        fedbuff, Kind.BUFFER, "Nguyen et al. 2022", uses=("buffer", "max_staleness")
    ),
}
