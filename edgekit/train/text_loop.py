"""The training loop of text models: epochs of batches, a checkpoint every few seconds.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgekit.data.text import TextDataset, TextPart, load_text
from edgekit.models import find_family, make_config
from edgekit.models.text_aware import AwareNetwork
from edgekit.models.worker import Emit
from edgekit.train import runs
from edgekit.train.aware import Aware
from edgekit.train.batches import (
    PAD,
    Batch,
    Int32Array,
    choose_buckets,
    cut_windows,
    drop_words,
    plan_epoch,
    token_counts,
)
from edgekit.train.grams import distinct_words
from edgekit.train.metrics import main_metric, measure
from edgekit.train.predict import Predictor
from edgekit.train.schedule import rate_at
from edgekit.train.start import copy_body, prepare_table, prepare_tokenizer
from edgekit.train.step import Stepper
from edgekit.train.targets import Targets, make_targets, text_loss
from edgekit.train.text_jobs import TextJob, TextResult, find_finished

Array = NDArray[Any]
WINDOWED = 4
"""Of a long text, so many times the model's length is trained on."""


def train_text(job: TextJob, emit: Emit) -> TextResult:
    """Train one text model, going on where the run folder's checkpoint ends.

    Raises:
        ConfigError: If the folder holds the run of another job, or the job does not fit its data.
        FormatError: If a file of data is broken.
    """
    finished = find_finished(job)
    if finished is not None:
        return finished
    keras.utils.clear_session()
    run = _Run(job, load_text(job.source))
    run.restore()
    facts = {"job": job.name, "epochs": job.epochs}
    emit({"event": "started", "from": run.epoch, "steps": run.steps, **facts})
    while not run.done:
        run.one_epoch(emit)
        emit(
            {
                "event": "epoch",
                "epoch": run.epoch,
                "loss": run.losses[-1],
                "metric": run.metric,
                "score": run.scores[-1],
                **facts,
            }
        )
    return run.finish()


