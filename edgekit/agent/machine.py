"""A Linux machine as a device: its model, its samples, and what it keeps over a restart.

The same C as on boards runs the model and trains its head, so updates have the same bytes.

Twin: firmware/agent/ek_agent_learn.c
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import threading
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from edgekit.agent.credentials import Credentials, write_private
from edgekit.agent.kept import Kept, load_kept
from edgekit.agent.learned import Learned
from edgekit.agent.left_out import LeftOut
from edgekit.agent.practice import Practice, Stream
from edgekit.agent.samples import read_samples
from edgekit.agent.seals import Identity
from edgekit.agent.work import Active, Practised
from edgekit.data.files import write_atomic
from edgekit.errors import EdgekitError, FormatError, LinkError, StoreError
from edgekit.federated.codecs import (
    HeadWeights,
    Update,
    decode_head,
    head_bytes,
    rounding_seed,
)
from edgekit.federated.plan import MAX_EPOCHS
from edgekit.federated.settings import CODECS, SPARSE
from edgekit.link.messages import (
    MAX_OUTPUTS_BYTES,
    FederatedTask,
    FreeBytes,
    Learning,
    Log,
    LogLevel,
    Manifest,
    TextAnswer,
)
from edgekit.link.status import Status, refuse
from edgekit.runtime import Runner
from edgekit.runtime.codec import write_values
from edgekit.runtime.head import MAX_CLASSES, HeadTrainer

logger = logging.getLogger(__name__)

_TOP = 2**32 - 1


class Machine:
    """The `Work` of a Linux-class device.

    Args:
        folder: Where it keeps keys and model.
        samples: File of labelled samples; None: it has none, and refuses to learn.

    Raises:
        StoreError: If its files cannot be read or written.
        FormatError: If they are damaged.
    """

    def __init__(
        self, credentials: Credentials, folder: Path, *, samples: Path | None = None
    ) -> None:
        self._folder, self._samples = folder, samples
        self._lock = threading.Lock()  # of model and state; work runs in another thread
        kept = load_kept(folder / "state.json")
        if kept.token != credentials.token.id.hex():
            # Kept before it is used: the token is bound to the first key that the server sees.
            kept = replace(
                kept, token=credentials.token.id.hex(), private=secrets.token_hex(32), key=""
            )
        self._kept = replace(kept, boot=kept.boot + 1)
        self._save(self._kept)
        self._credentials = credentials
        self._runner = self._open_image()
        self._cache: tuple[str, Stream] | None = None
        self._running = threading.RLock()  # of the model's memory
        self._learned = Learned(folder / "learned.bin")
        self._practice: Practice | None = None
        self._head_hash = self._active_head_hash()

    def identity(self) -> Identity:
        """Return who it is in this boot."""
        kept = self._kept
        return Identity(
            device=self._credentials.device,
            token=self._credentials.token,
            boot=kept.boot,
            private=bytes.fromhex(kept.private),
            key=bytes.fromhex(kept.key) or None,
        )

    def keep_key(self, key: bytes) -> None:
        """Keep the device key that a claim gave."""
        with self._lock:
            if self._kept.key != key.hex():
                self._save(replace(self._kept, key=key.hex()))

    def active(self) -> Active:
        """Return the model that runs now."""
        with self._lock:
            kept = self._kept
            pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            free = FreeBytes(min(pages, _TOP), min(shutil.disk_usage(self._folder).free, _TOP))
            return Active(
                image_id=bytes.fromhex(kept.image) or None,
                counter=kept.counter,
                head_hash=self._head_hash,
                free=free,
            )

    def activate(self, manifest: Manifest, image: bytes | None) -> Status:
        """Prove an image with its golden vectors, keep it, and run it from now on."""
        try:
            runner = None
            if image is not None:
                runner = Runner(image)
                try:
                    runner.golden_check()
                except FormatError:
                    return Status.GOLDEN
                write_atomic(self._image(manifest.image_id.hex()), image)
            with self._lock:
                before = self._kept.image
                named = {"image": manifest.image_id.hex(), "counter": manifest.counter}
                self._save(replace(self._kept, **named))  # type: ignore[arg-type]
                self._runner = runner or self._runner
                self._practice = None  # learnt on the image before
                self._head_hash = self._active_head_hash()
            if before and before != manifest.image_id.hex():
                self._image(before).unlink(missing_ok=True)
        except StoreError as exc:
            logger.error("%s", exc)
            return Status.FLASH
        except FormatError as exc:
            logger.warning("release %d: %s", manifest.counter, exc)
            return next((s for s in Status if s.text in str(exc)), Status.RANGE)
        return Status.OK

    def check(self, task: FederatedTask) -> tuple[Status, int]:
        """Say whether a task can be done, and on how many samples."""
        with self._lock:
            runner = self._runner
        if runner is None or runner.image.head is None:
            return Status.STATE, 0
        head = runner.image.head
        status = _check_numbers(task, head.classes * (head.features + 1))
        if status is not Status.OK:
            return status, 0
        if head.classes > MAX_CLASSES or task.head_bytes != head_bytes(head.classes, head.features):
            return Status.SHAPE, 0
        try:
            count = len(self._stream(runner).labels)
        except EdgekitError as exc:
            logger.warning("%s", exc)
            return Status.STATE, 0
        return (Status.OK, count) if count else (Status.STATE, 0)

    def learn(self, task: FederatedTask, head: bytes) -> bytes | Status:
        """Train a head object on the samples; return the update object, or why not."""
        with self._lock:
            runner = self._runner
        if runner is None or runner.image.head is None:
            return Status.STATE
        try:
            base = decode_head(head)
            if base.hash != task.base_head_hash:
                return Status.HASH
            own = runner.image.head
            if (base.classes, base.features) != (own.classes, own.features):
                return Status.SHAPE
            stream = self._stream(runner)
            trainer = HeadTrainer(base.weights, base.bias)
            losses = trainer.train(
                stream.features,
                stream.labels,
                scale=own.scale,
                zero_point=own.zero_point,
                rate=task.rate,
                decay=task.decay,
                mu=task.mu,
                local=task.local,
                epochs=task.epochs,
            )
            learned = Update(
                run=task.run,
                round=task.round,
                samples=len(stream.labels),
                base_hash=base.hash,
                loss_first=losses[0],
                loss_last=losses[-1],
                weights=trainer.weights - base.weights,
                bias=trainer.bias - base.bias,
            )
            update = self._sent(task, learned)
            self._learned.keep_head(runner.image.id, HeadWeights(trainer.weights, trainer.bias))
            with self._lock:
                self._head_hash = trainer.hash
            return update
        except LinkError as exc:
            logger.warning("round %d: %s", task.round, exc)
            return Status(exc.status)
        except EdgekitError as exc:
            logger.warning("round %d: %s", task.round, exc)
            return Status.STATE

    def practise(self, wish: Learning | None, steps: int) -> Practised:
        """Let the head learn by itself; a head that is not wished any more is stored first."""
        with self._lock:
            runner, practice = self._runner, self._practice
        said: list[Log] = []
        if practice is not None and (wish is None or not _alike(practice.wish, wish)):
            practice.close()
            said += practice.said
            practice = None
        try:
            if wish is not None and practice is None:
                if runner is None:
                    raise refuse(Status.STATE, "no model")
                practice = Practice(runner, self._stream(runner), wish, self._learned)
            for _ in range(steps if practice is not None else 0):
                with self._running:
                    practice.step()  # type: ignore[union-attr]
        except EdgekitError as exc:
            logger.warning("learning by itself: %s", exc)
            status = Status(exc.status) if isinstance(exc, LinkError) else Status.STATE
            said.append(Log(LogLevel.WARNING, f"learning refused: {status.text}"))
            practice = None
        with self._lock:
            current = runner is self._runner
            self._practice = practice if current else None
        if practice is not None:
            said += practice.said
            practice.said.clear()
        return Practised(tuple(said), practice is not None)

    def answer(self, number: int, text: bytes) -> bytes:
        """Return what the model says about a text. Twin: firmware/agent/ek_agent_text.c."""
        with self._lock:
            runner, image = self._runner, bytes.fromhex(self._kept.image)
        if runner is None or not runner.takes_text:
            return TextAnswer(number=number, status=Status.STATE).encode()
        with self._running:
            ids = runner.text_ids([text])
            output = runner.run(ids)[0]
        try:
            found = runner.answer(output)
        except EdgekitError:
            return TextAnswer(number=number, status=Status.SHAPE).encode()
        outputs = output.tobytes()
        return TextAnswer(
            number=number,
            image_id=image,
            label=found.label,
            score=found.score,
            tokens=int(np.count_nonzero(ids)),
            outputs=outputs if len(outputs) <= MAX_OUTPUTS_BYTES else b"",
        ).encode()

    def _active_head_hash(self) -> bytes | None:
        head = None if self._runner is None else self._runner.image.head
        if self._runner is None or head is None:
            return None
        own = HeadWeights(head.weights, head.bias)
        trained = self._learned.head(self._runner.image.id)
        fits = trained is not None and trained.weights.shape == own.weights.shape
        return trained.hash if trained is not None and fits else own.hash

    def _sent(self, task: FederatedTask, learned: Update) -> bytes:
        """Return the update object, and keep what it leaves out.

        Raises:
            EdgekitError: NOT_FINITE, or what is left out cannot be kept.
        """
        values = np.concatenate([learned.weights.ravel(), learned.bias])
        values = values[: len(values) - task.local]
        left_out = LeftOut(self._folder / "left_out.bin", task.run, task.round)
        if task.feedback:
            values = values + left_out.before(len(values))
        if not np.isfinite(values).all():
            raise refuse(Status.NOT_FINITE, "what was learned is not finite")
        seed = rounding_seed(self._credentials.device, task.run, task.round)
        data, after = write_values(values, task.codec, entries=task.entries, seed=seed)
        if task.feedback:
            left_out.keep(after)
        sent = replace(learned, codec=CODECS[task.codec], data=data, local=task.local)
        return sent.encode()

    def _stream(self, runner: Runner) -> Stream:
        """What model and head read of each sample, and the classes; kept while both files stay."""
        if self._samples is None:
            raise StoreError("this device has no samples; 'edgekit agent --samples' names them")
        try:
            stamp = f"{runner.image.id.hex()} {self._samples.stat().st_mtime_ns}"
        except OSError as exc:
            raise StoreError(f"{self._samples}: cannot be read: {exc.strerror}") from exc
        if self._cache is None or self._cache[0] != stamp:
            raw, labels = read_samples(self._samples)
            if not runner.takes_text and raw.shape[1] != runner.raw_bytes:
                raise FormatError(
                    f"{self._samples}: samples have {raw.shape[1]} bytes, model"
                    f" '{runner.image.meta.name}' takes {runner.raw_bytes}"
                )
            with self._running:
                inputs = runner.prepare(raw)
                read = runner.features(cast(npt.NDArray[np.int8], inputs))  # or ids
            if not len(labels):
                raise StoreError(f"{self._samples}: has no samples")
            self._cache = stamp, Stream(inputs, read, labels)
        return self._cache[1]

    def _image(self, image: str) -> Path:
        return self._folder / f"{image[:16]}.ekm"

    def _open_image(self) -> Runner | None:
        kept = self._kept
        if not kept.image:
            return None
        path = self._image(kept.image)
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise StoreError(f"{path}: cannot be read: {exc.strerror}") from exc
        if blake2b(data, digest_size=32).hexdigest() != kept.image:
            raise FormatError(f"{path}: is not the image that was installed; remove {path.parent}")
        return Runner(data)

    def _save(self, kept: Kept) -> None:
        said = {name: getattr(kept, name) for name in Kept.__slots__}
        write_private(self._folder / "state.json", json.dumps(said).encode())
        self._kept = kept


def _alike(one: Learning, other: Learning) -> bool:
    """Say whether two wishes differ in nothing but how fast."""
    return replace(one, steps_per_minute=other.steps_per_minute) == other


def _check_numbers(task: FederatedTask, size: int) -> Status:
    """Judge what a task says of its numbers and its codec, for a head of `size` parameters.

    Twin: firmware/agent/ek_agent_learn.c, check_numbers
    """
    if not 1 <= task.epochs <= MAX_EPOCHS or min(task.rate, task.decay, task.mu) < 0:
        return Status.RANGE
    if task.local >= size:
        return Status.SHAPE
    sparse = CODECS[task.codec] in SPARSE
    if sparse != (task.entries > 0) or task.entries > size - task.local:
        return Status.RANGE
    return Status.RANGE if task.feedback and not task.codec else Status.OK
