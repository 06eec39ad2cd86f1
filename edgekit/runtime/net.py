"""Dense nets trained with the device's own C code: what Reptile and its kin train.

Twin: firmware/learn/ek_net.c (this file calls it), edgekit/runtime/learn_twin.py
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.runtime.learn_library import check, learn_library
from edgekit.runtime.learn_numbers import FIXED24, FLOAT32, Array, Numbers

Float32Array = npt.NDArray[np.float32]

ACTIVATIONS = ("linear", "relu", "tanh")
LOSSES = ("softmax", "square")
KINDS: dict[str, Numbers] = {"float32": FLOAT32, "fixed": FIXED24}
_MAX_LAYERS = 8
_POINTER = ctypes.c_void_p


class CLayer(ctypes.Structure):
    """Twin: ek_layer."""

    _fields_ = (
        ("weights", _POINTER),
        ("bias", _POINTER),
        ("weights_velocity", _POINTER),
        ("bias_velocity", _POINTER),
        ("inputs", ctypes.c_uint32),
        ("outputs", ctypes.c_uint32),
        ("activation", ctypes.c_int),
    )


class CNet(ctypes.Structure):
    """Twin: ek_net."""

    _fields_ = (
        ("layers", _POINTER),
        ("count", ctypes.c_uint32),
        ("loss", ctypes.c_int),
        ("scratch", _POINTER),
    )


class CLessons(ctypes.Structure):
    """Twin: ek_lessons."""

    _fields_ = (
        ("x", _POINTER),
        ("values", _POINTER),
        ("labels", _POINTER),
        ("count", ctypes.c_uint32),
    )


def stored(numbers: Numbers, values: npt.ArrayLike) -> Array:
    """Return floats as the device keeps them: float32, or int32 of fixed point."""
    found = numbers.of(values)
    return np.ascontiguousarray(found if numbers is FLOAT32 else found.astype(np.int32))


def rule_words(numbers: Numbers, rate: float, momentum: float, decay: float, clip: float) -> Array:
    """Return an ek_step_rule as the device keeps it.

    Raises:
        LinkError: RANGE if a number is out of range.
    """
    rule = stored(numbers, [rate, momentum, decay, clip])
    kind = next(name for name, each in KINDS.items() if each is numbers)
    check(learn_library(kind).ek_step_rule_check(rule.ctypes.data), "rule of a step")
    return rule


def _rule_type(number: Any) -> Any:
    class Rule(ctypes.Structure):
        """Twin: ek_client_rule."""

        _fields_ = (
            ("step", number * 4),
            ("mu", number),
            ("base", _POINTER),
            ("local", ctypes.c_uint32),
        )

    return Rule


_RULES = {"float32": _rule_type(ctypes.c_float), "fixed": _rule_type(ctypes.c_int32)}


class DenseNet:
    """A net of dense layers that learns one sample at a time.

    Args:
        sizes: Of the input, then of each layer: (1, 32, 32, 1).
        hidden: Activation of all layers but the last: linear, relu or tanh.
        loss: softmax (labels) or square (values).
        parameters: float32 [P]: weights [outputs, inputs] and bias of each layer in turn; copied.
            Default all 0.
        momentum: Whether steps may have momentum: needs as much memory again.
        kind: float32, or fixed for what cores without an FPU compute.

    Raises:
        ValueError: If sizes, names or parameters do not fit.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        hidden: str = "tanh",
        loss: str = "square",
        parameters: npt.ArrayLike | None = None,
        momentum: bool = False,
        kind: str = "float32",
    ) -> None:
        if not 2 <= len(sizes) <= _MAX_LAYERS + 1 or min(sizes) < 1 or max(sizes) > 65536:
            raise ValueError(f"sizes {tuple(sizes)}, expected 2 to 9 numbers in 1 .. 65536")
        if hidden not in ACTIVATIONS or loss not in LOSSES or kind not in KINDS:
            raise ValueError(f"activation {hidden!r}, loss {loss!r} or kind {kind!r} is not known")
        self.sizes = tuple(map(int, sizes))
        self.hidden, self.loss, self.kind = hidden, loss, kind
        self._numbers = KINDS[kind]
        self._library = learn_library(kind)
        count = sum(m * (n + 1) for n, m in zip(self.sizes[:-1], self.sizes[1:], strict=True))
        self._values = stored(self._numbers, np.zeros(count))
        self._velocities = np.zeros_like(self._values) if momentum else None
        self._scratch = np.zeros(2 * sum(self.sizes[1:]), self._values.dtype)
        self._layers = (CLayer * (len(self.sizes) - 1))()
        lengths = np.array(self.sizes, np.uint32)
        status = self._library.ek_net_lay(
            self._layers,
            len(self._layers),
            lengths.ctypes.data,
            ACTIVATIONS.index(hidden),
            self._values.ctypes.data,
            None if self._velocities is None else self._velocities.ctypes.data,
        )
        check(status, "dense net")
        self._net = CNet(
            ctypes.addressof(self._layers),
            len(self._layers),
            LOSSES.index(loss),
            self._scratch.ctypes.data,
        )
        if parameters is not None:
            self.parameters = np.asarray(parameters, np.float32)

    @property
    def parameters(self) -> Float32Array:
        """Weights and bias of each layer in turn, float32 [P]; a copy."""
        return np.array(self._numbers.floats(self._values), np.float32)

    @parameters.setter
    def parameters(self, values: Float32Array) -> None:
        if values.shape != self._values.shape:
            raise ValueError(f"parameters {values.shape}, expected {self._values.shape}")
        self._values[:] = stored(self._numbers, values)

    @property
    def stored(self) -> bytes:
        """The parameters as they lie in the device's memory."""
        return self._values.tobytes()

    @property
    def step_bytes(self) -> int:
        """Memory of a step on the device beside its sample."""
        return int(self._library.ek_net_step_bytes(ctypes.byref(self._net)))

    def batch_bytes(self, samples: int) -> int:
        """Return the memory of a step on a batch of samples that are all there at once."""
        return int(self._library.ek_net_batch_bytes(ctypes.byref(self._net), samples))

    def rest(self) -> None:
        """Set all velocities to 0."""
        if self._velocities is not None:
            self._velocities[:] = 0

    def train(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        rate: float,
        momentum: float = 0.0,
        decay: float = 0.0,
        clip: float = 100.0,
        mu: float = 0.0,
        base: npt.ArrayLike | None = None,
        local: int = 0,
    ) -> float:
        """Step once on each sample, in order; return the mean of the losses before the steps.

        Args:
            x: Inputs [N, inputs].
            y: Labels [N], or values [N, outputs].
            decay: L2 decay of the weights; the bias does not decay.
            clip: Largest norm of the gradient.
            mu: Proximal term of FedProx: a step also goes `rate * mu` of the way back to `base`.
            base: Parameters float32 [P]; default those at the start.
            local: Layers at the end that TinyMetaFed fits alone on the first half of the samples.

        Raises:
            ValueError: If shapes do not fit, or there is momentum without memory for it.
            LinkError: NOT_FINITE, RANGE or LABEL; the net keeps what it learned before.
        """
        if momentum and self._velocities is None:
            raise ValueError("this net was made without momentum")
        words = rule_words(self._numbers, rate, momentum, decay, clip)
        origin = self._values.copy() if base is None else stored(self._numbers, base)
        if origin.shape != self._values.shape or not 0 <= local < len(self._layers):
            raise ValueError(
                f"base {origin.shape} and {local} local layers, expected {self._values.shape} and"
                f" fewer than {len(self._layers)}"
            )
        rule = _RULES[self.kind](
            type(_RULES[self.kind]().step)(*words.tolist()),
            stored(self._numbers, [mu]).tolist()[0],
            origin.ctypes.data,
            local,
        )
        inputs = self._inputs(x)
        values = labels = None
        if self.loss == "square":
            values = stored(self._numbers, np.asarray(y, np.float32).reshape(len(inputs), -1))
            fits = values.shape == (len(inputs), self.sizes[-1])
        else:
            labels = np.ascontiguousarray(y, np.uint32)
            fits = labels.shape == (len(inputs),)
        if not fits or not len(inputs):
            raise ValueError(f"{len(inputs)} inputs and targets {np.shape(y)} do not fit")
        lessons = CLessons(
            inputs.ctypes.data,
            None if values is None else values.ctypes.data,
            None if labels is None else labels.ctypes.data,
            len(inputs),
        )
        loss = np.zeros(1, self._values.dtype)
        status = self._library.ek_client_epoch(
            ctypes.byref(self._net), ctypes.byref(rule), ctypes.byref(lessons), loss.ctypes.data
        )
        check(status, "training a dense net")
        return float(self._numbers.floats(loss)[0])

    def predict(self, x: npt.ArrayLike) -> Float32Array:
        """Return probabilities or values of each input, [N, outputs].

        Raises:
            ValueError: If the shape does not fit.
            LinkError: NOT_FINITE.
        """
        inputs = self._inputs(x)
        width = self.sizes[-1]
        start = len(self._scratch) // 2 - width
        out = np.empty((len(inputs), width), self._scratch.dtype)
        for i in range(len(inputs)):
            status = self._library.ek_net_forward(ctypes.byref(self._net), inputs[i].ctypes.data)
            check(status, "running a dense net")
            out[i] = self._scratch[start : start + width]
        return self._numbers.floats(out)

    def _inputs(self, x: npt.ArrayLike) -> Array:
        values = np.asarray(x, np.float32)
        if values.ndim != 2 or values.shape[1] != self.sizes[0]:
            raise ValueError(f"inputs are {values.shape}, expected [N, {self.sizes[0]}]")
        return stored(self._numbers, values)
