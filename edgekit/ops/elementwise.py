"""Functions of two tensors with broadcasting.

ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, SQUARED_DIFFERENCE, PRELU.
"""

from __future__ import annotations

import numpy as np

from edgekit.errors import FormatError, QuantizationError
from edgekit.graph import Graph, Node, Tensor
from edgekit.ops import fixed
from edgekit.ops.activation import table
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    check_dense,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import quantize_multiplier
from edgekit.ops.logic import expect_same, is_index, lower_index_binary

LEFT_SHIFT = 20
MAX_DIV_SHIFT = 20


def _operands(builder: Builder, node: Node) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    a, b, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {list(a.shape)} and {list(b.shape)}") from exc
    expect_shape(node, y, shape)
    inputs = []
    for index, tensor in ((node.inputs[0], a), (node.inputs[1], b)):
        int8_quant(node, tensor)
        if tensor.data is not None:
            index = builder.constant(tensor.name, tensor.data, tensor.quant)
        inputs.append(index)
    return a, b, y, inputs


def _lower_sum(builder: Builder, node: Node, sign: int) -> None:
    a, b, y, inputs = _operands(builder, node)
    (a_scale, _), (b_scale, _) = int8_quant(node, a), int8_quant(node, b)
    y_scale, y_zero = int8_quant(node, y)
    twice = 2 * max(a_scale, b_scale)
    a_multiplier, a_shift = quantize_multiplier(a_scale / twice)
    b_multiplier, b_shift = quantize_multiplier(b_scale / twice)
    y_multiplier, y_shift = quantize_multiplier(twice / ((1 << LEFT_SHIFT) * y_scale))
    if y_shift > 0:
        raise QuantizationError(f"{where(node)}: output scale {y_scale} is too small")
    low, high = activation_range(node, str(node.attrs["activation"]), y_scale, y_zero)
    builder.emit(
        "add",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "a_multiplier": a_multiplier,
            "a_shift": a_shift,
            "b_multiplier": b_multiplier,
            "b_shift": b_shift,
            "y_multiplier": y_multiplier,
            "y_shift": y_shift,
            "sign": sign,
            "y_min": low,
            "y_max": high,
        },
    )


def lower_add(builder: Builder, node: Node) -> None:
    """ADD."""
    if is_index(operand(builder, node, 0)):
        lower_index_binary(builder, node)
    else:
        _lower_sum(builder, node, 1)


def lower_sub(builder: Builder, node: Node) -> None:
    """SUB: ADD with the second operand negated; its roundings are symmetric or of one product."""
    if is_index(operand(builder, node, 0)):
        lower_index_binary(builder, node)
    else:
        _lower_sum(builder, node, -1)


def lower_mul(builder: Builder, node: Node) -> None:
    """MUL."""
    if is_index(operand(builder, node, 0)):
        lower_index_binary(builder, node)
        return
    a, b, y, inputs = _operands(builder, node)
    y_scale, y_zero = int8_quant(node, y)
    # Source: tensorflow/lite/kernels/mul.cc, Prepare: in float32.
    product = np.float32(int8_quant(node, a)[0]) * np.float32(int8_quant(node, b)[0])
    real = float(product / np.float32(y_scale))
    multiplier, shift = quantize_multiplier(real)
    low, high = activation_range(node, str(node.attrs["activation"]), y_scale, y_zero)
    builder.emit(
        "mul",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={"multiplier": multiplier, "shift": shift, "y_min": low, "y_max": high},
    )


def _lower_larger(builder: Builder, node: Node, sign: int) -> None:
    if is_index(operand(builder, node, 0)):
        lower_index_binary(builder, node)
        return
    a, b, y, inputs = _operands(builder, node)
    expect_same(node, a, y)
    expect_same(node, b, y)
    builder.emit("maximum", node, inputs=inputs, outputs=node.outputs, attrs={"sign": sign})


def lower_maximum(builder: Builder, node: Node) -> None:
    """MAXIMUM."""
    _lower_larger(builder, node, 1)


def lower_minimum(builder: Builder, node: Node) -> None:
    """MINIMUM."""
    _lower_larger(builder, node, -1)


def lower_squared_difference(builder: Builder, node: Node) -> None:
    """SQUARED_DIFFERENCE.

    Source: tensorflow/lite/kernels/squared_difference.cc, Prepare.
    """
    a, b, y, inputs = _operands(builder, node)
    a_scale, b_scale, y_scale = (int8_quant(node, tensor)[0] for tensor in (a, b, y))
    twice = 2 * max(a_scale, b_scale)
    a_multiplier, a_shift = quantize_multiplier(a_scale / twice)
    b_multiplier, b_shift = quantize_multiplier(b_scale / twice)
    y_multiplier, y_shift = quantize_multiplier(twice * twice / ((1 << 14) * y_scale))
    builder.emit(
        "squared_difference",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "a_multiplier": a_multiplier,
            "a_shift": a_shift,
            "b_multiplier": b_multiplier,
            "b_shift": b_shift,
            "y_multiplier": y_multiplier,
            "y_shift": y_shift,
        },
    )


