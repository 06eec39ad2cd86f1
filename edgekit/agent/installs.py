"""Releases on a device: judge the manifest, pull block list and image, have the image proven.

Twin: firmware/agent/ek_agent_update.c
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from edgekit.agent.work import Work
from edgekit.errors import LinkError, SecurityError
from edgekit.fleet.manifests import block_list, verify_manifest
from edgekit.link.chunks import object_id_of_hash
from edgekit.link.messages import HASH_BYTES, Manifest, SignedManifest, UpdateReport, UpdateState
from edgekit.link.status import Status

logger = logging.getLogger(__name__)

Got = bytes | LinkError
Pull = Callable[[int, int, bytes | None, Callable[[Got], None]], None]
Start = Callable[[Callable[[], bytes | Status], Callable[[bytes | Status], None]], None]


class Installs:
    """The release that a device is to run, and how far it is with it.

    Args:
        release_key: Ed25519 public key that releases must be signed with.
        pull: Fetches an object: name, bytes, hash, and who gets it.
        start: Runs work, and calls back with its result.
        changed: Called when `report` has changed.

    Attributes:
        report: Where it stands.
    """

    def __init__(
        self,
        release_key: bytes,
        *,
        device_class: str,
        kernel_set_hash: bytes,
        work: Work,
        pull: Pull,
        start: Start,
        changed: Callable[[], None],
    ) -> None:
        self.report = UpdateReport()
        self._release_key = release_key
        self._device_class, self._kernels = device_class, kernel_set_hash
        self._work, self._pull, self._start, self._changed = work, pull, start, changed

    def wish(self, signed: SignedManifest | None, time_s: int) -> None:
        """Take what the server wishes; `time_s` is its clock, in Unix seconds."""
        if signed is None:
            self._set(UpdateReport())
            return
        try:
            manifest = verify_manifest(signed, public_key=self._release_key, now_s=0)
        except SecurityError as exc:
            logger.warning("%s", exc)
            self._set(UpdateReport(state=UpdateState.REFUSED, status=Status.SIGNATURE))
            return
        if self._names(manifest) and self.report.state is not UpdateState.IDLE:
            return  # at it already, installed, or refused for good
        active = self._work.active()
        named = UpdateReport(image_id=manifest.image_id, counter=manifest.counter)
        if (active.image_id, active.counter) == (manifest.image_id, manifest.counter):
            self._set(replace(named, state=UpdateState.INSTALLED))
            return
        status = self._judge(manifest, time_s, active.counter)
        if status is not Status.OK:
            self._set(replace(named, state=UpdateState.REFUSED, status=status))
        elif active.image_id == manifest.image_id:
            self._activate(manifest, None)
        else:
            self._set(replace(named, state=UpdateState.DOWNLOADING))
            length = HASH_BYTES * -(-manifest.image_bytes // manifest.block_bytes)
            self._fetch(
                manifest, manifest.blocks_hash, length, lambda got: self._take_list(manifest, got)
            )

    def _judge(self, manifest: Manifest, time_s: int, installed: int) -> Status:
        if manifest.device_class != self._device_class or manifest.kernel_set_hash != self._kernels:
            return Status.CLASS
        if manifest.counter <= installed:
            return Status.COUNTER
        return Status.OK if time_s < manifest.expiry_s else Status.EXPIRED

    def _fetch(
        self, manifest: Manifest, digest: bytes, total: int, then: Callable[[bytes], None]
    ) -> None:
        def done(got: Got) -> None:
            if not self._names(manifest) or self.report.state is not UpdateState.DOWNLOADING:
                return  # another release is wished meanwhile
            if isinstance(got, LinkError):
                logger.warning("release %d: %s", manifest.counter, got)
                # Forgotten, so that the next desired document tries again.
                failed = UpdateReport(state=UpdateState.REFUSED, status=Status(got.status))
                self._set(failed)
                return
            then(got)

        self._pull(object_id_of_hash(digest), total, digest, done)

    def _take_list(self, manifest: Manifest, blocks: bytes) -> None:
        def judge(image: bytes) -> None:
            if block_list(image) != blocks:
                self._end(Status.HASH)
            else:
                self._activate(manifest, image)

        self._fetch(manifest, manifest.image_id, manifest.image_bytes, judge)

    def _activate(self, manifest: Manifest, image: bytes | None) -> None:
        named = UpdateReport(image_id=manifest.image_id, counter=manifest.counter)
        self._set(replace(named, state=UpdateState.VERIFYING, bytes_done=manifest.image_bytes))

        def work() -> Status:
            if image is not None and blake2b(image, digest_size=32).digest() != manifest.image_id:
                return Status.HASH
            return self._work.activate(manifest, image)

        def done(result: bytes | Status) -> None:
            if self._names(manifest):
                self._end(result if isinstance(result, Status) else Status.OK)

        self._start(work, done)

    def _names(self, manifest: Manifest) -> bool:
        return (self.report.image_id, self.report.counter) == (manifest.image_id, manifest.counter)

    def _end(self, status: Status) -> None:
        state = UpdateState.INSTALLED if status is Status.OK else UpdateState.REFUSED
        self._set(replace(self.report, state=state, status=status))

    def _set(self, report: UpdateReport) -> None:
        if report != self.report:
            self.report = report
            self._changed()
