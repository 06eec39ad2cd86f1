"""`edgekit federate status --watch`: a run while it goes, as a table that stays or as lines."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from edgekit.federated.live import Follower, Round, Run

_POLL_S = 0.3
_FLEET_S = 3.0  # between looks at whether the fleet runs
_REJECTED = 6  # devices in the table
_AROUND = 9  # lines of the table beside its rounds and rejected devices


def find_run(follower: Follower, number: int) -> Run:
    """Return a run by its number, the newest for 0.

    Raises:
        RefusedError: If there is none.
    """
    from edgekit.errors import RefusedError
    from edgekit.federated.orders import unknown_run

    if not follower.runs:
        raise RefusedError("there is no run yet; 'edgekit federate run' makes one")
    number = number or list(follower.runs)[-1]
    if number not in follower.runs:
        raise unknown_run(number, follower.runs)
    return follower.runs[number]


def watch(follower: Follower, run: Run, root: Path, *, as_json: bool) -> None:
    """Show a run until it ends: on a terminal a table that stays, elsewhere a line per change."""
    from edgekit.federated.live import is_over, live_body

    if not as_json and sys.stdout.isatty():
        _watch_table(follower, run, root)
        return
    notice = _Notice(root, run)
    said = ""
    while True:
        body = live_body(run, time.time())
        timeless = _line(body | {"closes_in_s": None, "eta_s": None})
        if timeless != said:
            print(json.dumps(body) if as_json else _line(body), flush=True)
        said = timeless
        if is_over(run):
            return
        while not follower.poll():
            notice.tell()
            time.sleep(_POLL_S)


def follow(follower: Follower, run: Run, root: Path, *, quiet: bool) -> None:
    """Wait for the end of a run: on a terminal with its table, elsewhere with a line per round."""
    from edgekit.cli.federate import round_line
    from edgekit.federated.live import is_over

    if not quiet and sys.stdout.isatty():
        _watch_table(follower, run, root)
        return
    notice = _Notice(root, run)
    told = 0
    while True:
        table = run.table
        for row in table[told:]:
            if not quiet:
                print(round_line(row), flush=True)
        told = len(table)
        if is_over(run):
            return
        while not follower.poll():
            notice.tell()
            time.sleep(_POLL_S)


class _Notice:
    """Says once whenever the fleet that a run waits for stops."""

    def __init__(self, root: Path, run: Run) -> None:
        self._root, self._run = root, run
        self._next_s = 0.0
        self.text = ""

    def look(self) -> bool:
        """Look whether the fleet runs, now and then; True if that is news."""
        from edgekit.fleet.broker import running_broker

        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s, before = now_s + _FLEET_S, self.text
        number = self._run.plan.run
        gone = f"fleet is not running; 'edgekit fleet up' takes run {number} up again"
        self.text = "" if running_broker(self._root) is not None else gone
        return self.text != before

    def tell(self) -> None:
        """Print what is news."""
        if self.look() and self.text:
            print(self.text, file=sys.stderr, flush=True)


def _watch_table(follower: Follower, run: Run, root: Path) -> None:
    from rich.console import Console
    from rich.live import Live

    from edgekit.federated.live import is_over

    console, notice = Console(), _Notice(root, run)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            follower.poll()
            notice.look()
            live.update(picture(run, time.time(), console, notice.text), refresh=True)
            if is_over(run):
                return
            time.sleep(_POLL_S)


def picture(run: Run, now_s: float, console: Console, notice: str = "") -> Group:
    """Return a run as a terminal shows it.

    Args:
        now_s: Unix seconds.
        notice: A line below, empty for none.
    """
    from rich.console import Group
    from rich.text import Text

    from edgekit.service.cohort import names

    plan = run.plan
    title = Text(f"run {plan.run}  ", style="bold")
    title.append(
        f"{plan.strategy} on {len(plan.devices)} devices, image {plan.base_image[:12]}", "default"
    )
    rejected = run.rejections()
    shown = min(len(rejected), _REJECTED)
    parts: list[Any] = [title, _progress(run, now_s)]
    parts.append(_rounds(run, max(3, console.size.height - _AROUND - shown)))
    if rejected:
        parts.append(_rejected(rejected))
    if run.current is not None and run.current.missing:
        parts.append(Text(f"no answer yet from {names(run.current.missing)}"))
    if run.reason:
        parts.append(Text(f"{run.phase.value}: {run.reason}"))
    if notice:
        parts.append(Text(notice, style="red"))
    return Group(*parts)


def _progress(run: Run, now_s: float) -> Table:
    """Return the current round as a bar, with what is left of it and of the run."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    from edgekit.federated.live import live_body

    body = live_body(run, now_s)
    done, whole = answers(run)
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(whole, 1), completed=min(done, whole), width=30)
    grid.add_row(
        f"round {body['round']} of {body['rounds']}", bar, f"{done} of {whole}", _left(body)
    )
    return grid


