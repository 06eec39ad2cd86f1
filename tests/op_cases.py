"""Random single-operator models, one maker per operator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from litert_models import Model, T
from op_cases_lstm import lstm
from op_cases_s16 import CASES_S16
from op_cases_types import TYPE_CASES
from op_cases_wide import WIDE_CASES
from op_makers import (
    Random,
    activation,
    bias,
    constant,
    out_size,
    scale,
    shaped,
    unary,
    weights,
    zero,
)


def convolution(rng: Random, depthwise: bool, channels: int = 11, outputs: int = 11) -> Model:
    """A convolution with up to so many channels."""
    while True:
        n = int(rng.choice([1, 1, 2]))
        h, w, c = (int(v) for v in rng.integers(1, (12, 12, channels + 1)))
        kh, kw = (int(v) for v in rng.integers(1, 6, 2))
        sh, sw = (int(v) for v in rng.integers(1, 4, 2))
        dh, dw = (int(v) for v in rng.integers(1, 4, 2)) if rng.random() < 0.3 else (1, 1)
        if depthwise and sh != sw:
            sw = sh
        if rng.random() < 0.3:
            kh = kw = sh = sw = dh = dw = 1
        padding = int(rng.integers(0, 2))
        oh, ow = out_size(padding, h, kh, sh, dh), out_size(padding, w, kw, sw, dw)
        if oh > 0 and ow > 0:
            break
    multiplier = int(rng.choice([1, 1, 2, 3]))
    m = c * multiplier if depthwise else int(rng.integers(1, outputs + 1))
    model = Model()
    x = model.add(T((n, h, w, c), [scale(rng)], [zero(rng)]))
    wi = weights(rng, (1, kh, kw, m) if depthwise else (m, kh, kw, c), 3 if depthwise else 0, model)
    inputs = [x, wi, bias(rng, model.tensors[x], model.tensors[wi], m, model)]
    terms = kh * kw * (1 if depthwise else c)
    y_scale = model.tensors[x].scales[0] * float(np.mean(model.tensors[wi].scales))
    y_scale *= 30 * math.sqrt(terms) * 2 ** rng.uniform(-2, 3)
    y = model.add(T((n, oh, ow, m), [y_scale], [zero(rng)]))
    options = {
        "padding": padding,
        "strideH": sh,
        "strideW": sw,
        "dilationHFactor": dh,
        "dilationWFactor": dw,
        "fusedActivationFunction": activation(rng),
    }
    if depthwise:
        options["depthMultiplier"] = multiplier
    model.op("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, [y], **options)
    model.inputs, model.outputs = [x], [y]
    return model


def conv_2d(rng: Random) -> Model:
    return convolution(rng, False)


def depthwise_conv_2d(rng: Random) -> Model:
    return convolution(rng, True)


def fully_connected(rng: Random) -> Model:
    model = Model()
    keep = bool(rng.random() < 0.5)
    k, m = int(rng.integers(1, 80)), int(rng.integers(1, 20))
    lead = tuple(int(v) for v in rng.integers(1, 4, int(rng.integers(1, 4))))
    x = model.add(T((*lead, k), [scale(rng)], [zero(rng)]))
    wi = weights(rng, (m, k), 0, model)
    inputs = [x, wi]
    if rng.random() < 0.8:
        inputs.append(bias(rng, model.tensors[x], model.tensors[wi], m, model))
    else:
        inputs.append(-1)
    y_scale = model.tensors[x].scales[0] * float(np.mean(model.tensors[wi].scales))
    y_scale *= 30 * math.sqrt(k) * 2 ** rng.uniform(-2, 3)
    shape = (*lead, m) if keep else (math.prod(lead), m)
    y = model.add(T(shape, [y_scale], [zero(rng)]))
    model.op(
        "FULLY_CONNECTED", inputs, [y], fusedActivationFunction=activation(rng), keepNumDims=keep
    )
    model.inputs, model.outputs = [x], [y]
    return model


def batch_matmul(rng: Random, most: int = 13) -> Model:
    """The second operand is computed from the first by a slice, so that one input feeds both."""
    model = Model()
    rank = int(rng.integers(2, 5))
    batch = tuple(int(v) for v in rng.integers(1, 4, rank - 2))
    m, k, n = (int(v) for v in rng.integers(1, most + 1, 3))
    adj_x, adj_y = bool(rng.random() < 0.4), bool(rng.random() < 0.5)
    a_shape = (*batch, k, m) if adj_x else (*batch, m, k)
    b_shape = (*batch, n, k) if adj_y else (*batch, k, n)
    if rng.random() < 0.3:
        b_shape = (*(1 if rng.random() < 0.5 else d for d in batch), *b_shape[-2:])
    a_size, b_size = math.prod(a_shape), math.prod(b_shape)
    x_quant = ([scale(rng)], [zero(rng)])
    x = model.add(T((1, a_size + b_size), *x_quant))
    a_flat = model.add(T((1, a_size), *x_quant))
    b_flat = model.add(T((1, b_size), *x_quant))
    a, b = model.add(T(a_shape, *x_quant)), model.add(T(b_shape, *x_quant))
    for flat, start, size in ((a_flat, 0, a_size), (b_flat, a_size, b_size)):
        begin = model.add(T((2,), data=np.array([0, start], np.int32), dtype="int32"))
        length = model.add(T((2,), data=np.array([1, size], np.int32), dtype="int32"))
        model.op("SLICE", [x, begin, length], [flat])
    for flat, view, shape in ((a_flat, a, a_shape), (b_flat, b, b_shape)):
        dims = model.add(T((len(shape),), data=np.array(shape, np.int32), dtype="int32"))
        model.op("RESHAPE", [flat, dims], [view])
    b_scale, b_zero = scale(rng), zero(rng)
    other = model.add(T(b_shape, [b_scale], [b_zero]))
    model.op("QUANTIZE", [b], [other])
    y_scale = x_quant[0][0] * b_scale * 40 * math.sqrt(k) * 2 ** rng.uniform(-2, 3)
    y = model.add(T((*batch, m, n), [y_scale], [zero(rng)]))
    model.op("BATCH_MATMUL", [a, other], [y], adjX=adj_x, adjY=adj_y)
    model.inputs, model.outputs = [x], [y]
    return model


def _binary(rng: Random, op: str, most: int = 6) -> Model:
    model = Model()
    rank = int(rng.integers(1, 5))
    shape = tuple(int(v) for v in rng.integers(1, most + 1, rank))
    x_scale, b_scale = scale(rng), scale(rng)
    x = model.add(T(shape, [x_scale], [zero(rng)]))
    if rng.random() < 0.5:
        other = tuple(d if rng.random() < 0.6 else 1 for d in shape)[int(rng.integers(0, rank)) :]
        data = rng.integers(-128, 128, other, dtype=np.int8)
        b = model.add(T(other, [b_scale], [zero(rng)], data=data))
    else:
        b = model.add(T(shape, [b_scale], [zero(rng)]))
        model.op("QUANTIZE", [x], [b])
    pair = [x, b] if rng.random() < 0.5 else [b, x]
    real = x_scale * b_scale * 60 if op == "MUL" else max(x_scale, b_scale) * 2
    y_scale = real * 2 ** rng.uniform(-2, 2)
    y = model.add(T(shape, [y_scale], [zero(rng)]))
    model.op(op, pair, [y], fusedActivationFunction=activation(rng))
    model.inputs, model.outputs = [x], [y]
    return model


def add(rng: Random, most: int = 6) -> Model:
    return _binary(rng, "ADD", most)


def sub(rng: Random) -> Model:
    return _binary(rng, "SUB")


def mul(rng: Random) -> Model:
    return _binary(rng, "MUL")


def _pool(rng: Random, op: str) -> Model:
    while True:
        n, h, w, c = 1, *(int(v) for v in rng.integers(1, 12, 3))
        fh, fw = (int(v) for v in rng.integers(1, 6, 2))
        sh, sw = (int(v) for v in rng.integers(1, 4, 2))
        padding = int(rng.integers(0, 2))
        oh, ow = out_size(padding, h, fh, sh, 1), out_size(padding, w, fw, sw, 1)
        if oh > 0 and ow > 0:
            break
    model = Model()
    quant = ([scale(rng)], [zero(rng)])
    x, y = model.add(T((n, h, w, c), *quant)), model.add(T((n, oh, ow, c), *quant))
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
    model.inputs, model.outputs = [x], [y]
    return model


def average_pool_2d(rng: Random) -> Model:
    return _pool(rng, "AVERAGE_POOL_2D")


def max_pool_2d(rng: Random) -> Model:
    return _pool(rng, "MAX_POOL_2D")


def mean(rng: Random) -> Model:
    model = Model()
    rank = int(rng.integers(2, 5))
    shape = tuple(int(v) for v in rng.integers(1, 9, rank))
    axes = sorted(int(a) for a in rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False))
    if rank == 4 and rng.random() < 0.6:
        axes = [1, 2]
    keep = bool(rng.random() < 0.5)
    x_quant = ([scale(rng)], [zero(rng)])
    y_quant = x_quant
    if rng.random() < 0.7:
        y_quant = ([x_quant[0][0] * 2 ** rng.uniform(-2, 1)], [zero(rng)])
    out = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    x, y = model.add(T(shape, *x_quant)), model.add(T(out, *y_quant))
    given = [a - rank if rng.random() < 0.2 and axes != [1, 2] else a for a in axes]
    axis = model.add(T((len(axes),), data=np.array(given, np.int32), dtype="int32"))
    model.op("MEAN", [x, axis], [y], keepDims=keep)
    model.inputs, model.outputs = [x], [y]
    return model


def softmax(rng: Random) -> Model:
    model = Model()
    lead = tuple(int(v) for v in rng.integers(1, 4, int(rng.integers(1, 4))))
    shape = (*lead, int(rng.integers(1, 40)))
    x = model.add(T(shape, [scale(rng, -8, 2)], [zero(rng)]))
    y = model.add(T(shape, [1 / 256], [-128]))
    model.op("SOFTMAX", [x], [y], beta=float(rng.choice([1.0, 1.0, 0.5, 2.0])))
    model.inputs, model.outputs = [x], [y]
    return model


def logistic(rng: Random) -> Model:
    return unary(rng, "LOGISTIC", ([1 / 256], [-128]))


def tanh(rng: Random) -> Model:
    return unary(rng, "TANH", ([1 / 128], [0]))


def relu(rng: Random) -> Model:
    op = str(rng.choice(["RELU", "RELU6", "RELU_N1_TO_1"]))
    return unary(rng, op, ([scale(rng)], [zero(rng)]))


def hard_swish(rng: Random) -> Model:
    return unary(rng, "HARD_SWISH", ([scale(rng, -6, 0)], [zero(rng)]))


def leaky_relu(rng: Random) -> Model:
    return unary(rng, "LEAKY_RELU", ([scale(rng)], [zero(rng)]), alpha=float(rng.uniform(0, 0.5)))


def gelu(rng: Random) -> Model:
    return unary(rng, "GELU", ([scale(rng)], [zero(rng)]), approximate=bool(rng.random() < 0.5))


def quantize(rng: Random) -> Model:
    return unary(rng, "QUANTIZE", ([scale(rng)], [zero(rng)]))


def reshape(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, 4)
    new = (shape[0] * shape[1], shape[2], shape[3])
    y = model.add(T(new, *quant))
    model.op("RESHAPE", [x, constant(model, list(new))], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def transpose(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(2, 6)))
    perm = [int(p) for p in rng.permutation(len(shape))]
    y = model.add(T(tuple(shape[p] for p in perm), *quant))
    model.op("TRANSPOSE", [x, constant(model, perm)], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def concatenation(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(0, len(shape)))
    parts = [x]
    for _ in range(int(rng.integers(1, 4))):
        other = (*shape[:axis], int(rng.integers(1, 5)), *shape[axis + 1 :])
        data = rng.integers(-128, 128, other, dtype=np.int8)
        parts.append(model.add(T(other, *quant, data=data)))
    order = [parts[int(i)] for i in rng.permutation(len(parts))]
    total = sum(model.tensors[p].shape[axis] for p in order)
    y = model.add(T((*shape[:axis], total, *shape[axis + 1 :]), *quant))
    given = axis - len(shape) if rng.random() < 0.3 else axis
    model.op("CONCATENATION", order, [y], axis=given)
    model.inputs, model.outputs = [x], [y]
    return model


def pad(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    widths = rng.integers(0, 4, (len(shape), 2), dtype=np.int32)
    y = model.add(T(tuple(int(n + a + b) for n, (a, b) in zip(shape, widths, strict=True)), *quant))
    table = model.add(T(widths.shape, data=widths, dtype="int32"))
    model.op("PAD", [x, table], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def slice_(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    begin = [int(rng.integers(0, n)) for n in shape]
    size = [int(rng.integers(1, n - b + 1)) for n, b in zip(shape, begin, strict=True)]
    y = model.add(T(tuple(size), *quant))
    given = [-1 if b + s == n else s for n, b, s in zip(shape, begin, size, strict=True)]
    model.op("SLICE", [x, constant(model, begin), constant(model, given)], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def strided_slice(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    begins, ends, strides, out = [], [], [], []
    begin_mask = end_mask = shrink = 0
    for d, n in enumerate(shape):
        stride = int(rng.choice([1, 1, 2, 3, -1, -2]))
        first, last = 0, n
        while True:
            first, last = int(rng.integers(-n, n)), int(rng.integers(-n - 1, n + 2))
            span = range(*slice(first, last, stride).indices(n))
            if len(span) > 0:
                break
        kind = rng.random()
        if kind < 0.2 and d:
            shrink |= 1 << d
            begins.append(first)
            ends.append(first + 1)
            strides.append(1)
            continue
        if kind < 0.4:
            begin_mask |= 1 << d
            end_mask |= 1 << d
            span = range(*slice(None, None, stride).indices(n))
        begins.append(first)
        ends.append(last)
        strides.append(stride)
        out.append(len(span))
    y = model.add(T(tuple(out), *quant))
    constants = [constant(model, values) for values in (begins, ends, strides)]
    model.op(
        "STRIDED_SLICE",
        [x, *constants],
        [y],
        beginMask=begin_mask,
        endMask=end_mask,
        shrinkAxisMask=shrink,
    )
    model.inputs, model.outputs = [x], [y]
    return model


def split(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(0, len(shape)))
    parts = int(rng.integers(1, 4))
    shape = (*shape[:axis], shape[axis] * parts, *shape[axis + 1 :])
    model.tensors[x].shape = shape
    piece = (*shape[:axis], shape[axis] // parts, *shape[axis + 1 :])
    outputs = [model.add(T(piece, *quant)) for _ in range(parts)]
    axis_id = model.add(T((), data=np.array(axis, np.int32), dtype="int32"))
    model.op("SPLIT", [axis_id, x], outputs, numSplits=parts)
    y = model.add(T(shape, *quant))
    model.op("CONCATENATION", outputs[::-1], [y], axis=axis)
    model.inputs, model.outputs = [x], [y]
    return model


CASES: dict[str, Callable[[Random], Model]] = (
    {
        maker.__name__.strip("_"): maker
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
            relu,
            hard_swish,
            leaky_relu,
            gelu,
            quantize,
            reshape,
            transpose,
            concatenation,
            pad,
            slice_,
            strided_slice,
            split,
        )
    }
    | WIDE_CASES
    | TYPE_CASES
    | {"unidirectional_sequence_lstm": lstm}
    | CASES_S16
)
