"""Start training jobs in a worker process and collect their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgekit.models.worker import Event, run_worker
from edgekit.train.jobs import TrainJob, TrainResult
from edgekit.train.pretrain_jobs import PretrainJob, PretrainResult, find_pretrained
from edgekit.train.text_jobs import TextJob, TextResult, find_finished

OnEvent = Callable[[Event], None]


def run_jobs(jobs: Sequence[TrainJob], on_event: OnEvent | None = None) -> tuple[TrainResult, ...]:
    """Train all jobs one after the other in one process; return when the last is done.

    An exception in `on_event` (also Ctrl-C) ends the worker; the same call goes on from the last
    whole epoch of each job.

    Args:
        jobs: What to train.
        on_event: Is told of `loading`, `started`, `epoch` and `finished`; each but the first has
            `job`, an epoch has `epoch`, `epochs`, `loss` and `accuracy`.

    Raises:
        ToolError: If the worker died or the training framework is missing.
        ConfigError: If a run folder holds another job's run.
    """
    return _run("image", jobs, TrainResult.from_json, on_event)


def run_text_jobs(
    jobs: Sequence[TextJob], on_event: OnEvent | None = None
) -> tuple[TextResult, ...]:
    """Train text models one after the other in one process.

    Killed at any moment, the same call goes on from the last checkpoint, at most `checkpoint_s` and
    one step back, and reaches the same weights.

    Args:
        jobs: What to train.
        on_event: Is told of `loading`, `started`, `step`, `epoch` and `finished`; an epoch has
            `epoch`, `epochs`, `loss`, `metric` and `score`.

    Raises:
        ToolError: If the worker died or the training framework is missing.
        ConfigError: If a run folder holds another job's run, or a job does not fit its data.
        FormatError: If a file of data is broken.
    """
    return _run("text", jobs, TextResult.from_json, on_event, find_finished)


def run_pretraining(
    jobs: Sequence[PretrainJob], on_event: OnEvent | None = None
) -> tuple[PretrainResult, ...]:
    """Pretrain text models one after the other in one process; resumes as `run_text_jobs`.

    Args:
        jobs: What to train.
        on_event: Is told of `loading`, `started`, `step` and `finished`; a step has `step`, `of`
            and `loss`.

    Raises:
        ToolError: If the worker died or the training framework is missing.
        ConfigError: If a run folder holds another job's run, or there is too little text.
        FormatError: If a file of text is broken.
    """
    return _run("pretrain", jobs, PretrainResult.from_json, on_event, find_pretrained)


def _run(
    kind: str,
    jobs: Sequence[Any],
    read: Callable[..., Any],
    on_event: OnEvent | None,
    find: Callable[[Any], Any] = lambda job: None,
) -> tuple[Any, ...]:
    # What is done, or is another's, is known without starting the framework.
    results: dict[str, Any] = {job.name: found for job in jobs if (found := find(job)) is not None}
    waiting = [job for job in jobs if job.name not in results]

    def collect(event: Event) -> None:
        if event["event"] == "finished":
            results[event["job"]] = read(event["result"], where="worker")
        if on_event is not None:
            on_event(event)

    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ValueError(f"job names are not unique: {names}")
    if waiting:
        request = {"kind": kind, "jobs": [job.to_json() for job in waiting]}
        run_worker("edgekit.train", request, collect)
    return tuple(results[name] for name in names)
