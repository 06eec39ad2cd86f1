"""Random models of one operator that only moves int16, one maker per operator."""

from __future__ import annotations

import numpy as np
from litert_models import Model, T
from op_makers import Random, constant, constant_s16, done_s16, scale_s16, shape_s16, tensor_s16


def _padded(shape: tuple[int, ...], widths: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n + w.sum()) for n, w in zip(shape, widths, strict=True))


def reshape(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, 3), scale_s16(rng)
    x = tensor_s16(model, shape, step)
    out = (shape[2], shape[0] * shape[1])
    y = tensor_s16(model, out, step)
    model.op("RESHAPE", [x, constant(model, list(out))], [y])
    return done_s16(model, x, y)


def transpose(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(2, 6))), scale_s16(rng)
    perm = rng.permutation(len(shape)).tolist()
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, tuple(shape[axis] for axis in perm), step)
    model.op("TRANSPOSE", [x, constant(model, perm)], [y])
    return done_s16(model, x, y)


def concatenation(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 4))), scale_s16(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    at = axis % len(shape)
    x = tensor_s16(model, shape, step)
    other = (*shape[:at], int(rng.integers(1, 4)), *shape[at + 1 :])
    b = constant_s16(rng, model, other, step)
    y = tensor_s16(model, (*shape[:at], 2 * shape[at] + other[at], *shape[at + 1 :]), step)
    model.op("CONCATENATION", [x, b, x], [y], axis=axis)
    return done_s16(model, x, y)


def pad(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 5))), scale_s16(rng)
    widths = rng.integers(0, 3, (len(shape), 2), dtype=np.int32)
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, _padded(shape, widths), step)
    pads = model.add(T(widths.shape, data=widths, dtype="int32"))
    model.op("PAD", [x, pads], [y])
    return done_s16(model, x, y)


def strided_slice(rng: Random) -> Model:
    model = Model()
    shape, step = tuple(n + 1 for n in shape_s16(rng, int(rng.integers(1, 4)))), scale_s16(rng)
    begin = [int(rng.integers(0, n)) for n in shape]
    end = [int(rng.integers(b + 1, n + 1)) for b, n in zip(begin, shape, strict=True)]
    strides = [int(rng.integers(1, 3)) for _ in shape]
    x = tensor_s16(model, shape, step)
    out = tuple(len(range(*bounds)) for bounds in zip(begin, end, strides, strict=True))
    y = tensor_s16(model, out, step)
    model.op("STRIDED_SLICE", [x, *(constant(model, v) for v in (begin, end, strides))], [y])
    return done_s16(model, x, y)


def slice_(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 5))), scale_s16(rng)
    begin = [int(rng.integers(0, n)) for n in shape]
    rest = [n - b for n, b in zip(shape, begin, strict=True)]
    size = [-1 if rng.random() < 0.3 else int(rng.integers(1, n + 1)) for n in rest]
    out = tuple(n if s == -1 else s for n, s in zip(rest, size, strict=True))
    x, y = tensor_s16(model, shape, step), tensor_s16(model, out, step)
    model.op("SLICE", [x, constant(model, begin), constant(model, size)], [y])
    return done_s16(model, x, y)


def split_v(rng: Random) -> Model:
    """Parts of sizes 1 and the rest, joined again."""
    model = Model()
    shape, step = list(shape_s16(rng, int(rng.integers(1, 5)))), scale_s16(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    shape[axis] += 1
    parts = [list(shape), list(shape)]
    parts[0][axis], parts[1][axis] = 1, shape[axis] - 1
    x = tensor_s16(model, tuple(shape), step)
    outputs = [tensor_s16(model, tuple(part), step) for part in parts]
    axis_id = model.add(T((), data=np.array(axis, np.int32), dtype="int32"))
    model.op("SPLIT_V", [x, constant(model, [1, -1]), axis_id], outputs, numSplits=2)
    y = tensor_s16(model, tuple(shape), step)
    model.op("CONCATENATION", outputs[::-1], [y], axis=axis % len(shape))
    return done_s16(model, x, y)


def pack(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 4))), scale_s16(rng)
    axis = int(rng.integers(-len(shape) - 1, len(shape) + 1))
    at = axis % (len(shape) + 1)
    x = tensor_s16(model, shape, step)
    other = constant_s16(rng, model, shape, step)
    y = tensor_s16(model, (*shape[:at], 3, *shape[at:]), step)
    model.op("PACK", [x, other, x], [y], valuesCount=3, axis=axis)
    return done_s16(model, x, y)


