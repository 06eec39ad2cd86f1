"""Quantize trained run folders: conversion in one worker process, evaluation in this one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.data import load_dataset
from edgekit.data.files import write_atomic
from edgekit.errors import FormatError
from edgekit.models.saved import unpack_arrays
from edgekit.models.worker import Event, run_worker
from edgekit.quantize.evaluate import MAX_WORSE, Int8Report, evaluate_int8

CALIBRATION_SAMPLES = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Quantized:
    """An int8 model and what is known of it.

    Attributes:
        run: The run folder; `tflite` in it is the file.
        report: What quantization cost.
        reused: The folder already held it.
    """

    run: Path
    report: Int8Report
    reused: bool = False

    @property
    def tflite(self) -> Path:
        """The int8 file."""
        return self.run / "model.tflite"


def quantize_runs(
    runs: Sequence[Path],
    *,
    dataset: str = "digits",
    samples: int = CALIBRATION_SAMPLES,
    max_worse: int = MAX_WORSE,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[Quantized, ...]:
    """Convert and evaluate trained models; what is already done is not done again.

    Args:
        runs: Folders that training finished.
        dataset: Where calibration and test samples come from.
        samples: How many samples of the train part show the ranges of activations.
        max_worse: How many right answers int8 may lose.
        on_event: Is told of `loading`, `converting` and `converted`, with `run`.

    Raises:
        QuantizationError: If a model cannot be converted, or the file is not the model.
        ToolError: If the converter died.
    """
    keys = {run: _key(run, dataset, samples) for run in runs}
    waiting = [run for run in runs if _stored(run, keys[run]) is None]
    if waiting:
        request = {"runs": [str(run) for run in waiting], "dataset": dataset, "samples": samples}
        run_worker("edgekit.quantize", request, on_event or _ignore)
    data = load_dataset(dataset)
    done = []
    for run in runs:
        stored = _stored(run, keys[run])
        if stored is None or run in waiting:
            _, arrays = unpack_arrays(run / "reference.npz")
            report = evaluate_int8(
                (run / "model.tflite").read_bytes(),
                data,
                arrays["test"],
                name=run.name,
                max_worse=max_worse,
            )
            facts = {"key": keys[run], "report": dataclasses.asdict(report)}
            write_atomic(run / "quantize.json", json.dumps(facts, indent=1).encode())
            done.append(Quantized(run, report))
        else:
            done.append(Quantized(run, stored, reused=True))
    return tuple(done)


def _key(run: Path, dataset: str, samples: int) -> str:
    path = run / "model.npz"
    try:
        weights = path.read_bytes()
    except OSError as exc:
        raise FormatError(f"{run}: has no trained model; run 'edgekit train' first") from exc
    digest = hashlib.blake2b(weights, digest_size=16)
    digest.update(f"{dataset} {samples}".encode())
    return digest.hexdigest()


def _stored(run: Path, key: str) -> Int8Report | None:
    path = run / "quantize.json"
    if not path.is_file() or not (run / "model.tflite").is_file():
        return None
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["key"] != key:
            return None
        report = facts["report"]
        confusion = tuple(tuple(row) for row in report["confusion"])
        return Int8Report(**{**report, "confusion": confusion})
    except (ValueError, KeyError, TypeError) as exc:
        raise FormatError(f"{path}: is not a quantization report: {exc!r}; remove it") from exc


def _ignore(_: Event) -> None:
    pass
