"""Quantize trained run folders of text models, in one worker process."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.data.files import write_atomic
from edgekit.errors import FormatError
from edgekit.models.worker import Event, run_worker

CALIBRATION_SAMPLES = 300
WRITER = 2
"""Version of what the writers make of a model; files of an older one are written anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class QuantizedText:
    """An int8 text model.

    Attributes:
        run: The run folder.
        reused: The folder already held it.
    """

    run: Path
    reused: bool = False

    @property
    def tflite(self) -> Path:
        """The int8 file: int32 ids [1, L] -> int8 logits [1, outputs]."""
        return self.run / "model.tflite"

    @property
    def reference(self) -> Path:
        """What the float model answers to the validation and test part, .npz."""
        return self.run / "reference.npz"


def quantize_text_runs(
    runs: Sequence[Path],
    *,
    samples: int = CALIBRATION_SAMPLES,
    length: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> tuple[QuantizedText, ...]:
    """Convert trained text models; what is already done is not done again.

    Args:
        runs: Folders that training finished.
        samples: How many rows of the training part show the ranges of activations.
        length: Tokens of the files' input; None for those of the model.
        on_event: Is told of `loading`, `converting` and `converted`, with `run`.

    Raises:
        FormatError: If a folder has no trained model.
        QuantizationError: If a model cannot be converted.
        ToolError: If the converter died.
    """
    keys = {run: _key(run, samples, length) for run in runs}
    waiting = [run for run in runs if not _is_done(run, keys[run])]
    if waiting:
        request = {"kind": "text", "runs": [str(run) for run in waiting], "samples": samples,
                   "length": length}  # fmt: skip
        run_worker("edgekit.quantize", request, on_event or _ignore)
    for run in waiting:
        write_atomic(run / "convert.json", json.dumps({"key": keys[run]}).encode())
    return tuple(QuantizedText(run, reused=run not in waiting) for run in runs)


def _key(run: Path, samples: int, length: int | None) -> str:
    try:
        weights = (run / "model.npz").read_bytes()
    except OSError as exc:
        raise FormatError(f"{run}: has no trained model; run 'edgekit train' first") from exc
    digest = hashlib.blake2b(weights, digest_size=16)
    digest.update(f"{WRITER} {samples} {length}".encode())
    return digest.hexdigest()


def _is_done(run: Path, key: str) -> bool:
    if not all((run / name).is_file() for name in ("convert.json", "model.tflite")):
        return False
    try:
        return bool(json.loads((run / "convert.json").read_text("utf-8")).get("key") == key)
    except (ValueError, AttributeError) as exc:
        raise FormatError(f"{run / 'convert.json'}: is damaged; remove it") from exc


def _ignore(_: Event) -> None:
    pass
