"""From the file of a text project to its jobs and run folders."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
from pathlib import Path
from typing import cast

from edgekit.config import Config
from edgekit.data.text import Labels, TextSource
from edgekit.errors import ConfigError
from edgekit.train.pretrain_jobs import PretrainJob
from edgekit.train.text_jobs import TextJob

PRETRAINED = "pretrain"
"""Value of `start` in [train] for what the project itself was pretrained to."""


def text_source(config: Config) -> TextSource:
    """Return where the labelled text of a project comes from.

    Raises:
        ConfigError: If the project is none of text.
    """
    if config.project.task != "text":
        raise ConfigError(
            f"project {config.project.name!r}: 'task' in [project] is"
            f" {config.project.task!r}, must be 'text'"
        )
    section = config.text_data

    def path(name: str) -> Path | None:
        return config.root / name if name else None

    return TextSource(
        train=config.root / section.train,
        validation=path(section.validation),
        test=path(section.test),
        text=section.text,
        pair=section.pair,
        label=section.label,
        labels=cast(Labels, section.labels),
        share=section.share,
        seed=section.split_seed,
    )


def text_project_job(
    config: Config, *, epochs: int | None = None, seed: int | None = None
) -> TextJob:
    """Make the job that a text project describes, in a folder named after what decides it.

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
    source = text_source(config)
    settings = dataclasses.asdict(config.text_train)
    start = _start(config, settings.pop("start"))
    teachers = tuple(_teacher(config, name) for name in settings.pop("teacher"))
    corpus = tuple(config.root / name for name in settings.pop("corpus"))
    if epochs is not None:
        settings["epochs"] = epochs
    if seed is not None:
        settings["seed"] = seed
    tokenizer = config.root / config.text_data.tokenizer if config.text_data.tokenizer else None
    files = {"train": source.train, "validation": source.validation, "test": source.test}
    files |= {"tokenizer": tokenizer, "start": None if start is None else start / "model.npz"}
    files |= {f"corpus{i}": path for i, path in enumerate(corpus)}
    for i, teacher in enumerate(teachers):
        files[f"teacher{i}"] = teacher if teacher.suffix == ".npz" else teacher / "model.npz"
    name = config.project.name
    job = TextJob(
        name=name,
        run=Path(),
        source=source,
        family=config.family,
        sizes=dict(config.model.sizes),
        tokenizer=tokenizer,
        start=start,
        teachers=teachers,
        corpus=corpus,
        digests=digest_files(files),
        **settings,
    )
    return dataclasses.replace(job, run=config.state / "runs" / f"{name}-{job.hash()[:12]}")


def pretrain_project_job(config: Config, *, seed: int | None = None) -> PretrainJob:
    """Make the job of pretraining that a text project describes.

    Raises:
        ConfigError: If the project names no text.
    """
    source = text_source(config)
    section = config.pretrain
    if not section.files and not section.own_text:
        raise ConfigError("[pretrain] names no 'files', and own_text = false: there is no text")
    settings = dataclasses.asdict(section)
    files = tuple(path for name in settings.pop("files") for path in _matching(config.root, name))
    own = source if settings.pop("own_text") else None
    if seed is not None:
        settings["seed"] = seed
    tokenizer = config.root / config.text_data.tokenizer if config.text_data.tokenizer else None
    roles: dict[str, Path | None] = {f"file{i}": path for i, path in enumerate(files)}
    roles |= {"tokenizer": tokenizer, "train": source.train if own is not None else None}
    sizes = {key: value for key, value in config.model.sizes.items() if key != "classes"}
    name = f"{config.project.name}-pretrain"
    job = PretrainJob(
        name=name,
        run=Path(),
        files=files,
        source=own,
        family=config.family,
        sizes=sizes,
        tokenizer=tokenizer,
        digests=digest_files(roles),
        **settings,
    )
    return dataclasses.replace(job, run=config.state / "runs" / f"{name}-{job.hash()[:12]}")


def _matching(root: Path, name: str) -> list[Path]:
    """Return the files of a pattern in order, or the one file of that name."""
    if not any(sign in name for sign in "*?["):
        return [root / name]
    found = sorted(Path(path) for path in glob.glob(str(root / name)))
    if not found:
        raise ConfigError(f"'files' in [pretrain]: nothing matches {root / name}")
    return found


def digest_files(files: dict[str, Path | None]) -> dict[str, str]:
    """Hash the content of files by role; None is left out.

    Raises:
        ConfigError: If one cannot be read.
    """
    digests = {}
    for role, path in files.items():
        if path is None:
            continue
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
        digests[role] = digest.hexdigest()
    return digests


def _start(config: Config, name: str) -> Path | None:
    if not name:
        return None
    if name == PRETRAINED:
        run = pretrain_project_job(config).run
        if not (run / "model.npz").is_file():
            raise ConfigError(
                "'start' in [train] is 'pretrain', and the project is not pretrained;"
                " run 'edgekit train --task pretrain' first"
            )
        return run
    run = config.root / name
    if not (run / "model.npz").is_file():
        raise ConfigError(f"'start' in [train]: {run} has no model.npz; it is no finished run")
    return run


def _teacher(config: Config, name: str) -> Path:
    path = config.root / name
    model = path if path.suffix == ".npz" else path / "model.npz"
    if not model.is_file():
        raise ConfigError(
            f"'teacher' in [train]: {model} is not there; a teacher is a finished run folder,"
            " or an .npz file with 'logits'"
        )
    return path