@dataclass(slots=True)
class _Run:
    """A text model on its way."""

    job: TextJob
    data: TextDataset
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: list[Array] = field(default_factory=list)
    seconds: float = 0.0
    sizes: dict[str, Any] = field(init=False)
    ids: dict[str, Int32Array] = field(init=False)
    counts: Array = field(init=False)
    buckets: tuple[int, ...] = field(init=False)
    targets: Targets = field(init=False)
    model: Any = None
    stepper: Any = None
    predictor: Any = None
    aware: Aware | None = None

    def __post_init__(self) -> None:
        job, data = self.job, self.data
        tokenizer = prepare_tokenizer(job, data)
        self.sizes = {**job.sizes, "vocab": tokenizer.vocab, "classes": data.outputs}
        config = make_config(job.family, self.sizes)
        self.ids = {
            part: tokenizer.encode_batch(getattr(data, part).texts, config.length)
            for part in ("train", "validation", "test")
        }
        if job.windows and np.all(self.ids["train"] != PAD, axis=1).any():
            self.ids["train"] = tokenizer.encode_batch(data.train.texts, WINDOWED * config.length)
        self.counts = token_counts(self.ids["train"])
        self.buckets = choose_buckets(self.counts, limit=config.length)
        self.model = find_family(job.family).build(config, seed=job.seed)
        if job.start is not None:
            copy_body(job.start, self.model, family=job.family, config=config)
        self.targets = make_targets(job, data)
        self.predictor = Predictor(self.model, length=config.length)
        grams = prepare_table(job, data, self.model, tokenizer)
        network, loss, extra = text_loss(job, data, self.model, self.targets)
        self.stepper = Stepper(
            network,
            loss,
            extra=extra,
            weight_decay=job.weight_decay,
            clip_norm=job.clip_norm,
            grams=grams,
        )
        if job.quantize_aware:
            last = round(self.steps * job.epochs * job.quantize_aware)
            self.aware = Aware(
                AwareNetwork(self.model, config, pooled=network is not self.model),
                self.ids["train"],
                first=self.steps * job.epochs - last,
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.data.train) // self.job.batch)

    @property
    def metric(self) -> str:
        """What decides which epoch is best."""
        return main_metric(self.job.source.labels, self.job.metric)

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or none was better for too long."""
        patience = self.job.patience
        waited = patience > 0 and self.epoch > 0 and self.epoch - self.best_epoch >= patience
        return self.epoch >= self.job.epochs or waited

    @property
    def best_epoch(self) -> int:
        """The first of the epochs with the best score, or the last one if none is kept."""
        if not self.job.patience:
            return self.epoch
        return int(np.argmax(self.scores)) + 1 if self.scores else 0

    def one_epoch(self, emit: Emit) -> None:
        """Train on every row once, from the step that was reached."""
        job, started = self.job, time.monotonic()
        # Generators are made anew from numbers: a resumed run draws what an uninterrupted one does.
        rng = np.random.default_rng([job.seed, self.epoch])
        plan = plan_epoch(self.counts, batch=job.batch, buckets=self.buckets, rng=rng)
        saved = time.monotonic()
        for k in range(self.step, self.steps):
            if self.aware is not None:
                self.aware.prepare(self.stepper, self.epoch * self.steps + k, anew=k == 0)
            self.loss_sum += float(self._train_on(plan[k], k))
            self.step = k + 1
            now = time.monotonic()
            if now - saved >= job.checkpoint_s and self.step < self.steps:
                self.seconds, started, saved = self.seconds + now - started, now, now
                self._save_checkpoint()
                emit({"event": "step", "job": job.name, "step": self.step, "of": self.steps})
        self.stepper.fold()
        self.losses.append(self.loss_sum / self.steps)
        self.scores.append(self._measure("validation")[self.metric])
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0
        if job.patience and self.best_epoch == self.epoch:
            self.best = [np.array(w) for w in self.model.get_weights()]
        self.seconds += time.monotonic() - started
        self._save_checkpoint()

    def _train_on(self, batch: Batch, k: int) -> Any:
        job = self.job
        number = self.epoch * self.steps + k
        rng = np.random.default_rng([job.seed, self.epoch, k])
        whole = self.ids["train"][batch.rows]
        ids = cut_windows(whole, self.counts[batch.rows], batch.length, rng)
        ids = drop_words(ids, job.word_dropout, rng)
        arrays: dict[str, Array] = {"ids": ids, **self.targets.take(batch.rows)}
        if self.stepper.grams is not None:
            arrays["words"] = distinct_words(ids, room=ids.size)
        rate = rate_at(
            number,
            schedule=job.schedule,
            total=self.steps * job.epochs,
            warmup=job.warmup,
            decay=job.decay,
            peak=job.rate,
        )
        return self.stepper.step(arrays, number=number, rate=rate)

    def _measure(self, name: str) -> dict[str, float]:
        part: TextPart = getattr(self.data, name)
        logits = self.targets.to_real(self.predictor.run(self.ids[name]))
        return measure(self.data.labels, part.labels, logits, threshold=self.job.threshold)

    def restore(self) -> None:
        """Take up the checkpoint, if there is one.

        Raises:
            ConfigError: If it is that of another configuration.
            FormatError: If it is damaged.
        """
        found = runs.restore(self.job, self.stepper.restore)
        if found is None:
            return
        meta, arrays = found
        self.epoch, self.step = int(meta["epoch"]), int(meta["step"])
        if self.aware is not None:
            self.aware.restore(meta["scales"])
        self.loss_sum = float(meta["loss_sum"])
        self.losses, self.scores = list(meta["losses"]), list(meta["scores"])
        self.seconds = float(meta["seconds"])
        self.best = [arrays[name] for name in sorted(arrays) if name[0] == "b"]

    def _save_checkpoint(self) -> None:
        arrays = self.stepper.state()
        arrays |= {f"b{i:03d}": value for i, value in enumerate(self.best)}
        meta = {
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "losses": self.losses,
            "scores": self.scores,
            "seconds": self.seconds,
        }
        if self.aware is not None:
            meta["scales"] = self.aware.scales
        runs.write_checkpoint(self.job, meta, arrays)

    def finish(self) -> TextResult:
        """Write model and result, drop the checkpoint."""
        job = self.job
        self.stepper.fold()
        if self.best:
            self.model.set_weights(self.best)
        self.targets.fold(self.model)
        result = TextResult(
            name=job.name,
            run=job.run,
            job_hash=job.hash(),
            parameters=sum(int(np.prod(v.shape)) for v in self.model.trainable_variables),
            labels=self.data.labels,
            label_names=self.data.label_names,
            metric=self.metric,
            losses=tuple(self.losses),
            scores=tuple(self.scores),
            best_epoch=self.best_epoch,
            validation=self._measure("validation"),
            test=self._measure("test"),
            seconds=round(self.seconds, 3),
        )
        runs.finish(job, self.model, self.sizes, job.run / runs.RESULT, result)
        return result
