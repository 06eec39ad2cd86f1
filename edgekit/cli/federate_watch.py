"""`edgekit federate status --watch` and `--report`: a run while it goes, and as a page."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.federated.live import Follower, Run
    from edgekit.journal import Journal

_POLL_S = 0.3


def watch(journal: Journal, number: int, *, as_json: bool) -> None:
    """Show a run until it ends: one line per change, on a terminal a table that stays.

    Args:
        number: Of the run; 0 for the newest.
    """
    from edgekit.federated.live import Follower, is_over, live_body

    follower = Follower(journal)
    follower.poll()
    run = _find(follower, number)
    if not as_json and sys.stdout.isatty():
        _watch_table(follower, run)
        return
    said = ""
    while True:
        body = live_body(run)
        line = json.dumps(body) if as_json else _line(body)
        if line != said:
            print(line, flush=True)
        said = line
        if is_over(run):
            return
        while not follower.poll():
            time.sleep(_POLL_S)


def report(journal: Journal, number: int, path: Path) -> None:
    """Write a run as a page: loss, accuracy, answers and bytes of each round."""
    from edgekit.export.report import Report, write_report
    from edgekit.federated.live import Follower

    follower = Follower(journal)
    follower.poll()
    run = _find(follower, number)
    plan, state = run.state.plan, run.state
    title = f"Run {plan.run}: {plan.strategy} on {len(plan.devices)} devices"
    subtitle = f"{state.phase.value}{': ' if state.reason else ''}{state.reason}"
    write_report(Report(title=title, subtitle=subtitle, cards=_cards(run)), path)


def _find(follower: Follower, number: int) -> Run:
    from edgekit.errors import RefusedError
    from edgekit.federated.orders import unknown_run

    if not follower.runs:
        raise RefusedError("there is no run yet; 'edgekit federate run' makes one")
    number = number or list(follower.runs)[-1]
    if number not in follower.runs:
        raise unknown_run(number, follower.runs)
    return follower.runs[number]


def _watch_table(follower: Follower, run: Run) -> None:
    from rich.live import Live

    from edgekit.federated.live import is_over

    with Live(_table(run), refresh_per_second=4) as live:
        while not is_over(run):
            if follower.poll():
                live.update(_table(run))
            time.sleep(_POLL_S)
        live.update(_table(run))


def _table(run: Run) -> Table:
    from rich.table import Table

    from edgekit.federated.live import live_body

    body = live_body(run)
    table = Table(title=f"run {body['run']}", show_header=False)
    for name, value in _pairs(body):
        table.add_row(name, value)
    return table


def _pairs(body: dict[str, Any]) -> list[tuple[str, str]]:
    ended = f": {body['reason']}" if body["reason"] else ""
    pairs = [
        ("round", f"{body['round']} of {body['rounds']}, {body['phase']}{ended}"),
        ("joined", str(body["joined"])),
        ("answered", f"{body['answered']}, {body['accepted']} accepted"),
        ("rejected", str(sum(body["rejected"].values()))),
        *(("", f"{count} x {reason}") for reason, count in body["rejected"].items()),
        ("bytes", f"{body['down_bytes']:,} down, {body['up_bytes']:,} up"),
    ]
    if body["loss"] is not None:
        pairs.append(("loss", f"{body['loss']:.4f}"))
    if body["accuracy"] is not None:
        pairs.append(("accuracy", f"{body['accuracy']:.1%}"))
    return pairs


def _line(body: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}".strip() for name, value in _pairs(body))


def _cards(run: Run) -> tuple[Any, ...]:
    from edgekit.export import charts
    from edgekit.export.report import Card

    table = run.state.table
    cards = []
    for name, values in (
        ("Loss", [(row.round, row.loss_last) for row in table]),
        ("Accuracy", [(row.round, row.accuracy) for row in table]),
    ):
        points = [(number, value) for number, value in values if value is not None]
        if points:
            cards.append(Card(name, picture=charts.curve(points, name=f"{name} by round")))
    rounds = [row.round for row in table]
    moved = [run.traffic.get(number) for number in rounds]
    if rounds:
        answers = {
            "accepted": [row.accepted for row in table],
            "rejected": [len(row.rejected) for row in table],
            "silent": [len(row.silent) for row in table],
        }
        cards.append(Card("Answers", picture=charts.columns(rounds, answers, name="Answers")))
        travelled = {
            "down": [0 if each is None else each.down_bytes for each in moved],
            "up": [0 if each is None else each.up_bytes for each in moved],
        }
        cards.append(
            Card(
                "Bytes",
                note="Heads to the devices and updates from them, without frames and repeats",
                picture=charts.columns(rounds, travelled, name="Bytes by round"),
            )
        )
    reasons = tuple(
        (str(row.round), device, reason) for row in table for device, reason in row.rejected
    )
    if reasons:
        cards.append(Card("Rejected", head=("round", "device", "reason"), rows=reasons))
    return tuple(cards)