def answers(run: Run) -> tuple[int, int]:
    """Return how many answers of the newest round there are, and at how many it closes."""
    newest = run.rounds.get(run.round)
    if newest is None:
        return 0, len(run.plan.devices)
    if run.plan.wanted and newest.secure is None:
        return newest.counted, min(run.plan.wanted, len(newest.invited))
    return newest.answered, newest.answered + len(newest.missing)


def _left(body: dict[str, Any]) -> str:
    parts = [f"phase {body['secure_phase']}"] if body["secure_phase"] else []
    if body["closes_in_s"] is not None:
        parts.append(f"closes in {duration(body['closes_in_s'])} at the latest")
    if body["eta_s"] is not None:
        parts.append(f"about {duration(body['eta_s'])} to the end")
    return ", ".join(parts)


def _rounds(run: Run, most: int) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    measured = any(each.accuracy is not None for each in run.rounds.values())
    names = ["round", "joined", "answered", "rejected", "down", "up", "loss", "time"]
    for name in [*names[:7], *(["accuracy"] if measured else []), *names[7:]]:
        table.add_column(name, justify="right")
    for each in list(run.rounds.values())[-most:]:
        cells = _cells(each, measured=measured)
        table.add_row(*cells, style="bold" if each is run.current else None)
    return table


def _cells(each: Round, *, measured: bool) -> list[str]:
    row = each.row()
    cells = [
        str(row.round),
        str(len(each.invited)),
        str(each.answered),
        str(len(each.rejected) + len(each.late)),
        size(each.down_bytes),
        size(each.up_bytes),
        "" if row.loss_last is None else f"{row.loss_last:.4f}",
        "" if each.closed_s is None else duration(row.seconds),
    ]
    if measured:
        cells.insert(7, "" if row.accuracy is None else f"{row.accuracy:.1%}")
    return cells


def _rejected(rejected: dict[str, Counter[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, side in (("rejected", "left"), ("times", "right"), ("reason", "left")):
        table.add_column(name, justify=side, no_wrap=name != "reason")  # type: ignore[arg-type]
    for device, reasons in list(rejected.items())[:_REJECTED]:
        table.add_row(device, str(reasons.total()), "; ".join(reasons))
    if len(rejected) > _REJECTED:
        table.add_row(f"and {len(rejected) - _REJECTED} more", "", "")
    return table


def _line(body: dict[str, Any]) -> str:
    ended = f": {body['reason']}" if body["reason"] else ""
    parts = [
        f"round {body['round']} of {body['rounds']}, {body['phase']}{ended}",
        f"joined {body['joined']}",
        f"answered {body['answered']}, {body['accepted']} accepted",
        f"rejected {sum(body['rejected'].values())}",
        *(f"{count} x {reason}" for reason, count in body["rejected"].items()),
        f"bytes {body['down_bytes']:,} down, {body['up_bytes']:,} up",
    ]
    if body["loss"] is not None:
        parts.append(f"loss {body['loss']:.4f}")
    if body["accuracy"] is not None:
        parts.append(f"accuracy {body['accuracy']:.1%}")
    if body["eta_s"] is not None:
        parts.append(f"about {duration(body['eta_s'])} to the end")
    return "; ".join(parts)


def size(count: int) -> str:
    """Say a number of bytes in three digits.

    >>> size(999), size(15_984), size(3_210_000_000)
    ('999 B', '16.0 kB', '3.2 GB')
    """
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Say a time in its two largest units.

    >>> duration(0.25), duration(42), duration(61), duration(7_300)
    ('0.2 s', '42 s', '1 min 1 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"
