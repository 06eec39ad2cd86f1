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


def constant_rate(step: int, *, warmup: int, peak: float) -> float:
    """Rise linearly to the peak in `warmup` steps and stay there."""
    return peak * min(1.0, (step + 1) / warmup) if warmup > 0 else peak


def wsd_rate(step: int, *, total: int, warmup: int, decay: int, peak: float) -> float:
    """Warm up, stay at the peak, and fall linearly to zero over the last `decay` steps.

    Examples:
        >>> [wsd_rate(s, total=10, warmup=2, decay=4, peak=1.0) for s in (0, 1, 5, 6, 8, 9)]
        [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]

    Source: S. Hu et al., MiniCPM (arXiv 2404.06395), equation 1; a linear fall instead of theirs,
    as A. Hägele et al., Scaling Laws and Compute-Optimal Training (arXiv 2405.18392), section 3.
    """
    fall = (total - step) / decay if decay > 0 else 1.0
    return constant_rate(step, warmup=warmup, peak=peak) * min(1.0, max(0.0, fall))


def rate_at(
    step: int, *, schedule: str, total: int, warmup: float, decay: float, peak: float
) -> float:
    """Return the rate of a step.

    Args:
        step: From 0.
        schedule: "cosine", "constant" or "wsd".
        total: Steps in all.
        warmup: Share of them that rise.
        decay: Share of them that fall, for "wsd".
        peak: The largest rate.
    """
    rising = round(warmup * total)
    if schedule == "constant":
        return constant_rate(step, warmup=rising, peak=peak)
    if schedule == "wsd":
        return wsd_rate(step, total=total, warmup=rising, decay=round(decay * total), peak=peak)
    return cosine_rate(step, total=total, warmup=rising, peak=peak)
