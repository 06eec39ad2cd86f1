"""SOFTMAX over the last dimension."""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    check_dense,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.fixed import exp_on_negative, high_mul, quantize_multiplier, wrap

INTEGER_BITS = 5
MAX_DEPTH = 4095


def exp_table(scale: float, beta: float) -> NDArray[np.int32]:
    """Return exp(-i * scale * beta) for i = 0 .. 255 as Q0.31, 0 where LiteRT cuts it off.

    Source: tensorflow/lite/kernels/internal/reference/softmax.h; quantization_util.cc,
    PreprocessSoftmaxScaling and CalculateInputRadius.
    """
    real = min(beta * scale * (1 << (31 - INTEGER_BITS)), (1 << 31) - 1.0)
    if real <= 1:
        raise FormatError(f"softmax: input scale {scale} times beta {beta} is too small")
    table = np.zeros(256, np.int32)
    if real >= 2**30:
        # A mask of -1e38 stretches the scale: whatever is below the largest vanishes.
        table[0] = exp_on_negative(0, INTEGER_BITS)
        return table
    multiplier, shift = quantize_multiplier(real)
    radius = math.floor(1.0 * ((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / (1 << shift))
    for difference in range(256):
        if difference <= radius:
            scaled = high_mul(wrap(-difference * (1 << shift)), multiplier)
            table[difference] = exp_on_negative(scaled, INTEGER_BITS)
    return table


def float_bits(value: float) -> int:
    """Return the bits of a float32 as int32."""
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


def float_of_bits(bits: int) -> float:
    """Return the float32 with these bits."""
    return float(struct.unpack("<f", struct.pack("<i", bits))[0])


def lower_softmax(builder: Builder, node: Node) -> None:
    """SOFTMAX int8 to int8."""
    x, y = operand(builder, node, 0), result(builder, node)
    expect_shape(node, y, x.shape)
    if not x.shape or x.shape[-1] > MAX_DEPTH:
        raise unsupported(node, f"softmax over {x.shape[-1:]} values, at most {MAX_DEPTH} fit")
    y_scale, y_zero = int8_quant(node, y)
    if y_zero != -128 or abs(y_scale - 1 / 256) > 1e-6 / 256:
        raise FormatError(
            f"{where(node)}: output has scale {y_scale} and zero point {y_zero}, "
            "expected 1/256 and -128"
        )
    beta = node.attrs["beta"]
    if not isinstance(beta, float) or not math.isfinite(beta) or beta <= 0:
        raise FormatError(f"{where(node)}: beta is {beta}")
    builder.emit(
        "softmax",
        node,
        inputs=(
            node.inputs[0],
            builder.constant("softmax exp", exp_table(int8_quant(node, x)[0], beta)),
        ),
        outputs=node.outputs,
        attrs={"beta": float_bits(beta)},
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(graph.tensor(node.inputs[1]).shape == (256,), node, "table has not 256 values")
    require(x.shape == y.shape, node, f"output has shape {y.shape}, input {x.shape}")


SOFTMAX = Kernel("softmax", 10, ("beta",), _check, in_place=True)
