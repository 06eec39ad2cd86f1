"""What the demo says: one line per step while it runs, one table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


@dataclass(slots=True)
class Step:
    """One step in progress; its body sets `detail` and may tell how far it is."""

    title: str
    detail: str = ""
    seconds: float = 0.0
    progress: Progress | None = None
    task: int = 0

    def update(self, fraction: float, text: str = "") -> None:
        """Show how far the step is; does nothing where there is no terminal."""
        if self.progress is not None:
            self.progress.update(
                self.progress.task_ids[self.task], completed=min(max(fraction, 0.0), 1.0), note=text
            )


@dataclass(slots=True)
class Teller:
    """Prints the steps of the demo and keeps them for the table at the end.

    Attributes:
        total: Number of steps that will come, for the counter.
    """

    total: int
    console: Console = field(default_factory=lambda: Console(highlight=False))
    steps: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Run one step: a bar with the time on a terminal, then one line with the outcome."""
        step = Step(title)
        head = f"[{len(self.steps) + 1:2d}/{self.total}] {title}"
        begin = time.monotonic()
        live = self.console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        try:
            if live:
                with Progress(*columns, console=self.console, transient=True) as progress:
                    progress.add_task(head, total=1.0, note="")
                    step.progress = progress
                    yield step
                    step.progress = None
            else:
                yield step
        except BaseException:
            step.progress = None
            self.console.print(f"{head:<44} [red]failed[/] {time.monotonic() - begin:6.1f} s")
            raise
        step.seconds = time.monotonic() - begin
        self.steps.append(step)
        self.console.print(
            f"{head:<44} [green]ok[/] {step.seconds:6.1f} s  {step.detail}", soft_wrap=True
        )

    def note(self, text: str) -> None:
        """Print one line that belongs to the step just done."""
        self.console.print(f"        {text}", soft_wrap=True)

    def summary(self, rows: list[tuple[str, str, str]]) -> None:
        """Print the table of results: (what, found, asked for)."""
        table = Table(title="edgekit demo", title_justify="left")
        for title in ("what", "found", "asked for"):
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        self.console.print(f"{time.monotonic() - self.started:.0f} s in all")
