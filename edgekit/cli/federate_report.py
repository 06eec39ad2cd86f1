"""`edgekit federate status --report`: a run as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli.federate_watch import duration, size

if TYPE_CHECKING:
    from edgekit.export.report import Card, SummaryRow
    from edgekit.federated.live import Run
    from edgekit.federated.state import RoundRow

_ROWS = 200  # rejections that are listed one by one


def write_page(run: Run, path: Path) -> None:
    """Write a run as a page: loss, accuracy, answers and bytes of each round, and who was rejected.

    Raises:
        StoreError: If it cannot be written.
    """
    from edgekit.export.report import Report, write_report

    plan = run.plan
    title = f"Run {plan.run}: {plan.strategy} on {len(plan.devices)} devices"
    subtitle = f"{run.phase.value}{': ' if run.reason else ''}{run.reason}"
    page = Report(title=title, subtitle=subtitle, summary=_summary(run), cards=_cards(run))
    write_report(page, path)


def _summary(run: Run) -> tuple[SummaryRow, ...]:
    from edgekit.export.report import SummaryRow

    table, plan = run.table, run.plan
    rows = [
        ("rounds", f"{len(table)} of {plan.rounds}"),
        ("time", duration(sum(row.seconds for row in table))),
        ("updates that count", f"{sum(row.accepted for row in table):,}"),
        ("rejected answers", f"{sum(r.total() for r in run.rejections().values()):,}"),
        ("down", size(sum(each.down_bytes for each in run.rounds.values()))),
        ("up", size(sum(each.up_bytes for each in run.rounds.values()))),
        *_change("loss", [row.loss_last for row in table], "{:.4f}"),
        *_change("accuracy", [row.accuracy for row in table], "{:.1%}"),
        ("base image", plan.base_image),
        ("head", run.head_hash),
    ]
    if plan.select:
        rows.append(("devices chosen by", " ".join(plan.select.split())))
    if run.rounds:
        begun = datetime.fromtimestamp(run.rounds[1].opened_s, UTC)
        rows.append(("begun", f"{begun:%Y-%m-%d %H:%M:%S} UTC"))
    return tuple(SummaryRow(name, value) for name, value in rows)


def _change(name: str, values: list[float | None], form: str) -> list[tuple[str, str]]:
    known = [value for value in values if value is not None]
    if not known:
        return []
    first, last = form.format(known[0]), form.format(known[-1])
    return [(name, last if len(known) == 1 else f"{first} after the first round, {last} now")]


def _cards(run: Run) -> tuple[Card, ...]:
    from edgekit.export import charts
    from edgekit.export.report import Card

    table = run.table
    cards = []
    for name, values, form in (
        ("Loss", [(row.round, row.loss_last) for row in table], ".4g"),
        ("Accuracy", [(row.round, row.accuracy) for row in table], ".1%"),
    ):
        points = [(number, value) for number, value in values if value is not None]
        if points:
            cards.append(
                Card(name, picture=charts.curve(points, name=f"{name} by round", form=form))
            )
    numbers = [row.round for row in table]
    if numbers:
        answers = {
            "accepted": [row.accepted for row in table],
            "rejected": [len(row.rejected) for row in table],
            "silent": [len(row.silent) for row in table],
        }
        cards.append(Card("Answers", picture=charts.columns(numbers, answers, name="Answers")))
        moved = [run.rounds[number] for number in numbers]
        travelled = {
            "down": [each.down_bytes for each in moved],
            "up": [each.up_bytes for each in moved],
        }
        cards.append(
            Card(
                "Bytes",
                note="Heads to the devices and updates from them, without frames and repeats",
                picture=charts.columns(numbers, travelled, name="Bytes by round"),
            )
        )
        cards.append(_table_card(run, table))
    return (*cards, *_rejection_cards(run))


def _table_card(run: Run, table: tuple[RoundRow, ...]) -> Card:
    from edgekit.export.report import Card

    rows = []
    for row in table:
        each = run.rounds[row.round]
        rows.append(
            (
                str(row.round),
                str(len(each.invited)),
                str(row.accepted),
                str(len(row.rejected)),
                str(len(row.silent)),
                row.failed or ", ".join(row.left_out) or "-",
                size(each.down_bytes),
                size(each.up_bytes),
                "-" if row.loss_last is None else f"{row.loss_last:.4f}",
                "-" if row.accuracy is None else f"{row.accuracy:.1%}",
                duration(row.seconds),
            )
        )
    head = ("round", "joined", "accepted", "rejected", "silent", "not folded", "down", "up", "loss")
    return Card("Rounds", head=(*head, "accuracy", "time"), rows=tuple(rows), numbers=11)


def _rejection_cards(run: Run) -> tuple[Card, ...]:
    from edgekit.export.report import Card

    counted = tuple(
        (
            device,
            str(reasons.total()),
            "; ".join(f"{n} x {reason}" for reason, n in reasons.items()),
        )
        for device, reasons in run.rejections().items()
    )
    if not counted:
        return ()
    said = tuple(
        (str(each.number), device, reason)
        for each in run.rounds.values()
        for device, reason in (*each.rejected, *each.late)
    )
    note = f"The last {_ROWS} of {len(said):,}" if len(said) > _ROWS else ""
    return (
        Card("Rejected by device", head=("device", "times", "reasons"), rows=counted),
        Card("Rejected", note=note, head=("round", "device", "reason"), rows=said[-_ROWS:]),
    )
