"""The strategies by name. Each is a pure function from state and contributions to the next state.

All sum in float64 in the order of the device ids, so the bytes of the result depend neither on the
order in which updates came in nor on a restart in between.
"""

from __future__ import annotations

from edgekit.federated.strategies import adaptive, averaging, buffered, meta, robust
from edgekit.federated.strategies.base import Contribution, Global, Kind, Strategy

STRATEGIES: dict[str, Strategy] = {
    **averaging.FAMILY,
    **adaptive.FAMILY,
    **buffered.FAMILY,
    **meta.FAMILY,
    **robust.FAMILY,
}

__all__ = ["STRATEGIES", "Contribution", "Global", "Kind", "Strategy"]
