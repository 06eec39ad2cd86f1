"""What a training job is, and what comes out of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError, FormatError
from edgekit.train.runs import hash_facts

RECIPE = 1
"""Version of what the loop does with a job; part of the hash, so that old runs are not resumed."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One model to train; equal jobs give equal weights on one kind of machine.

    Attributes:
        name: What progress calls it.
        run: Folder of the run: checkpoint, result, model; made if missing, resumed if there.
        family: Model family.
        sizes: The family's sizes that differ from its defaults.
        leave_out: Classes whose training samples are not used.
        shuffle_labels: Give every training sample the label of another, to make a useless model.
        seed: Decides first weights, order of samples and augmentation.
        epochs: Passes over the training part.
        rate: Peak learning rate, reached after `warmup_epochs`, then a half cosine to zero.
        clip_norm: Largest norm of all gradients together.
        shift: Largest shift of an image in pixels.
        noise: Standard deviation of the noise added to inputs of 0..1.
    """

    name: str
    run: Path
    family: str = "tinyvit"
    sizes: dict[str, Any] = field(default_factory=dict)
    dataset: str = "digits"
    leave_out: tuple[int, ...] = ()
    shuffle_labels: bool = False
    seed: int = 1
    epochs: int = 25
    batch: int = 32
    rate: float = 4e-3
    warmup_epochs: int = 2
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    clip_norm: float = 1.0
    shift: int = 1
    noise: float = 0.04

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.seed < 0 or self.rate <= 0:
            raise ConfigError(f"job {self.name!r}: epochs, batch, rate must be > 0, seed >= 0")
        if not 0 <= self.label_smoothing < 1 or self.clip_norm <= 0 or self.noise < 0:
            raise ConfigError(
                f"job {self.name!r}: label smoothing, clip norm or noise out of range"
            )

    def hash(self) -> str:
        """Identify everything that decides the weights; name and folder do not."""
        facts = self.to_json()
        del facts["name"], facts["run"]
        return hash_facts({"recipe": RECIPE, **facts})

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        return {**dataclasses.asdict(self), "run": str(self.run), "leave_out": list(self.leave_out)}

    @staticmethod
    def from_json(facts: dict[str, Any]) -> TrainJob:
        """Read what `to_json` made."""
        return TrainJob(
            **{**facts, "run": Path(facts["run"]), "leave_out": tuple(facts["leave_out"])}
        )


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run reached, all in float.

    Attributes:
        run: Folder; `model` in it is the file for `edgekit.models.saved.load_model`.
        losses: Mean training loss of each epoch.
        accuracies: Accuracy on the acceptance part after each epoch; nothing is chosen by it.
        accuracy: Share of right answers on the test part, over all its classes.
        acceptance_accuracy: The same on the acceptance part.
        seconds: Time in the loop, over all resumed parts.
        reused: The folder already held the whole run.
    """

    name: str
    run: Path
    job_hash: str
    parameters: int
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    accuracy: float
    acceptance_accuracy: float
    seconds: float
    reused: bool = False

    @property
    def model(self) -> Path:
        """The trained model's file."""
        return self.run / "model.npz"

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        facts = dataclasses.asdict(self)
        return {**facts, "run": str(self.run), "losses": list(self.losses),
                "accuracies": list(self.accuracies)}  # fmt: skip

    @staticmethod
    def from_json(facts: dict[str, Any], *, where: str) -> TrainResult:
        """Read what `to_json` made.

        Raises:
            FormatError: If a field is missing, unknown or of another type.
        """
        try:
            return TrainResult(
                name=str(facts["name"]),
                run=Path(facts["run"]),
                job_hash=str(facts["job_hash"]),
                parameters=int(facts["parameters"]),
                losses=tuple(float(x) for x in facts["losses"]),
                accuracies=tuple(float(x) for x in facts["accuracies"]),
                accuracy=float(facts["accuracy"]),
                acceptance_accuracy=float(facts["acceptance_accuracy"]),
                seconds=float(facts["seconds"]),
                reused=bool(facts["reused"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError(f"{where}: is not a training result: {exc!r}") from exc
