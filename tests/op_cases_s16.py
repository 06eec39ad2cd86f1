"""Random single-operator models with int16 activations, one maker per operator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from litert_models import Model, T
from op_cases_s16_layout import LAYOUT_S16
from op_makers import (
    Random,
    activation,
    constant,
    constant_s16,
    done_s16,
    out_size,
    scale_s16,
    shape_s16,
    tensor_s16,
)

GENERAL = {"potScaleInt16": False}


def _weights(rng: Random, model: Model, shape: tuple[int, ...], axis: int) -> int:
    data = rng.integers(-127, 128, shape, dtype=np.int8)
    count = 1 if rng.random() < 0.3 else shape[axis]
    scales = [scale_s16(rng, -9, -4) for _ in range(count)]
    return model.add(T(shape, scales, [0] * count, axis if count > 1 else 0, data))


def _bias(rng: Random, model: Model, x: int, w: int, count: int) -> int:
    data = rng.integers(-(2**33), 2**33, count, dtype=np.int64)
    scales = [model.tensors[x].scales[0] * s for s in model.tensors[w].scales]
    return model.add(T((count,), scales, [0] * len(scales), 0, data, "int64"))


def _output_scale(rng: Random, model: Model, x: int, w: int, terms: int) -> float:
    step = model.tensors[x].scales[0] * float(np.mean(model.tensors[w].scales))
    return step * 40 * math.sqrt(terms) * 2 ** rng.uniform(-2, 3)


def _conv(rng: Random, depthwise: bool) -> Model:
    while True:
        n = int(rng.choice([1, 1, 2]))
        h, w, c = (int(v) for v in rng.integers(1, 10, 3))
        kh, kw = (int(v) for v in rng.integers(1, 5, 2))
        sh, sw = (int(v) for v in rng.integers(1, 4, 2))
        dh, dw = (int(v) for v in rng.integers(1, 4, 2)) if rng.random() < 0.3 else (1, 1)
        if depthwise:
            sw = sh
        padding = int(rng.integers(0, 2))
        oh, ow = out_size(padding, h, kh, sh, dh), out_size(padding, w, kw, sw, dw)
        if oh > 0 and ow > 0:
            break
    depth = int(rng.choice([1, 1, 2, 3]))
    m = c * depth if depthwise else int(rng.integers(1, 10))
    model = Model()
    x = tensor_s16(model, (n, h, w, c), scale_s16(rng))
    wi = _weights(rng, model, (1, kh, kw, m) if depthwise else (m, kh, kw, c), 3 * depthwise)
    terms = kh * kw * (1 if depthwise else c)
    y = tensor_s16(model, (n, oh, ow, m), _output_scale(rng, model, x, wi, terms))
    options = {
        "padding": padding,
        "strideH": sh,
        "strideW": sw,
        "dilationHFactor": dh,
        "dilationWFactor": dw,
        "fusedActivationFunction": activation(rng),
    }
    if depthwise:
        options["depthMultiplier"] = depth
    else:
        options["quantizedBiasType"] = 4
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    model.op(name, [x, wi, _bias(rng, model, x, wi, m)], [y], **options)
    return done_s16(model, x, y)


def conv_2d(rng: Random) -> Model:
    return _conv(rng, False)


def depthwise_conv_2d(rng: Random) -> Model:
    return _conv(rng, True)


def fully_connected(rng: Random) -> Model:
    model = Model()
    keep = bool(rng.random() < 0.5)
    k, m = int(rng.integers(1, 700)), int(rng.integers(1, 20))
    lead = shape_s16(rng, int(rng.integers(1, 3)))
    x = tensor_s16(model, (*lead, k), scale_s16(rng))
    wi = _weights(rng, model, (m, k), 0)
    inputs = [x, wi]
    if rng.random() < 0.7:
        inputs.append(_bias(rng, model, x, wi, m))
    shape = (*lead, m) if keep else (math.prod(lead), m)
    y = tensor_s16(model, shape, _output_scale(rng, model, x, wi, k))
    model.op(
        "FULLY_CONNECTED",
        inputs,
        [y],
        keepNumDims=keep,
        fusedActivationFunction=activation(rng),
        quantizedBiasType=4,
    )
    return done_s16(model, x, y)


def batch_matmul(rng: Random) -> Model:
    model = Model()
    rows, terms, columns = (int(v) for v in rng.integers(1, 12, 3))
    adj_x, adj_y = (bool(v) for v in rng.integers(0, 2, 2))
    batch = shape_s16(rng, int(rng.integers(0, 3)))
    a_step, b_step = scale_s16(rng), scale_s16(rng)
    x = tensor_s16(model, (*batch, *((terms, rows) if adj_x else (rows, terms))), a_step)
    b = constant_s16(
        rng, model, (*batch, *((columns, terms) if adj_y else (terms, columns))), b_step
    )
    y_step = a_step * b_step * 10000 * math.sqrt(terms) * 2 ** rng.uniform(-1, 2)
    y = tensor_s16(model, (*batch, rows, columns), y_step)
    model.op("BATCH_MATMUL", [x, b], [y], adjX=adj_x, adjY=adj_y)
    return done_s16(model, x, y)


def _pair(rng: Random, op: str, y_step: Callable[[float, float], float], **options: bool) -> Model:
    model = Model()
    shape = list(shape_s16(rng, int(rng.integers(1, 5))))
    other = [n if rng.random() < 0.7 else 1 for n in shape]
    a_step, b_step = scale_s16(rng), scale_s16(rng)
    x = tensor_s16(model, tuple(shape), a_step)
    b = constant_s16(rng, model, tuple(other), b_step)
    y = tensor_s16(model, tuple(shape), y_step(a_step, b_step) * 2 ** rng.uniform(-1, 2))
    inputs = [x, b] if rng.random() < 0.5 else [b, x]
    model.op(op, inputs, [y], fusedActivationFunction=activation(rng), **options)
    return done_s16(model, x, y)


def add(rng: Random) -> Model:
    return _pair(rng, "ADD", max, **GENERAL)


def sub(rng: Random) -> Model:
    return _pair(rng, "SUB", max, **GENERAL)


def mul(rng: Random) -> Model:
    return _pair(rng, "MUL", lambda a, b: a * b * 10000)


def _pool(rng: Random, op: str) -> Model:
    model = Model()
    while True:
        shape = tuple(int(v) for v in rng.integers(1, 9, 4))
        fh, fw, sh, sw = (int(v) for v in rng.integers(1, 4, 4))
        padding = int(rng.integers(0, 2))
        oh, ow = (
            out_size(padding, n, f, s, 1)
            for n, f, s in zip(shape[1:3], (fh, fw), (sh, sw), strict=True)
        )
        if oh > 0 and ow > 0:
            break
    step = scale_s16(rng)
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, (shape[0], oh, ow, shape[3]), step)
    model.op(
        op,
        [x],
        [y],
        padding=padding,
        strideH=sh,
        strideW=sw,
        filterHeight=fh,
        filterWidth=fw,
        fusedActivationFunction=activation(rng),
    )
    return done_s16(model, x, y)


def average_pool_2d(rng: Random) -> Model:
    return _pool(rng, "AVERAGE_POOL_2D")


def max_pool_2d(rng: Random) -> Model:
    return _pool(rng, "MAX_POOL_2D")


def mean(rng: Random) -> Model:
    model = Model()
    shape = shape_s16(rng, int(rng.integers(1, 5)))
    axes = sorted(rng.choice(len(shape), int(rng.integers(1, len(shape) + 1)), False).tolist())
    keep = bool(rng.random() < 0.5)
    out = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    step = scale_s16(rng)
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, out, step * 2 ** rng.uniform(-2, 1))
    model.op("MEAN", [x, constant(model, axes)], [y], keepDims=keep)
    return done_s16(model, x, y)


def softmax(rng: Random) -> Model:
    model = Model()
    shape = (*shape_s16(rng, int(rng.integers(0, 3))), int(rng.integers(1, 300)))
    x = tensor_s16(model, shape, scale_s16(rng, -15, -8))
    y = tensor_s16(model, shape, 1 / 32768)
    model.op("SOFTMAX", [x], [y], beta=float(np.float32(rng.choice([1.0, 1.0, 0.5, 2.0]))))
    return done_s16(model, x, y)


def _unary(rng: Random, op: str, step: float, y_step: float, **options: float) -> Model:
    model = Model()
    x = tensor_s16(model, (1, 512), step)
    y = tensor_s16(model, (1, 512), y_step)
    model.op(op, [x], [y], **options)
    return done_s16(model, x, y)


def _sigmoid_scale(rng: Random) -> float:
    return float(rng.choice([2.0**-12, 2.0**-11, scale_s16(rng, -18, -8), scale_s16(rng, -18, -8)]))


def logistic(rng: Random) -> Model:
    return _unary(rng, "LOGISTIC", _sigmoid_scale(rng), 1 / 32768)


def tanh(rng: Random) -> Model:
    return _unary(rng, "TANH", _sigmoid_scale(rng), 1 / 32768)


def exp(rng: Random) -> Model:
    step = scale_s16(rng, -16, -13)
    return _unary(rng, "EXP", step, float(np.float32(math.exp(32767 * step) / 32767)))


def relu(rng: Random) -> Model:
    step = scale_s16(rng)
    op = str(rng.choice(["RELU", "RELU6"]))
    return _unary(rng, op, step, step * 2 ** rng.uniform(-1, 1))


def leaky_relu(rng: Random) -> Model:
    step = scale_s16(rng)
    alpha = float(np.float32(rng.uniform(0, 1)))
    return _unary(rng, "LEAKY_RELU", step, step * 2 ** rng.uniform(-1, 1), alpha=alpha)


def abs_(rng: Random) -> Model:
    step = scale_s16(rng)
    return _unary(rng, "ABS", step, step * float(rng.choice([1.0, 2 ** rng.uniform(-1, 1)])))


def _positive(rng: Random, op: str, y_step: float) -> Model:
    """A function of |x| + c, which is above 0."""
    model = Model()
    step = scale_s16(rng, -16, -8)
    x = tensor_s16(model, (1, 512), step)
    size, sum_ = (tensor_s16(model, (1, 512), 2 * step) for _ in range(2))
    c = model.add(T((1, 1), [step], [0], dtype="int16", data=np.array([[300]], np.int16)))
    y = tensor_s16(model, (1, 512), y_step)
    model.op("ABS", [x], [size])
    model.op("ADD", [size, c], [sum_], **GENERAL)
    model.op(op, [sum_], [y])
    return done_s16(model, x, y)


def rsqrt(rng: Random) -> Model:
    return _positive(rng, "RSQRT", float(rng.uniform(0.5, 2)) / 32767 * 20)


def log(rng: Random) -> Model:
    return _positive(rng, "LOG", float(rng.uniform(0.5, 2)) * 12 / 32767)


def _powers(rng: Random, op: str) -> Model:
    """Scales that are powers of two; one operand is on the output's."""
    model = Model()
    shape = shape_s16(rng, int(rng.integers(1, 5)))
    y_power = int(rng.integers(-14, -7))
    steps = [2.0**y_power, 2.0 ** (y_power - int(rng.integers(0, 8)))]
    rng.shuffle(steps)
    x = tensor_s16(model, shape, steps[0])
    b = constant_s16(rng, model, shape, steps[1])
    y = tensor_s16(model, shape, 2.0**y_power)
    model.op(op, [x, b], [y], fusedActivationFunction=activation(rng), potScaleInt16=True)
    return done_s16(model, x, y)


