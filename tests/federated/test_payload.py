"""Codecs of updates: round trips within their bounds, fixed vectors that the C shares."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.errors import LinkError
from edgekit.federated.codecs import (
    UPDATE_HEADER_BYTES,
    Update,
    compressed,
    decode_update,
    update_bytes,
)
from edgekit.federated.payload import (
    CODECS,
    INT8_BLOCK,
    decode,
    encode,
    kept,
    largest,
    payload_bytes,
    with_feedback,
)
from edgekit.runtime.codec import write_values

VECTORS = Path(__file__).with_name("codec_vectors.json")
vectors = hnp.arrays(np.float32, st.integers(1, 700), elements=st.floats(-1000, 1000, width=32))


def bound(values: np.ndarray, codec: str) -> np.ndarray:
    """Return how far each value may be off."""
    if codec == "float32":
        return np.zeros(len(values))
    if codec == "float16":
        return np.abs(values) * 2**-11 + 2**-25
    steps = [
        np.full(len(block), np.abs(block).max() / 127 * 1.001)
        for block in np.split(values, range(INT8_BLOCK, len(values), INT8_BLOCK))
    ]
    return np.concatenate(steps)


@pytest.mark.parametrize("codec", CODECS[:3])
@given(values=vectors, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_dense_codecs_stay_within_their_step(codec: str, values: np.ndarray, seed: int) -> None:
    data = encode(values, codec, seed=seed)
    back = decode(data, codec, len(values))
    assert len(data) == payload_bytes(codec, len(values), 1.0) and back.sent is None
    assert (np.abs(back.values.astype(np.float64) - values) <= bound(values, codec)).all()


@pytest.mark.parametrize("codec", CODECS[3:])
@given(values=vectors, share=st.floats(0.001, 1.0), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_top_p_sends_the_largest_and_nothing_else(
    codec: str, values: np.ndarray, share: float, seed: int
) -> None:
    data = encode(values, codec, share=share, seed=seed)
    back = decode(data, codec, len(values))
    assert back.sent is not None and back.sent.sum() == kept(len(values), share)
    assert len(data) == payload_bytes(codec, len(values), share)
    assert not back.values[~back.sent].any()
    chosen, rest = np.abs(values[back.sent]), np.abs(values[~back.sent])
    assert not len(rest) or chosen.min() >= rest.max()
    inner = "float16" if codec == "top_p" else "int8"
    off = np.abs(back.values[back.sent].astype(np.float64) - values[back.sent])
    assert (off <= bound(values[back.sent], inner)).all()


def test_of_equal_entries_the_first_are_sent() -> None:
    assert largest(np.array([1, -2, 2, 2, 0], np.float32), 2).tolist() == [0, 1, 1, 0, 0]


def test_stochastic_rounding_is_unbiased() -> None:
    values = np.append(np.full(255, 0.3, np.float32), np.float32(127.0))
    mean = np.mean(
        [decode(encode(values, "int8", seed=1000 * s), "int8", 256).values for s in range(400)],
        axis=0,
    )
    assert abs(mean[:255].mean() - 0.3) < 4 * 0.46 / np.sqrt(255 * 400)


@given(values=vectors)
@settings(max_examples=20, deadline=None)
def test_feedback_loses_nothing(values: np.ndarray) -> None:
    residual = np.zeros_like(values)
    sent = np.zeros(len(values))
    for seed in range(3):
        data, residual = with_feedback(values, residual, "top_p_int8", share=0.2, seed=seed)
        sent += decode(data, "top_p_int8", len(values)).values
    np.testing.assert_allclose(sent + residual, 3.0 * values, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("codec", CODECS)
def test_every_wrong_length_is_refused(codec: str) -> None:
    values = np.arange(1, 20, dtype=np.float32)
    data = encode(values, codec, share=0.5)
    for length in range(len(data)):
        with pytest.raises(LinkError):
            decode(data[:length], codec, 19)
    with pytest.raises(LinkError):
        decode(data + b"\0", codec, 19)


def test_bits_beyond_the_vector_are_refused() -> None:
    data = bytearray(encode(np.ones(19, np.float32), "top_p", share=0.5))
    data[2] |= 0x80
    with pytest.raises(LinkError, match="beyond its 19 entries"):
        decode(bytes(data), "top_p", 19)


@pytest.mark.parametrize("codec", CODECS)
def test_update_travels_in_every_codec(codec: str) -> None:
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(4, 9)).astype(np.float32), np.ones(4, np.float32)
    update = Update(1, 2, 3, bytes(32), 1.0, 0.5, weights, bias)
    small = compressed(update, codec, share=0.3, seed=5)
    data = small.encode()
    assert len(data) == update_bytes(4, 9, codec, 0.3)
    back = decode_update(data)
    assert back.encode() == data and np.array_equal(back.weights, small.weights)
    assert back.codec == codec and (back.sent is None) == (codec in CODECS[:3])


def test_vectors_that_the_c_shares_are_what_is_written() -> None:
    for case in json.loads(VECTORS.read_text()):
        values = np.frombuffer(bytes.fromhex(case["values"]), "<f4")
        data = encode(values, case["codec"], share=case["share"], seed=case["seed"])
        assert data.hex() == case["data"], case["codec"]


@pytest.mark.cc
def test_vectors_are_what_the_c_of_devices_writes() -> None:
    """Bytes and what is left out; also of vectors with ties, of all sizes of the last block."""
    rng = np.random.default_rng(3)
    cases = [
        (np.frombuffer(bytes.fromhex(c["values"]), "<f4"), c["codec"], c["share"], c["seed"])
        for c in json.loads(VECTORS.read_text())
    ]
    for size in (1, 2, 7, 255, 256, 257, 511, 513, 1153):
        for codec in CODECS:
            values = rng.normal(size=size).astype(np.float32) * np.float32(10.0) ** rng.integers(
                -9, 6, size
            ).astype(np.float32)
            cases.append((values, codec, 0.3, size))
            cases.append((np.round(values).clip(-2, 2), codec, 0.3, size))
            cases.append((np.zeros(size, np.float32), codec, 1.0, size))
    for values, codec, share, seed in cases:
        zero = np.zeros_like(values)
        _, after = with_feedback(values, zero, codec, share=share, seed=seed)
        entries = kept(len(values), share) if codec in CODECS[3:] else 0
        data, left = write_values(values, CODECS.index(codec), entries=entries, seed=seed)
        assert data == encode(values, codec, share=share, seed=seed), (codec, len(values))
        np.testing.assert_array_equal(left, after)


def test_uplink_is_at_least_three_and_a_half_times_smaller() -> None:
    full = update_bytes(1, 1152)
    assert full == UPDATE_HEADER_BYTES + 4 * 1153
    for codec, share in (("int8", 1.0), ("top_p", 0.25), ("top_p_int8", 0.25)):
        assert full / update_bytes(1, 1152, codec, share) >= 3.5
