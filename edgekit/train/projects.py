"""From a project file to its training job and run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgekit.config import Config
from edgekit.errors import ConfigError
from edgekit.train.jobs import TrainJob


def project_job(config: Config, *, epochs: int | None = None, seed: int | None = None) -> TrainJob:
    """Make the job that a project file describes, in a folder named after what decides it.

    A changed file is another job in another folder, so nothing old is taken for new.

    Args:
        config: The project.
        epochs: Overrides the file.
        seed: Overrides the file.

    Raises:
        ConfigError: If the project brings its model from elsewhere, or the job is impossible.
    """
    if config.model.file:
        raise ConfigError(
            f"'file' in [model] is {config.model.file!r}: a model from elsewhere is not trained"
        )
    settings = dataclasses.asdict(config.train)
    if epochs is not None:
        settings["epochs"] = epochs
    if seed is not None:
        settings["seed"] = seed
    name = config.project.name
    job = TrainJob(
        name=name,
        run=Path(),
        family=config.family,
        sizes=dict(config.model.sizes),
        dataset=config.data.dataset,
        leave_out=config.data.leave_out,
        **settings,
    )
    return dataclasses.replace(job, run=config.state / "runs" / f"{name}-{job.hash()[:12]}")