def add__powers(rng: Random) -> Model:
    return _powers(rng, "ADD")


def sub__powers(rng: Random) -> Model:
    return _powers(rng, "SUB")


def add__flagged(rng: Random) -> Model:
    """The flag, which files have by default, beside general scales."""
    return _pair(rng, "ADD", max, potScaleInt16=True)


def sum_(rng: Random) -> Model:
    """Sums of at most 64 values, which float32 holds; scales of few bits keep products exact."""
    model = Model()
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    axes = sorted(rng.choice(3, int(rng.integers(1, 3)), False).tolist())
    keep = bool(rng.random() < 0.5)
    out = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    step = scale_s16(rng)
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, out, step * float(rng.choice([1.0, 2.0, 4.0, 16.0])))
    model.op("SUM", [x, constant(model, axes)], [y], keepDims=keep)
    return done_s16(model, x, y)


def quantize(rng: Random) -> Model:
    """From int16 to int8, int32 or int16; from int8 to int16; through two operators."""
    model = Model()
    step = scale_s16(rng)
    x = tensor_s16(model, (2, 300), step)
    middle = str(rng.choice(["int8", "int16", "int32"]))
    factor = 256 if middle == "int8" else 1
    zero = int(rng.integers(-128, 128)) if middle == "int8" else 0
    between = model.add(
        T((2, 300), [step * factor * 2 ** rng.uniform(-1, 1)], [zero], dtype=middle)
    )
    y = tensor_s16(model, (2, 300), step * 2 ** rng.uniform(-1, 1))
    model.op("QUANTIZE", [x], [between])
    model.op("QUANTIZE", [between], [y])
    return done_s16(model, x, y)


CASES_S16: dict[str, Callable[[Random], Model]] = {
    f"{maker.__name__.strip('_')}_s16": maker
    for maker in (
        conv_2d,
        depthwise_conv_2d,
        fully_connected,
        batch_matmul,
        add,
        sub,
        mul,
        average_pool_2d,
        max_pool_2d,
        mean,
        softmax,
        logistic,
        tanh,
        exp,
        relu,
        leaky_relu,
        quantize,
        abs_,
        rsqrt,
        log,
        add__powers,
        sub__powers,
        add__flagged,
        sum_,
        *LAYOUT_S16,
    )
}
