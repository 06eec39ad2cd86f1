"""Head training in C: against float64, against itself, and the objects of a federated round."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from firmware_twin import Op, Twin

from edgekit.errors import LinkError
from edgekit.federated.codecs import (
    HeadWeights,
    Update,
    compressed_with_feedback,
    decode_head,
    decode_update,
    update_bytes,
)
from edgekit.federated.payload import kept
from edgekit.federated.settings import CODECS, SPARSE
from edgekit.link.status import Status
from edgekit.runtime.head import HeadTrainer

pytestmark = pytest.mark.cc

CLASSES, FEATURES = 10, 48
SCALE, ZERO_POINT = 0.031, -17
RATE, DECAY = 0.05, 1e-3
# Float32 rounds each of 10,000 steps; the sum of what it loses stays far below this.
WEIGHT_TOLERANCE = 1e-4
# Polynomials of degree 7 and 9 in float32.
EXP_ULPS, LOG_ULPS = 2.0, 2.0


def _samples(count: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = generator.integers(-90, 90, (CLASSES, FEATURES))
    labels = generator.integers(0, CLASSES, count)
    noise = generator.normal(0, 40, (count, FEATURES))
    features = np.clip(centres[labels] + noise, -128, 127).astype(np.int8)
    return features, labels


def _start() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(6)
    weights = generator.normal(0, 0.1, (CLASSES, FEATURES)).astype(np.float32)
    return weights, generator.normal(0, 0.1, CLASSES).astype(np.float32)


def test_training_follows_float64_over_ten_thousand_steps() -> None:
    """W, b, losses and predictions stay within the tolerance of the same rule in NumPy float64."""
    features, labels = _samples(2_000)
    trainer = HeadTrainer(*_start())
    losses = trainer.train(
        features,
        labels,
        scale=SCALE,
        zero_point=ZERO_POINT,
        rate=RATE,
        decay=DECAY,
        epochs=5,
    )

    weights, bias = (part.astype(np.float64) for part in _start())
    expected = []
    inputs = (features.astype(np.float64) - ZERO_POINT) * np.float64(np.float32(SCALE))
    for _ in range(5):
        total = 0.0
        for x, label in zip(inputs, labels, strict=True):
            logits = weights @ x + bias
            p = np.exp(logits - logits.max())
            p /= p.sum()
            total -= np.log(max(p[label], 1.2e-38))
            p[label] -= 1.0
            weights -= np.float64(np.float32(RATE)) * (
                np.outer(p, x) + np.float64(np.float32(DECAY)) * weights
            )
            bias -= np.float64(np.float32(RATE)) * p
        expected.append(total / len(inputs))

    assert np.abs(trainer.weights - weights).max() / np.abs(weights).max() <= WEIGHT_TOLERANCE
    assert np.abs(trainer.bias - bias).max() / np.abs(bias).max() <= WEIGHT_TOLERANCE
    assert losses == pytest.approx(expected, rel=1e-3)
    assert losses[-1] < losses[0]
    found = trainer.predict(features[:200], scale=SCALE, zero_point=ZERO_POINT)
    assert found.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-5)
    assert (found.argmax(axis=1) == (inputs[:200] @ weights.T + bias).argmax(axis=1)).all()


def test_training_twice_gives_the_same_bits() -> None:
    """The same samples lead to the same head."""
    features, labels = _samples(300)
    heads = []
    for _ in range(2):
        trainer = HeadTrainer(*_start())
        trainer.train(features, labels, scale=SCALE, zero_point=0, rate=0.1, epochs=3)
        heads.append((trainer.weights.tobytes(), trainer.bias.tobytes(), trainer.hash))
    assert heads[0] == heads[1]


def test_hash_is_that_of_the_codec() -> None:
    """C and Python name a head the same."""
    weights, bias = _start()
    assert HeadTrainer(weights, bias).hash == HeadWeights(weights, bias).hash


def test_label_out_of_range_is_refused() -> None:
    """A label that the head does not have leaves it as it was."""
    features, labels = _samples(1)
    trainer = HeadTrainer(*_start())
    with pytest.raises(LinkError) as caught:
        trainer.train(features, labels * 0 + CLASSES, scale=1.0, zero_point=0, rate=0.1)
    assert caught.value.status == Status.LABEL
    assert trainer.weights.tobytes() == _start()[0].tobytes()


@pytest.mark.parametrize(
    ("rate", "spoil"), [(3e38, 0.0), (0.1, np.inf), (0.1, np.nan), (0.1, 3e38)]
)
def test_step_that_is_not_finite_leaves_the_head_unchanged(rate: float, spoil: float) -> None:
    """Overflow in logits or in the step is refused before a weight is written."""
    features, labels = _samples(1)
    weights, bias = _start()
    if spoil:
        weights[3, 4] = spoil
        features[0, 4] = 127
    trainer = HeadTrainer(weights, bias)
    with pytest.raises(LinkError) as caught:
        trainer.train(features, labels, scale=1.0, zero_point=0, rate=rate)
    assert caught.value.status == Status.NOT_FINITE
    assert trainer.weights.tobytes() == weights.tobytes()
    assert trainer.bias.tobytes() == bias.tobytes()


def test_wrong_shapes_are_refused() -> None:
    """Programming mistakes are ValueErrors."""
    weights, bias = _start()
    with pytest.raises(ValueError, match="expected"):
        HeadTrainer(weights, bias[:3])
    trainer = HeadTrainer(weights, bias)
    with pytest.raises(ValueError, match="int8"):
        trainer.predict(np.zeros((2, 3), np.int8), scale=1.0, zero_point=0)
    with pytest.raises(ValueError, match="labels"):
        labels = np.array([-1, 0])
        trainer.train(np.zeros((2, FEATURES), np.int8), labels, scale=1.0, zero_point=0, rate=0.1)


def test_exponential_and_logarithm_are_accurate(twin: Twin) -> None:
    """Within two units in the last place over the whole range, and exact at the ends."""
    x = np.linspace(-86.9, 88.6, 40_001, dtype=np.float32)
    found = np.frombuffer(twin.bytes(Op.EXP, x.tobytes()), np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(found - exact) / np.spacing(exact.astype(np.float32))).max() <= EXP_ULPS
    y = np.concatenate([np.geomspace(1e-37, 1e38, 40_001), np.linspace(0.5, 2, 4_001)])
    y = y.astype(np.float32)
    found = np.frombuffer(twin.bytes(Op.LOG_F32, y.tobytes()), np.float32)
    exact = np.log(y.astype(np.float64))
    scale = np.maximum(np.abs(exact), 2.0**-10).astype(np.float32)
    assert (np.abs(found - exact) / np.spacing(scale)).max() <= LOG_ULPS
    ends = np.array([-1000, 0, 1000, np.inf, -np.inf, np.nan], np.float32)
    found = np.frombuffer(twin.bytes(Op.EXP, ends.tobytes()), np.float32)
    np.testing.assert_array_equal(found, np.array([0, 1, np.inf, np.inf, 0, np.nan], np.float32))
    ends = np.array([0, -1, np.inf, np.nan, 1], np.float32)
    found = np.frombuffer(twin.bytes(Op.LOG_F32, ends.tobytes()), np.float32)
    np.testing.assert_array_equal(found, np.array([np.nan] * 4 + [0], np.float32))


def test_proximal_term_pulls_to_the_start_as_in_float64() -> None:
    """FedProx: each step also goes rate * mu of the way back, bias and all."""
    features, labels = _samples(300)
    trainer = HeadTrainer(*_start())
    trainer.train(features, labels, scale=SCALE, zero_point=ZERO_POINT, rate=0.01, mu=2.0)
    base = [part.astype(np.float64) for part in _start()]
    weights, bias = (part.copy() for part in base)
    inputs = (features.astype(np.float64) - ZERO_POINT) * np.float64(np.float32(SCALE))
    for x, label in zip(inputs, labels, strict=True):
        logits = weights @ x + bias
        p = np.exp(logits - logits.max())
        p /= p.sum()
        p[label] -= 1.0
        weights -= 0.01 * np.outer(p, x) + 0.02 * (weights - base[0])
        bias -= 0.01 * p + 0.02 * (bias - base[1])
    free = HeadTrainer(*_start())
    free.train(features, labels, scale=SCALE, zero_point=ZERO_POINT, rate=0.01)
    assert np.abs(trainer.weights - weights).max() / np.abs(weights).max() <= WEIGHT_TOLERANCE
    assert np.abs(trainer.bias - bias).max() / np.abs(bias).max() <= WEIGHT_TOLERANCE
    assert np.linalg.norm(trainer.weights - base[0]) < np.linalg.norm(free.weights - base[0])


@pytest.mark.parametrize("local", [3, CLASSES, CLASSES + FEATURES + 5])
def test_local_part_is_fitted_alone_over_the_first_half(local: int) -> None:
    """TinyMetaFed: of the first half of the samples only the end of the vector learns."""
    features, labels = _samples(7)
    weights, bias = _start()
    how = {"scale": SCALE, "zero_point": ZERO_POINT, "rate": 0.01}
    whole = HeadTrainer(weights, bias)
    whole.train(features, labels, **how, local=local)  # type: ignore[arg-type]
    first = HeadTrainer(weights, bias)
    for i in range(4):  # 0, 1, 2 and 3 of 7 lie in the first half
        tried = HeadTrainer(first.weights, first.bias)
        tried.train(features[i : i + 1], labels[i : i + 1], **how)  # type: ignore[arg-type]
        vectors = [np.append(t.weights.ravel(), t.bias) for t in (first, tried)]
        mixed = np.append(vectors[0][:-local], vectors[1][-local:])
        first = HeadTrainer(mixed[:-CLASSES].reshape(weights.shape), mixed[-CLASSES:])
    first.train(features[4:], labels[4:], **how)  # type: ignore[arg-type]
    assert np.array_equal(whole.weights, first.weights)
    assert np.array_equal(whole.bias, first.bias)


def _update_call(
    base: HeadWeights,
    trained: HeadWeights,
    like: Update,
    codec: tuple[int, int, int, int] = (0, 0, 0, 0),
    left_out: np.ndarray | None = None,
) -> bytes:
    """codec: kind, entries, seed, local."""
    out = struct.pack("<IIQII", base.classes, base.features, like.run, like.round, like.samples)
    out += like.base_hash + struct.pack("<ff4I", like.loss_first, like.loss_last, *codec)
    out += base.encode()[12:] + trained.encode()[12:]
    rest = np.zeros(base.classes * (base.features + 1), np.float32)
    if left_out is not None:
        rest[: len(left_out)] = left_out
    return out + rest.tobytes()


def test_update_object_has_equal_bytes(twin: Twin) -> None:
    """The device's update is what the server's codec writes for the same difference."""
    weights, bias = _start()
    base = HeadWeights(weights, bias)
    trained = HeadWeights(weights * np.float32(1.1), bias + np.float32(0.25))
    update = Update(
        run=2**63 + 1,
        round=9,
        samples=251,
        base_hash=base.hash,
        loss_first=1.5,
        loss_last=0.25,
        weights=trained.weights - base.weights,
        bias=trained.bias - base.bias,
    )
    out = twin.bytes(Op.UPDATE, _update_call(base, trained, update))
    data, rest = out[: len(update.encode())], out[len(update.encode()) :]
    assert data == update.encode() and not any(rest)
    assert decode_update(data).round == 9


@pytest.mark.parametrize("local", [0, CLASSES])
@pytest.mark.parametrize("codec", CODECS)
def test_update_in_every_codec_has_equal_bytes(twin: Twin, codec: str, local: int) -> None:
    """With what an earlier update left out, and what this one leaves out, in every bit."""
    rng = np.random.default_rng(5)
    weights, bias = _start()
    base = HeadWeights(weights, bias)
    moved = weights + rng.normal(0, 0.1, weights.shape).astype(np.float32)
    moved[0, :3] = weights[0, :3]  # equal magnitudes, some of them 0
    trained = HeadWeights(moved, bias + np.float32(0.25))
    update = Update(
        7,
        2,
        30,
        base.hash,
        1.0,
        0.5,
        trained.weights - base.weights,
        trained.bias - base.bias,
    )
    size = base.classes * (base.features + 1) - local
    before = rng.normal(0, 0.01, size).astype(np.float32)
    if codec == "float32":
        before[:] = 0
    expected, after = compressed_with_feedback(
        update, before, codec, share=0.3, seed=99, local=local
    )
    entries = kept(size, 0.3) if codec in SPARSE else 0
    call = _update_call(base, trained, update, (CODECS.index(codec), entries, 99, local), before)
    out = twin.bytes(Op.UPDATE, call)
    data = expected.encode()
    assert out[: len(data)] == data
    assert len(data) == update_bytes(base.classes, base.features, codec, 0.3, local)
    rest = np.frombuffer(out[len(data) :], np.float32)
    np.testing.assert_array_equal(rest[:size], after)
    assert not rest[size:].any()
    back = decode_update(data)
    assert back.local == local and back.encode() == data
    assert local == 0 or (back.sent is not None and not back.sent[-local:].any())


def test_update_that_is_not_finite_is_refused(twin: Twin) -> None:
    """A difference that overflows never becomes an update."""
    weights, bias = _start()
    base = HeadWeights(weights * 0 - np.float32(3e38), bias)
    trained = HeadWeights(weights * 0 + np.float32(3e38), bias)
    like = Update(1, 1, 1, base.hash, 0.0, 0.0, weights, bias)
    status, _ = twin.run(Op.UPDATE, _update_call(base, trained, like))
    assert status is Status.NOT_FINITE


def test_head_object_is_proven(twin: Twin) -> None:
    """The right object opens; another shape, hash, length, magic, version or value does not."""
    weights, bias = _start()
    head = HeadWeights(weights, bias)
    data = head.encode()
    assert decode_head(data).hash == head.hash

    def status(data: bytes, classes: int = CLASSES, digest: bytes = head.hash) -> Status:
        call = struct.pack("<II", classes, FEATURES) + digest + data
        return twin.run(Op.HEAD_OPEN, call)[0]

    assert status(data) is Status.OK
    assert status(data, classes=9) is Status.SHAPE
    assert status(data, digest=bytes(32)) is Status.BASE
    assert status(data[:-4]) is Status.SHAPE
    assert status(data[:9]) is Status.TRUNCATED
    assert status(b"EKUP" + data[4:]) is Status.MAGIC
    assert status(data[:4] + b"\x02" + data[5:]) is Status.VERSION
    spoilt = replace(head, bias=np.full_like(bias, np.nan))
    assert status(spoilt.encode(), digest=spoilt.hash) is Status.NOT_FINITE
