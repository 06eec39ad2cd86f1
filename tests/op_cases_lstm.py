"""Random models of one LSTM layer, as the converter makes them of a fused layer."""

from __future__ import annotations

import numpy as np
from litert_models import Model, T
from op_makers import Random, scale, zero

INPUTS = 24


def lstm(rng: Random) -> Model:
    model = Model()
    batch, steps, features, units = (int(v) for v in rng.integers(1, 9, 4))
    time_major = bool(rng.random() < 0.3)
    lead = (steps, batch) if time_major else (batch, steps)
    x = model.add(T((*lead, features), [scale(rng, -7, -3)], [zero(rng)]))
    y_quant = ([scale(rng, -8, -7)], [int(rng.integers(-20, 21))])
    inputs = [-1] * INPUTS
    inputs[0] = x
    for first, columns in ((1, features), (5, units)):
        for gate in range(4):
            data = rng.integers(-127, 128, (units, columns), dtype=np.int8)
            inputs[first + gate] = model.add(T(data.shape, [scale(rng, -8, -5)], [0], 0, data))
    for gate in range(4):
        step = model.tensors[x].scales[0] * model.tensors[inputs[1 + gate]].scales[0]
        data = rng.integers(-3000, 3000, units, dtype=np.int32)
        inputs[12 + gate] = model.add(T((units,), [step], [0], 0, data, "int32"))
    inputs[18] = model.add(T((batch, units), *y_quant, variable=True))
    cell = [2.0 ** float(rng.integers(-15, -8))], [0]
    inputs[19] = model.add(T((batch, units), *cell, dtype="int16", variable=True))
    y = model.add(T((*lead, units), *y_quant))
    intermediates = [model.add(T((0,), dtype="float32")) for _ in range(4)]
    intermediates.append(model.add(T((0,), *y_quant)))
    model.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        inputs,
        [y],
        fusedActivationFunction=4,
        cellClip=float(rng.choice([0.0, 10.0, 0.5])),
        timeMajor=time_major,
    )
    model.ops[-1].intermediates = intermediates
    model.inputs, model.outputs = [x], [y]
    return model
