"""`edgekit data`: what is in a file of data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgekit.data.describe import TextFacts

data_app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
MOST_CLASSES = 20


@data_app.callback()
def data() -> None:
    """Look at data before a model learns from it.

    Example: edgekit data check train.csv
    """


@data_app.command("check")
def check(
    file: Path | None = typer.Argument(None, help="One table; default: the files of the project."),
    project: Path = typer.Option(Path(), help="Folder with edgekit.toml."),
    text: str = typer.Option("text", help="Column of the text, of a file."),
    pair: str = typer.Option("", help="Column of the second text, of a file of pairs."),
    label: str = typer.Option("label", help="Column of the labels, of a file."),
    labels: str = typer.Option("single", help="Labels of a file: single, multi or number."),
    as_json: bool = typer.Option(False, "--json", help="Print the facts as JSON."),
) -> None:
    """Say what is in labelled text: rows, classes, lengths, texts that appear twice.

    Example: edgekit data check --project commands

    Example: edgekit data check reviews.tsv --text review --label stars
    """
    from edgekit.config import load_config
    from edgekit.data.describe import describe_file, describe_text
    from edgekit.data.text import LABELS, TextSource
    from edgekit.train.text_projects import text_source

    if file is None:
        found = describe_text(text_source(load_config(project)))
    else:
        kind = next((known for known in LABELS if known == labels), None)
        if kind is None:
            raise typer.BadParameter(f"is none of: {', '.join(LABELS)}", param_hint="--labels")
        source = TextSource(file, text=text, pair=pair, label=label, labels=kind)
        found = (describe_file(source),)
    if as_json:
        print(json.dumps([{**dataclasses.asdict(f), "path": str(f.path)} for f in found]))
        return
    for facts in found:
        _show(facts)


def _show(facts: TextFacts) -> None:
    print(f"{facts.path}: {facts.rows:,} rows")
    for name, values in (("words", facts.words), ("characters", facts.characters)):
        low, middle, most, high = values
        print(f"  {name:<10} {low} to {high:,}, median {middle}, 95 % up to {most}")
    if facts.numbers is not None:
        low_value, mean, high_value = facts.numbers
        print(f"  values     {low_value:g} to {high_value:g}, mean {mean:g}")
    width = max((len(name) for name in facts.classes), default=0)
    for name, count in list(facts.classes.items())[:MOST_CLASSES]:
        print(f"  {name:<{width}}  {count:>7,}  {count / facts.rows:6.1%}")
    if len(facts.classes) > MOST_CLASSES:
        rest = sum(list(facts.classes.values())[MOST_CLASSES:])
        print(f"  {len(facts.classes) - MOST_CLASSES} more classes  {rest:,}")
    if facts.duplicates:
        print(
            f"  twice      {facts.duplicates:,} rows have the text of another,"
            f" {facts.contradictions:,} of them with another label"
        )
    if facts.in_train:
        print(f"  in train   {facts.in_train:,} rows have a text that training has too")
