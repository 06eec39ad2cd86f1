"""What the journal is told of trainings: the data set, the run, and which run a model came from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import __version__
from edgekit.journal import Journal

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.train.jobs import TrainJob
    from edgekit.train.text_jobs import TextJob

_RUNS = 4
"""Runs to look at for the source of a model: the last ones."""
_NO_SETTINGS = frozenset({"name", "seed", "checkpoint_s"})


def image_dataset_body(name: str) -> dict[str, Any]:
    """Describe a data set of edgekit's own."""
    from edgekit.data import load_dataset

    data = load_dataset(name)
    return {
        "name": name,
        "license": data.data_license,
        "task": data.task,
        "rows": sum(len(part.labels) for part in (data.train, data.acceptance, data.test)),
        "classes": len(data.label_names),
    }


def text_dataset_body(config: Config, job: TextJob, classes: int) -> dict[str, Any]:
    """Describe the labelled text of a project; its version is the hash of the training file."""
    return {
        "name": f"{config.project.name}-text",
        "version": job.digests.get("train", "")[:16],
        "license": config.text_data.license,
        "source": job.source.train.name,
        "task": "text",
        "classes": classes,
    }


def training_body(
    job: TrainJob | TextJob, dataset: str, *, task: str, seconds: float, now_ms: int
) -> dict[str, Any]:
    """Describe a run that has just ended.

    Args:
        seconds: How long it took.
        now_ms: Unix milliseconds.
    """
    fields = dataclasses.asdict(job)
    settings = {
        key: value
        for key, value in fields.items()
        if key not in _NO_SETTINGS and isinstance(value, bool | int | float | str)
    }
    settings |= {f"sizes.{key}": value for key, value in job.sizes.items()}
    return {
        "run": job.run.name,
        "datasets": [dataset],
        "task": task,
        "seed": job.seed,
        "software": f"edgekit {__version__}",
        "started_ms": now_ms - int(seconds * 1000),
        "settings": settings,
    }


def enter_training(
    state: Path, dataset: dict[str, Any], job: TrainJob | TextJob, *, seconds: float
) -> None:
    """Enter a finished run and its data in the journal of a project, unless it has them.

    Args:
        state: The folder `.edgekit` of the project.
        dataset: Body of its event.
        seconds: How long the run took.
    """
    now_ms = int(time.time() * 1000)
    name, run = dataset["name"], job.run.name
    with Journal.open(state) as journal:
        said = [each.body for each in journal.events(0, ("dataset.described",), subject=name)]
        if not said or said[-1] != dataset:
            journal.append("dataset.described", name, dataset)
        if not any(journal.events(0, ("training.finished",), subject=run)):
            body = training_body(job, name, task=dataset["task"], seconds=seconds, now_ms=now_ms)
            journal.append("training.finished", run, body)


def training_of(
    journal: Journal, state: Path, is_source: Callable[[Path], bool]
) -> dict[str, Any] | None:
    """Return the event's body of the run that a model came from, None if it is unknown.

    Args:
        state: The folder `.edgekit` of the project.
        is_source: Whether a `.tflite` of a run is what the model was made from.
    """
    files = sorted((state / "runs").glob("*/*.tflite"), key=lambda path: -path.stat().st_mtime)
    for path in files[:_RUNS]:
        for event in journal.events(0, ("training.finished",), subject=path.parent.name):
            if is_source(path):
                return dict(event.body)
    return None
