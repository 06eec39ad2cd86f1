"""Layers of a sentence, operators of our own: every one works on as many rows as there are tokens.

The first layer counts the tokens, that is the ids up to the last that is not 0; the others read the
count. So padding costs nothing, and it changes no byte: rows behind the count are neither read nor
written. Two branches add to the rows they belong to in place; no map of them is ever whole.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node
from edgekit.ops.attention import Scales, attention, exp_table, scales_of
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
    where,
)
from edgekit.ops.conv import fold_offset, weight_scales
from edgekit.ops.fixed import Rounding, quantize_multiplier
from edgekit.ops.norm import layer_norm, rows_of

ROW_BLOCK = 4
"""Rows that a branch works on at a time. Twin: firmware/kernels/ek_sentence.h, EK_ROWS"""
ADD_BITS = 16
MAX_WIDTH = 4096

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]


def count_tokens(ids: Int32) -> int:
    """Return the ids up to the last that is not 0, at least 1.

    Twin: firmware/kernels/ek_text_embed_s8.c
    """
    used = np.flatnonzero(ids)
    return int(used[-1]) + 1 if len(used) else 1


def product(
    x: Int8, w: Int8, requant: Int32, scale: tuple[int, int], zero: int, rounding: int
) -> Int8:
    """Multiply rows [R, K] by weights [M, K] and finish, as FULLY_CONNECTED does.

    Args:
        requant: [M, 3] of bias, multiplier, shift, or [M, 1] of bias.
        scale: Multiplier and shift for the latter.

    Twin: firmware/kernels/ek_matmul_s8.h
    """
    sums = x.astype(np.int64) @ w.T.astype(np.int64) + requant[:, 0]
    columns = requant[:, 1:].astype(np.int64) if requant.shape[1] == 3 else np.array([scale])
    return finished(sums, columns[:, 0], columns[:, 1], zero, rounding)


def finished(
    sums: NDArray[np.int64], multiplier: Any, shift: Any, zero: int, rounding: int
) -> Int8:
    """Scale sums to int8.

    Twin: firmware/kernels/ek_fixed.h, ek_finish_single and ek_finish_double
    """
    if rounding == Rounding.SINGLE:
        total = 31 - shift
        value = sums * multiplier + (np.int64(1) << (total - 1)) >> total
    else:
        left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
        high = (sums << left) * multiplier + 2**30 >> 31
        half = (np.int64(1) << right) >> 1
        value = high + np.where(right > 0, half - (high < 0), 0) >> right
    return np.asarray(np.clip(value + zero, -128, 127).astype(np.int8))


def joined(base: Int8, u: Int8, factors: tuple[int, int, int]) -> Int8:
    """Add two int8 maps of different scales with one rounding.

    Twin: firmware/kernels/ek_sentence.h, ek_join_rows
    """
    total = base.astype(np.int64) * factors[0] + u.astype(np.int64) * factors[1] + factors[2]
    return np.asarray(np.clip(total >> ADD_BITS, -128, 127).astype(np.int8))


def run_text(node: Node, values: list[NDArray[Any]], zeros: list[int]) -> list[NDArray[Any]]:
    """Run a node of this file: the definition of the kernels.

    Args:
        values: Of its inputs.
        zeros: Zero points of its inputs, then of its outputs.

    Returns:
        Its outputs; rows behind the count are left out.

    Twin: firmware/kernels/ek_text_*_s8.c
    """
    return list(DEFINITIONS[node.op](node, values, zeros))


def _embed(node: Node, values: list[Any], zeros: list[int]) -> list[Any]:
    ids, tokens, positions, w, requant = values
    ids = ids.reshape(-1)
    count = count_tokens(ids)
    rows = tokens[np.clip(ids[:count], 0, len(tokens) - 1)]
    seen = np.cumsum(ids[:count] == attr_int(node, "sep")) > 0
    flags = np.where(seen, attr_int(node, "flag"), 0).astype(np.int8)[:, None]
    x = np.concatenate([rows, positions[:count], flags], axis=1)
    y = product(x, w, requant, (0, 0), zeros[-2], attr_int(node, "rounding"))
    return [y, np.array([count], np.int32)]


def _norm(node: Node, values: list[Any], zeros: list[int]) -> list[Any]:
    x, count, rows = values
    return [
        layer_norm(
            x.reshape(-1, len(rows))[: int(count[0])],
            rows,
            zero_point=zeros[0],
            centred=False,
            epsilon=(attr_int(node, "eps_high") << 31) + attr_int(node, "eps_low"),
            fraction=attr_int(node, "fraction"),
        )
    ]


def _attend(node: Node, values: list[Any], zeros: list[int]) -> list[Any]:
    base, n, count, wq, rq, wo, ro, table = values
    attr = {name: attr_int(node, name) for name in ATTEND}
    n = n.reshape(-1, wq.shape[1])[: int(count[0])]
    scale = attr["q_multiplier"], attr["q_shift"]
    q = product(n, wq, rq, scale, attr["q_zero"], attr["rounding"])
    scales = Scales(
        attr["score_left"],
        attr["score_multiplier"],
        attr["fraction"],
        0,
        attr["mix_multiplier"],
        attr["mix_shift"],
    )
    zero = attr["q_zero"], zeros[1], attr["mix_zero"]
    mixed = attention(q[None], n[None], n[None], None, table, scales, zeros=zero)[0]
    scale = attr["multiplier"], attr["shift"]
    return [_joined(node, base, product(mixed, wo, ro, scale, attr["zero"], attr["rounding"]))]


def _mix(node: Node, values: list[Any], zeros: list[int]) -> list[Any]:
    base, n, count, kernel, rk, table, w, rw = values
    attr = {name: attr_int(node, name) for name in MIX}
    tokens = int(count[0])
    size, wide = kernel.shape
    n = n.reshape(-1, w.shape[0])[:tokens].astype(np.int64) - zeros[1]
    around = np.pad(n, ((attr["left"], size - 1 - attr["left"]), (0, 0)))
    spread = np.repeat(around, wide // n.shape[1], axis=1)
    sums = sum(spread[j : j + tokens] * kernel[j].astype(np.int64) for j in range(size))
    columns = rk.astype(np.int64)
    c = finished(
        sums + columns[:, 0], columns[:, 1], columns[:, 2], attr["conv_zero"], attr["rounding"]
    )
    s = table[c.astype(np.int64) + 128]
    scale = attr["multiplier"], attr["shift"]
    return [_joined(node, base, product(s, w, rw, scale, attr["zero"], attr["rounding"]))]


def _joined(node: Node, base: Int8, u: Int8) -> Int8:
    if not attr_int(node, "adds"):
        return u
    factors = tuple(attr_int(node, name) for name in ("base_factor", "factor", "offset"))
    return joined(base.reshape(-1, u.shape[1])[: len(u)], u, factors)  # type: ignore[arg-type]


def _pool(node: Node, values: list[Any], zeros: list[int]) -> list[Any]:
    x, count = values
    tokens = int(count[0])
    x = x.reshape(-1, x.shape[-1])[:tokens].astype(np.int64)
    parts = []
    if attr_int(node, "mean"):
        parts.append((2 * x.sum(axis=0) + tokens) // (2 * tokens))
    if attr_int(node, "max"):
        parts.append(x.max(axis=0))
    return [np.concatenate(parts or [x[0]]).astype(np.int8)]


DEFINITIONS = {
    "text_embed": _embed,
    "text_norm": _norm,
    "text_attend": _attend,
    "text_mix": _mix,
    "text_pool": _pool,
}


# Lowering


def _real(node: Node, name: str) -> float:
    value = node.attrs[name]
    if not isinstance(value, float) or not math.isfinite(value) or value <= 0:
        raise FormatError(f"{where(node)}: '{name}' is {value}")
    return value


def _dense(
    builder: Builder, node: Node, first: int, x: tuple[float, int], y_scale: float
) -> tuple[int, int, tuple[int, int]]:
    """Return ids of weights and requant, and multiplier and shift for one scale."""
    w = operand(builder, node, first)
    data = constant_of(node, w)
    scales = weight_scales(node, w, 0)
    bias = constant_of(node, operand(builder, node, first + 1)).astype(np.int64)
    sums = data.astype(np.int64).sum(axis=1)
    folded = fold_offset(bias, sums, x[1])
    one = (0, 0)
    if len(set(scales)) == 1:
        one = quantize_multiplier(x[0] * scales[0] / y_scale)
        requant = folded.reshape(-1, 1)
    else:
        pairs = [quantize_multiplier(x[0] * scale / y_scale) for scale in scales]
        requant = np.concatenate([folded[:, None], np.array(pairs, np.int32)], axis=1)
    return (
        builder.constant(w.name, data),
        builder.constant(f"{w.name} requant", requant.astype(np.int32)),
        one,
    )


def _factors(
    node: Node, base: tuple[float, int], u: tuple[float, int], y: tuple[float, int]
) -> dict[str, int]:
    """Return the parameters of `joined`."""
    first = round(base[0] / y[0] * 2**ADD_BITS)
    second = round(u[0] / y[0] * 2**ADD_BITS)
    offset = (y[1] << ADD_BITS) + (1 << (ADD_BITS - 1)) - base[1] * first - u[1] * second
    if max(first, second) >= 2**22:
        raise unsupported(node, "its operands have scales too far from that of the sum")
    return {"base_factor": first, "factor": second, "offset": offset}


def lower_text_embed(builder: Builder, node: Node) -> None:
    """TEXT_EMBED: ids, tokens [V, r], positions [L, r], weights [d, 2 r + 1], bias."""
    tokens, w = operand(builder, node, 1), operand(builder, node, 3)
    y = result(builder, node)
    scale, zero = int8_quant(node, tokens)
    if zero != 0:
        raise unsupported(node, "the table of tokens has a zero point")
    y_scale = int8_quant(node, y)[0]
    data = constant_of(node, w)
    bias = constant_of(node, operand(builder, node, 4)).astype(np.int32)
    pairs = [quantize_multiplier(scale * s / y_scale) for s in weight_scales(node, w, 0)]
    requant = np.concatenate([bias[:, None], np.array(pairs, np.int32)], axis=1)
    inputs = [node.inputs[0]]
    for position, name in ((1, "tokens"), (2, "positions")):
        inputs.append(builder.constant(name, constant_of(node, operand(builder, node, position))))
    inputs += [
        builder.constant(w.name, data),
        builder.constant(f"{w.name} requant", requant.astype(np.int32)),
    ]
    attrs = {**node.attrs, "rounding": int(builder.rounding)}
    builder.emit("text_embed", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def lower_text_norm(builder: Builder, node: Node) -> None:
    """TEXT_NORM: x, count, gamma and beta float32 [d]; attribute epsilon."""
    x, y = operand(builder, node, 0), result(builder, node)
    gamma, beta = (constant_of(node, operand(builder, node, i)) for i in (2, 3))
    y_scale, y_zero = int8_quant(node, y)
    stored = rows_of(gamma, beta, y_scale=y_scale, y_zero=y_zero)
    bits = _real(node, "epsilon") / int8_quant(node, x)[0] ** 2 * x.shape[-1] ** 2 * 2**8
    if stored is None or bits >= 2**62:
        raise unsupported(node, "gamma, beta or epsilon is too large for its scales")
    rows = builder.constant(f"{node.name} rows", stored[0])
    attrs = {
        "eps_high": round(bits) >> 31,
        "eps_low": round(bits) & (2**31 - 1),
        "fraction": stored[1],
    }
    inputs = (*node.inputs[:2], rows)
    builder.emit("text_norm", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def lower_text_attend(builder: Builder, node: Node) -> None:
    """TEXT_ATTEND: base, n, count, Wq, bq, Wo, bo; attributes name the scales in between."""
    base, n, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    n_quant, y_quant = int8_quant(node, n), int8_quant(node, y)
    q, mix, u = (
        (_real(node, f"{k}_scale"), attr_int(node, f"{k}_zero")) for k in ("q", "mix", "u")
    )
    scales = scales_of(
        n.shape[-1], score=q[0] * n_quant[0], bias=0.0, ratio=n_quant[0] / mix[0], keys=n.shape[-2]
    )
    if scales is None:
        raise unsupported(node, "scales or sizes do not fit")
    wq, rq, one_q = _dense(builder, node, 3, n_quant, q[0])
    wo, ro, one_o = _dense(builder, node, 5, mix, u[0])
    adds = attr_int(node, "adds")
    attrs = {
        "adds": adds,
        "q_multiplier": one_q[0],
        "q_shift": one_q[1],
        "q_zero": q[1],
        "score_left": scales.left,
        "score_multiplier": scales.score,
        "fraction": scales.fraction,
        "mix_multiplier": scales.multiplier,
        "mix_shift": scales.shift,
        "mix_zero": mix[1],
        "multiplier": one_o[0],
        "shift": one_o[1],
        "zero": u[1],
        "rounding": int(builder.rounding),
        **_factors(node, int8_quant(node, base), u, y_quant),
    }
    table = builder.constant("attention exp", exp_table(n.shape[-2]))
    inputs = (*node.inputs[:3], wq, rq, wo, ro, table)
    builder.emit("text_attend", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def lower_text_mix(builder: Builder, node: Node) -> None:
    """TEXT_MIX: base, n, count, kernel [k, C a], bias, table [256], Wc, bc; attributes: scales."""
    base, n, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    n_quant, y_quant = int8_quant(node, n), int8_quant(node, y)
    kernel = operand(builder, node, 3)
    data = constant_of(node, kernel)
    conv_scale = _real(node, "conv_scale")
    silu, w = ((_real(node, f"{k}_scale"), attr_int(node, f"{k}_zero")) for k in ("silu", "w"))
    scales = weight_scales(node, kernel, len(kernel.shape) - 1)
    pairs = [quantize_multiplier(n_quant[0] * scale / conv_scale) for scale in scales]
    bias = constant_of(node, operand(builder, node, 4)).astype(np.int32)
    requant = np.concatenate([bias[:, None], np.array(pairs, np.int32)], axis=1).astype(np.int32)
    table = constant_of(node, operand(builder, node, 5)).reshape(256).astype(np.int8)
    wc, rc, one = _dense(builder, node, 6, silu, w[0])
    attrs = {
        "adds": attr_int(node, "adds"),
        "left": attr_int(node, "left"),
        "conv_zero": attr_int(node, "conv_zero"),
        "multiplier": one[0],
        "shift": one[1],
        "zero": w[1],
        "rounding": int(builder.rounding),
        **_factors(node, int8_quant(node, base), w, y_quant),
    }
    inputs = (
        *node.inputs[:3],
        builder.constant(kernel.name, data.reshape(data.shape[-2:])),
        builder.constant(f"{kernel.name} requant", requant),
        builder.constant(f"{node.name} table", table),
        wc,
        rc,
    )
    builder.emit("text_mix", node, inputs=inputs, outputs=node.outputs, attrs=attrs)


def lower_text_pool(builder: Builder, node: Node) -> None:
    """TEXT_POOL: x, count; attributes mean and max, or neither for the first row."""
    if int8_quant(node, operand(builder, node, 0)) != int8_quant(node, result(builder, node)):
        raise unsupported(node, "a pool of another scale than its input")
    builder.emit(
        "text_pool", node, inputs=node.inputs, outputs=node.outputs, attrs=dict(node.attrs)
    )


# Checks, costs, memory


def _tensors(graph: Graph, node: Node, inputs: int, outputs: int) -> list[Any]:
    require(len(node.inputs) == inputs, node, f"{len(node.inputs)} inputs, expected {inputs}")
    require(len(node.outputs) == outputs, node, f"{len(node.outputs)} outputs, not {outputs}")
    return [graph.tensor(index) for index in (*node.inputs, *node.outputs)]


def _check_embed(graph: Graph, node: Node) -> None:
    ids, tokens, positions, w, _, y, count = _tensors(graph, node, 5, 2)
    require(ids.dtype is DType.INT32 and count.dtype is DType.INT32, node, "ids are not int32")
    fits = positions.shape == (ids.elements, tokens.shape[1])
    fits = fits and w.shape[1] == 2 * tokens.shape[1] + 1
    require(fits and y.elements == ids.elements * w.shape[0], node, "tables do not fit")


def _check_norm(graph: Graph, node: Node) -> None:
    x, _, rows, y = _tensors(graph, node, 3, 1)
    require(x.shape == y.shape and rows.shape == (x.shape[-1], 2), node, "shapes differ")


def _check_branch(graph: Graph, node: Node) -> None:
    base, n, _, *_, y = _tensors(graph, node, 8, 1)
    require(base.shape == n.shape == y.shape, node, "shapes differ")
    require(n.shape[-1] <= MAX_WIDTH, node, f"rows are wider than {MAX_WIDTH}")


def _check_pool(graph: Graph, node: Node) -> None:
    x, _, y = _tensors(graph, node, 2, 1)
    parts = max(1, attr_int(node, "mean") + attr_int(node, "max"))
    require(y.elements == parts * x.shape[-1], node, "pool of another width")


def _elements(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements


def _macs_embed(graph: Graph, node: Node) -> int:
    return _elements(graph, node) * graph.tensor(node.inputs[3]).shape[1]


def _macs_attend(graph: Graph, node: Node) -> int:
    n = graph.tensor(node.inputs[1])
    length, width = n.shape[-2:]
    return 2 * length * width * (width + length)


def _macs_mix(graph: Graph, node: Node) -> int:
    kernel, w = graph.tensor(node.inputs[3]), graph.tensor(node.inputs[6])
    return graph.tensor(node.inputs[1]).shape[-2] * (kernel.elements + w.elements)


def _scratch_attend(graph: Graph, node: Node) -> int:
    length, width = graph.tensor(node.inputs[1]).shape[-2:]
    lanes = 2 * ROW_BLOCK * (-(-width // 4) * 4)
    return 4 * ROW_BLOCK * length + lanes + 2 * ROW_BLOCK * width


def _scratch_mix(graph: Graph, node: Node) -> int:
    wide = graph.tensor(node.inputs[3]).shape[1]
    return ROW_BLOCK * (wide + graph.tensor(node.inputs[1]).shape[-1])


def _lead(graph: Graph, node: Node) -> int | None:
    return 0 if attr_int(node, "adds") else None


_JOIN = ("base_factor", "factor", "offset")
ATTEND = (
    *("adds", "q_multiplier", "q_shift", "q_zero"),
    *("score_left", "score_multiplier", "fraction"),
    *("mix_multiplier", "mix_shift", "mix_zero"),
    *("multiplier", "shift", "zero", *_JOIN, "rounding"),
)
MIX = ("adds", "left", "conv_zero", "multiplier", "shift", "zero", *_JOIN, "rounding")

KERNELS = (
    Kernel(
        "text_embed",
        130,
        ("sep", "flag", "rounding"),
        _check_embed,
        _macs_embed,
        lambda graph, node: ROW_BLOCK * graph.tensor(node.inputs[3]).shape[1],
    ),
    Kernel(
        "text_norm",
        131,
        ("eps_high", "eps_low", "fraction"),
        _check_norm,
        lambda graph, node: 2 * _elements(graph, node),
        lead=lambda graph, node: 0,
    ),
    Kernel("text_attend", 132, ATTEND, _check_branch, _macs_attend, _scratch_attend, lead=_lead),
    Kernel("text_mix", 133, MIX, _check_branch, _macs_mix, _scratch_mix, lead=_lead),
    Kernel(
        "text_pool",
        134,
        ("mean", "max"),
        _check_pool,
        lambda graph, node: graph.tensor(node.inputs[0]).elements,
    ),
)
