"""`edgekit quantize`: turn the trained model into a full int8 .tflite."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import typer


def quantize(
    project: Path = typer.Option(Path(), help="Folder with edgekit.toml."),
    run: Path | None = typer.Option(None, help="A run folder instead of the project's own."),
    output: Path | None = typer.Option(None, help="Write the .tflite here too."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Convert the trained model to full int8 and compare it with the float model.

    Example: edgekit quantize --project digits --output digits.tflite
    """
    from edgekit.config import load_config

    config = load_config(project)
    if config.project.task == "text":
        from edgekit.cli.text import quantize_text

        quantize_text(config, run=run, output=output, as_json=as_json)
        return
    from edgekit.data.files import write_atomic
    from edgekit.quantize.runs import quantize_runs
    from edgekit.train.projects import project_job

    folder = run if run is not None else project_job(config).run
    (done,) = quantize_runs(
        [folder],
        dataset=config.data.dataset,
        samples=config.export.calibration_samples,
        max_worse=config.accept.max_worse,
    )
    if output is not None:
        write_atomic(output, done.tflite.read_bytes())
    report = done.report
    if as_json:
        print(json.dumps({"tflite": str(done.tflite), **dataclasses.asdict(report)}))
        return
    print(f"{done.tflite}: {report.bytes:,} bytes, {sum(report.ops.values())} operators, all int8")
    print(
        f"accuracy float {report.float_accuracy:.1%}, int8 {report.int8_accuracy:.1%}"
        f" ({report.worse} of {sum(map(sum, report.confusion))} test samples lost)"
    )
