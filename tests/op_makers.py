"""Parts of random single-operator models."""

from __future__ import annotations

import numpy as np
from litert_models import ACTIVATIONS, Model, T

Random = np.random.Generator


def scale(rng: Random, low: float = -7, high: float = 0) -> float:
    return float(np.float32(2 ** rng.uniform(low, high)))


def zero(rng: Random) -> int:
    return int(rng.choice([-128, 127, 0, int(rng.integers(-128, 128))]))


def activation(rng: Random) -> int:
    return ACTIVATIONS[str(rng.choice(["NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))]


def out_size(padding: int, size: int, kernel: int, stride: int, dilation: int) -> int:
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == 0 else -(-(size - reach + 1) // stride)


def weights(rng: Random, shape: tuple[int, ...], axis: int, model: Model) -> int:
    data = rng.integers(-127, 128, shape, dtype=np.int8)
    if rng.random() < 0.3:
        return model.add(T(shape, [scale(rng, -9, -4)], [0], 0, data))
    scales = [scale(rng, -9, -4) for _ in range(shape[axis])]
    return model.add(T(shape, scales, [0] * shape[axis], axis, data))


def bias(rng: Random, x: T, w: T, count: int, model: Model) -> int:
    data = rng.integers(-20000, 20000, count, dtype=np.int32)
    scales = [x.scales[0] * s for s in w.scales]
    return model.add(T((count,), scales, [0] * len(scales), 0, data, "int32"))


def unary(rng: Random, op: str, y_quant: tuple[list[float], list[int]], **options: object) -> Model:
    model = Model()
    x = model.add(T((1, 256), [scale(rng, -7, 0)], [zero(rng)]))
    if op == "HARD_SWISH":
        y_quant = ([max(y_quant[0][0], model.tensors[x].scales[0] / 60)], y_quant[1])
    y = model.add(T((1, 256), *y_quant))
    model.op(op, [x], [y], **options)
    model.inputs, model.outputs = [x], [y]
    return model


def shaped(rng: Random, rank: int) -> tuple[Model, int, tuple[int, ...], tuple]:
    model = Model()
    shape = tuple(int(v) for v in rng.integers(1, 6, rank))
    quant = ([scale(rng)], [zero(rng)])
    x = model.add(T(shape, *quant))
    return model, x, shape, quant


def constant(model: Model, values: list[int]) -> int:
    return model.add(T((len(values),), data=np.array(values, np.int32), dtype="int32"))


def scale_s16(rng: Random, low: float = -16, high: float = -9) -> float:
    return float(np.float32(2 ** rng.uniform(low, high)))


def shape_s16(rng: Random, rank: int) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(1, 6, rank))


def tensor_s16(model: Model, shape: tuple[int, ...], step: float) -> int:
    return model.add(T(shape, [step], [0], dtype="int16"))


def constant_s16(rng: Random, model: Model, shape: tuple[int, ...], step: float) -> int:
    data = rng.integers(-32767, 32768, shape, dtype=np.int16)
    return model.add(T(shape, [step], [0], 0, data, "int16"))


def done_s16(model: Model, x: int, y: int) -> Model:
    model.inputs, model.outputs = [x], [y]
    return model
