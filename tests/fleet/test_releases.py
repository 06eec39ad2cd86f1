"""Publishing: every gate on real images by the C runtime, and what the journal has of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware.tiny_model import CLASSES, INPUTS, tiny_image

from edgekit.boards import load_board
from edgekit.errors import RefusedError
from edgekit.fleet.manifests import block_list, release_key, verify_manifest
from edgekit.fleet.releases import (
    Acceptance,
    Release,
    find_release,
    newest_release,
    publish,
    releases,
)
from edgekit.formats.image_reader import read_image
from edgekit.journal import Journal
from edgekit.ops import kernel_set, kernel_set_hash
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

HOST = load_board("host")
NOW = 1_800_000_000
OPS = kernel_set("vision")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def image() -> bytes:
    return tiny_image()


def put(journal: Journal, image: bytes, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "board": HOST,
        "kernel_ops": OPS,
        "journal": journal,
        "key": release_key(journal.path.parent / "keys"),
        "now_s": NOW,
    }
    return publish(image, **(values | changes))


def samples(image: bytes, right: int, count: int = 300) -> Acceptance:
    """Samples of which the model gets exactly so many right."""
    raw = np.random.default_rng(3).integers(0, 256, (count, 8, INPUTS // 8), dtype=np.uint8)
    labels = Runner(image).run_raw(raw.reshape(count, -1)).argmax(axis=1)
    labels[right:] = (labels[right:] + 1) % CLASSES
    return Acceptance(raw, labels, 0.9)


def refusals(journal: Journal) -> list[dict[str, Any]]:
    return [dict(event.body) for event in journal.events(kinds=("release.refused",))]


def test_release_names_the_image_and_devices_would_accept_it(
    journal: Journal, image: bytes
) -> None:
    release = put(journal, image, acceptance=samples(image, 285))
    key = release_key(journal.path.parent / "keys")
    manifest = verify_manifest(
        release.signed,
        public_key=key.public,
        now_s=NOW,
        device_class="host",
        kernel_set_hash=kernel_set_hash(OPS),
    )
    content = read_image(image)
    assert manifest.image_id == content.id and manifest.counter == 1
    assert manifest.arena_bytes == content.plan.arena_bytes
    assert release.accuracy == 0.95
    assert journal.blob(release.blob) == image
    assert len(block_list(journal.blob(release.blob))) == 32 * -(-len(image) // 4096)
    (event,) = journal.events(kinds=("release.published",))
    assert event.subject == release.image_id and event.body["accuracy"] == 0.95
    assert journal.verify() == 1


def test_counters_rise_per_device_class_across_restarts(journal: Journal, image: bytes) -> None:
    other, board = tiny_image(seed=2), load_board("mps2_an386")
    assert put(journal, image).manifest.counter == 1
    assert put(journal, other).manifest.counter == 2
    assert put(journal, image, board=board).manifest.counter == 1
    with Journal.open(journal.path) as again:
        assert put(again, image).manifest.counter == 3
        assert newest_release(again, "host") == list(releases(again, "host"))[-1]
        assert [r.manifest.counter for r in releases(again)] == [1, 2, 1, 3]


def test_publishing_the_newest_again_changes_nothing(journal: Journal, image: bytes) -> None:
    first = put(journal, image)
    assert put(journal, image) == first
    assert len(list(releases(journal))) == 1
    late = put(journal, image, now_s=NOW + 100 * 24 * 3600)
    assert late.manifest.counter == 2


def test_image_that_is_not_accurate_enough_is_refused_with_the_numbers(
    journal: Journal, image: bytes
) -> None:
    with pytest.raises(RefusedError, match=r"0\.8967 \(269 of 300\), expected at least 0\.9000"):
        put(journal, image, acceptance=samples(image, 269))
    (body,) = refusals(journal)
    assert body["accuracy"] == pytest.approx(269 / 300) and body["minimum"] == 0.9
    assert body["name"] == "tiny" and not list(releases(journal))
    assert put(journal, image, acceptance=samples(image, 270)).accuracy == 0.9


def test_image_whose_golden_vectors_do_not_hold_is_refused(journal: Journal) -> None:
    broken = tiny_image(wrong_golden=True)
    with pytest.raises(RefusedError, match="golden vectors do not hold on this host"):
        put(journal, broken)
    assert "golden" in refusals(journal)[0]["reason"]
    assert put(journal, broken, unsafe_skip_golden=True).manifest.counter == 1


def test_image_that_does_not_read_is_refused(journal: Journal, image: bytes) -> None:
    for bad in (b"", image[:-1], image[: len(image) // 2], b"\0" * 100):
        with pytest.raises(RefusedError, match="image does not read"):
            put(journal, bad)
    with pytest.raises(RefusedError, match="has bytes behind its end"):
        put(journal, image + b"\0")
    assert len(refusals(journal)) == 5


def test_image_for_other_kernels_or_a_smaller_board_is_refused(
    journal: Journal, image: bytes
) -> None:
    with pytest.raises(RefusedError, match="firmware of 'host' has no kernel for fully_connected"):
        put(journal, image, kernel_ops=("add",))
    with pytest.raises(RefusedError, match="needs an arena of"):
        put(journal, image, board=replace(HOST, arena_bytes=16))
    assert HOST.layout is not None
    slot = replace(HOST.layout.slot_a, bytes=1_000)
    small = replace(HOST, layout=replace(HOST.layout, slot_a=slot))
    with pytest.raises(RefusedError, match="a slot of 'host' 1000"):
        put(journal, image, board=small)


def test_release_is_found_by_the_beginning_of_its_id(journal: Journal, image: bytes) -> None:
    release = put(journal, image)
    assert find_release(journal, release.image_id[:8], "host") == release
    with pytest.raises(RefusedError, match="is not released for device class 'mps2_an386'"):
        find_release(journal, release.image_id, "mps2_an386")
    put(journal, tiny_image(seed=2))
    with pytest.raises(RefusedError, match="give more digits"):
        find_release(journal, "", "host")


def test_acceptance_set_that_makes_no_sense_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="0 samples and 0 labels"):
        Acceptance(np.zeros((0, 4), np.uint8), np.zeros(0, np.int64), 0.9)
    with pytest.raises(ValueError, match="min_accuracy"):
        Acceptance(np.zeros((1, 4), np.uint8), np.zeros(1, np.int64), 90)


def test_time_of_now_is_good_enough_for_the_default_lifetime(
    journal: Journal, image: bytes
) -> None:
    release = put(journal, image, now_s=time.time())
    assert release.manifest.expiry_s > time.time() + 80 * 24 * 3600
