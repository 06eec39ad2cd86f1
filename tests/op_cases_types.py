"""Random models of operators on truth values, whole numbers and float32 islands, one maker each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from litert_models import TYPES, Model, T
from op_makers import Random, constant, scale, unary, zero

TOKENS = 40


def tokens(rng: Random, rank: int) -> tuple[Model, int, tuple[int, ...]]:
    """A model whose input are whole numbers, shifted so that some are negative."""
    model = Model(token_limit=TOKENS)
    shape = tuple(int(n) for n in rng.integers(1, 6, rank))
    x = model.add(T(shape, dtype="int32"))
    model.inputs = [x]
    middle = model.add(T((1,), data=np.array([TOKENS // 2], np.int32), dtype="int32"))
    shifted = model.add(T(shape, dtype="int32"))
    model.op("SUB", [x, middle], [shifted])
    return model, shifted, shape


def broadcast(rng: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to this one."""
    return tuple(n if rng.random() < 0.6 else 1 for n in shape)[int(rng.integers(0, len(shape))) :]


def whole(rng: Random, model: Model, shape: tuple[int, ...]) -> int:
    data = rng.integers(-TOKENS // 2, TOKENS // 2, shape, dtype=np.int32)
    return model.add(T(shape, data=data, dtype="int32"))


def truth(rng: Random, model: Model, x: int, shape: tuple[int, ...]) -> int:
    """Compare x with constants."""
    y = model.add(T(shape, dtype="bool"))
    model.op("LESS", [x, whole(rng, model, shape)], [y])
    return y


def _index_binary(rng: Random, op: str) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    b = whole(rng, model, broadcast(rng, shape))
    if "FLOOR" in op:
        model.tensors[b].data[model.tensors[b].data == 0] = 7
    y = model.add(T(shape, dtype="int32"))
    model.op(op, [x, b] if "FLOOR" in op or rng.random() < 0.5 else [b, x], [y])
    model.outputs = [y]
    return model


def floor_div(rng: Random) -> Model:
    return _index_binary(rng, "FLOOR_DIV")


def floor_mod(rng: Random) -> Model:
    return _index_binary(rng, "FLOOR_MOD")


def _comparison(op: str) -> Callable[[Random], Model]:
    def maker(rng: Random) -> Model:
        if rng.random() < 0.5:
            model, x, shape = tokens(rng, int(rng.integers(1, 5)))
            b = whole(rng, model, broadcast(rng, shape))
        else:
            model = Model()
            shape = tuple(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 5))))
            quant = ([scale(rng, -7, -1)], [zero(rng)])
            x = model.add(T(shape, *quant))
            model.inputs = [x]
            if rng.random() < 0.5:
                quant = ([scale(rng, -7, -1)], [zero(rng)])
            other = broadcast(rng, shape)
            data = rng.integers(-128, 128, other, dtype=np.int8)
            b = model.add(T(other, *quant, data=data))
        y = model.add(T(shape, dtype="bool"))
        model.op(op, [x, b] if rng.random() < 0.5 else [b, x], [y])
        model.outputs = [y]
        return model

    maker.__name__ = op.lower()
    return maker


def _logical(rng: Random, op: str) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    a = truth(rng, model, x, shape)
    b = truth(rng, model, x, shape)
    if rng.random() < 0.5:
        other = broadcast(rng, shape)
        b = model.add(T(other, data=rng.random(other) < 0.5, dtype="bool"))
    y = model.add(T(shape, dtype="bool"))
    model.op(op, [a] if op == "LOGICAL_NOT" else [a, b], [y])
    model.outputs = [y]
    return model


def logical_and(rng: Random) -> Model:
    return _logical(rng, "LOGICAL_AND")


def logical_or(rng: Random) -> Model:
    return _logical(rng, "LOGICAL_OR")


def logical_not(rng: Random) -> Model:
    return _logical(rng, "LOGICAL_NOT")


def _selection(rng: Random, op: str) -> Model:
    """Of whole numbers, or of constant int8; SELECT also by rows."""
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    condition = truth(rng, model, x, shape)
    if op == "SELECT" and rng.random() < 0.4 and len(shape) > 1:
        data = rng.random(shape[:1]) < 0.5
        condition = model.add(T(shape[:1], data=data, dtype="bool"))
    v2 = op == "SELECT_V2"
    if rng.random() < 0.5:
        a, b = x, whole(rng, model, broadcast(rng, shape) if v2 else shape)
        y = model.add(T(shape, dtype="int32"))
    else:
        quant = ([scale(rng)], [zero(rng)])
        parts = []
        for _ in range(2):
            other = broadcast(rng, shape) if v2 else shape
            data = rng.integers(-128, 128, other, dtype=np.int8)
            parts.append(model.add(T(other, *quant, data=data)))
        a, b = parts
        if condition != x and model.tensors[condition].data is not None:
            a, b = x, whole(rng, model, shape)
            y = model.add(T(shape, dtype="int32"))
        else:
            y = model.add(T(shape, *quant))
    model.op(op, [condition, a, b] if rng.random() < 0.5 else [condition, b, a], [y])
    model.outputs = [y]
    return model


def select(rng: Random) -> Model:
    return _selection(rng, "SELECT")


def select_v2(rng: Random) -> Model:
    return _selection(rng, "SELECT_V2")


def cast(rng: Random) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    kind, source = [("int32", "bool"), ("int64", "bool"), ("int64", "int32"), ("bool", "int32")][
        int(rng.integers(0, 4))
    ]
    if source == "bool":
        x = truth(rng, model, x, shape)
    y = model.add(T(shape, dtype=kind))
    model.op("CAST", [x], [y], inDataType=TYPES[source], outDataType=TYPES[kind])
    model.outputs = [y]
    return model


