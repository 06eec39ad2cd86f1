"""What a job of pretraining is, and what comes out of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.data.text import TextSource
from edgekit.errors import FormatError
from edgekit.models.saved import unpack_arrays
from edgekit.train.text_jobs import PATHS, check_owner

PRETRAIN_RECIPE = 1
"""Version of what the loop does with a job; part of the hash."""


@dataclass(frozen=True, slots=True)
class PretrainJob:
    """Learning a language from plain text; equal jobs give equal weights on one kind of machine.

    Attributes:
        run: Folder of the run; what `start` of a text job takes.
        files: Plain text, one sentence or paragraph per line; an empty line ends a document.
        source: Labelled text whose training texts are read too, without their labels.
        sizes: As for a text job, without `classes`.
        digests: Content of every file that the job reads, by role; part of the hash.
        length: Tokens of a row.
        next_sentence: Rows are pairs of lines, and whether the second follows is learned too.
        mask: Share of the tokens to be guessed.
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
    seed: int = 1
    steps: int = 4000
    batch: int = 64
    length: int = 64
    rate: float = 2e-3
    schedule: str = "wsd"
    warmup: float = 0.05
    decay: float = 0.2
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    mask: float = 0.15
    next_sentence: bool = True
    checkpoint_s: float = 20.0

    def hash(self) -> str:
        """Identify everything that decides the weights; name, folders and paths do not."""
        facts = self.to_json()
        for key in ("name", "run", "tokenizer", "files", "checkpoint_s"):
            del facts[key]
        if facts["source"] is not None:
            for key in PATHS:
                del facts["source"][key]
        text = json.dumps({"recipe": PRETRAIN_RECIPE, **facts}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        facts = dataclasses.asdict(self)
        if self.source is not None:
            facts["source"] = {
                key: str(value) if isinstance(value, Path) else value
                for key, value in facts["source"].items()
            }
        facts["run"], facts["files"] = str(self.run), [str(path) for path in self.files]
        facts["tokenizer"] = None if self.tokenizer is None else str(self.tokenizer)
        return facts

    @staticmethod
    def from_json(facts: dict[str, Any]) -> PretrainJob:
        """Read what `to_json` made."""
        source = None
        if facts["source"] is not None:
            fields: dict[str, Any] = {
                key: Path(value) if key in PATHS and value is not None else value
                for key, value in facts["source"].items()
            }
            source = TextSource(**fields)
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
    checkpoint = job.run / "checkpoint.npz"
    if checkpoint.is_file():
        check_owner(job.run, job.hash(), unpack_arrays(checkpoint)[0].get("job_hash"))
    result = read_pretrain_result(job.run)
    if result is None or not (job.run / "model.npz").is_file():
        return None
    check_owner(job.run, job.hash(), result.job_hash)
    return dataclasses.replace(result, name=job.name, reused=True)


def read_pretrain_result(run: Path) -> PretrainResult | None:
    """Read the result of a run folder; None if there is none.

    Raises:
        FormatError: If there is one, but damaged or of another kind.
    """
    path = run / "pretrain.json"
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise FormatError(f"{path}: is not JSON: {exc}") from exc
    if not isinstance(facts, dict):
        raise FormatError(f"{path}: is not the result of pretraining")
    return PretrainResult.from_json({**facts, "run": str(run)}, where=str(path))
