"""FedAvg and what differs from it by a momentum or by the client's loss."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.federated.settings import Settings
from edgekit.federated.strategies.base import (
    Contribution,
    Global,
    Kind,
    Strategy,
    mean_by_samples,
    rate_of,
)


def fedavg(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Add the mean of the differences, weighted by samples.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
        Data", 2017, Algorithm 1 (in the form w + sum(n_k / n * delta_k))
    """
    mean = mean_by_samples(state, parts)
    return Global(state.values + rate_of(settings, 1.0) * mean, state.moments)


def fedavgm(
    state: Global, parts: Sequence[Contribution], settings: Settings, progress: float
) -> Global:
    """Keep a momentum of the means: v = momentum * v + mean; w = w + rate * v.

    Source: Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated
        Visual Classification", 2019, section 4.3
    """
    mean = mean_by_samples(state, parts)
    velocity = settings.momentum * state.moments[0] + mean if state.moments else mean
    return Global(state.values + rate_of(settings, 1.0) * velocity, (velocity,))


FAMILY = {
    "fedavg": Strategy(fedavg, Kind.MEAN, "McMahan et al. 2017"),
    "fedavgm": Strategy(fedavgm, Kind.MEAN, "Hsu et al. 2019", remembers=True, uses=("momentum",)),
    # The server's part of FedProx is that of FedAvg; the proximal term is in the client's loss.
    "fedprox": Strategy(fedavg, Kind.MEAN, "Li et al. 2020", uses=("mu",)),
}