def cumsum(rng: Random) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(-len(shape), len(shape)))
    axis_id = model.add(T((), data=np.array(axis, np.int32), dtype="int32"))
    y = model.add(T(shape, dtype="int32"))
    exclusive, reverse = (bool(v) for v in rng.integers(0, 2, 2))
    model.op("CUMSUM", [x, axis_id], [y], exclusive=exclusive, reverse=reverse)
    model.outputs = [y]
    return model


def one_hot(rng: Random) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    axis = int(rng.integers(-1, len(shape) + 1))
    depth = int(rng.integers(1, 24))
    at = axis % (len(shape) + 1)
    quant = ([scale(rng)], [zero(rng)])
    given = [model.add(T((), data=np.array(depth, np.int32), dtype="int32"))]
    for value in rng.integers(-128, 128, 2, dtype=np.int8):
        given.append(model.add(T((), *quant, data=np.array(value, np.int8))))
    y = model.add(T((*shape[:at], depth, *shape[at:]), *quant))
    model.op("ONE_HOT", [x, *given], [y], axis=axis)
    model.outputs = [y]
    return model


def _any_all(rng: Random, op: str) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    rank = len(shape)
    axes = [int(a) for a in rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False)]
    keep = bool(rng.random() < 0.5)
    out = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    y = model.add(T(out, dtype="bool"))
    model.op(op, [truth(rng, model, x, shape), constant(model, axes)], [y], keepDims=keep)
    model.outputs = [y]
    return model


def reduce_any(rng: Random) -> Model:
    return _any_all(rng, "REDUCE_ANY")


def reduce_all(rng: Random) -> Model:
    return _any_all(rng, "REDUCE_ALL")


def island(rng: Random, *ops: str) -> Model:
    """DEQUANTIZE, float32 operators one after another, QUANTIZE."""
    model = unary(rng, "", ([scale(rng, -5, 1)], [zero(rng)]))
    model.ops.clear()
    x, y = model.inputs[0], model.outputs[0]
    real = model.add(T((1, 256), dtype="float32"))
    model.op("DEQUANTIZE", [x], [real])
    for op in ops:
        inputs = [real]
        if op in ("ADD", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM", "FLOOR_MOD"):
            value = np.float32(rng.integers(1, 4) if op == "POW" else rng.uniform(0.3, 3))
            number = model.add(T((), data=np.array(value), dtype="float32"))
            inputs = [real, number] if op == "POW" or rng.random() < 0.7 else [number, real]
        elif op == "SQUARED_DIFFERENCE":
            inputs = [real, model.ops[0].outputs[0]]
        real = model.add(T((1, 256), dtype="float32"))
        model.op(op, inputs, [real])
    model.op("QUANTIZE", [real], [y])
    return model


def dequantize(rng: Random) -> Model:
    """Chains that are defined everywhere."""
    chains = (
        ("NEG",),
        ("NEG", "ADD", "MUL"),
        ("ABS", "ADD", "LOG"),
        ("SQUARE", "ADD", "RSQRT", "MUL"),
        ("TANH", "SQUARED_DIFFERENCE"),
        ("LOGISTIC", "SUB", "MAXIMUM"),
        ("EXP", "ADD", "DIV", "MINIMUM"),
        ("ABS", "SQRT", "RELU6"),
        ("HARD_SWISH", "RELU", "FLOOR_MOD"),
    )
    return island(rng, *chains[int(rng.integers(0, len(chains)))])


def _alone(op: str) -> Callable[[Random], Model]:
    def maker(rng: Random) -> Model:
        return island(rng, op)

    maker.__name__ = op.lower()
    return maker


TYPE_CASES: dict[str, Callable[[Random], Model]] = {
    maker.__name__: maker
    for maker in (
        *map(_comparison, ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")),
        floor_div,
        floor_mod,
        logical_and,
        logical_or,
        logical_not,
        select,
        select_v2,
        cast,
        cumsum,
        one_hot,
        reduce_any,
        reduce_all,
        dequantize,
        *map(_alone, ("SQUARE", "SIGN", "FLOOR", "CEIL", "ROUND", "SIN", "COS", "POW")),
    )
}


def _index_pad(rng: Random, op: str) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    widths = rng.integers(0, 4, (len(shape), 2), dtype=np.int32)
    sides = tuple(int(n + a + b) for n, (a, b) in zip(shape, widths, strict=True))
    inputs = [x, model.add(T(widths.shape, data=widths, dtype="int32"))]
    if op == "PADV2":
        value = np.array(rng.choice([0, -1]), np.int32)
        inputs.append(model.add(T((), data=value, dtype="int32")))
    y = model.add(T(sides, dtype="int32"))
    model.op(op, inputs, [y])
    model.outputs = [y]
    return model


def _index_slice(rng: Random) -> Model:
    model, x, shape = tokens(rng, int(rng.integers(1, 5)))
    begin = [int(rng.integers(0, n)) for n in shape]
    end = [int(rng.integers(b + 1, n + 1)) for n, b in zip(shape, begin, strict=True)]
    steps = [int(rng.integers(1, 3)) for _ in shape]
    sides = tuple(len(range(*s)) for s in zip(begin, end, steps, strict=True))
    y = model.add(T(sides, dtype="int32"))
    model.op("STRIDED_SLICE", [x, *(constant(model, v) for v in (begin, end, steps))], [y])
    model.outputs = [y]
    return model


INDEX_CASES: dict[str, Callable[[Random], Model]] = {
    **{
        op: (lambda rng, op=op: _index_binary(rng, op))
        for op in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")
    },
    **{op: (lambda rng, op=op: _index_pad(rng, op)) for op in ("PAD", "PADV2")},
    "STRIDED_SLICE": _index_slice,
}
"""Whole numbers in operators that int8 has too."""
