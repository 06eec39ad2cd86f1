"""The model image: written, read, refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from op_cases import CASES

from edgekit.errors import EdgekitError, FormatError
from edgekit.formats.image import Features, Golden, Head, ImageMeta, image_id, write_image
from edgekit.formats.image_reader import read_image
from edgekit.formats.tflite import read_tflite
from edgekit.passes.lower import lower
from edgekit.passes.plan import plan_memory
from edgekit.runtime.host import IMAGE_STRUCT_BYTES, host_library

META = ImageMeta("m", "1", "task", ("a", "b"), "Apache-2.0", "CC0-1.0", "portable", ("add",), False)
TABLE = Features("lut_u8", bytes(range(256)))


def image_of(op: str, seed: int = 2, *, full: bool = False) -> bytes:
    graph = lower(read_tflite(CASES[op](np.random.default_rng(seed)).to_bytes(), name="m"))
    head = None
    golden: tuple[Golden, ...] = ()
    if full:
        inputs = graph.tensor(graph.inputs[0]).nbytes
        h = graph.tensor(graph.nodes[0].inputs[0]).elements
        ones = np.ones((3, h), np.float32)
        head = Head(3, 5, h, 0.5, -4, ones, np.zeros(3, np.float32), 0.125, 0)
        outputs = graph.tensor(graph.outputs[0]).nbytes
        golden = (Golden(bytes(inputs), bytes(inputs), b"\x01" * outputs),) * 2
    return write_image(
        meta=META,
        graph=graph,
        plan=plan_memory(graph),
        features=TABLE if full else Features(),
        head=head,
        golden=golden,
    )


def fixed(data: bytearray) -> bytes:
    """Repair the checksum."""
    (total,) = struct.unpack_from("<I", data, 8)
    crc = zlib.crc32(data[16:total], zlib.crc32(data[:12]))
    struct.pack_into("<I", data, 12, crc)
    return bytes(data)


@pytest.mark.parametrize("op", CASES)
def test_image_round_trip_gives_equal_bytes(op: str) -> None:
    data = image_of(op)
    image = read_image(data)
    again = write_image(
        meta=image.meta,
        graph=image.graph,
        plan=image.plan,
        features=image.features,
        head=image.head,
        golden=image.golden,
    )
    assert again == data
    assert image.id == image_id(data)


def test_image_keeps_meta_features_head_and_golden() -> None:
    image = read_image(image_of("lut" if "lut" in CASES else "relu", full=True))
    assert image.meta == META
    assert image.features == TABLE
    assert image.head is not None
    assert (image.head.classes, image.head.max_classes, image.head.rate) == (3, 5, 0.125)
    assert image.head.weights.shape == (3, image.head.features)
    assert len(image.golden) == 2


def test_image_plan_can_be_made_again_from_the_image() -> None:
    image = read_image(image_of("conv_2d"))
    plan = plan_memory(image.graph)
    assert plan.arena_bytes == image.plan.arena_bytes
    assert plan.offsets == image.plan.offsets


def test_image_ends_are_aligned_and_zero_padded() -> None:
    data = image_of("conv_2d", full=False)
    assert len(data) % 16 == 0


@pytest.mark.cc
def test_image_refuses_bytes_behind_its_end_but_the_runtime_takes_a_whole_slot() -> None:
    data = image_of("add")
    with pytest.raises(FormatError, match=f"behind its end: {len(data)} stated, {len(data) + 16}"):
        read_image(data + bytes(16))
    library = host_library()
    for length, status in ((len(data), 0), (len(data) + 4096, 0), (len(data) - 1, -2)):
        slot = np.full(len(data) + 4096 + 16, 0xFF, np.uint8)
        start = -slot.ctypes.data % 16
        slot[start : start + len(data)] = np.frombuffer(data, np.uint8)
        opened = np.zeros(IMAGE_STRUCT_BYTES, np.uint8)
        found = library.ek_image_open(opened.ctypes.data, slot.ctypes.data + start, length)
        assert found == status


@pytest.mark.parametrize(
    ("offset", "text"),
    [(0, "starts with"), (4, "version"), (8, "stated"), (12, "checksum"), (16, "stated")],
)
def test_image_refuses_a_changed_header(offset: int, text: str) -> None:
    data = bytearray(image_of("add"))
    data[offset + 1] ^= 0x5A
    with pytest.raises(FormatError, match=text):
        read_image(bytes(data))


def test_image_refuses_every_flipped_byte() -> None:
    data = image_of("add")
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1
        with pytest.raises(FormatError):
            read_image(bytes(bad))


def test_image_survives_mutations_with_good_checksum() -> None:
    rng = np.random.default_rng(3)
    data = image_of("conv_2d")
    for _ in range(3000):
        bad = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            bad[int(rng.integers(16, len(bad)))] = int(rng.integers(0, 256))
        try:
            read_image(fixed(bad))
        except EdgekitError:
            pass


def test_image_refuses_truncation() -> None:
    data = image_of("add")
    for length in (0, 3, 15, 31, 64, len(data) - 1):
        with pytest.raises(FormatError):
            read_image(data[:length])


def test_image_meta_must_be_deterministic() -> None:
    plain = image_of("add")
    other = replace(META, name="n")
    assert read_image(plain).meta != other
