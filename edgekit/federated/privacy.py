"""How much DP-FedAvg gives away: epsilon at a delta, by the accountant of prv-accountant.

What counts is how often the most invited device was asked. That a cohort is drawn is given no
credit, since it is neither a Poisson sample nor secret, so the bound holds for every device,
whatever others do. The promise is about the parameters alone: losses and accuracies of the report,
and who answered, are not covered. The noise is drawn by PCG64, which is no generator for secrets.

Source: McMahan et al., "Learning Differentially Private Recurrent Language Models", 2018; Gopi et
    al., "Numerical Composition of Differential Privacy", 2021
"""

from __future__ import annotations

import math
from collections import Counter

from edgekit.errors import ToolError
from edgekit.federated.plan import RunPlan
from edgekit.federated.settings import Settings

EPSILON_ERROR = 0.05
DELTA_SHARE = 1e-4
"""Of delta that the numerical composition may err."""


def participations(plan: RunPlan, rounds: int) -> int:
    """Return how often the most invited device is asked in the first rounds of a run."""
    asked: Counter[str] = Counter()
    for round_ in range(1, rounds + 1):
        asked.update(plan.invited(round_))
    return max(asked.values(), default=0)


def epsilon(settings: Settings, times: int) -> float:
    """Return an upper bound of epsilon at `settings.privacy_delta` after so many participations.

    Two runs are neighbours if one lacks one device. Infinite if there is no noise.

    Raises:
        ToolError: If the accountant is not installed.
    """
    if not times:
        return 0.0
    if not settings.noise:
        return math.inf
    try:
        from prv_accountant import GaussianMechanism, PRVAccountant
    except ImportError as exc:
        raise ToolError("epsilon needs the accountant: pip install 'edgekit[privacy]'") from exc
    # Gaussians compose: n of multiplier z are one of z / sqrt(n).
    mechanism = GaussianMechanism(noise_multiplier=settings.noise / math.sqrt(times))
    accountant = PRVAccountant(
        prvs=[mechanism],
        max_self_compositions=[1],
        eps_error=EPSILON_ERROR,
        delta_error=DELTA_SHARE * settings.privacy_delta,
    )
    _, _, upper = accountant.compute_epsilon(
        delta=settings.privacy_delta, num_self_compositions=[1]
    )
    return float(upper)
