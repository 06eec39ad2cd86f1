"""Random single-operator models of the operators beyond the common ones, one maker each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from litert_models import TYPES, Model, T
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


def abs_(rng: Random) -> Model:
    return unary(rng, "ABS", ([scale(rng)], [zero(rng)]))


def neg(rng: Random) -> Model:
    model = unary(rng, "NEG", ([1.0], [0]))
    for tensor in model.tensors:
        tensor.scales, tensor.zeros = [0.03], [0]
    return model


def exp(rng: Random) -> Model:
    return unary(rng, "EXP", ([scale(rng)], [zero(rng)]))


def log(rng: Random) -> Model:
    return unary(rng, "LOG", ([scale(rng)], [zero(rng)]))


def elu(rng: Random) -> Model:
    return unary(rng, "ELU", ([scale(rng)], [zero(rng)]))


def _root(rng: Random, op: str) -> Model:
    """LiteRT refuses values below 0: a ReLU keeps them away."""
    model = Model()
    x_scale, x_zero = scale(rng), zero(rng)
    x = model.add(T((1, 256), [x_scale], [x_zero]))
    positive = model.add(T((1, 256), [x_scale], [x_zero]))
    y = model.add(T((1, 256), [scale(rng)], [zero(rng)]))
    model.op("RELU", [x], [positive])
    model.op(op, [positive], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def sqrt(rng: Random) -> Model:
    return _root(rng, "SQRT")


def rsqrt(rng: Random) -> Model:
    return _root(rng, "RSQRT")


def div(rng: Random) -> Model:
    """The output scale is fine enough for LiteRT to shift by at most 31 bits."""
    model = Model()
    b_zero = zero(rng)
    shape = (1, 256)
    x = model.add(T(shape, [scale(rng)], [zero(rng)]))
    if rng.random() < 0.6:
        divisors = rng.integers(-128, 128, shape if rng.random() < 0.6 else (1,))
        divisors[divisors == b_zero] += 1 if b_zero < 127 else -1
        most = int(np.abs(divisors - b_zero).max())
        b = model.add(T(divisors.shape, [scale(rng)], [b_zero], 0, divisors.astype(np.int8)))
    else:
        # A positive or a negative tensor that is never 0.
        b = model.add(T(shape, [0.02], [int(rng.choice([-128, 127]))]))
        model.op("LOGISTIC", [x], [between := model.add(T(shape, [1 / 256], [-128]))])
        offset = model.add(T((1,), [0.02], [0], 0, np.array([9], np.int8)))
        sign = "ADD" if model.tensors[b].zeros == [-128] else "SUB"
        negative = model.add(T((1,), [0.02], [0], 0, np.array([-9], np.int8)))
        model.op(sign, [offset if sign == "ADD" else negative, between], [b])
        most = 255
    ratio = model.tensors[x].scales[0] / model.tensors[b].scales[0] / most
    y = model.add(T(shape, [ratio * 2 ** rng.uniform(-2, 0)], [zero(rng)]))
    model.op("DIV", [x, b], [y], fusedActivationFunction=activation(rng))
    model.inputs, model.outputs = [x], [y]
    return model


def _reduction(rng: Random, op: str, y_quant: tuple[list[float], list[int]] | None) -> Model:
    rank = int(rng.integers(1, 6))
    model, x, shape, quant = shaped(rng, rank)
    axes = [int(a) for a in rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False)]
    keep = bool(rng.random() < 0.5)
    out = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    y = model.add(T(out, *(y_quant or quant)))
    given = [a - rank if rng.random() < 0.3 else a for a in axes]
    model.op(op, [x, constant(model, given)], [y], keepDims=keep)
    model.inputs, model.outputs = [x], [y]
    return model


def sum_(rng: Random) -> Model:
    return _reduction(rng, "SUM", ([scale(rng, -3, 4)], [zero(rng)]))


def reduce_max(rng: Random) -> Model:
    return _reduction(rng, "REDUCE_MAX", None)


def reduce_min(rng: Random) -> Model:
    return _reduction(rng, "REDUCE_MIN", None)


def pack(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    other = model.add(T(shape, *quant, data=rng.integers(-128, 128, shape, dtype=np.int8)))
    parts = [[x, other][i] for i in rng.integers(0, 2, int(rng.integers(1, 4)))] + [x]
    axis = int(rng.integers(0, len(shape) + 1))
    y = model.add(T((*shape[:axis], len(parts), *shape[axis:]), *quant))
    given = axis - len(shape) - 1 if rng.random() < 0.3 else axis
    model.op("PACK", parts, [y], axis=given, valuesCount=len(parts))
    model.inputs, model.outputs = [x], [y]
    return model


def unpack(rng: Random) -> Model:
    """The parts are joined again, in another order."""
    model, x, shape, quant = shaped(rng, int(rng.integers(2, 5)))
    axis = int(rng.integers(0, len(shape)))
    rest = (*shape[:axis], *shape[axis + 1 :])
    outputs = [model.add(T(rest, *quant)) for _ in range(shape[axis])]
    given = axis - len(shape) if rng.random() < 0.3 else axis
    model.op("UNPACK", [x], outputs, axis=given, num=shape[axis])
    y = model.add(T((*rest[:-1], rest[-1] * len(outputs)), *quant))
    model.op("CONCATENATION", outputs[::-1], [y], axis=len(rest) - 1)
    model.inputs, model.outputs = [x], [y]
    return model


def split_v(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(0, len(shape)))
    sizes = [int(n) for n in rng.integers(1, 4, int(rng.integers(1, 4)))]
    model.tensors[x].shape = shape = (*shape[:axis], sum(sizes), *shape[axis + 1 :])
    outputs = [model.add(T((*shape[:axis], n, *shape[axis + 1 :]), *quant)) for n in sizes]
    given = list(sizes)
    if rng.random() < 0.4:
        given[int(rng.integers(0, len(sizes)))] = -1
    axis_id = model.add(T((), data=np.array(axis, np.int32), dtype="int32"))
    model.op("SPLIT_V", [x, constant(model, given), axis_id], outputs, numSplits=len(sizes))
    y = model.add(T(shape, *quant))
    model.op("CONCATENATION", outputs[::-1], [y], axis=axis)
    model.inputs, model.outputs = [x], [y]
    return model


def reverse_v2(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    y = model.add(T(shape, *quant))
    model.op("REVERSE_V2", [x, constant(model, [int(rng.integers(0, len(shape)))])], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def _blocks(rng: Random, op: str) -> Model:
    model = Model()
    n, h, w, c, block = (int(v) for v in rng.integers(1, 5, 5))
    wide, deep = (n, h * block, w * block, c), (n, h, w, c * block * block)
    quant = ([scale(rng)], [zero(rng)])
    shapes = (wide, deep) if op == "SPACE_TO_DEPTH" else (deep, wide)
    x, y = (model.add(T(shape, *quant)) for shape in shapes)
    model.op(op, [x], [y], blockSize=block)
    model.inputs, model.outputs = [x], [y]
    return model


def space_to_depth(rng: Random) -> Model:
    return _blocks(rng, "SPACE_TO_DEPTH")


def depth_to_space(rng: Random) -> Model:
    return _blocks(rng, "DEPTH_TO_SPACE")


def _batches(rng: Random, op: str) -> Model:
    """Blocks of one or two dimensions; padding makes them fit, cropping undoes it."""
    model = Model()
    count = int(rng.integers(1, 3))
    block, inner = ([int(v) for v in rng.integers(1, high, count)] for high in (4, 5))
    wide = [n * b for n, b in zip(inner, block, strict=True)]
    widths = np.zeros((count, 2), np.int32)
    for d, n in enumerate(wide):
        widths[d, int(rng.integers(0, 2))] = int(rng.integers(0, n))
    near = [n - int(w.sum()) for n, w in zip(wide, widths, strict=True)]
    batch, depth = (int(v) for v in rng.integers(1, 4, 2))
    deep = (batch * math.prod(block), *inner, depth)
    shapes = ((batch, *near, depth), deep)
    quant = ([scale(rng)], [zero(rng)])
    x, y = (model.add(T(s, *quant)) for s in (shapes if op[0] == "S" else shapes[::-1]))
    table = model.add(T(widths.shape, data=widths, dtype="int32"))
    model.op(op, [x, constant(model, block), table], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def space_to_batch_nd(rng: Random) -> Model:
    return _batches(rng, "SPACE_TO_BATCH_ND")


def batch_to_space_nd(rng: Random) -> Model:
    return _batches(rng, "BATCH_TO_SPACE_ND")


def broadcast_to(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 4)))
    model.tensors[x].shape = small = tuple(n if rng.random() < 0.5 else 1 for n in shape)
    wide = tuple(n if n > 1 else int(rng.integers(1, 5)) for n in small)
    wide = (*(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3)))), *wide)
    y = model.add(T(wide, *quant))
    model.op("BROADCAST_TO", [x, constant(model, list(wide))], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def _pair(rng: Random, op: str, same: bool) -> Model:
    """One operand is constant, or both are the input; either may be the smaller."""
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    b = x
    b_quant = quant if same else ([scale(rng)], [zero(rng)])
    if rng.random() < 0.7 or op == "PRELU":
        other = tuple(n if rng.random() < 0.6 else 1 for n in shape)
        other = other[int(rng.integers(0, len(shape))) :]
        data = rng.integers(-128, 128, other, dtype=np.int8)
        b = model.add(T(other, *b_quant, data=data))
    elif not same:
        b = model.add(T(shape, *b_quant))
        model.op("QUANTIZE", [x], [b])
    y_quant = quant
    if not same:
        y_scale = model.tensors[x].scales[0]
        y_scale *= {"PRELU": 2 ** rng.uniform(-1, 3), "SQUARED_DIFFERENCE": 40.0}[op]
        y_quant = ([y_scale], [zero(rng)])
    y = model.add(T(shape, *y_quant))
    swap = op != "PRELU" and rng.random() < 0.4
    model.op(op, [b, x] if swap else [x, b], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def maximum(rng: Random) -> Model:
    return _pair(rng, "MAXIMUM", True)


def minimum(rng: Random) -> Model:
    return _pair(rng, "MINIMUM", True)


def squared_difference(rng: Random) -> Model:
    return _pair(rng, "SQUARED_DIFFERENCE", False)


def prelu(rng: Random) -> Model:
    return _pair(rng, "PRELU", False)


def mirror_pad(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    mode = int(rng.integers(0, 2))
    widths = np.array([rng.integers(0, n + mode, 2) for n in shape], np.int32)
    y = model.add(T(tuple(int(n + w.sum()) for n, w in zip(shape, widths, strict=True)), *quant))
    table = model.add(T(widths.shape, data=widths, dtype="int32"))
    model.op("MIRROR_PAD", [x, table], [y], mode=mode)
    model.inputs, model.outputs = [x], [y]
    return model


def tile(rng: Random) -> Model:
    model, x, shape, quant = shaped(rng, int(rng.integers(1, 5)))
    repeats = [int(r) for r in rng.integers(1, 4, len(shape))]
    y = model.add(T(tuple(n * r for n, r in zip(shape, repeats, strict=True)), *quant))
    model.op("TILE", [x, constant(model, repeats)], [y])
    model.inputs, model.outputs = [x], [y]
    return model


def _resize(rng: Random, op: str) -> Model:
    model, x, shape, quant = shaped(rng, 4)
    model.tensors[x].shape = shape = (shape[0], *(int(v) for v in rng.integers(1, 12, 2)), shape[3])
    sizes = [int(v) for v in rng.integers(1, 24, 2)]
    y = model.add(T((shape[0], *sizes, shape[3]), *quant))
    corners, half = ((False, False), (True, False), (False, True))[int(rng.integers(0, 3))]
    model.op(op, [x, constant(model, sizes)], [y], alignCorners=corners, halfPixelCenters=half)
    model.inputs, model.outputs = [x], [y]
    return model


def resize_nearest_neighbor(rng: Random) -> Model:
    return _resize(rng, "RESIZE_NEAREST_NEIGHBOR")


def resize_bilinear(rng: Random) -> Model:
    return _resize(rng, "RESIZE_BILINEAR")


def transpose_conv(rng: Random) -> Model:
    model = Model()
    n, oh, ow, c, m = (int(v) for v in rng.integers([1, 1, 1, 1, 1], [3, 14, 14, 9, 9]))
    while True:
        kh, kw = (int(v) for v in rng.integers(1, 6, 2))
        sh, sw = (int(v) for v in rng.integers(1, 4, 2))
        padding = int(rng.integers(0, 2))
        h, w = out_size(padding, oh, kh, sh, 1), out_size(padding, ow, kw, sw, 1)
        if h > 0 and w > 0:
            break
    x = model.add(T((n, h, w, c), [scale(rng)], [zero(rng)]))
    wi = weights(rng, (m, kh, kw, c), 0, model)
    y_scale = model.tensors[x].scales[0] * float(np.mean(model.tensors[wi].scales))
    y_scale *= 30 * math.sqrt(kh * kw * c) * 2 ** rng.uniform(-2, 3)
    y = model.add(T((n, oh, ow, m), [y_scale], [zero(rng)]))
    inputs = [constant(model, [n, oh, ow, m]), wi, x]
    if rng.random() < 0.6:
        inputs.append(bias(rng, model.tensors[x], model.tensors[wi], m, model))
    model.op("TRANSPOSE_CONV", inputs, [y], padding=padding, strideH=sh, strideW=sw)
    model.inputs, model.outputs = [x], [y]
    return model


def gather(rng: Random) -> Model:
    """Token ids are the input and the table is constant, or the other way round."""
    model = Model()
    tokens = tuple(int(v) for v in rng.integers(1, 5, int(rng.integers(1, 3))))
    shape = tuple(int(v) for v in rng.integers(1, 7, int(rng.integers(1, 4))))
    axis = int(rng.integers(0, len(shape)))
    quant = ([scale(rng)], [zero(rng)])
    if rng.random() < 0.7:
        data = rng.integers(-128, 128, shape, dtype=np.int8)
        x, ids = model.add(T(shape, *quant, data=data)), model.add(T(tokens, dtype="int32"))
        model.token_limit = shape[axis]
        model.inputs = [ids]
    else:
        given = rng.integers(0, shape[axis], tokens, dtype=np.int32)
        x, ids = model.add(T(shape, *quant)), model.add(T(tokens, data=given, dtype="int32"))
        model.inputs = [x]
    y = model.add(T((*shape[:axis], *tokens, *shape[axis + 1 :]), *quant))
    model.op("GATHER", [x, ids], [y], axis=axis - len(shape) if rng.random() < 0.3 else axis)
    model.outputs = [y]
    return model


def gather__batches(rng: Random) -> Model:
    """Indices of their own for each batch; x or the indices are the input."""
    model = Model()
    shape = tuple(int(v) for v in rng.integers(1, 6, int(rng.integers(2, 5))))
    axis = int(rng.integers(1, len(shape)))
    batches = int(rng.integers(1, axis + 1))
    tokens = (*shape[:batches], *(int(v) for v in rng.integers(1, 5, int(rng.integers(0, 3)))))
    quant = ([scale(rng)], [zero(rng)])
    if rng.random() < 0.5:
        data = rng.integers(-128, 128, shape, dtype=np.int8)
        x, ids = model.add(T(shape, *quant, data=data)), model.add(T(tokens, dtype="int32"))
        model.token_limit = shape[axis]
        model.inputs = [ids]
    else:
        given = rng.integers(0, shape[axis], tokens, dtype=np.int32)
        x, ids = model.add(T(shape, *quant)), model.add(T(tokens, data=given, dtype="int32"))
        model.inputs = [x]
    y = model.add(T((*shape[:axis], *tokens[batches:], *shape[axis + 1 :]), *quant))
    model.op("GATHER", [x, ids], [y], axis=axis, batchDims=batches)
    model.outputs = [y]
    return model


def _index(rng: Random, op: str) -> Model:
    model, x, shape, _ = shaped(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(0, len(shape)))
    kind = str(rng.choice(["int32", "int64"]))
    y = model.add(T((*shape[:axis], *shape[axis + 1 :]), dtype=kind))
    given = axis - len(shape) if rng.random() < 0.3 else axis
    axis_id = model.add(T((), data=np.array(given, np.int32), dtype="int32"))
    model.op(op, [x, axis_id], [y], outputType=TYPES[kind])
    model.inputs, model.outputs = [x], [y]
    return model


def arg_max(rng: Random) -> Model:
    return _index(rng, "ARG_MAX")


def arg_min(rng: Random) -> Model:
    return _index(rng, "ARG_MIN")


WIDE_CASES: dict[str, Callable[[Random], Model]] = {
    maker.__name__.strip("_"): maker
    for maker in (
        abs_,
        neg,
        exp,
        log,
        elu,
        sqrt,
        rsqrt,
        div,
        sum_,
        reduce_max,
        reduce_min,
        pack,
        unpack,
        split_v,
        reverse_v2,
        space_to_depth,
        depth_to_space,
        space_to_batch_nd,
        batch_to_space_nd,
        broadcast_to,
        maximum,
        minimum,
        squared_difference,
        prelu,
        mirror_pad,
        tile,
        resize_nearest_neighbor,
        resize_bilinear,
        transpose_conv,
        gather,
        gather__batches,
        arg_max,
        arg_min,
    )
}
