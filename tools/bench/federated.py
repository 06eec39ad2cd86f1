"""Learning together: meta-learning, strategies, personal models, attacks, speed of the server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.errors import ConfigError
from tools.bench import federated_attacks as attacks
from tools.bench import federated_device as device
from tools.bench import federated_mnist as mnist
from tools.bench import federated_personal as personal
from tools.bench import federated_secure as secure
from tools.bench import federated_server as server
from tools.bench import federated_sine as sine
from tools.bench import federated_speed as speed
from tools.bench.rows import Result, Row, result_key, resumed, table
from tools.bench.text_sets import data_folder

AREA = "federated"
SEED = 1
_HERE = Path(__file__).resolve().parent
_FEDERATED = _HERE.parents[1] / "edgekit" / "federated"
SETS = ("sine", "mnist", "attacks", *personal.SETS, "speed", "device", "secure", "server")
Measure = Callable[[], Result]


def measure(only: str = "", seed: int = 0) -> list[Result]:
    """Measure every set, or one; what is known is not measured again.

    Args:
        only: Name of a set; empty: all.
        seed: One seed instead of those of the set; 0: all.

    Raises:
        ConfigError: If there is no such set, or no folder of data.
    """
    if only and only not in SETS:
        raise ConfigError(f"'{only}' is no set; there are {', '.join(SETS)}")
    results: list[Result] = []
    for name in [only] if only else SETS:
        results += _measure_set(name, seed)
    return results


def merged(results: Sequence[Result], known: Sequence[Result]) -> list[Result]:
    """Return what was measured, and what is known of the other sets."""
    anew = {each["set"] for each in results}
    return [*(each for each in known if each["set"] not in anew), *results]


def _measure_set(name: str, seed: int) -> list[Result]:
    if name == "sine":
        return _sine(seed)
    if name == "speed":
        return speed.measure()
    if name == "device":
        return device.measure(seed)
    if name == "secure":
        return secure.measure()
    if name == "server":
        return server.measure(seed=seed)
    data = data_folder()
    if data is None:
        raise ConfigError("the folder of real data is not here: name it by EDGEKIT_DATA")
    if name == "mnist":
        return _mnist(seed or SEED, data)
    if name == "attacks":
        return [
            _kept(
                f"attacks-{label or 'none'}-{seed or SEED}",
                attacks,
                functools.partial(attacks.measure_attack, label, seed or SEED, data),
            )
            for label in ("", *attacks.ATTACKS)
        ]
    return [
        _kept(
            f"{name}-{each}",
            personal,
            functools.partial(personal.measure_personal, name, each, data),
        )
        for each in ([seed] if seed else personal.SEEDS)
    ]


def _sine(seed: int) -> list[Result]:
    results: list[Result] = []
    seeds = (seed,) if seed else sine.SEEDS
    for name in sine.CASES:
        runs = _kept(
            f"sine-{name}-{seed}",
            sine,
            functools.partial(_as_result, functools.partial(sine.measure_case, name, seeds)),
        )
        results += runs["runs"]
    return results


def _as_result(measured: Callable[[], list[Result]]) -> Result:
    return {"runs": measured()}


def _mnist(seed: int, data: Path) -> list[Result]:
    results: list[Result] = []
    goal: float | None = None
    for name in mnist.STRATEGIES:
        # The plain run comes first; its accuracy is where an asynchronous one may end.
        wanted = goal if name == "fedbuff" else None
        found = functools.partial(mnist.measure_strategy, name, seed, data, wanted)
        results.append(_kept(f"mnist-{name}-{seed}", mnist, found))
        goal = results[0]["accuracy"]
    return results


def _kept(name: str, module: object, found: Measure) -> Result:
    """Return a result that is kept as long as the code that decides it stays."""
    own = Path(str(getattr(module, "__file__", "")))
    sources = sorted([*(_FEDERATED / "strategies").glob("*.py"), own])
    if module is personal:
        sources.append(own.with_name("federated_people.py"))
    others = [_FEDERATED / f"{stem}.py" for stem in ("payload", "nets", "aggregate", "fast")]
    return resumed(
        AREA,
        name.replace(" ", "-").replace(",", "").replace("%", ""),
        result_key(name, *(path.read_bytes() for path in [*sources, *others])),
        found,
    )


def rows_of(results: Sequence[Result]) -> list[Row]:
    """Return the figures with their targets."""
    found = list(results)
    return [
        *(sine.rows_of(found) if any(each.get("set") == "sine" for each in found) else []),
        *mnist.rows_of(found),
        *personal.rows_of(found),
        *attacks.rows_of(found),
        *speed.rows_of(found),
        *device.rows_of(found),
        *secure.rows_of(found),
        *server.rows_of(found),
    ]


TABLES: dict[str, tuple[str, ...]] = {
    "sine": ("what", "seeds", *(f"MSE, {steps} steps (worst)" for steps in sine.STEPS), "uplink B"),
    "mnist": ("strategy", "accuracy %", "steps", "simulated time", "rejected"),
    "personal": (
        "people",
        "random start %",
        "alone %",
        "together %",
        "over random",
        "over alone",
    ),
    "attacks": ("attack", "accuracy %", "rejected", "silent", "reason"),
    "speed": ("what", "figure"),
    "device": ("what", "figure"),
    "secure": (
        "devices",
        "silent",
        "bytes up",
        "bytes down",
        "up, of a plain update",
        "device ms",
        "server s",
    ),
    "secure_board": ("part", "instructions"),
    "server": ("what", "figure"),
}


def tables(results: Sequence[Result]) -> dict[str, str]:
    """Return each table that there are results for."""
    found = list(results)
    lines = {
        "sine": sine.lines_of(found),
        "mnist": mnist.lines_of(found),
        "personal": personal.lines_of(found),
        "attacks": attacks.lines_of(found),
        "speed": speed.lines_of(found),
        "device": device.lines_of(found),
        "secure": secure.lines_of(found),
        "secure_board": secure.board_lines_of(found),
        "server": server.lines_of(found),
    }
    return {name: table(TABLES[name], rows) for name, rows in lines.items() if rows}


def text_of(results: Sequence[Result]) -> str:
    """Return all tables."""
    return "\n\n".join(tables(results).values())
