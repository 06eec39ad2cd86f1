"""What settings secure aggregation goes with, and the reason where it does not."""

from __future__ import annotations

from edgekit.federated.secure_graph import LEAST
from edgekit.federated.secure_quantize import MIN_LEVELS, levels_for
from edgekit.federated.settings import Settings

OWN = ("neighbours", "threshold", "value_range", "most_weight", "phase_s")


def secure_refusal(settings: Settings) -> str:
    """Say why settings do not go with secure aggregation, or need it; empty if they are fine."""
    if not settings.secure:
        for name in sorted(set(OWN) & set(settings.changes())):
            return f"'{name}' is for secure aggregation; 'secure = true' switches it on"
        return ""
    if settings.codec != "float32":
        return (
            f"codec {settings.codec} does not go with secure aggregation: updates travel as masked"
            " 32-bit numbers, the same entries of every device; leave it at float32"
        )
    if settings.noise:
        return (
            "DP noise does not go with secure aggregation: it is measured for updates that the"
            " server has clipped to 'norm', and it sees none"
        )
    return ""


def too_few_to_hide(settings: Settings, invited: int, *, alike: bool) -> str:
    """Say why the devices of a round are too few or too many for a sum, empty if they are not.

    Args:
        alike: Whether all devices count alike, whatever their samples.
    """
    if not settings.secure:
        return ""
    if invited < LEAST or 0 < settings.cohort < LEAST:
        fewest = min(invited, settings.cohort or invited)
        return f"a sum of {fewest} devices hides none of them, secure aggregation needs {LEAST}"
    most_weight = 1 if alike else settings.most_weight
    levels = levels_for(invited, most_weight)
    if levels < MIN_LEVELS:
        return (
            f"a sum of {invited} devices with weights up to {most_weight} leaves {levels} levels"
            f" for a value before it wraps, at least {MIN_LEVELS} are needed; lower 'most_weight'"
            " or 'cohort'"
        )
    return ""
