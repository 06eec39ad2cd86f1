"""What a training job of a text model is, and what comes out of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.config_text import TextRecipe
from edgekit.data.text import TextSource
from edgekit.errors import ConfigError, FormatError
from edgekit.train.metrics import main_metric
from edgekit.train.runs import RESULT, find_done, hash_facts, read_result

TEXT_RECIPE = 1
"""Version of what the loop does with a job; part of the hash, so that old runs are not resumed."""


@dataclass(frozen=True, slots=True)
class TextJob(TextRecipe):
    """One text model to train; equal jobs give equal weights on one kind of machine.

    Attributes:
        name: What progress calls it.
        run: Folder of the run: checkpoint, tokenizer, result, model; made if missing, resumed if
            there.
        source: The labelled text.
        sizes: The family's sizes that differ from its defaults; classes come from the data, and
            `vocab` is what the tokenizer reaches at most.
        tokenizer: Tokenizer to use; None trains one, or takes that of `start`.
        start: Run folder whose weights training begins with; its head is not used.
        teachers: Run folders whose mean is taught, or one .npz with `logits` for every row of the
            training file; empty for none.
        digests: Content of every file that the job reads, by role; part of the hash.
        corpus: Files of plain text for `vectors`.
        checkpoint_s: Seconds between checkpoints within an epoch; decides nothing.
    """

    name: str
    run: Path
    source: TextSource
    family: str = "embbert"
    sizes: dict[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    start: Path | None = None
    teachers: tuple[Path, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    corpus: tuple[Path, ...] = ()
    checkpoint_s: float = 20.0

    def __post_init__(self) -> None:
        try:
            main_metric(self.source.labels, self.metric)
        except ValueError as exc:
            raise ConfigError(f"job {self.name!r}: 'metric' {exc}") from exc
        if "classes" in self.sizes:
            raise ConfigError(f"job {self.name!r}: 'classes' comes from the data, leave it out")
        if self.quantize_aware and self.family != "embbert":
            raise ConfigError(
                f"job {self.name!r}: 'quantize_aware' is {self.quantize_aware}, but family"
                f" {self.family!r} cannot be trained so, only embbert; leave it out"
            )
        if self.quantize_aware and self.patience:
            raise ConfigError(
                f"job {self.name!r}: 'quantize_aware' is about the last steps, and 'patience' ="
                f" {self.patience} may stop before them; set one of the two to 0"
            )

    def hash(self) -> str:
        """Identify everything that decides the weights; name, folders and paths do not."""
        facts = self.to_json()
        for key in ("name", "run", "tokenizer", "start", "teachers", "corpus", "checkpoint_s"):
            del facts[key]
        for key, path in self.source.files.items():
            facts["source"][key] = path is not None
        return hash_facts({"recipe": TEXT_RECIPE, **facts})

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        facts = {**dataclasses.asdict(self), "source": self.source.to_json()}
        for key in ("run", "tokenizer", "start"):
            facts[key] = None if facts[key] is None else str(facts[key])
        for key in ("teachers", "corpus"):
            facts[key] = [str(path) for path in getattr(self, key)]
        return facts

    @staticmethod
    def from_json(facts: dict[str, Any]) -> TextJob:
        """Read what `to_json` made."""
        paths = {
            key: None if facts[key] is None else Path(facts[key]) for key in ("tokenizer", "start")
        }
        return TextJob(
            **{
                **facts,
                **paths,
                "run": Path(facts["run"]),
                "source": TextSource.from_json(facts["source"]),
                "teachers": tuple(Path(path) for path in facts["teachers"]),
                "corpus": tuple(Path(path) for path in facts["corpus"]),
            }
        )


@dataclass(frozen=True, slots=True)
class TextResult:
    """What a run of a text model reached, all in float.

    Attributes:
        run: Folder; `model` and `tokenizer` in it are the files.
        parameters: Trained values of the device's model, head included.
        labels: Kind of the labels; `label_names` the classes.
        metric: The one that decided.
        losses: Mean training loss of each epoch.
        scores: `metric` on the validation part after each epoch.
        best_epoch: The epoch whose weights the model has, from 1.
        validation: All metrics on the validation part.
        test: All metrics on the test part; nothing is chosen by it.
        seconds: Time in the loop, over all resumed parts.
        reused: The folder already held the whole run.
    """

    name: str
    run: Path
    job_hash: str
    parameters: int
    labels: str
    label_names: tuple[str, ...]
    metric: str
    losses: tuple[float, ...]
    scores: tuple[float, ...]
    best_epoch: int
    validation: dict[str, float]
    test: dict[str, float]
    seconds: float
    reused: bool = False

    @property
    def model(self) -> Path:
        """The trained model's file."""
        return self.run / "model.npz"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.run / "tokenizer.json"

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        facts = dataclasses.asdict(self)
        return {**facts, "run": str(self.run)}

    @staticmethod
    def from_json(facts: dict[str, Any], *, where: str) -> TextResult:
        """Read what `to_json` made.

        Raises:
            FormatError: If a field is missing, unknown or of another type.
        """
        try:
            tuples = {
                "label_names": tuple(str(name) for name in facts["label_names"]),
                "losses": tuple(float(x) for x in facts["losses"]),
                "scores": tuple(float(x) for x in facts["scores"]),
            }
            return TextResult(**{**facts, **tuples, "run": Path(facts["run"])})
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError(f"{where}: is not the result of a text model: {exc!r}") from exc


def read_teacher(folder: Path, *, labels: str, label_names: tuple[str, ...]) -> TextResult:
    """Read the result of a run that is to teach.

    Raises:
        ConfigError: If it is not finished, or was trained on other labels.
    """
    result = read_text_result(folder)
    if result is None:
        raise ConfigError(f"{folder}: is no finished run of a text model; a teacher is one")
    if (result.labels, result.label_names) != (labels, label_names):
        raise ConfigError(
            f"{folder}: was trained on {len(result.label_names)} labels"
            f" ({', '.join(result.label_names[:3])} ...), not on those of this project"
        )
    return result


def read_text_result(run: Path) -> TextResult | None:
    """Read the result of a run folder; None if there is none.

    Raises:
        FormatError: If there is one, but damaged or of another kind of model.
    """
    return read_result(run / RESULT, TextResult.from_json)


def find_finished(job: TextJob) -> TextResult | None:
    """Return the result of a job that is done already; None if there is work left.

    Raises:
        ConfigError: If the folder holds the run of another configuration, done or not.
        FormatError: If it holds something damaged.
    """
    return find_done(job, job.run / RESULT, TextResult.from_json)
