"""The folder of a run: checkpoint while it goes on, model, job and result once it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from edgekit.data.files import write_atomic
from edgekit.errors import ConfigError, FormatError
from edgekit.models.saved import Arrays, pack_arrays, save_model, unpack_arrays

CHECKPOINT = "checkpoint.npz"
RESULT = "result.json"
"""Where a run keeps its result, unless its kind has another name."""


class Job(Protocol):
    """What a run is of."""

    @property
    def name(self) -> str:
        """What progress calls it."""

    @property
    def run(self) -> Path:
        """Folder of the run."""

    @property
    def family(self) -> str:
        """Family of the model."""

    def hash(self) -> str:
        """Identify everything that decides the weights."""

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""


Result = TypeVar("Result")
Reader = Callable[..., Result]
"""Makes a result of what JSON said, and of `where`; raises FormatError."""


def hash_facts(facts: dict[str, Any]) -> str:
    """Return 32 hexadecimal digits of what JSON can say, whatever the order of its keys."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def check_owner(job: Job, found: object) -> None:
    """Raise ConfigError if the hash that a folder holds is not that of the job."""
    if found != job.hash():
        raise ConfigError(
            f"{job.run}: holds the run of another configuration (hash {str(found)[:12]}, this job"
            f" has {job.hash()[:12]}); give another folder or remove it"
        )


def read_result(path: Path, read: Reader[Result]) -> Result | None:
    """Read the result of a run folder; None if there is none.

    Raises:
        FormatError: If there is one, but damaged or of another kind of model.
    """
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise FormatError(f"{path}: is not JSON: {exc}") from exc
    if not isinstance(facts, dict):
        raise FormatError(f"{path}: is not the result of a run")
    return read({**facts, "run": str(path.parent)}, where=str(path))


def find_done(job: Job, path: Path, read: Reader[Any]) -> Any:
    """Return the result of a job that is done already; None if there is work left.

    Args:
        job: The job.
        path: File of its result.
        read: Reads the result, which has `name`, `job_hash` and `reused`.

    Raises:
        ConfigError: If the folder holds the run of another configuration, done or not.
        FormatError: If it holds something damaged.
    """
    read_checkpoint(job)
    result = read_result(path, read)
    if result is None or not (job.run / "model.npz").is_file():
        return None
    check_owner(job, result.job_hash)
    return dataclasses.replace(result, name=job.name, reused=True)


def read_checkpoint(job: Job) -> tuple[dict[str, Any], Arrays] | None:
    """Read description and arrays of a run's checkpoint; None if it has none.

    Raises:
        ConfigError: If it is that of another configuration.
        FormatError: If it is damaged.
    """
    path = job.run / CHECKPOINT
    if not path.is_file():
        return None
    meta, arrays = unpack_arrays(path)
    check_owner(job, meta.get("job_hash"))
    return meta, arrays


def restore(job: Job, take: Callable[[Arrays], bool]) -> tuple[dict[str, Any], Arrays] | None:
    """Take up a run's checkpoint, if it has one; return it.

    Args:
        job: The job.
        take: Gives the arrays to what is trained; False if they do not fit.

    Raises:
        ConfigError: If it is that of another configuration.
        FormatError: If it is damaged.
    """
    found = read_checkpoint(job)
    if found is not None and not take(found[1]):
        raise FormatError(f"{job.run / CHECKPOINT}: does not fit its own job; remove it")
    return found


def write_checkpoint(job: Job, meta: dict[str, Any], arrays: Arrays) -> None:
    """Write what `read_checkpoint` reads."""
    write_atomic(job.run / CHECKPOINT, pack_arrays({"job_hash": job.hash(), **meta}, arrays))


def finish(job: Job, model: Any, sizes: dict[str, Any], path: Path, result: Any) -> None:
    """Write model, job and result of a run that is done, and drop its checkpoint.

    Args:
        job: The job.
        model: The Keras model, of the job's family.
        sizes: Of the model.
        path: File of the result.
        result: Has `to_json`.
    """
    save_model(job.run / "model.npz", model, family=job.family, sizes=sizes)
    write_atomic(job.run / "job.json", json.dumps(job.to_json(), indent=1).encode())
    # Last: a folder with a result is whole.
    write_atomic(path, json.dumps(result.to_json(), indent=1).encode())
    (job.run / CHECKPOINT).unlink(missing_ok=True)
