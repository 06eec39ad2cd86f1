"""Start training jobs in a worker process and collect their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.models.worker import Event, run_worker
from edgekit.train.jobs import TrainJob, TrainResult


def run_jobs(
    jobs: Sequence[TrainJob], on_event: Callable[[Event], None] | None = None
) -> tuple[TrainResult, ...]:
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
    results: dict[str, TrainResult] = {}

    def collect(event: Event) -> None:
        if event["event"] == "finished":
            results[event["job"]] = TrainResult.from_json(event["result"], where="worker")
        if on_event is not None:
            on_event(event)

    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ValueError(f"job names are not unique: {names}")
    run_worker("edgekit.train", {"jobs": [job.to_json() for job in jobs]}, collect)
    return tuple(results[name] for name in names)
