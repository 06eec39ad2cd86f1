"""python -m tools.bench AREA: measure an area; exit 0 only if every figure is ok."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from edgekit.errors import EdgekitError
from tools.bench import federated, federated_page, host, mcu, page, registry, text, text_page
from tools.bench.rows import Result, Row, count, rows_json

EPILOG = (
    "Areas: mcu = instructions, memory and flash of models on emulated boards; host = the library "
    "of this machine beside LiteRT; registry = the store under a fleet; text = text models on "
    "public sets, with seeds 1, 2, 3 unless one is given; federated = strategies, meta-learning, "
    "attacks and speed of learning together. The options from --models on belong to "
    "mcu."
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether all is ok."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", epilog=EPILOG)
    parser.add_argument("area", choices=list(_AREAS))
    parser.add_argument(
        "--only", default="", metavar="SET", help="MODEL, of mcu also MODEL/BOARD, of text a set"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder of .tflite files")
    parser.add_argument("--board", action="append", default=[], help="may be given again")
    parser.add_argument("--family", default="", help="kernel family instead of the chip's")
    parser.add_argument("--tflm", type=Path, metavar="DIR", help="programs BOARD/MODEL.elf")
    chosen = parser.parse_args(arguments)
    try:
        results, rows, said, whole = _AREAS[chosen.area](chosen)
    except EdgekitError as exc:
        print(f"tools.bench: {exc}", file=sys.stderr)
        return 1
    if whole:
        if chosen.area == text.AREA:
            text_page.write_results(results, rows)
        else:
            page.write_results(chosen.area, results, rows)
    print(rows_json(rows) if chosen.json else said)
    return _verdict(rows)


Measured = tuple[list[Result], list[Row], str, bool]
"""Facts, figures, table, and whether this is what the repository keeps."""


def _mcu(chosen: argparse.Namespace) -> Measured:
    choice = mcu.Choice(
        only=chosen.only,
        seed=chosen.seed,
        models=chosen.models,
        boards=tuple(chosen.board),
        family=chosen.family,
        tflm=chosen.tflm,
    )
    results = mcu.measure(choice)
    return results, mcu.rows_of(results), mcu.text_of(results), choice.whole


def _host(chosen: argparse.Namespace) -> Measured:
    results = host.measure(chosen.only, chosen.seed)
    whole = not chosen.only and chosen.seed == 0
    return results, host.rows_of(results), host.text_of(results), whole


def _registry(chosen: argparse.Namespace) -> Measured:
    results = registry.measure(chosen.only, chosen.seed)
    whole = chosen.only in ("", "large") and chosen.seed == 0
    rows, said = registry.rows_of(results), registry.text_of(results)
    if whole:
        # Fleets of both sizes are on one page, and take turns in being measured.
        results = registry.merged(results, page.runs_of(registry.AREA))
        page.write_results(registry.AREA, results, registry.rows_of(results))
    return results, rows, said, False


def _text(chosen: argparse.Namespace) -> Measured:
    results = text.measure(chosen.only, chosen.seed)
    whole = not chosen.only and chosen.seed == 0
    return results, text.rows_of(results), text.text_of(results), whole


def _federated(chosen: argparse.Namespace) -> Measured:
    results = federated.measure(chosen.only, chosen.seed)
    rows, said = federated.rows_of(results), federated.text_of(results)
    if chosen.seed == 0:
        # Sets take hours together, so one that was measured anew takes its own place on the page.
        results = federated.merged(results, federated_page.runs())
        federated_page.write_results(results, federated.rows_of(results))
    return results, rows, said, False


_AREAS: dict[str, Callable[[argparse.Namespace], Measured]] = {
    "mcu": _mcu,
    "host": _host,
    "registry": _registry,
    "text": _text,
    "federated": _federated,
}


def _verdict(rows: list[Row]) -> int:
    """Say on standard error what is not ok."""
    bad = [each for each in rows if not each.ok]
    for each in bad:
        found = "missing" if each.value is None else count(each.value)
        wanted = "" if each.target is None else f", target {count(each.target)}"
        print(f"not ok: {each.figure}: {found}{wanted}", file=sys.stderr)
    print(f"{len(rows) - len(bad)} of {len(rows)} figures are ok", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
