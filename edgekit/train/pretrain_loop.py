"""The loop of pretraining: hidden tokens and next sentences, resumable from any checkpoint.

Only worker processes import this file: it loads the training framework.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgekit.data.dataset import Int64Array
from edgekit.data.split import shuffled
from edgekit.data.text import load_text
from edgekit.data.tokenizer import Tokenizer, train_tokenizer
from edgekit.models import find_family, make_config
from edgekit.models.worker import Emit
from edgekit.train import runs
from edgekit.train.batches import Batch, choose_buckets, plan_epoch
from edgekit.train.pretrain_jobs import PRETRAINED, PretrainJob, PretrainResult, find_pretrained
from edgekit.train.schedule import rate_at
from edgekit.train.sentences import (
    HELD_OUT,
    MOST_HELD_OUT,
    RANDOM,
    Corpus,
    choose_seconds,
    make_corpus,
    make_rows,
    mask_tokens,
    read_documents,
)
from edgekit.train.step import Stepper

PARTS = 10
"""The mean loss is kept for so many parts of the run."""


def pretrain(job: PretrainJob, emit: Emit) -> PretrainResult:
    """Pretrain one model, going on where the run folder's checkpoint ends.

    Raises:
        ConfigError: If the folder holds the run of another job, or there is too little text.
        FormatError: If a file of text is broken.
    """
    finished = find_pretrained(job)
    if finished is not None:
        return finished
    keras.utils.clear_session()
    documents = _documents(job)
    tokenizer = _tokenizer(job, documents)
    run = _Run(job, tokenizer, make_corpus(documents, tokenizer, length=job.length))
    run.restore()
    emit({"event": "started", "job": job.name, "from": run.step, "steps": job.steps})
    run.train(emit)
    return run.finish()


def _documents(job: PretrainJob) -> list[list[str]]:
    documents = [document for path in job.files for document in read_documents(path)]
    if job.source is not None:
        # The training part alone: what is split off it must stay unseen.
        documents += [[text] for text in load_text(job.source).train.texts]
    return documents


def _tokenizer(job: PretrainJob, documents: list[list[str]]) -> Tokenizer:
    path = job.run / "tokenizer.json"
    wanted = job.sizes.get("vocab")
    if path.is_file():
        tokenizer = Tokenizer.load(path)
    elif job.tokenizer is not None:
        tokenizer = Tokenizer.load(job.tokenizer)
    else:
        lines = (line for document in documents for line in document)
        most = make_config(job.family, job.sizes).vocab
        tokenizer = train_tokenizer(lines, wanted or most, exact=wanted is not None)
    if not path.is_file():
        tokenizer.save(path)
    return tokenizer


@dataclass(slots=True)
class _Run:
    """A model on its way."""

    job: PretrainJob
    tokenizer: Tokenizer
    corpus: Corpus
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * PARTS)
    seconds: float = 0.0
    sizes: dict[str, Any] = field(init=False)
    rows: Int64Array = field(init=False)
    held_out: Int64Array = field(init=False)
    buckets: tuple[int, ...] = field(init=False)
    model: Any = None
    heads: list[Any] = field(default_factory=list)
    stepper: Any = None

    def __post_init__(self) -> None:
        job = self.job
        length = max(job.length, int(job.sizes.get("length", 0)))
        self.sizes = {**job.sizes, "vocab": self.tokenizer.vocab, "length": length}
        self.model = find_family(job.family).build(
            make_config(job.family, self.sizes), seed=job.seed
        )
        body = keras.Model(self.model.input, self.model.get_layer("tokens").output)
        self.heads = _make_heads(int(body.output.shape[-1]), self.tokenizer.vocab, job.seed)
        self.stepper = Stepper(
            body,
            self._loss,
            extra=self.heads,
            weight_decay=job.weight_decay,
            clip_norm=job.clip_norm,
        )
        order = shuffled(np.arange(len(self.corpus.segments), dtype=np.int64), seed=job.seed)
        held = min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(order))))
        self.held_out, self.rows = order[:held], np.sort(order[held:])
        counts = self._counts(self.rows, np.where(self.corpus.follows[self.rows], 0, -1))
        chosen = choose_buckets(counts, limit=job.length, most=3)
        # A second segment drawn at random may be longer than the next one.
        self.buckets = tuple(sorted({*chosen, job.length}))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold every row once."""
        return -(-len(self.rows) // self.job.batch)

    def train(self, emit: Emit) -> None:
        """Train from the step that was reached to the last."""
        job, started = self.job, time.monotonic()
        saved, epoch, plan = started, -1, []
        firsts = seconds = kinds = np.zeros(0, np.int64)
        while self.step < job.steps:
            if self.step // self.steps_per_epoch != epoch:
                # Made anew from numbers: a resumed run draws what an uninterrupted one does.
                epoch = self.step // self.steps_per_epoch
                rng = np.random.default_rng([job.seed, epoch])
                firsts = self.rows
                seconds, kinds = self._seconds(firsts, rng)
                counts = self._counts(firsts, seconds)
                plan = plan_epoch(counts, batch=job.batch, buckets=self.buckets, rng=rng)
            batch = plan[self.step % self.steps_per_epoch]
            arrays = self._arrays(firsts, seconds, kinds, batch, self.step)
            loss = self.stepper.step(arrays, number=self.step, rate=self._rate())
            self.sums[self.step * PARTS // job.steps] += float(loss)
            self.step += 1
            now = time.monotonic()
            if now - saved >= job.checkpoint_s:
                self.seconds, started, saved = self.seconds + now - started, now, now
                self._save_checkpoint()
                facts = {"job": job.name, "step": self.step, "of": job.steps}
                emit({"event": "step", "loss": float(loss), **facts})
        self.seconds += time.monotonic() - started

    def _rate(self) -> float:
        job = self.job
        return rate_at(
            self.step,
            schedule=job.schedule,
            total=job.steps,
            warmup=job.warmup,
            decay=job.decay,
            peak=job.rate,
        )

    def _seconds(self, firsts: Int64Array, rng: np.random.Generator) -> tuple[Any, Any]:
        if self.job.next_sentence:
            return choose_seconds(self.corpus, firsts, rng)
        alone = np.full(len(firsts), -1, np.int64)
        follows = self.corpus.follows[firsts]
        return np.where(follows, firsts + 1, alone), alone.astype(np.int32)

    def _counts(self, firsts: Int64Array, seconds: Int64Array) -> Int64Array:
        sizes = np.array([len(segment) for segment in self.corpus.segments], dtype=np.int64)
        both = np.where(seconds >= 0, sizes[np.maximum(seconds, 0)] + 2, 0)
        return np.asarray(1 + sizes[firsts] + both)

    def _arrays(
        self, firsts: Int64Array, seconds: Any, kinds: Any, batch: Batch, number: int
    ) -> dict[str, Any]:
        chosen = batch.rows
        rows = make_rows(self.corpus, firsts[chosen], seconds[chosen], length=batch.length)
        rng = np.random.default_rng([self.job.seed, 1, number])
        masked = mask_tokens(rows, share=self.job.mask, vocab=self.tokenizer.vocab, rng=rng)
        return {
            "ids": masked.ids,
            "places": masked.places,
            "answers": masked.answers,
            "weights": masked.weights,
            "kinds": np.maximum(kinds[chosen], 0).astype(np.int32),
            "pairs": (kinds[chosen] >= 0).astype(np.float32),
        }

    def _losses(self, states: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
        kernel, bias, pair_kernel, pair_bias = self.heads
        flat = tf.reshape(states, (-1, states.shape[-1]))
        logits = tf.matmul(tf.gather(flat, batch["places"]), kernel) + bias
        masked = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["answers"], logits)
        pairs = tf.matmul(states[:, 0], pair_kernel) + pair_bias
        second = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["kinds"], pairs)
        return _mean(masked, batch["weights"]), _mean(second, batch["pairs"])

    def _loss(self, states: Any, batch: dict[str, Any]) -> Any:
        masked, second = self._losses(states, batch)
        return masked + second

    def _measure(self) -> tuple[float, float]:
        rng = np.random.default_rng([self.job.seed, 2])
        seconds, kinds = self._seconds(self.held_out, rng)
        size = min(self.job.batch, len(self.held_out))
        found = []
        for k in range(len(self.held_out) // size):
            batch = Batch(np.arange(k * size, (k + 1) * size), self.job.length)
            arrays = self._arrays(self.held_out, seconds, kinds, batch, -k - 1 & 0xFFFFFFFF)
            tensors = {name: tf.constant(value) for name, value in arrays.items()}
            states = self.stepper.network(tensors["ids"], training=False)
            found.append([float(loss) for loss in self._losses(states, tensors)])
        masked, second = np.mean(found, axis=0).tolist()
        return masked, second

    def restore(self) -> None:
        """Take up the checkpoint, if there is one.

        Raises:
            ConfigError: If it is that of another configuration.
            FormatError: If it is damaged.
        """
        found = runs.restore(self.job, self.stepper.restore)
        if found is not None:
            meta, _ = found
            self.step, self.sums = int(meta["step"]), [float(x) for x in meta["sums"]]
            self.seconds = float(meta["seconds"])

    def _save_checkpoint(self) -> None:
        facts = {"step": self.step, "sums": self.sums, "seconds": self.seconds}
        runs.write_checkpoint(self.job, facts, self.stepper.state())

    def finish(self) -> PretrainResult:
        """Write model and result, drop the checkpoint."""
        job = self.job
        places = np.arange(job.steps) * PARTS // job.steps
        counts = np.bincount(places, minlength=PARTS)
        result = PretrainResult(
            name=job.name,
            run=job.run,
            job_hash=job.hash(),
            lines=self.corpus.lines,
            tokens=self.corpus.tokens,
            losses=tuple(s / int(n) for s, n in zip(self.sums, counts, strict=True) if n),
            held_out=self._measure(),
            seconds=round(self.seconds, 3),
        )
        runs.finish(job, self.model, self.sizes, job.run / PRETRAINED, result)
        return result


def _make_heads(width: int, vocab: int, seed: int) -> list[Any]:
    rng = np.random.default_rng([seed, 3])

    def weight(*shape: int) -> Any:
        return tf.Variable(rng.normal(0.0, 0.02, shape).astype(np.float32), name="kernel")

    def bias(size: int) -> Any:
        return tf.Variable(np.zeros(size, np.float32), name="bias")

    return [weight(width, vocab), bias(vocab), weight(width, RANDOM + 1), bias(RANDOM + 1)]


def _mean(values: Any, weights: Any) -> Any:
    return tf.reduce_sum(values * weights) / tf.maximum(tf.reduce_sum(weights), 1.0)
