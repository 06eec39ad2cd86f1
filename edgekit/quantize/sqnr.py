"""How near each int8 activation of a text model is to what it is in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.quantize.embbert import Traced
from edgekit.quantize.interpreter import make_interpreter

ROWS = 16
"""Sentences that are compared."""


@dataclass(frozen=True, slots=True)
class LayerSqnr:
    """Signal to quantization noise of one activation.

    Attributes:
        name: Of the activation.
        decibels: 10 log10 of the power of the float values over that of the difference from them;
            grows with all that went before, not with this layer alone.
    """

    name: str
    decibels: float


def layer_sqnr(traced: Traced, *, length: int, rows: int = ROWS) -> tuple[LayerSqnr, ...]:
    """Run sentences through LiteRT's reference kernels and compare every activation.

    What lies at padding is left out.

    Args:
        traced: A file and its float values.
        length: Tokens of the file's input.
        rows: Sentences to take, from the first of the calibration.
    """
    interpreter = make_interpreter(traced.data, keep_all=True)
    place = interpreter.get_input_details()[0]["index"]
    count, used = min(rows, len(traced.ids)), traced.ids.shape[1]
    signal, noise = np.zeros(len(traced.indices)), np.zeros(len(traced.indices))
    for row in range(count):
        ids = np.zeros((1, length), np.int32)
        ids[0, :used] = traced.ids[row]
        interpreter.set_tensor(place, ids)
        interpreter.invoke()
        tokens = int(np.count_nonzero(traced.ids[row]))
        for i, index in enumerate(traced.indices):
            real = traced.reals[i][row]
            stored = np.asarray(interpreter.get_tensor(index))[0]
            if stored.ndim != real.ndim:
                continue
            cut = tuple(slice(0, tokens if n == used else n) for n in real.shape)
            wanted = real[cut]
            found = (stored[cut].astype(np.float32) - traced.zeros[i]) * traced.scales[i]
            signal[i] += _power(wanted)
            noise[i] += _power(found - wanted)
    return tuple(
        LayerSqnr(name, float(10 * np.log10(max(s, 1e-30) / max(n, 1e-30))))
        for name, s, n in zip(traced.names, signal, noise, strict=True)
        if s > 0
    )


def _power(values: Any) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))
