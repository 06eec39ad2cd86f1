"""`edgekit evaluate`: how good an int8 model is on the project's data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import typer


def evaluate(
    model: Path | None = typer.Argument(None, help="An int8 .tflite; default: the project's."),
    project: Path = typer.Option(Path(), help="Folder with edgekit.toml."),
    report: Path | None = typer.Option(
        None, "--report", help="Write a page here: accuracies, curves, mistakes (text projects)."
    ),
    on: str = typer.Option(
        "", "--on", help="Also run test inputs on this emulated board (text projects)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Measure an int8 model on the test part, and on the part that decides about publishing.

    Images run through LiteRT's reference kernels, text through the C runtime.

    Example: edgekit evaluate digits.tflite --project digits

    Example: edgekit evaluate --project commands --report report.html
    """
    from edgekit.config import load_config

    config = load_config(project)
    if config.project.task == "text":
        from edgekit.cli.text import evaluate_text

        evaluate_text(config, model=model, page=report, on=on, as_json=as_json)
        return
    if report is not None or on:
        raise typer.BadParameter("only for text projects", param_hint="--report, --on")
    from edgekit.data import load_dataset
    from edgekit.errors import StoreError
    from edgekit.quantize.evaluate import measure_int8
    from edgekit.train.projects import project_job

    if model is None and config.model.file:
        model = config.root / config.model.file
    if model is None:
        model = project_job(config).run / "model.tflite"
        if not model.is_file():
            raise StoreError(
                f"{model} is not there; 'edgekit train' and 'edgekit quantize' make it"
            )
    dataset = load_dataset(config.data.dataset)
    found = measure_int8(model.read_bytes(), dataset, name=model.name)
    minimum = config.accept.min_accuracy
    accepted = found.acceptance_accuracy >= minimum
    if as_json:
        facts = {"model": str(model), **dataclasses.asdict(found), "min_accuracy": minimum}
        print(json.dumps({**facts, "accepted": accepted}))
        return
    verdict = "may be published" if accepted else "may not be published"
    print(f"{model}: accuracy {found.accuracy:.1%} on the test part")
    print(
        f"{found.acceptance_accuracy:.1%} on the acceptance part,"
        f" {verdict} ([accept] min_accuracy {minimum:.1%})"
    )
    width = max(len(name) for name in dataset.label_names) + 4
    print("\ntrue class by row, answer by column")
    print(" " * width + "".join(f"{name:>{width}}" for name in dataset.label_names))
    for name, row in zip(dataset.label_names, found.confusion, strict=True):
        print(f"{name:>{width}}" + "".join(f"{count or '.':>{width}}" for count in row))
