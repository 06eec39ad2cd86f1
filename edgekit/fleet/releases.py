"""Publishing a release: the gates an image passes before any device hears of it.

An image is refused here if it does not read and prove, does not fit the device class, does not hold
its own golden vectors on the host, or is not accurate enough on the acceptance set. Each refusal
is an event of the journal, as is each release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import numpy.typing as npt

from edgekit.boards import Board
from edgekit.errors import EdgekitError, FormatError, RefusedError
from edgekit.fleet.manifests import ReleaseKey, build_manifest, sign_manifest
from edgekit.journal import Event, Journal
from edgekit.link.messages import Manifest, SignedManifest

if TYPE_CHECKING:
    from edgekit.formats.image import Image
    from edgekit.runtime import Runner

PUBLISHED = "release.published"
REFUSED = "release.refused"
LIFETIME_S = 90 * 24 * 3600
_BATCH = 256


@dataclass(frozen=True, slots=True, eq=False)
class Acceptance:
    """Labelled samples that a release must get right often enough.

    Attributes:
        raw: uint8 `[N, ...]`, as the board's sensor gives them.
        labels: int `[N]`.
        min_accuracy: Part of them, 0 .. 1.
    """

    raw: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.integer]
    min_accuracy: float

    def __post_init__(self) -> None:
        if len(self.labels) == 0 or self.raw.shape[0] != len(self.labels):
            raise ValueError(
                f"acceptance set has {self.raw.shape[0]} samples and {len(self.labels)} labels"
            )
        if not 0 <= self.min_accuracy <= 1:
            raise ValueError(f"min_accuracy is {self.min_accuracy}, expected 0 .. 1")


@dataclass(frozen=True, slots=True)
class Release:
    """A published image for one device class.

    Attributes:
        blob: Name of the image in the journal's blobs.
        accuracy: On the acceptance set, None if there was none.
        seq: Number of its event.
    """

    manifest: Manifest
    signed: SignedManifest
    blob: str
    accuracy: float | None
    seq: int

    @property
    def image_id(self) -> str:
        """Image id in hex."""
        return self.manifest.image_id.hex()


def publish(
    image: bytes,
    *,
    board: Board,
    kernel_ops: tuple[str, ...],
    journal: Journal,
    key: ReleaseKey,
    now_s: float,
    acceptance: Acceptance | None = None,
    lifetime_s: int = LIFETIME_S,
    unsafe_skip_golden: bool = False,
) -> Release:
    """Check an image, sign it for a device class and enter it in the journal.

    An image that is the newest release of its class already, and has not expired, is returned as
    it is. An older one gets a new counter: that is how a fleet goes back.

    Args:
        kernel_ops: Operators that the firmware of the class has.
        unsafe_skip_golden: Publish although the golden vectors may not hold; devices refuse it.

    Raises:
        RefusedError: If a gate says no; the journal then has the reason.
    """
    # Only here: whoever reads releases needs neither compiler nor C runtime.
    from edgekit.formats.image_reader import read_image
    from edgekit.ops import kernel_set_hash
    from edgekit.runtime import Runner

    newest = newest_release(journal, board.name)
    image_id = hashlib.blake2b(image, digest_size=32).hexdigest()
    if newest and newest.image_id == image_id and now_s < newest.manifest.expiry_s:
        return newest
    gate = _Gate(journal, image_id)
    try:
        content = read_image(image)
    except FormatError as exc:
        gate.refuse(f"image does not read: {exc}", cause=exc)
    gate.name, gate.version = content.meta.name, content.meta.version
    reason = _misfit(image, content, board, kernel_ops)
    if reason:
        gate.refuse(reason)
    runner = Runner(image)
    if not unsafe_skip_golden:
        try:
            runner.golden_check()
        except EdgekitError as exc:
            gate.refuse(f"golden vectors do not hold on this host: {exc}", cause=exc)
    reached: float | None = None
    if acceptance is not None:
        given = acceptance.raw[0].size
        if given != runner.raw_bytes and not runner.takes_text:
            gate.refuse(
                f"samples of the acceptance set have {given} bytes, the model reads"
                f" {runner.raw_bytes}"
            )
        reached = accuracy(runner, acceptance.raw, acceptance.labels)
        if reached < acceptance.min_accuracy:
            hits = round(reached * len(acceptance.labels))
            gate.refuse(
                f"accuracy on the acceptance set is {reached:.4f} ({hits} of"
                f" {len(acceptance.labels)}), expected at least {acceptance.min_accuracy:.4f}",
                accuracy=reached,
                minimum=acceptance.min_accuracy,
            )
    manifest = build_manifest(
        image,
        name=content.meta.name,
        version=content.meta.version,
        counter=newest.manifest.counter + 1 if newest else 1,
        device_class=board.name,
        kernel_set_hash=kernel_set_hash(kernel_ops),
        arena_bytes=content.plan.arena_bytes,
        expiry_s=int(now_s) + lifetime_s,
    )
    signed = sign_manifest(manifest, key)
    body = {
        "image_id": image_id,
        "name": manifest.name,
        "version": manifest.version,
        "counter": manifest.counter,
        "device_class": manifest.device_class,
        "manifest": signed.manifest.hex(),
        "signature": signed.signature.hex(),
        "accuracy": reached,
    }
    return _release(journal.append(PUBLISHED, image_id, body, blob=image))


def accuracy(runner: Runner, raw: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]) -> float:
    """Return the part of samples whose largest output is their label, by the C runtime."""
    flat = np.ascontiguousarray(raw).reshape(len(labels), -1)
    hits = 0
    for at in range(0, len(labels), _BATCH):
        outputs = runner.run_raw(flat[at : at + _BATCH])
        guesses = outputs.reshape(len(outputs), -1).argmax(axis=1)
        hits += int((guesses == labels[at : at + _BATCH]).sum())
    return hits / len(labels)


def releases(journal: Journal, device_class: str | None = None) -> Iterator[Release]:
    """Yield all releases, oldest first; only those of one device class if it is named."""
    for event in journal.events(kinds=(PUBLISHED,)):
        if device_class is None or event.body["device_class"] == device_class:
            yield _release(event)


def newest_release(journal: Journal, device_class: str) -> Release | None:
    """Return the release with the highest counter of a device class."""
    return max(
        releases(journal, device_class), key=lambda release: release.manifest.counter, default=None
    )


def find_release(journal: Journal, image_id: str, device_class: str) -> Release:
    """Return the newest release of an image for a device class.

    Args:
        image_id: In hex, or its beginning.

    Raises:
        RefusedError: If there is none, or the beginning fits several images.
    """
    found = [r for r in releases(journal, device_class) if r.image_id.startswith(image_id)]
    if not found:
        raise RefusedError(
            f"image {image_id[:16]} is not released for device class '{device_class}'"
        )
    if len({release.image_id for release in found}) > 1:
        raise RefusedError(f"image id {image_id} fits {len(found)} releases, give more digits")
    return max(found, key=lambda release: release.manifest.counter)


@dataclass(slots=True)
class _Gate:
    """Enters refusals in the journal."""

    journal: Journal
    image_id: str
    name: str = ""
    version: str = ""

    def refuse(
        self,
        reason: str,
        *,
        cause: Exception | None = None,
        accuracy: float | None = None,
        minimum: float | None = None,
    ) -> NoReturn:
        body = {
            "image_id": self.image_id,
            "name": self.name,
            "version": self.version,
            "reason": reason,
            "accuracy": accuracy,
            "minimum": minimum,
        }
        self.journal.append(REFUSED, self.image_id, body)
        named = f"'{self.name}' {self.version}" if self.name else self.image_id[:16]
        raise RefusedError(f"release {named} is refused: {reason}") from cause


def _misfit(image: bytes, content: Image, board: Board, kernel_ops: tuple[str, ...]) -> str:
    """Say why an image is not for a device class, empty if it is."""
    missing = sorted(set(content.meta.kernel_ops) - set(kernel_ops))
    if missing:
        return f"firmware of '{board.name}' has no kernel for {', '.join(missing)}"
    if content.plan.arena_bytes > board.arena_bytes:
        return (
            f"model needs an arena of {content.plan.arena_bytes} bytes, '{board.name}' has"
            f" {board.arena_bytes}"
        )
    if len(image) > board.slot_bytes:
        return f"image has {len(image)} bytes, a slot of '{board.name}' {board.slot_bytes}"
    return ""


def _release(event: Event) -> Release:
    body = event.body
    signed = SignedManifest(bytes.fromhex(body["manifest"]), bytes.fromhex(body["signature"]))
    if event.blob is None:
        raise ValueError(f"event {event.seq}: {PUBLISHED} has no image")
    return Release(
        manifest=Manifest.decode(signed.manifest),
        signed=signed,
        blob=event.blob,
        accuracy=body.get("accuracy"),
        seq=event.seq,
    )
