"""The training loop: AdamW, cosine schedule, clipped gradients, a checkpoint after every epoch.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgekit.data import load_dataset
from edgekit.data.dataset import Dataset, Float32Array, Part, UInt8Array
from edgekit.data.split import shuffled
from edgekit.models import find_family, make_config
from edgekit.models.saved import Arrays
from edgekit.models.worker import Emit
from edgekit.train import runs
from edgekit.train.augment import augment_images
from edgekit.train.jobs import TrainJob, TrainResult
from edgekit.train.schedule import cosine_rate

UNDECAYED = ("gamma", "beta", "bias", "table")
THREADS = 1
"""Sums are split by thread, and the number of cores must not change the weights; at these sizes one
thread is also faster than two."""


def set_up() -> None:
    """Make the framework deterministic; once, before anything else."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)


def train(job: TrainJob, emit: Emit) -> TrainResult:
    """Train one model, going on where the run folder's checkpoint ends.

    Raises:
        ConfigError: If the folder holds the run of another job.
    """
    finished: TrainResult | None = runs.find_done(job, job.run / runs.RESULT, TrainResult.from_json)
    if finished is not None:
        return finished
    dataset = load_dataset(job.dataset)
    part = _training_part(dataset.train, job)
    keras.utils.clear_session()
    run = _Run(job, dataset)
    run.restore()
    emit({"event": "started", "job": job.name, "epochs": job.epochs, "from": run.epoch})
    while run.epoch < job.epochs:
        run.one_epoch(part)
        emit(
            {
                "event": "epoch",
                "job": job.name,
                "epoch": run.epoch,
                "epochs": job.epochs,
                "loss": run.losses[-1],
                "accuracy": run.accuracies[-1],
            }
        )
    return run.finish()


def _training_part(part: Part, job: TrainJob) -> Part:
    part = part.without_classes(job.leave_out)
    if not job.shuffle_labels:
        return part
    order = shuffled(np.arange(len(part), dtype=np.int64), seed=job.seed)
    return Part(raw=part.raw, labels=part.labels[order])


@dataclass(slots=True)
class _Run:
    """A model on its way."""

    job: TrainJob
    dataset: Dataset
    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    model: Any = None
    optimizer: Any = None
    step: Any = None

    def __post_init__(self) -> None:
        job = self.job
        family = find_family(job.family)
        self.model = family.build(make_config(job.family, job.sizes), seed=job.seed)
        logits = keras.Model(self.model.input, self.model.get_layer("head").output)
        self.optimizer = keras.optimizers.AdamW(
            job.rate, weight_decay=job.weight_decay, global_clipnorm=job.clip_norm
        )
        self.optimizer.exclude_from_weight_decay(var_names=list(UNDECAYED))
        self.optimizer.build(logits.trainable_variables)
        self.step = _make_step(logits, self.optimizer)

    def restore(self) -> None:
        """Take up the checkpoint, if there is one."""
        found = runs.restore(self.job, self._take)
        if found is not None:
            meta, _ = found
            self.epoch = int(meta["epoch"])
            self.losses = list(meta["losses"])
            self.accuracies = list(meta["accuracies"])
            self.seconds = float(meta["seconds"])

    def _take(self, arrays: Arrays) -> bool:
        for kind, variables in (("w", self.model.weights), ("o", self.optimizer.variables)):
            found = [arrays[name] for name in sorted(arrays) if name[0] == kind]
            if [v.shape for v in found] != [tuple(v.shape) for v in variables]:
                return False
            for variable, value in zip(variables, found, strict=True):
                variable.assign(value)
        return True

    def one_epoch(self, part: Part) -> None:
        """Train on every sample once and write the checkpoint."""
        started = time.monotonic()
        job = self.job
        # A fresh generator per epoch: a resumed run draws what an uninterrupted one draws.
        rng = np.random.default_rng([job.seed, self.epoch])
        order = rng.permutation(len(part))
        images = augment_images(
            self.dataset.to_float(part.raw[order]), rng, shift=job.shift, noise=job.noise
        )
        targets = self._targets(part.labels[order])
        steps = len(part) // job.batch
        total = 0.0
        for k in range(steps):
            self.optimizer.learning_rate = cosine_rate(
                self.epoch * steps + k,
                total=job.epochs * steps,
                warmup=job.warmup_epochs * steps,
                peak=job.rate,
            )
            batch = slice(k * job.batch, (k + 1) * job.batch)
            total += float(self.step(images[batch], targets[batch]))
        self.epoch += 1
        self.losses.append(total / steps)
        self.accuracies.append(self._accuracy(self.dataset.acceptance))
        self.seconds += time.monotonic() - started
        self._save_checkpoint()

    def finish(self) -> TrainResult:
        """Write model and result, drop the checkpoint."""
        job = self.job
        result = TrainResult(
            name=job.name,
            run=job.run,
            job_hash=job.hash(),
            parameters=sum(int(np.prod(v.shape)) for v in self.model.trainable_variables),
            losses=tuple(self.losses),
            accuracies=tuple(self.accuracies),
            accuracy=self._accuracy(self.dataset.test),
            acceptance_accuracy=self._accuracy(self.dataset.acceptance),
            seconds=round(self.seconds, 3),
        )
        runs.finish(job, self.model, job.sizes, job.run / runs.RESULT, result)
        return result

    def _targets(self, labels: UInt8Array) -> Float32Array:
        classes = len(self.dataset.label_names)
        smoothing = self.job.label_smoothing
        onehot = np.eye(classes, dtype=np.float32)[labels]
        smooth = onehot * (1.0 - smoothing) + smoothing / classes
        return smooth.astype(np.float32)

    def _accuracy(self, part: Part) -> float:
        answers = np.asarray(self.model(self.dataset.to_float(part.raw), training=False))
        return float(np.mean(answers.argmax(axis=1) == part.labels))

    def _save_checkpoint(self) -> None:
        arrays = {f"w{i:03d}": np.asarray(v) for i, v in enumerate(self.model.weights)}
        arrays |= {f"o{i:03d}": np.asarray(v) for i, v in enumerate(self.optimizer.variables)}
        meta = {
            "epoch": self.epoch,
            "losses": self.losses,
            "accuracies": self.accuracies,
            "seconds": self.seconds,
        }
        runs.write_checkpoint(self.job, meta, arrays)


def _make_step(logits: Any, optimizer: Any) -> Any:
    variables = logits.trainable_variables

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator, unused-ignore]
    def step(images: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.softmax_cross_entropy_with_logits(targets, logits(images, training=True))
            )
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return step
