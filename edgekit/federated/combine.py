"""What combines: which settings a strategy can be used with, and the reason where it cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import ConfigError
from edgekit.federated.aggregate import cohort_size
from edgekit.federated.secure_settings import secure_refusal, too_few_to_hide
from edgekit.federated.settings import SPARSE, Settings
from edgekit.federated.strategies import STRATEGIES, Kind, Strategy

MAX_LOCAL = 65_535
"""Twin: firmware/link/ek_message.c, LOCAL_MAX"""


@dataclass(frozen=True, slots=True)
class Option:
    """A way to run that not every strategy bears.

    Attributes:
        name: As the table says it.
        asked: Whether settings ask for it.
        example: Settings that do.
        refusal: Why a strategy does not bear it; empty if it does.
    """

    name: str
    asked: Callable[[Settings], bool]
    example: Settings
    refusal: Callable[[Strategy], str]


def _no_sparse(strategy: Strategy) -> str:
    if strategy.kind in (Kind.ORDER, Kind.DISTANCE):
        return "it compares updates entry by entry, and each device sends other entries"
    return ""


def _no_cohort(strategy: Strategy) -> str:
    return "its devices never wait for a round" if strategy.kind is Kind.BUFFER else ""


def _no_noise(strategy: Strategy) -> str:
    if strategy.kind is Kind.BUFFER:
        return "the accountant knows no stale updates"
    if strategy.kind is not Kind.MEAN:
        return "the noise is measured for a mean of clipped updates"
    return ""


def _no_defence(strategy: Strategy) -> str:
    return ""


def _no_secure(strategy: Strategy) -> str:
    if strategy.kind in (Kind.ORDER, Kind.DISTANCE):
        return "it compares single updates, and the server sees only their sum"
    if strategy.kind is Kind.BUFFER:
        return "masks cancel within a round only, and its devices never wait for one"
    if "local" in strategy.uses:
        return "its devices keep a part of the parameters, and masks cover all of them"
    return ""


OPTIONS = (
    Option("float16", lambda s: s.codec == "float16", Settings(codec="float16"), _no_defence),
    Option("int8", lambda s: s.codec == "int8", Settings(codec="int8"), _no_defence),
    Option("top-P", lambda s: s.codec in SPARSE, Settings(codec="top_p"), _no_sparse),
    Option(
        "error feedback",
        lambda s: s.feedback,
        Settings(codec="int8", feedback=True),
        _no_defence,
    ),
    Option("cohort", lambda s: s.cohort > 0, Settings(cohort=3, seed=1), _no_cohort),
    Option("defences", lambda s: bool(s.clip or s.weight_cap or s.align), Settings(), _no_defence),
    Option("DP", lambda s: s.noise > 0, Settings(noise=1.0, seed=1), _no_noise),
    Option("secure", lambda s: s.secure, Settings(secure=True), _no_secure),
)


def check(name: str, settings: Settings, *, devices: int, min_updates: int) -> None:
    """Refuse what does not combine.

    Args:
        devices: That take part.
        min_updates: Fewest updates that a round counts with.

    Raises:
        ConfigError: With what was asked, why it does not go, and what does.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"strategy '{name}' is unknown, known are {', '.join(STRATEGIES)}")
    reason = _refusal(name, settings) or _too_few(name, settings, devices, min_updates)
    if reason:
        raise ConfigError(reason)


def check_head(settings: Settings, *, classes: int, features: int) -> None:
    """Refuse a local part that the head of a fleet does not have.

    Raises:
        ConfigError: With what was asked and what does go.
    """
    size = classes * (features + 1)
    if settings.local >= size or settings.local > MAX_LOCAL:
        most = min(size - 1, MAX_LOCAL)
        raise ConfigError(
            f"local = {settings.local}, but the head has {size} parameters, {features} weights of"
            f" each of {classes} classes and then their biases; at most {most} may stay on the"
            f" device, the biases alone are {classes}"
        )


def _refusal(name: str, settings: Settings) -> str:
    strategy = STRATEGIES[name]
    for option in OPTIONS:
        why = option.refusal(strategy) if option.asked(settings) else ""
        if why:
            able = [other for other, each in STRATEGIES.items() if not option.refusal(each)]
            return f"{name} does not go with {option.name}: {why}; {', '.join(able)} do"
    own = {field for each in STRATEGIES.values() for field in each.uses}
    for field in sorted(own & set(settings.changes()) - set(strategy.uses)):
        users = [other for other, each in STRATEGIES.items() if field in each.uses]
        return f"'{field}' is for {', '.join(users)}, the strategy is {name}"
    if settings.feedback and settings.codec == "float32":
        return "error feedback needs a codec that leaves something out, not float32"
    if (settings.cohort or settings.noise) and not settings.seed:
        return "cohorts and noise are drawn from 'seed', which is 0; give it any other number"
    return secure_refusal(settings)


def _too_few(name: str, settings: Settings, devices: int, min_updates: int) -> str:
    if name == "multi_krum" and min_updates < 3:
        return f"multi_krum needs at least 3 updates in a round, the least allowed is {min_updates}"
    if name == "fedbuff" and settings.buffer > devices:
        return f"buffer of {settings.buffer} is never filled by {devices} devices"
    if settings.cohort > devices:
        return f"cohort of {settings.cohort} is more than the {devices} devices"
    if settings.cohort and min_updates > settings.cohort:
        return f"{min_updates} updates are wanted of a cohort of {settings.cohort}"
    alike = STRATEGIES[name].kind is Kind.EQUAL
    return too_few_to_hide(settings, cohort_size(devices, settings), alike=alike)


def table() -> str:
    """Return the table of what combines, as Markdown."""
    titles = ["strategy", "combines", *(option.name for option in OPTIONS)]
    lines = [titles, ["---"] * len(titles)]
    for name, strategy in STRATEGIES.items():
        marks = ["-" if option.refusal(strategy) else "yes" for option in OPTIONS]
        lines.append([f"`{name}`", strategy.kind.value, *marks])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fields_of(name: str) -> dict[str, object]:
    """Return the settings that matter to a strategy alone, with their defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    return {field: defaults[field] for field in STRATEGIES[name].uses}
