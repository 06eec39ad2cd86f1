"""`edgekit train`: train the project's model."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edgekit.config import Config


class Task(Enum):
    """What is trained."""

    IMAGE = "image"
    TEXT = "text"
    PRETRAIN = "pretrain"


def train(
    project: Path = typer.Option(Path(), help="Folder with edgekit.toml."),
    task: Task | None = typer.Option(
        None,
        help="Instead of [project] task; pretrain: let a text model learn the language from"
        " [pretrain] files first.",
        show_default=False,
    ),
    epochs: int | None = typer.Option(None, min=1, help="Instead of [train] epochs."),
    seed: int | None = typer.Option(None, min=0, help="Instead of [train] seed."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Train the project's model; go on where an interrupted run stopped.

    Example: edgekit train --project digits --epochs 50

    Example: edgekit train --project commands --task text
    """
    from edgekit.config import load_config

    given = None if task is None else "image" if task is Task.IMAGE else "text"
    config = load_config(project, task=given)
    if task is Task.PRETRAIN:
        _pretrain(config, seed, epochs, as_json)
    elif config.project.task == "text":
        _train_text(config, epochs, seed, as_json)
    else:
        _train_image(config, epochs, seed, as_json)


def _train_image(config: Config, epochs: int | None, seed: int | None, as_json: bool) -> None:
    from edgekit.service.lineage import enter_training, image_dataset_body
    from edgekit.train.launch import run_jobs
    from edgekit.train.projects import project_job

    job = project_job(config, epochs=epochs, seed=seed)
    (result,) = run_jobs([job], _show if sys.stderr.isatty() else None)
    data = image_dataset_body(job.dataset)
    enter_training(config.state, data, job, seconds=result.seconds)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    state = "was already trained" if result.reused else f"trained in {result.seconds:.0f} s"
    print(f"{job.name}: {state}, {job.epochs} epochs, {result.parameters:,} parameters")
    print(f"accuracy {result.accuracy:.1%} on the test part (float)")
    print(f"run {result.run}")


def _train_text(config: Config, epochs: int | None, seed: int | None, as_json: bool) -> None:
    from edgekit.service.lineage import enter_training, text_dataset_body
    from edgekit.train.launch import run_text_jobs
    from edgekit.train.text_projects import text_project_job

    job = text_project_job(config, epochs=epochs, seed=seed)
    (result,) = run_text_jobs([job], _show if sys.stderr.isatty() else None)
    data = text_dataset_body(config, job, len(result.label_names))
    enter_training(config.state, data, job, seconds=result.seconds)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    state = "was already trained" if result.reused else f"trained in {result.seconds:.0f} s"
    done = len(result.losses)
    early = f" of {job.epochs} (best {result.best_epoch})" if job.patience else ""
    print(f"{job.name}: {state}, {done}{early} epochs, {result.parameters:,} parameters")
    for part, scores in (("validation", result.validation), ("test", result.test)):
        text = ", ".join(f"{name} {figure(name, value)}" for name, value in scores.items())
        print(f"{part:<10} {text} (float)")
    print(f"run {result.run}")


def _pretrain(config: Config, seed: int | None, epochs: int | None, as_json: bool) -> None:
    from edgekit.train.launch import run_pretraining
    from edgekit.train.text_projects import pretrain_project_job

    if epochs is not None:
        raise typer.BadParameter("pretraining has [pretrain] steps", param_hint="--epochs")
    job = pretrain_project_job(config, seed=seed)
    (result,) = run_pretraining([job], _show if sys.stderr.isatty() else None)
    if as_json:
        print(json.dumps(result.to_json()))
        return
    state = "was already pretrained" if result.reused else f"pretrained in {result.seconds:.0f} s"
    print(f"{job.name}: {state}, {job.steps} steps, {result.tokens:,} tokens of text")
    masked, second = result.held_out
    print(f"held out   hidden tokens {masked:.3f} nats, next sentence {second:.3f} nats")
    print(f"run {result.run}")
    print('next  start = "pretrain" in [train]')


def figure(name: str, value: float) -> str:
    """Write a metric: shares in per cent, correlations and errors as numbers."""
    return f"{value:.3f}" if name in ("mcc", "spearman", "pearson", "rmse") else f"{value:.1%}"


def _show(event: dict[str, Any]) -> None:
    match event["event"]:
        case "loading":
            text = "loading the training framework"
        case "started":
            of = event.get("epochs", event.get("steps"))
            text = f"at {event['from']} of {of}"
        case "step":
            loss = f"  loss {event['loss']:.3f}" if "loss" in event else ""
            text = f"step {event['step']}/{event['of']}{loss}"
        case "epoch":
            name = event.get("metric", "accuracy")
            score = event["score"] if "score" in event else event["accuracy"]
            text = (
                f"epoch {event['epoch']}/{event['epochs']}"
                f"  loss {event['loss']:.3f}  {name} {figure(name, score)}"
            )
        case _:
            text = ""
    end = "" if text else "\r"
    print(f"\r{text:<60}", end=end, file=sys.stderr, flush=True)
