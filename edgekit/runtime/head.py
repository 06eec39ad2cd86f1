"""Training a head with the device's own C code, so that host and board agree bit for bit.

Twin: firmware/learn/ek_train.c (this file calls it)
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from edgekit.runtime.learn_library import check, learn_library

Float32Array = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]

MAX_CLASSES = 128


class _Trainer(ctypes.Structure):
    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("classes", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    )


class _Rule(ctypes.Structure):
    _fields_ = (
        ("rate", ctypes.c_float),
        ("decay", ctypes.c_float),
        ("mu", ctypes.c_float),
        ("base", ctypes.c_void_p),
        ("local", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
    )


class _Set(ctypes.Structure):
    _fields_ = (
        ("features", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("count", ctypes.c_uint32),
    )


class HeadTrainer:
    """A softmax head and the device's way to train it.

    Args:
        weights: float32 [k, h]; copied.
        bias: float32 [k]; copied.

    Raises:
        ValueError: If the shapes do not fit each other or k exceeds MAX_CLASSES.
    """

    def __init__(self, weights: Float32Array, bias: Float32Array) -> None:
        if weights.ndim != 2 or 0 in weights.shape or bias.shape != weights.shape[:1]:
            raise ValueError(
                f"weights {weights.shape} and bias {bias.shape}, expected [k, h] and [k]"
            )
        if weights.shape[0] > MAX_CLASSES:
            raise ValueError(f"head has {weights.shape[0]} classes, at most {MAX_CLASSES}")
        self.weights: Float32Array = np.array(weights, np.float32, order="C")
        self.bias: Float32Array = np.array(bias, np.float32, order="C")

    @property
    def hash(self) -> bytes:
        """BLAKE2b-256 of weights and bias, as a device reports it."""
        digest = (ctypes.c_uint8 * 32)()
        learn_library().ek_head_hash(ctypes.byref(self._trainer(1.0, 0)), digest)
        return bytes(digest)

    def train(
        self,
        features: Int8Array,
        labels: npt.NDArray[np.integer],
        *,
        scale: float,
        zero_point: int,
        rate: float,
        decay: float = 0.0,
        mu: float = 0.0,
        local: int = 0,
        epochs: int = 1,
    ) -> list[float]:
        """Step once on each sample, in order, epoch after epoch; return each epoch's mean loss.

        Args:
            features: int8 [N, h], the tensor that the head reads.
            labels: Classes, [N].
            scale: Step of the features: x = (q - zero_point) * scale.
            rate: Learning rate.
            decay: L2 decay of the weights; the bias does not decay.
            mu: Proximal term of FedProx: pulls to what the head is now by `rate * mu`.
            local: Parameters at the end, weights row by row and then bias, that TinyMetaFed fits
                alone on the first half of the samples of each epoch.

        Raises:
            ValueError: If shapes or types do not fit.
            LinkError: LABEL or NOT_FINITE; the head keeps what was learned before.
        """
        x = self._check_features(features)
        y = np.ascontiguousarray(labels, np.uint16)
        if y.shape != x.shape[:1] or not x.shape[0]:
            raise ValueError(f"features {x.shape} and labels {y.shape}, expected [N, h] and [N]")
        if not np.array_equal(y, labels):
            raise ValueError("labels are outside 0 .. 65535")
        trainer = self._trainer(scale, zero_point)
        if not 0 <= local < self.weights.size + self.bias.size:
            raise ValueError(f"local part of {local} parameters, expected fewer than all")
        base = np.concatenate([self.weights.ravel(), self.bias]).astype("<f4")
        rule = _Rule(rate, decay, mu, base.ctypes.data, local, 0)
        samples = _Set(x.ctypes.data, y.ctypes.data, x.shape[0])
        scratch = np.empty(self.bias.shape, np.float32)
        losses = []
        for _ in range(epochs):
            loss = ctypes.c_float()
            status = learn_library().ek_head_train_epoch(
                ctypes.byref(trainer),
                ctypes.byref(rule),
                ctypes.byref(samples),
                scratch.ctypes.data,
                ctypes.byref(loss),
            )
            check(status, "head training")
            losses.append(float(loss.value))
        return losses

    def predict(self, features: Int8Array, *, scale: float, zero_point: int) -> Float32Array:
        """Return the probabilities of each sample, [N, k].

        Raises:
            ValueError: If shapes or types do not fit.
            LinkError: NOT_FINITE if the head overflows.
        """
        x = self._check_features(features)
        trainer = self._trainer(scale, zero_point)
        out = np.empty((x.shape[0], self.bias.shape[0]), np.float32)
        for i in range(x.shape[0]):
            status = learn_library().ek_head_predict(
                ctypes.byref(trainer), x[i].ctypes.data, out[i].ctypes.data
            )
            check(status, "head training")
        return out

    def _check_features(self, features: Int8Array) -> Int8Array:
        if features.dtype != np.int8 or features.shape[1:] != self.weights.shape[1:]:
            raise ValueError(
                f"features are {features.dtype} {features.shape},"
                f" expected int8 [N, {self.weights.shape[1]}]"
            )
        return np.ascontiguousarray(features)

    def _trainer(self, scale: float, zero_point: int) -> _Trainer:
        classes, features = self.weights.shape
        return _Trainer(
            self.weights.ctypes.data, self.bias.ctypes.data, classes, features, scale, zero_point
        )
