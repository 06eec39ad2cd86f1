"""What `quantize` and `evaluate` do with a text project."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli.train import figure

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.export.text import TextReport

MOST_CLASSES = 20
"""A confusion matrix of more is left to the page."""


def quantize_text(config: Config, *, run: Path | None, output: Path | None, as_json: bool) -> None:
    """Convert, measure, refuse what lost too much."""
    from edgekit.data.files import write_atomic
    from edgekit.export.text import measure_text, open_text_project, refuse_worse
    from edgekit.quantize.text_runs import quantize_text_runs
    from edgekit.train.text_projects import text_project_job

    folder = run if run is not None else text_project_job(config).run
    (done,) = quantize_text_runs([folder], samples=config.export.calibration_samples)
    project = open_text_project(config, folder)
    source = done.tflite.read_bytes()
    report = measure_text(source, project, fuse=config.export.fuse)
    refuse_worse(
        report, name=folder.name, rows=len(project.data.test), max_worse=config.accept.max_worse
    )
    if output is not None:
        write_atomic(output, source)
    if as_json:
        print(json.dumps({"tflite": str(done.tflite), **dataclasses.asdict(report)}))
        return
    count = sum(report.ops.values())
    print(f"{done.tflite}: {report.bytes:,} bytes, {count} operators, int32 ids in, int8 out")
    for name, value in report.int8_test.items():
        print(
            f"{name:<10} float {figure(name, report.float_test[name])}, int8 {figure(name, value)}"
        )
    if report.labels != "number":
        rows = len(project.data.test)
        print(f"{report.worse} of {rows:,} test rows lost, {report.agreement:.1%} answered alike")


def evaluate_text(
    config: Config, *, model: Path | None, page: Path | None, on: str, as_json: bool
) -> None:
    """Measure an int8 file on all rows; write the page if asked."""
    from edgekit.errors import StoreError
    from edgekit.export.text import measure_text, open_text_project
    from edgekit.export.text_report import write_text_report
    from edgekit.train.metrics import main_metric

    project = open_text_project(config)
    model = model or project.run / "model.tflite"
    if not model.is_file():
        raise StoreError(f"{model} is not there; 'edgekit quantize' makes it")
    source = model.read_bytes()
    report = measure_text(source, project, fuse=config.export.fuse)
    metric = main_metric(report.labels, config.text_train.metric)
    minimum = config.accept.min_accuracy
    accepted = report.int8_validation[metric] >= minimum
    board = None
    if page is not None or on:
        board = write_text_report(config, project, source, report, page=page, on=on)
    if as_json:
        facts = {"model": str(model), **dataclasses.asdict(report), "min_accuracy": minimum}
        more = {} if board is None else {"board": dataclasses.asdict(board)}
        print(json.dumps({**facts, "accepted": accepted, **more}))
        return
    scores = ", ".join(f"{name} {figure(name, value)}" for name, value in report.int8_test.items())
    print(f"{model}: {scores} on the test part")
    verdict = "may be published" if accepted else "may not be published"
    print(
        f"{metric} {figure(metric, report.int8_validation[metric])} on the validation part,"
        f" {verdict} ([accept] min_accuracy {minimum:.1%})"
    )
    if board is not None:
        count = f", {board.instructions:,} instructions each" if board.instructions else ""
        said = f"{board.rows} test rows, {board.equal} equal in every byte{count}"
        print(f"board      {board.board}: {said}")
    if page is not None:
        print(f"report     {page}")
    _show_confusion(report)


def _show_confusion(report: TextReport) -> None:
    names = report.label_names
    if not report.confusion or len(names) > MOST_CLASSES:
        return
    width = max(len(name) for name in names)
    print("\ntrue class by row, answer by column")
    print(" " * (width + 4) + "".join(f"{number:>6}" for number in range(1, len(names) + 1)))
    for number, (name, row) in enumerate(zip(names, report.confusion, strict=True), start=1):
        print(f"{name:>{width}} {number:>3}" + "".join(f"{count or '.':>6}" for count in row))