def lower_prelu(builder: Builder, node: Node) -> None:
    """PRELU.

    Source: tensorflow/lite/kernels/activations.cc, PreluPrepare: in float32.
    """
    a, b, y, inputs = _operands(builder, node)
    a_scale, b_scale, y_scale = (np.float32(int8_quant(node, t)[0]) for t in (a, b, y))
    positive, positive_shift = quantize_multiplier(float(a_scale / y_scale))
    negative, negative_shift = quantize_multiplier(float(a_scale * b_scale / y_scale))
    builder.emit(
        "prelu",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "positive_multiplier": positive,
            "positive_shift": positive_shift,
            "negative_multiplier": negative,
            "negative_shift": negative_shift,
        },
    )


def quotient(a: int, b: int, multiplier: int, shift: int) -> int:
    """Return a / b * multiplier * 2**(shift - 31), rounded thrice; |a|, |b| at most 255, b not 0.

    Where LiteRT shifts by 32 bits or more, which C++ does not define, the quotient rounds to 0.

    Source: tensorflow/lite/kernels/internal/reference/div.h, DivElementwise for int8.
    Twin: firmware/kernels/ek_div_s8.c, quotient.
    """
    if b == 0:
        return 0
    reciprocal, bits = fixed.reciprocal(abs(b))
    headroom = 31 - (a if a >= 0 else ~a).bit_length()
    unscaled = fixed.high_mul(a << headroom, reciprocal if b > 0 else -reciprocal)
    right = headroom + bits - shift
    return 0 if right > 31 else fixed.divide_by_power(fixed.high_mul(unscaled, multiplier), right)


def lower_div(builder: Builder, node: Node) -> None:
    """DIV; by one constant it is a table."""
    a, b, y, inputs = _operands(builder, node)
    (a_scale, a_zero), (b_scale, b_zero) = int8_quant(node, a), int8_quant(node, b)
    y_scale, y_zero = int8_quant(node, y)
    ratio = np.float32(a_scale) / (np.float32(b_scale) * np.float32(y_scale))
    multiplier, shift = quantize_multiplier(float(ratio))
    if shift > MAX_DIV_SHIFT:
        raise unsupported(node, f"output scale {y_scale} is too small")
    low, high = activation_range(node, str(node.attrs["activation"]), y_scale, y_zero)
    divisors = [] if b.data is None else np.unique(b.data).tolist()
    if b_zero in divisors:
        raise FormatError(f"{where(node)}: divides by 0")
    if len(divisors) == 1 and a.shape == y.shape:
        divisor = divisors[0] - b_zero

        def value(stored: int) -> int:
            scaled = y_zero + quotient(stored - a_zero, divisor, multiplier, shift)
            return max(low, min(high, scaled))

        inputs[1] = builder.constant("div table", table(value))
        builder.emit("lut", node, inputs=inputs, outputs=node.outputs)
        return
    builder.emit(
        "div",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={"multiplier": multiplier, "shift": shift, "y_min": low, "y_max": high},
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    a, b = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = ()
    require(shape == y.shape, node, f"{a.shape} and {b.shape} are not {y.shape}")


def _macs_mul(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements


ADD = Kernel(
    "add",
    5,
    (
        "a_multiplier",
        "a_shift",
        "b_multiplier",
        "b_shift",
        "y_multiplier",
        "y_shift",
        "sign",
        "y_min",
        "y_max",
    ),
    _check,
    in_place=True,
)
MUL = Kernel("mul", 6, ("multiplier", "shift", "y_min", "y_max"), _check, _macs_mul, in_place=True)
MAXIMUM = Kernel("maximum", 18, ("sign",), _check, in_place=True)
SQUARED_DIFFERENCE = Kernel(
    "squared_difference",
    19,
    ("a_multiplier", "a_shift", "b_multiplier", "b_shift", "y_multiplier", "y_shift"),
    _check,
    _macs_mul,
    in_place=True,
)
PRELU = Kernel(
    "prelu",
    20,
    ("positive_multiplier", "positive_shift", "negative_multiplier", "negative_shift"),
    _check,
    _macs_mul,
    in_place=True,
)
DIV = Kernel("div", 86, ("multiplier", "shift", "y_min", "y_max"), _check, _macs_mul, in_place=True)
