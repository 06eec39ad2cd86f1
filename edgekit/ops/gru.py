"""A layer of GRU over all steps, an operator of our own, with a state of 16 bits.

It stands for what a converter makes of `keras.layers.GRU(unroll=True)`: about sixteen operators a
step, each rounded to 8 bits with scales of its own. Here the state and the gates have 16 bits, and
only what leaves the layer is rounded to 8.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    constant_of,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
)
from edgekit.ops.conv import fold_offset, weight_scales
from edgekit.ops.fixed import quantize_multiplier
from edgekit.ops.wide_table import int16_table

GATES = ("update", "reset", "candidate")
GATE_SCALE = 2.0**-12
STATE_SCALE = 2.0**-15
MAX_UNITS = 256
BIAS_LIMIT = 2**30

Int64 = NDArray[np.int64]


def gate_table() -> NDArray[np.int16]:
    """Return 513 values of the logistic function of a gate, in 32,768ths."""
    return int16_table((GATE_SCALE, 0), (STATE_SCALE, 0), lambda x: 1 / (1 + math.exp(-x)))


def scaled(value: Int64, multiplier: Int64, shift: Int64) -> Int64:
    """Return value * multiplier * 2^(shift - 31), rounded twice.

    Twin: firmware/kernels/ek_fixed.h, ek_multiply_double
    """
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    wide = (value << left).astype(np.int32).astype(np.int64)
    high = (wide * multiplier + 2**30) >> 31
    half = (np.int64(1) << right) >> 1
    return np.asarray((high - ((high < 0) & (right > 0)) + half) >> right)


def look(table: NDArray[np.int16], x: Int64) -> Int64:
    """Return table[256 + x / 128], interpolated.

    Twin: firmware/kernels/ek_table_s16.h, ek_table_look
    """
    wide = table.astype(np.int64)
    at = 256 + (x >> 7)
    return np.asarray(wide[at] + (((wide[at + 1] - wide[at]) * (x & 127) + 64) >> 7))


def _gate(value: Int64) -> Int64:
    return np.clip(value, -32768, 32767)


def gru(
    x: NDArray[np.int8],
    w_input: NDArray[np.int8],
    w_recurrent: NDArray[np.int8],
    rows: NDArray[np.int32],
    table: NDArray[np.int16],
    *,
    reset_after: bool,
    backwards: bool,
    y_scale: tuple[int, int],
    y_zero: int,
) -> NDArray[np.int8]:
    """Run a layer over one sample: the definition of the kernel.

    Args:
        x: [T, C].
        w_input: [3 U, C], of the gates update, reset, candidate.
        w_recurrent: [3 U, U].
        rows: [3 U, 6]: bias, multiplier and shift of the input's sum, then of the state's; a
            scaled sum is in 4,096ths.
        table: Logistic function, from `gate_table`.
        reset_after: The reset gate acts behind the recurrent product, or before it.
        backwards: The last step of x comes first.
        y_scale: Multiplier and shift from the state, in 32,768ths, to y.
        y_zero: Zero point of y.

    Returns:
        [T, U], the state behind each step.

    Twin: firmware/kernels/ek_gru_s8.c
    """
    units = w_recurrent.shape[1]
    parts = rows.astype(np.int64).T
    wide = w_recurrent.astype(np.int64)
    h = np.zeros(units, np.int64)
    inputs = x.astype(np.int64)[::-1] if backwards else x.astype(np.int64)
    states = []
    for step in inputs:
        a = scaled(w_input.astype(np.int64) @ step + parts[0], parts[1], parts[2])

        def of_state(state: Int64, first: int, last: int) -> Int64:
            part = slice(first * units, last * units)
            sums = wide[part] @ state + parts[3][part]
            return scaled(sums, parts[4][part], parts[5][part])

        gates = look(table, _gate(a[: 2 * units] + of_state(h, 0, 2)))
        z, r = gates[:units], gates[units:]
        if reset_after:
            added = (r * _gate(of_state(h, 2, 3)) + 2**14) >> 15
        else:
            added = of_state((r * h + 2**14) >> 15, 2, 3)
        twice = _gate(2 * _gate(a[2 * units :] + added))
        n = _gate(2 * (look(table, twice) - 2**14))
        h = (z * h + (2**15 - z) * n + 2**14) >> 15
        states.append(h)
    y = scaled(np.array(states), *np.array(y_scale, np.int64)[:, None, None]) + y_zero
    return np.asarray(np.clip(y, -128, 127).astype(np.int8))


def _sums(
    node: Node, scales: tuple[float, ...], bias: NDArray[np.float32], x: float
) -> NDArray[np.int64]:
    """Return bias, multiplier and shift of each row of weights, [3 U, 3]; x: scale of the input."""
    rows = []
    for w_scale, real in zip(scales, bias.tolist(), strict=True):
        stored = round(real / (w_scale * x)) if w_scale > 0 else 0
        rows.append((stored, *quantize_multiplier(w_scale * x / GATE_SCALE)))
    if max(abs(row[0]) for row in rows) >= BIAS_LIMIT or max(row[2] for row in rows) > 8:
        raise unsupported(node, "weights or biases do not fit their scales")
    return np.array(rows, np.int64)


def lower_gru(builder: Builder, node: Node) -> None:
    """GRU: x [.., C], weights [3 U, C], recurrent weights [3 U, U], biases float32 [3 U] of both.

    Attributes reset_after and backwards. Output [.., U] of all steps, or of the last.
    """
    x, y = operand(builder, node, 0), result(builder, node)
    w_input, w_recurrent = operand(builder, node, 1), operand(builder, node, 2)
    biases = [constant_of(node, operand(builder, node, i)) for i in (3, 4)]
    units = w_recurrent.shape[1]
    if units > MAX_UNITS:
        raise unsupported(node, f"{units} units, at most {MAX_UNITS} fit")
    x_scale, x_zero = int8_quant(node, x)
    y_scale, _ = int8_quant(node, y)
    stored, recurrent = constant_of(node, w_input), constant_of(node, w_recurrent)
    rows = np.concatenate(
        [
            _sums(node, weight_scales(node, w_input, 0), biases[0], x_scale),
            _sums(node, weight_scales(node, w_recurrent, 0), biases[1], STATE_SCALE),
        ],
        axis=1,
    )
    rows[:, 0] = fold_offset(rows[:, 0], stored.astype(np.int64).sum(1), x_zero)
    multiplier, shift = quantize_multiplier(STATE_SCALE / y_scale)
    builder.emit(
        "gru",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(f"{node.name} weights", stored.astype(np.int8)),
            builder.constant(f"{node.name} recurrent weights", recurrent.astype(np.int8)),
            builder.constant(f"{node.name} rows", rows.astype(np.int32)),
            builder.constant("gru logistic", gate_table()),
        ),
        outputs=node.outputs,
        attrs={
            "reset_after": int(bool(node.attrs["reset_after"])),
            "backwards": int(bool(node.attrs["backwards"])),
            "y_multiplier": multiplier,
            "y_shift": shift,
        },
    )


def _check(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == 5 and len(node.outputs) == 1, node, "5 inputs, 1 output expected")
    x, w_input, w_recurrent, rows, table = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(w_recurrent.shape) == 2, node, "recurrent weights have not rank 2")
    units = w_recurrent.shape[1]
    require(units <= MAX_UNITS, node, f"{units} units, at most {MAX_UNITS} fit")
    features = x.shape[-1] if x.shape else 0
    require(w_input.shape == (3 * units, features), node, f"weights have shape {w_input.shape}")
    require(w_recurrent.shape[0] == 3 * units, node, f"weights have shape {w_recurrent.shape}")
    require(rows.shape == (3 * units, 6), node, f"rows have shape {rows.shape}")
    require(table.elements == 513, node, f"table has {table.elements} values")
    steps = x.elements // features
    require(y.elements in (units, steps * units), node, f"output has shape {y.shape}")


def _macs(graph: Graph, node: Node) -> int:
    x, w_input, w_recurrent = (graph.tensor(i) for i in node.inputs[:3])
    return x.elements // x.shape[-1] * (w_input.elements + w_recurrent.elements)


def _scratch(graph: Graph, node: Node) -> int:
    """Twin: firmware/kernels/ek_gru_s8.c, scratch_bytes."""
    w_input, w_recurrent = (graph.tensor(i) for i in node.inputs[1:3])
    units, features = w_recurrent.shape[1], w_input.shape[1]
    return 2 * features + (4 if attr_int(node, "reset_after") else 8) * units


GRU = Kernel(
    "gru",
    110,
    ("reset_after", "backwards", "y_multiplier", "y_shift"),
    _check,
    _macs,
    _scratch,
)
