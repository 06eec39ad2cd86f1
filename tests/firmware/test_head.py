"""Head training in C: against float64, against itself, and the objects of a federated round."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from firmware_twin import Op, Twin

from edgekit.errors import LinkError
from edgekit.federated.codecs import HeadWeights, Update, decode_head, decode_update
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


def _update_call(base: HeadWeights, trained: HeadWeights, like: Update) -> bytes:
    out = struct.pack("<IIQII", base.classes, base.features, like.run, like.round, like.samples)
    out += like.base_hash + struct.pack("<ff", like.loss_first, like.loss_last)
    return out + base.encode()[12:] + trained.encode()[12:]


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
    data = twin.bytes(Op.UPDATE, _update_call(base, trained, update))
    assert data == update.encode()
    assert decode_update(data).round == 9


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
