"""`edgekit train`: train the project's model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer


def train(
    project: Path = typer.Option(Path(), help="Folder with edgekit.toml."),
    epochs: int | None = typer.Option(None, min=1, help="Instead of [train] epochs."),
    seed: int | None = typer.Option(None, min=0, help="Instead of [train] seed."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train the project's model; go on where an interrupted run stopped.

    Example: edgekit train --project digits --epochs 50
    """
    from edgekit.config import load_config
    from edgekit.train.launch import run_jobs
    from edgekit.train.projects import project_job

    job = project_job(load_config(project), epochs=epochs, seed=seed)
    (result,) = run_jobs([job], _show if sys.stderr.isatty() else None)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    state = "was already trained" if result.reused else f"trained in {result.seconds:.0f} s"
    print(f"{job.name}: {state}, {job.epochs} epochs, {result.parameters:,} parameters")
    print(f"accuracy {result.accuracy:.1%} on the test part (float)")
    print(f"run {result.run}")


def _show(event: dict[str, Any]) -> None:
    match event["event"]:
        case "loading":
            text = "loading the training framework"
        case "started":
            text = f"epoch {event['from']}/{event['epochs']}"
        case "epoch":
            text = (
                f"epoch {event['epoch']}/{event['epochs']}"
                f"  loss {event['loss']:.3f}  accuracy {event['accuracy']:.1%}"
            )
        case _:
            text = ""
    end = "" if text else "\r"
    print(f"\r{text:<60}", end=end, file=sys.stderr, flush=True)