def reverse_v2(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 5))), scale_s16(rng)
    x, y = tensor_s16(model, shape, step), tensor_s16(model, shape, step)
    axes = constant(model, [int(rng.integers(-len(shape), len(shape)))])
    model.op("REVERSE_V2", [x, axes], [y])
    return done_s16(model, x, y)


def mirror_pad(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 4))), scale_s16(rng)
    mode = int(rng.integers(0, 2))
    widths = np.array([rng.integers(0, n + mode, 2) for n in shape], np.int32)
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, _padded(shape, widths), step)
    pads = model.add(T(widths.shape, data=widths, dtype="int32"))
    model.op("MIRROR_PAD", [x, pads], [y], mode=mode)
    return done_s16(model, x, y)


def tile(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 4))), scale_s16(rng)
    repeats = [int(v) for v in rng.integers(1, 4, len(shape))]
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, tuple(n * r for n, r in zip(shape, repeats, strict=True)), step)
    model.op("TILE", [x, constant(model, repeats)], [y])
    return done_s16(model, x, y)


def gather(rng: Random) -> Model:
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(1, 4))), scale_s16(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    at = axis % len(shape)
    picked = [int(v) for v in rng.integers(0, shape[at], int(rng.integers(1, 5)))]
    x = tensor_s16(model, shape, step)
    y = tensor_s16(model, (*shape[:at], len(picked), *shape[at + 1 :]), step)
    model.op("GATHER", [x, constant(model, picked)], [y], axis=axis)
    return done_s16(model, x, y)


def split(rng: Random) -> Model:
    model = Model()
    base, step = shape_s16(rng, int(rng.integers(1, 5))), scale_s16(rng)
    axis, parts = int(rng.integers(-len(base), len(base))), int(rng.integers(1, 4))
    at = axis % len(base)
    x = tensor_s16(model, (*base[:at], base[at] * parts, *base[at + 1 :]), step)
    outputs = [tensor_s16(model, base, step) for _ in range(parts)]
    axis_id = model.add(T((), data=np.array(axis, np.int32), dtype="int32"))
    model.op("SPLIT", [axis_id, x], outputs, numSplits=parts)
    y = tensor_s16(model, tuple(model.tensors[x].shape), step)
    model.op("CONCATENATION", outputs[::-1], [y], axis=at)
    return done_s16(model, x, y)


def unpack(rng: Random) -> Model:
    """UNPACK, and PACK of its outputs in reverse."""
    model = Model()
    shape, step = shape_s16(rng, int(rng.integers(2, 5))), scale_s16(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    at = axis % len(shape)
    part = (*shape[:at], *shape[at + 1 :])
    x = tensor_s16(model, shape, step)
    outputs = [tensor_s16(model, part, step) for _ in range(shape[at])]
    model.op("UNPACK", [x], outputs, num=shape[at], axis=axis)
    y = tensor_s16(model, shape, step)
    model.op("PACK", outputs[::-1], [y], valuesCount=shape[at], axis=axis)
    return done_s16(model, x, y)


LAYOUT_S16 = (
    reshape,
    transpose,
    concatenation,
    pad,
    strided_slice,
    slice_,
    split,
    split_v,
    pack,
    unpack,
    reverse_v2,
    mirror_pad,
    tile,
    gather,
)
