"""The models of the demo: trained in one worker, converted in another, kept between runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.demo.console import Step
from edgekit.models.worker import Event
from edgekit.quantize.runs import Quantized, quantize_runs
from edgekit.train.jobs import TrainJob, TrainResult
from edgekit.train.launch import run_jobs

UNSEEN = (7, 8, 9)
"""Classes that the base model of the federated part was trained without."""

V1, V2, SHUFFLED, BASE = "digits-v1", "digits-v2", "digits-shuffled", "digits-base"


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A trained model and its int8 file."""

    name: str
    trained: TrainResult
    quantized: Quantized

    @property
    def tflite(self) -> bytes:
        """The int8 file."""
        return self.quantized.tflite.read_bytes()


def demo_jobs(folder: Path) -> tuple[TrainJob, ...]:
    """Say what is trained: version 1, a longer version 2, one on shuffled labels, and the base."""
    jobs = (
        TrainJob(name=V1, run=folder, epochs=25),
        TrainJob(name=V2, run=folder, epochs=50),
        TrainJob(name=SHUFFLED, run=folder, epochs=12, shuffle_labels=True),
        TrainJob(name=BASE, run=folder, epochs=25, leave_out=UNSEEN),
    )
    # The hash keeps runs of another edgekit apart, so that they are neither resumed nor in the way.
    return tuple(replace(job, run=folder / f"{job.name}-{job.hash()[:8]}") for job in jobs)


def train_models(folder: Path, step: Step) -> dict[str, TrainResult]:
    """Train what is not trained yet; what an earlier run finished is used again."""
    jobs = demo_jobs(folder)
    total = sum(job.epochs for job in jobs)
    done = {job.name: 0 for job in jobs}

    def told(event: Event) -> None:
        if event["event"] == "epoch":
            done[event["job"]] = int(event["epoch"])
            note = f"{event['job']} epoch {event['epoch']}/{event['epochs']}"
            step.update(sum(done.values()) / total, note)

    results = run_jobs(jobs, told)
    return {result.name: result for result in results}


def quantize_models(trained: dict[str, TrainResult], step: Step) -> dict[str, DemoModel]:
    """Convert every model to int8 and compare each with its float original."""
    finished = 0

    def told(event: Event) -> None:
        nonlocal finished
        if event["event"] == "converted":
            finished += 1
            step.update(finished / len(trained), str(event["run"]).rsplit("/", 1)[-1])

    quantized = quantize_runs([result.run for result in trained.values()], on_event=told)
    return {
        name: DemoModel(name, result, files)
        for (name, result), files in zip(trained.items(), quantized, strict=True)
    }
