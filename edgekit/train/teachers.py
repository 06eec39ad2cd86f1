"""Teachers of a text model: run folders, alone or as a committee, or a file of their logits.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.dataset import Float32Array
from edgekit.data.text import TextDataset
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import ConfigError
from edgekit.models import make_config
from edgekit.models.saved import load_model, unpack_arrays
from edgekit.train.predict import Predictor, mean_logits
from edgekit.train.text_jobs import TextJob, read_teacher


@dataclass(frozen=True, slots=True)
class TeacherAnswers:
    """What teachers say to the rows of the training part.

    Attributes:
        logits: [N, outputs], of all teachers together.
        hidden: Pooled states of all teachers side by side, [N, H], each column with mean 0 and
            deviation 1; None if a file of logits has none.
    """

    logits: Float32Array
    hidden: Float32Array | None


def ask_teachers(job: TextJob, data: TextDataset) -> TeacherAnswers:
    """Run the teachers on the training part, or read their answers.

    Raises:
        ConfigError: If a teacher was trained on other labels or has no answer for every row.
    """
    first = job.teachers[0]
    if first.suffix == ".npz":
        if len(job.teachers) > 1:
            raise ConfigError(f"{first}: a file of logits is the only teacher, or it is none")
        answers = _read_answers(first, job, data)
    else:
        members = [_ask(folder, data) for folder in job.teachers]
        logits = mean_logits([m.logits for m in members], data.labels)
        hidden = np.concatenate([m.hidden for m in members if m.hidden is not None], axis=1)
        answers = TeacherAnswers(logits, hidden)
    if answers.hidden is None and job.hidden_weight > 0:
        raise ConfigError(f"{first}: has no array 'hidden', and 'hidden_weight' asks for it")
    return TeacherAnswers(answers.logits.astype(np.float32), _normalize(answers.hidden))


def _ask(folder: Path, data: TextDataset) -> TeacherAnswers:
    result = read_teacher(folder, labels=data.labels, label_names=data.label_names)
    meta, _ = unpack_arrays(result.model)
    length = make_config(str(meta["family"]), meta["sizes"]).length
    model = load_model(result.model)
    ids = Tokenizer.load(result.tokenizer).encode_batch(data.train.texts, length)
    logits = Predictor(model, length=length).run(ids)
    return TeacherAnswers(logits, Predictor(model, length=length, layer="pooled").run(ids))


def _read_answers(path: Path, job: TextJob, data: TextDataset) -> TeacherAnswers:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as exc:
        raise ConfigError(f"{path}: is not a file of arrays: {exc}") from exc
    logits = arrays.get("logits")
    rows = data.train_file_rows
    if logits is None or logits.shape != (rows, data.outputs) or not np.isfinite(logits).all():
        found = "none" if logits is None else list(logits.shape)
        raise ConfigError(
            f"{path}: array 'logits' is {found}, must be finite [{rows}, {data.outputs}]:"
            f" one row for each of {job.source.train.name}"
        )
    hidden = arrays.get("hidden")
    if hidden is not None and (hidden.ndim != 2 or len(hidden) != rows):
        raise ConfigError(f"{path}: array 'hidden' is {list(hidden.shape)}, must be [{rows}, H]")
    own = data.train.rows
    return TeacherAnswers(logits[own], None if hidden is None else hidden[own])


def _normalize(hidden: Float32Array | None) -> Float32Array | None:
    if hidden is None:
        return None
    spread = hidden.std(axis=0, dtype=np.float64)
    centred = hidden - hidden.mean(axis=0, dtype=np.float64)
    return (centred / np.where(spread > 1e-9, spread, 1.0)).astype(np.float32)
