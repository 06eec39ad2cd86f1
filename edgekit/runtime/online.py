"""A head that learns on the device, run here with the device's own C code.

Twin: firmware/learn/ek_online.c (this file calls it), edgekit/runtime/online_twin.py
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import RefusedError
from edgekit.link.status import Status
from edgekit.runtime.learn_library import check, learn_library
from edgekit.runtime.learn_numbers import FLOAT32
from edgekit.runtime.net import KINDS, LOSSES, CLayer, CNet, Float32Array, rule_words, stored
from edgekit.runtime.online_twin import Method

Int8Array = npt.NDArray[np.int8]

MOST_CLASSES = 256
METHODS = {"ol": Method.OL, "ol-v2": Method.OL_V2, "lwf": Method.LWF, "cwr": Method.CWR}
_POINTER = ctypes.c_void_p


def _plan_type(number: Any) -> Any:
    class Plan(ctypes.Structure):
        """Twin: ek_online_plan."""

        _fields_ = (
            ("features", ctypes.c_uint32),
            ("classes", ctypes.c_uint32),
            ("most_classes", ctypes.c_uint32),
            ("scale", ctypes.c_float),
            ("zero_point", ctypes.c_int32),
            ("method", ctypes.c_int),
            ("loss", ctypes.c_int),
            ("batch", ctypes.c_uint32),
            ("rule", number * 4),
        )

    return Plan


def _online_type(plan: Any, number: Any) -> Any:
    class Online(ctypes.Structure):
        """Twin: ek_online."""

        _fields_ = (
            ("plan", plan),
            ("layer", CLayer),
            ("net", CNet),
            ("scale", number),
            ("kept", _POINTER),
            ("x", _POINTER),
            ("old", _POINTER),
            ("labels", _POINTER),
            ("batches", _POINTER),
            ("classes", ctypes.c_uint32),
            ("steps", ctypes.c_uint32),
        )

    return Online


_NUMBERS: dict[str, Any] = {"float32": ctypes.c_float, "fixed": ctypes.c_int32}
_PLANS = {kind: _plan_type(number) for kind, number in _NUMBERS.items()}
_ONLINES = {kind: _online_type(_PLANS[kind], number) for kind, number in _NUMBERS.items()}


class OnlineHead:
    """A head on a frozen int8 model, learning one sample at a time.

    To replace a layer begin with zeros, to widen it leave room in most_classes, to append a layer
    take the model's output as features.

    Args:
        weights: float32 [k, h]; copied.
        bias: float32 [k]; copied.
        scale: Step of the features: x = (q - zero_point) * scale.
        method: ol, ol-v2, lwf or cwr.
        most_classes: K_max, rows that the head may grow to; default k.
        rate: Learning rate.
        momentum: Of the steps, 0 .. 0.99.
        decay: L2 decay of the weights.
        clip: Largest norm of a gradient.
        loss: softmax (labels) or square (values; method ol).
        batch: Of cwr, samples until rows are kept.
        kind: float32, or fixed for what cores without an FPU compute.

    Raises:
        ValueError: If shapes or names do not fit.
        LinkError: RANGE if a number is out of range.
    """

    def __init__(
        self,
        weights: npt.ArrayLike,
        bias: npt.ArrayLike,
        *,
        scale: float,
        zero_point: int,
        method: str = "ol",
        most_classes: int | None = None,
        rate: float = 0.05,
        momentum: float = 0.0,
        decay: float = 0.0,
        clip: float = 100.0,
        loss: str = "softmax",
        batch: int = 16,
        kind: str = "float32",
    ) -> None:
        w = np.ascontiguousarray(weights, np.float32)
        b = np.ascontiguousarray(bias, np.float32)
        if w.ndim != 2 or 0 in w.shape or b.shape != w.shape[:1]:
            raise ValueError(f"weights {w.shape} and bias {b.shape}, expected [k, h] and [k]")
        if method not in METHODS or loss not in LOSSES or kind not in KINDS:
            raise ValueError(f"method {method!r}, loss {loss!r} or kind {kind!r} is not known")
        self._numbers, self._library = KINDS[kind], learn_library(kind)
        self.features, self.loss = w.shape[1], loss
        self.most_classes = len(w) if most_classes is None else most_classes
        rule = rule_words(self._numbers, rate, momentum, decay, clip)
        number = _NUMBERS[kind]
        plan = _PLANS[kind](
            self.features,
            len(w),
            self.most_classes,
            scale,
            zero_point,
            METHODS[method],
            LOSSES.index(loss),
            batch,
            (number * 4)(*rule.tolist()),
        )
        self.memory_bytes = int(self._library.ek_online_bytes(ctypes.byref(plan)))
        self._memory = np.zeros(max(self.memory_bytes // 4, 1), np.uint32)
        self._online = _ONLINES[kind]()
        status = self._library.ek_online_start(
            ctypes.byref(self._online),
            ctypes.byref(plan),
            w.ctypes.data,
            b.ctypes.data,
            self._memory.ctypes.data,
            self._memory.nbytes,
        )
        check(status, f"a head of {w.shape[0]} to {self.most_classes} classes by {method}")

    @property
    def classes(self) -> int:
        """Rows in use."""
        return int(self._online.classes)

    @property
    def steps(self) -> int:
        """Samples learnt."""
        return int(self._online.steps)

    @property
    def labels(self) -> list[int]:
        """What the rows stand for."""
        return [int(label) for label in self._words(self._online.labels, self.classes)]

    @property
    def weights(self) -> Float32Array:
        """Rows that learn, float32 [classes, h]; a copy."""
        count = self.classes * self.features
        return self._floats(self._online.layer.weights, count).reshape(-1, self.features)

    @property
    def bias(self) -> Float32Array:
        """Float32 [classes]; a copy."""
        return self._floats(self._online.layer.bias, self.classes)

    @property
    def kept(self) -> Float32Array:
        """Rows that cwr keeps or lwf began with, float32 [classes, h]; a copy."""
        count = self.classes * self.features
        return self._floats(self._online.kept, count).reshape(-1, self.features)

    def learn(self, features: Int8Array, labels: npt.ArrayLike) -> Float32Array:
        """Step once on each sample, in order; a new label gets a row; return the losses, [N].

        Raises:
            ValueError: If shapes or types do not fit.
            RefusedError: If all rows are taken; the head keeps what it learned before.
            LinkError: NOT_FINITE.
        """
        x = self._check(features)
        y = np.asarray(labels)
        if y.shape != x.shape[:1]:
            raise ValueError(f"features {x.shape} and labels {y.shape}, expected [N, h] and [N]")
        losses = np.zeros(len(x), self._dtype)
        for i, label in enumerate(y.tolist()):
            status = self._library.ek_online_learn(
                ctypes.byref(self._online), x[i].ctypes.data, label, losses[i:].ctypes.data
            )
            if status == Status.SPACE:
                known = ", ".join(map(str, self.labels))
                raise RefusedError(
                    f"label {label} is new and all {self.most_classes} rows of the head are taken"
                    f" by {known}; give [learn] max_classes more room"
                )
            check(status, "learning")
        return self._numbers.floats(losses)

    def fit(self, features: Int8Array, values: npt.ArrayLike) -> Float32Array:
        """Step once on each sample towards its values [N, k]; return the losses, [N].

        Raises:
            ValueError: If shapes or types do not fit.
            LinkError: NOT_FINITE, or STATE if the loss is softmax.
        """
        x = self._check(features)
        y = stored(self._numbers, values)
        if y.shape != (len(x), self.classes):
            raise ValueError(f"values {y.shape}, expected {(len(x), self.classes)}")
        losses = np.zeros(len(x), self._dtype)
        for i in range(len(x)):
            status = self._library.ek_online_fit(
                ctypes.byref(self._online),
                x[i].ctypes.data,
                y[i].ctypes.data,
                losses[i:].ctypes.data,
            )
            check(status, "learning")
        return self._numbers.floats(losses)

    def predict(self, features: Int8Array) -> Float32Array:
        """Return probabilities or values, [N, classes]; columns as `labels`.

        Raises:
            ValueError: If shapes or types do not fit.
            LinkError: NOT_FINITE.
        """
        x = self._check(features)
        out = np.zeros((len(x), self.classes), self._dtype)
        for i in range(len(x)):
            status = self._library.ek_online_predict(
                ctypes.byref(self._online), x[i].ctypes.data, out[i].ctypes.data
            )
            check(status, "running a head")
        return self._numbers.floats(out)

    def checkpoint(self) -> bytes:
        """Return what the device stores of the head."""
        self._library.ek_online_put_counts(ctypes.byref(self._online))
        return self._state().tobytes()

    def restore(self, data: bytes) -> None:
        """Take a checkpoint of a head with the same plan back.

        Raises:
            ValueError: If it has another size.
            LinkError: RANGE if its counts are not sound; the head is as before.
        """
        before = self.checkpoint()
        state = self._state()
        if len(data) != state.nbytes:
            raise ValueError(f"checkpoint has {len(data)} bytes, expected {state.nbytes}")
        state[:] = np.frombuffer(data, np.uint32)
        status = self._library.ek_online_take_counts(ctypes.byref(self._online))
        if status != 0:
            state[:] = np.frombuffer(before, np.uint32)
        check(status, "restoring a head")

    @property
    def _dtype(self) -> type[np.generic]:
        return np.float32 if self._numbers is FLOAT32 else np.int32

    def _state(self) -> npt.NDArray[np.uint32]:
        words = ctypes.c_size_t()
        at = self._library.ek_online_state(ctypes.byref(self._online), ctypes.byref(words))
        return self._words(at, words.value)

    def _words(self, address: int, count: int) -> npt.NDArray[np.uint32]:
        at = (address - self._memory.ctypes.data) // 4
        return self._memory[at : at + count]

    def _floats(self, address: int, count: int) -> Float32Array:
        values = self._words(address, count).view(self._dtype)
        return np.array(self._numbers.floats(values), np.float32)

    def _check(self, features: Int8Array) -> Int8Array:
        if features.dtype != np.int8 or features.shape[1:] != (self.features,):
            raise ValueError(
                f"features are {features.dtype} {features.shape}, expected int8"
                f" [N, {self.features}]"
            )
        return np.ascontiguousarray(features)
