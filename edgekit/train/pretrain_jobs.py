"""What a job of pretraining is, and what comes out of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.config_text import PretrainRecipe
from edgekit.data.text import TextSource
from edgekit.errors import FormatError
from edgekit.train.runs import find_done, hash_facts

PRETRAINED = "pretrain.json"
"""File of a run's result."""
PRETRAIN_RECIPE = 1
"""Version of what the loop does with a job; part of the hash."""


@dataclass(frozen=True, slots=True)
class PretrainJob(PretrainRecipe):
    """Learning a language from plain text; equal jobs give equal weights on one kind of machine.

    Attributes:
        run: Folder of the run; what `start` of a text job takes.
        files: Plain text, one sentence or paragraph per line; an empty line ends a document.
        source: Labelled text whose training texts are read too, without their labels.
        sizes: As for a text job, without `classes`.
        digests: Content of every file that the job reads, by role; part of the hash.
        checkpoint_s: Seconds between checkpoints; decides nothing.
    """

    name: str
    run: Path
    files: tuple[Path, ...] = ()
    source: TextSource | None = None
    family: str = "embbert"
    sizes: dict[str, Any] = field(default_factory=dict)
    tokenizer: Path | None = None
    digests: dict[str, str] = field(default_factory=dict)
    checkpoint_s: float = 20.0

    def hash(self) -> str:
        """Identify everything that decides the weights; name, folders and paths do not."""
        facts = self.to_json()
        for key in ("name", "run", "tokenizer", "files", "checkpoint_s"):
            del facts[key]
        if self.source is not None:
            for key in self.source.files:
                del facts["source"][key]
        return hash_facts({"recipe": PRETRAIN_RECIPE, **facts})

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        facts = dataclasses.asdict(self)
        facts["source"] = None if self.source is None else self.source.to_json()
        facts["run"], facts["files"] = str(self.run), [str(path) for path in self.files]
        facts["tokenizer"] = None if self.tokenizer is None else str(self.tokenizer)
        return facts

    @staticmethod
    def from_json(facts: dict[str, Any]) -> PretrainJob:
        """Read what `to_json` made."""
        source = None if facts["source"] is None else TextSource.from_json(facts["source"])
        tokenizer = None if facts["tokenizer"] is None else Path(facts["tokenizer"])
        more = {"source": source, "tokenizer": tokenizer, "run": Path(facts["run"])}
        return PretrainJob(**{**facts, **more, "files": tuple(map(Path, facts["files"]))})


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """What pretraining reached.

    Attributes:
        run: Folder; `model.npz` and `tokenizer.json` in it are what a text job starts with.
        lines: Lines of text that were read.
        tokens: Tokens of them.
        losses: Mean loss of each tenth of the steps, masked tokens and next sentence together.
        held_out: The two losses on rows that were not trained on.
        reused: The folder already held the whole run.
    """

    name: str
    run: Path
    job_hash: str
    lines: int
    tokens: int
    losses: tuple[float, ...]
    held_out: tuple[float, float]
    seconds: float
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        return {**dataclasses.asdict(self), "run": str(self.run)}

    @staticmethod
    def from_json(facts: dict[str, Any], *, where: str) -> PretrainResult:
        """Read what `to_json` made.

        Raises:
            FormatError: If a field is missing, unknown or of another type.
        """
        try:
            losses = tuple(float(loss) for loss in facts["losses"])
            first, second = facts["held_out"]
            more = {"losses": losses, "held_out": (float(first), float(second))}
            return PretrainResult(**{**facts, **more, "run": Path(facts["run"])})
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError(f"{where}: is not the result of pretraining: {exc!r}") from exc


def find_pretrained(job: PretrainJob) -> PretrainResult | None:
    """Return the result of a job that is done already; None if there is work left.

    Raises:
        ConfigError: If the folder holds the run of another configuration, done or not.
        FormatError: If it holds something damaged.
    """
    return find_done(job, job.run / PRETRAINED, PretrainResult.from_json)
