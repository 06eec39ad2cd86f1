"""The report of a project: one HTML file without any outside resource.

    write_report(Report(title="digits on mps2_an386", accuracies=(...), ...), Path("report.html"))

Every section is optional: what is empty is left out. Equal reports give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from edgekit.data.files import write_atomic
from edgekit.export import charts


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One figure of the table at the top.

    Attributes:
        name: What was measured.
        value: What came out, as text with its unit.
        target: What was promised, as text; empty if nothing was.
        ok: Whether the promise holds; None if there is none.
    """

    name: str
    value: str
    target: str = ""
    ok: bool | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of right answers of one form of the model.

    Attributes:
        name: The form, such as "float", "int8" or "board".
        value: 0..1.
        samples: How many samples it was measured on.
        note: How it was measured, in a few words.
        minimum: What it must reach, 0..1; None if nothing is asked.
    """

    name: str
    value: float
    samples: int
    note: str = ""
    minimum: float | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Which class was taken for which.

    Attributes:
        labels: Names of the classes.
        counts: Rows are true classes, columns answers.
        note: Which model, on which samples.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        size = len(self.labels)
        if len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"confusion matrix of {size} classes is not {size}x{size}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a memory, in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorLife:
    """Where in the arena a tensor lies, and when.

    Attributes:
        offset: First byte, from the start of the arena.
        first: Number of the layer that writes it.
        last: Number of the last layer that reads it.
    """

    name: str
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What lies where on the board.

    Attributes:
        board: The board's name.
        flash: Firmware code, model slots, ... in order of address.
        flash_limit: Bytes of flash on the board.
        ram: Arena, static data, stack, ... in order of address.
        ram_limit: Bytes of RAM on the board.
        arena_bytes: Size of the arena; 0 leaves the picture of it out.
        tensors: What lies in the arena.
    """

    board: str
    flash: tuple[Segment, ...]
    flash_limit: int
    ram: tuple[Segment, ...]
    ram_limit: int
    arena_bytes: int = 0
    tensors: tuple[TensorLife, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Cost of one layer on the board; `macs` is 0 where nothing is multiplied."""

    name: str
    op: str
    instructions: int
    macs: int = 0


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened during a rollout.

    Attributes:
        time_s: Seconds since the first event of the report.
        lane: Who: a device, or "server".
        text: What.
        ok: True for what went well, False for a refusal or failure, None for neither.
    """

    time_s: float
    lane: str
    text: str
    ok: bool | None = None


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One federated round.

    Attributes:
        accuracy: Of the global head on the held-out part after the round, 0..1.
        accepted: Updates that counted.
        rejected: Updates that did not.
    """

    number: int
    accuracy: float
    accepted: int
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Federated:
    """A federated run.

    Attributes:
        before: Accuracy of the base model, 0..1.
        rounds: In order.
        best_single: Accuracy of the best head that one device alone reached; None if not measured.
        target: What was promised; None if nothing was.
        note: Devices, strategy, rate, in a few words.
    """

    before: float
    rounds: tuple[RoundRow, ...]
    best_single: float | None = None
    target: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A section of a kind of its own: a picture, a table, or both.

    Attributes:
        picture: SVG of `edgekit.export.charts`, empty for none.
        head: Names of the table's columns; empty for no table.
        rows: Cells as text.
        numbers: So many last columns hold numbers.
    """

    title: str
    note: str = ""
    picture: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page shows, in its order.

    Attributes:
        title: Headline.
        subtitle: One line below it: model, board, version.
        summary: The table at the top.
        accuracies: The same model in its forms.
        confusion: Of the int8 model.
        cards: Sections of other kinds.
        memory: Flash, RAM and arena of one board.
        layers: In order of execution.
        timeline: In order of time.
        federated: The federated run.
        notes: Sentences at the end.
    """

    title: str
    subtitle: str = ""
    summary: tuple[SummaryRow, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    confusion: Confusion | None = None
    cards: tuple[Card, ...] = ()
    memory: Memory | None = None
    layers: tuple[LayerRow, ...] = ()
    timeline: tuple[TimelineEvent, ...] = ()
    federated: Federated | None = None
    notes: tuple[str, ...] = ()


def write_report(report: Report, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_atomic(path, render_report(report).encode())


def render_report(report: Report) -> str:
    """Make the page's text."""
    page = Template((files("edgekit.export") / "templates" / "report.html").read_text("utf-8"))
    sections = "\n".join(part for part in (make(report) for make in SECTIONS) if part)
    return page.substitute(
        title=escape(report.title), subtitle=escape(report.subtitle), sections=sections
    )


def _card(title: str, body: str, note: str = "", *, wide: bool = True) -> str:
    hint = f'<p class="note">{escape(note)}</p>' if note else ""
    kind = "card wide" if wide else "card"
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{hint}{body}</section>'


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, numbers: int = 0) -> str:
    """Make a table of cells that are HTML already; the last `numbers` columns are numbers."""
    first = len(head) - numbers

    def row(cells: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if i >= first else ''}>{cell}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{row(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _summary(report: Report) -> str:
    if not report.summary:
        return ""
    rows = [
        (escape(row.name), f"<b>{escape(row.value)}</b>", escape(row.target), charts.mark(row.ok))
        for row in report.summary
    ]
    if not any(row.target for row in report.summary):
        return _card("Summary", _table(("Figure", "Measured"), [row[:2] for row in rows]))
    return _card("Summary", _table(("Figure", "Measured", "Promised", ""), rows))


def _accuracy(report: Report) -> str:
    if not report.accuracies:
        return ""
    bars = [(a.name, a.value, a.minimum) for a in report.accuracies]
    notes = "; ".join(
        f"{a.name}: {a.samples} samples"
        + (f", {a.note}" if a.note else "")
        + (f" (promised {a.minimum:.0%}, the line)" if a.minimum is not None else "")
        for a in report.accuracies
    )
    return _card("Accuracy", charts.accuracy_bars(bars), notes, wide=False)


def _confusion(report: Report) -> str:
    matrix = report.confusion
    if matrix is None:
        return ""
    picture = charts.heat_map(matrix.labels, matrix.counts)
    wide = charts.has_long_names(matrix.labels)
    return _card("Confusion matrix", picture, matrix.note, wide=wide)


def _cards(report: Report) -> str:
    made = []
    for card in report.cards:
        body = card.picture
        if card.head:
            rows = [tuple(escape(cell) for cell in row) for row in card.rows]
            body += _table(tuple(map(escape, card.head)), rows, numbers=card.numbers)
        made.append(_card(card.title, body, card.note))
    return "\n".join(made)


def _memory(report: Report) -> str:
    memory = report.memory
    if memory is None:
        return ""
    body = ""
    for name, parts, limit in (
        ("Flash", memory.flash, memory.flash_limit),
        ("RAM", memory.ram, memory.ram_limit),
    ):
        body += charts.memory_bar(name, [(part.name, part.bytes) for part in parts], limit)
    if memory.arena_bytes and memory.tensors:
        lives = [(t.name, t.offset, t.bytes, t.first, t.last) for t in memory.tensors]
        body += (
            "<h3>Arena: each tensor from the layer that writes it to the last that reads it</h3>"
        )
        body += charts.arena_map(lives, memory.arena_bytes)
    return _card("Memory", body, f"board {memory.board}; kB = 1000 bytes")


def _layers(report: Report) -> str:
    if not report.layers:
        return ""
    bars = [(layer.name, layer.op, layer.instructions) for layer in report.layers]
    total = sum(layer.instructions for layer in report.layers)
    rows = [
        (
            escape(layer.name),
            escape(layer.op),
            f"{layer.instructions:,}",
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.instructions / layer.macs:.1f}" if layer.macs else "",
        )
        for layer in report.layers
    ]
    head = ("Layer", "Operator", "Instructions", "MACs", "Instructions per MAC")
    table = f"<details><summary>As a table</summary>{_table(head, rows, numbers=3)}</details>"
    note = f"{total:,} instructions per inference, counted in the emulator"
    return _card("Instructions per layer", charts.layer_bars(bars) + table, note)


def _timeline(report: Report) -> str:
    if not report.timeline:
        return ""
    events = sorted(report.timeline, key=lambda event: event.time_s)
    picture = charts.timeline([(e.time_s, e.lane, e.text, e.ok) for e in events])
    rows = [
        (f"{e.time_s:.1f} s", escape(e.lane), escape(e.text), charts.mark(e.ok)) for e in events
    ]
    table = _table(("Time", "Who", "What", ""), rows)
    body = f"{picture}<details><summary>As a table</summary>{table}</details>"
    return _card("Rollouts", body)


def _federated(report: Report) -> str:
    run = report.federated
    if run is None:
        return ""
    picture = charts.round_curve(
        run.before,
        [(row.number, row.accuracy) for row in run.rounds],
        single=run.best_single,
        target=run.target,
    )
    rows = [
        (str(row.number), f"{row.accuracy:.1%}", str(row.accepted), str(row.rejected))
        for row in run.rounds
    ]
    table = _table(("Round", "Accuracy", "Accepted", "Rejected"), rows, numbers=3)
    body = f"{picture}<details><summary>As a table</summary>{table}</details>"
    return _card("Learning together", body, run.note)


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return _card("Notes", f"<ul>{items}</ul>")


SECTIONS: tuple[Callable[[Report], str], ...] = (
    _summary,
    _accuracy,
    _confusion,
    _cards,
    _memory,
    _layers,
    _timeline,
    _federated,
    _notes,
)
