"""`edgekit new`: a project that runs at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import typer

Files = dict[str, bytes]


def _text_files(name: str) -> Files:
    from edgekit.data.commands import make_commands, write_table

    train, test = make_commands()
    facts = {"name": name, "train_rows": f"{len(train):,}", "test_rows": f"{len(test):,}"}
    return {
        "train.csv": write_table(train),
        "test.csv": write_table(test),
        **{file: _fill("text", file, facts) for file in ("edgekit.toml", "README.md")},
    }


TEMPLATES: tuple[tuple[str, str, Callable[[str], Files]], ...] = (
    ("text", "classify sentences; writes a set of smart-home commands", _text_files),
)
"""Name, what it is for, and what makes its files."""
TEMPLATE_HELP = "; ".join(f"{name}: {use}" for name, use, _ in TEMPLATES)


def new(
    name: str = typer.Argument(..., help="Of the project and its folder."),
    template: str = typer.Option(
        "text",
        "--template",
        help=f"What to begin with. {TEMPLATE_HELP}",
    ),
    where: Path = typer.Option(Path(), "--in", help="Folder in which the project's is made."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Write a project that runs at once, with its data and a README.

    Example: edgekit new commands --template text
    """
    from edgekit.data.files import write_atomic
    from edgekit.errors import ConfigError

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ConfigError(
            f"{name!r} is no name of a project; take letters, digits, '-' and '_', at most 64"
        )
    makers = {key: make for key, _, make in TEMPLATES}
    if template not in makers:
        raise ConfigError(f"template {template!r} is not known; there are: {', '.join(makers)}")
    folder = where / name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already and not empty; take another name")
    files = makers[template](name)
    # The project file last: a folder with one is whole.
    for file in sorted(files, key=lambda file: file == "edgekit.toml"):
        write_atomic(folder / file, files[file])
    if as_json:
        print(json.dumps({"project": str(folder), "files": sorted(files)}))
        return
    print(f"{folder}: {', '.join(sorted(files))}")
    print(f"next  edgekit train --project {folder}")


def _fill(template: str, file: str, facts: dict[str, str]) -> bytes:
    from importlib.resources import files
    from string import Template

    text = (files("edgekit.cli") / "templates" / template / file).read_text("utf-8")
    return Template(text).substitute(facts).encode()
