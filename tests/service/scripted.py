"""A device that does what its desired document says, in Python: releases and federated tasks.

It speaks the protocol through `Peer`. Its model is bytes and its training a fixed rule, so tests
see every byte; the real agent is tested against the same server elsewhere.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from fleet.peer import Peer, wait_until

from edgekit.federated.codecs import HeadWeights, Update, compressed, decode_head
from edgekit.federated.settings import CODECS
from edgekit.fleet.manifests import verify_manifest
from edgekit.link.chunks import ChunkPull
from edgekit.link.messages import (
    FederatedReport,
    FederatedState,
    FederatedTask,
    Manifest,
    SignedManifest,
    UpdateReport,
    UpdateState,
)
from edgekit.link.status import Status
from edgekit.service.local import LocalFleet
from edgekit.service.server import FleetServer

Verdict = Callable[[Manifest, bytes], Status]
Learn = Callable[[FederatedTask, HeadWeights], bytes | Status | None]


def accept(manifest: Manifest, image: bytes) -> Status:
    """Find nothing wrong with an image."""
    return Status.OK


def shift(seed: int, samples: int = 50) -> Learn:
    """Return a training that moves every weight by a fixed random step."""

    def learn(task: FederatedTask, head: HeadWeights) -> bytes:
        rng = np.random.default_rng([seed, task.round])
        update = Update(
            run=task.run,
            round=task.round,
            samples=samples,
            base_hash=head.hash,
            loss_first=2.0,
            loss_last=1.0,
            weights=rng.normal(scale=0.1, size=head.weights.shape).astype(np.float32),
            bias=rng.normal(scale=0.1, size=head.bias.shape).astype(np.float32),
        )
        size = head.classes * (head.features + 1)
        share = (task.entries - 0.5) / size  # which `kept` rounds up
        return compressed(update, CODECS[task.codec], share=share).encode()

    return learn


class ScriptedDevice:
    """Follows the wishes of the server until closed.

    Args:
        release_key: Public key that releases must be signed with.
        judge: What the device finds out about an image that it has downloaded.
        learn: Its update object for a task; a Status refuses, None stays silent.
        heartbeat_s: How often it reports when nothing changes.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        release_key: bytes,
        judge: Verdict = accept,
        learn: Learn | None = None,
        kernels: bytes = b"\x11" * 8,
        heartbeat_s: float = 3_600.0,
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self.kernels = kernels
        self.peer, self.judge, self.learn = peer, judge, learn
        self.release_key = release_key
        self.image: bytes | None = None
        self.counter = 0
        self.update = UpdateReport()
        self.federated = FederatedReport()
        self.installs: list[int] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.peer.join()
        self.report()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def report(self) -> None:
        active = None if self.image is None else hashlib.blake2b(self.image, digest_size=32)
        self.peer.report(
            kernel_set_hash=self.kernels,
            active_image=None if active is None else active.digest(),
            counter=self.counter,
            update=self.update,
            federated=self.federated,
        )

    def _run(self) -> None:
        done: object = None
        told_s = time.monotonic()
        while not self._stopping.wait(0.02):
            if time.monotonic() - told_s > self.heartbeat_s:
                told_s = time.monotonic()
                self.report()
            wish = self.peer.desired
            if wish is None or wish == done:
                continue
            done = wish
            if wish.model is not None:
                self._install(wish.model)
            if wish.task is None:
                self.federated = FederatedReport()
            elif (wish.task.run, wish.task.round) != (self.federated.run, self.federated.round):
                self._train(wish.task)
            self.report()

    def _install(self, signed: SignedManifest) -> None:
        manifest = verify_manifest(signed, public_key=self.release_key, now_s=0)
        named = self.update.image_id, self.update.counter
        if manifest.counter <= self.counter or named == (manifest.image_id, manifest.counter):
            return
        blocks = -(-manifest.image_bytes // manifest.block_bytes)
        listed = self.peer.download(manifest.blocks_hash, 32 * blocks)
        image = self.peer.download(manifest.image_id, manifest.image_bytes)
        for at in range(blocks):
            block = image[at * 4096 : (at + 1) * 4096]
            digest = hashlib.blake2b(block, digest_size=32).digest()
            assert digest == listed[at * 32 : (at + 1) * 32]
        status = self.judge(manifest, image)
        if status is Status.OK:
            self.image, self.counter = image, manifest.counter
            self.installs.append(manifest.counter)
        self.update = UpdateReport(
            state=UpdateState.INSTALLED if status is Status.OK else UpdateState.REFUSED,
            image_id=manifest.image_id,
            bytes_done=manifest.image_bytes,
            status=status,
            counter=manifest.counter,
        )

    def _train(self, task: FederatedTask) -> None:
        if self.learn is None:
            return
        head = decode_head(fetch(self.peer, task.head_object, task.head_bytes))
        assert head.hash == task.base_head_hash
        result = self.learn(task, head)
        if result is None:
            return
        if isinstance(result, Status):
            self.federated = FederatedReport(
                run=task.run, round=task.round, state=FederatedState.REFUSED, status=result
            )
            return
        number, digest = self.peer.offer(result)
        self.federated = FederatedReport(
            run=task.run,
            round=task.round,
            state=FederatedState.READY,
            update_object=number,
            update_bytes=len(result),
            update_hash=digest,
            samples=50,
        )


def fetch(peer: Peer, object_id: int, total: int) -> bytes:
    """Pull an object of which only the short id is known, as is so with heads."""
    pull = ChunkPull(object_id=object_id, total=total, digest=b"", now_s=time.monotonic())
    with peer._lock:
        peer._pull = pull
        peer._ask()
    wait_until(lambda: pull.done, 20.0)
    return bytes(pull._data)


def replace_server(fleet: LocalFleet) -> None:
    """Put a new server in the place of one that ends without a word to anybody."""
    fleet.server.close()
    fleet.server = FleetServer(
        root=fleet._root, fleet="test", broker=fleet.broker.address, heartbeat_s=2
    )
    fleet.server.start()
    fleet._closing.append(fleet.server)


@contextmanager
def all_of(devices: list[ScriptedDevice]) -> Iterator[list[ScriptedDevice]]:
    """Start devices, and close them with their peers at the end."""
    try:
        for device in devices:
            device.start()
        yield devices
    finally:
        for device in devices:
            if device._thread.is_alive():
                device.close()
            device.peer.close()
