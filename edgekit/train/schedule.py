"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math


def cosine_rate(step: int, *, total: int, warmup: int, peak: float) -> float:
    """Rise linearly to the peak in `warmup` steps, then fall to zero on a half cosine.

    Examples:
        >>> [round(cosine_rate(s, total=10, warmup=2, peak=1.0), 2) for s in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.04]

    Source: I. Loshchilov, F. Hutter, SGDR (arXiv 1608.03983), equation 5, without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
