"""Dense layers: FULLY_CONNECTED and BATCH_MATMUL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import Graph, Node
from edgekit.ops.base import (
    Builder,
    Kernel,
    activation_range,
    attr_int,
    check_dense,
    constant_of,
    expect_shape,
    int8_quant,
    operand,
    require,
    result,
    rows_lead,
    unsupported,
    where,
)
from edgekit.ops.conv import MAX_TERMS, bias_of, fold_offset, requant_rows, weight_scales
from edgekit.ops.fixed import Rounding, quantize_multiplier
from edgekit.ops.ties import exact_multiplier, reach


def dense_multiplier(x_scale: float, w_scale: float, y_scale: float) -> tuple[int, int]:
    """Return multiplier and shift of a dense layer with one weight scale.

    Source: tensorflow/lite/kernels/kernel_util.cc, GetQuantizedConvolutionMultipler.
    """
    return quantize_multiplier(x_scale * w_scale / y_scale)


def lower_fully_connected(builder: Builder, node: Node) -> None:
    """FULLY_CONNECTED: weights [M, K], one scale or one per M."""
    x, w, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    if len(w.shape) != 2:
        raise FormatError(f"{where(node)}: weights have {len(w.shape)} dimensions, expected 2")
    if node.attrs["weights_format"] != 0:
        raise unsupported(node, "shuffled weights are not supported")
    weights: NDArray[Any] = constant_of(node, w)
    outputs, terms = w.shape
    if x.elements % terms or (node.attrs["keep_num_dims"] and x.shape[-1] != terms):
        raise FormatError(
            f"{where(node)}: weights {list(w.shape)} do not fit input {list(x.shape)}"
        )
    if terms > MAX_TERMS:
        raise unsupported(node, f"{terms} input features, at most {MAX_TERMS} fit")
    if node.attrs["keep_num_dims"]:
        expect_shape(node, y, (*x.shape[:-1], outputs))
    elif y.elements != x.elements // terms * outputs or y.shape[-1] != outputs:
        expect_shape(node, y, (x.elements // terms, outputs))
    scales = weight_scales(node, w, 0)
    x_scale, x_zero = int8_quant(node, x)
    y_scale, y_zero = int8_quant(node, y)
    sums = weights.astype(np.int64).sum(axis=1)
    bias = fold_offset(bias_of(builder, node, outputs), sums, x_zero)
    low, high = activation_range(node, str(node.attrs["activation"]), y_scale, y_zero)
    levels = (low - y_zero, high - y_zero)
    multiplier, shift = 0, 0
    if len(set(scales)) == 1:
        multiplier, shift = dense_multiplier(x_scale, scales[0], y_scale)
        requant = bias.reshape(outputs, 1)
    else:
        requant = requant_rows(node, bias, x, scales, y)
    if builder.rounding is Rounding.SINGLE:
        least, most = reach(weights, bias)
        if len(set(scales)) == 1:
            real = x_scale * scales[0] / y_scale
            multiplier, shift = exact_multiplier(real, (least, most), levels)
        for row, scale in enumerate(scales if requant.shape[1] == 3 else ()):
            sums = (least[row : row + 1], most[row : row + 1])
            requant[row, 1:] = exact_multiplier(x_scale * scale / y_scale, sums, levels)
    builder.emit(
        "fully_connected",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(w.name, weights),
            builder.constant(f"{w.name} requant", requant),
        ),
        outputs=node.outputs,
        attrs={
            "multiplier": multiplier,
            "shift": shift,
            "y_min": low,
            "y_max": high,
            "rounding": int(builder.rounding),
        },
    )


def lower_batch_matmul(builder: Builder, node: Node) -> None:
    """BATCH_MATMUL of two int8 tensors; batch dimensions broadcast, either may be transposed."""
    a, b, y = operand(builder, node, 0), operand(builder, node, 1), result(builder, node)
    rank = max(len(a.shape), len(b.shape))
    if min(len(a.shape), len(b.shape)) < 2:
        raise FormatError(f"{where(node)}: operands need at least 2 dimensions")
    adj_x, adj_y = bool(node.attrs["adj_x"]), bool(node.attrs["adj_y"])
    shape_a = (1,) * (rank - len(a.shape)) + a.shape
    shape_b = (1,) * (rank - len(b.shape)) + b.shape
    rows, terms = (shape_a[-1], shape_a[-2]) if adj_x else (shape_a[-2], shape_a[-1])
    terms_b, columns = (shape_b[-1], shape_b[-2]) if adj_y else (shape_b[-2], shape_b[-1])
    try:
        batch = np.broadcast_shapes(shape_a[:-2], shape_b[:-2])
    except ValueError as exc:
        raise FormatError(f"{where(node)}: {list(a.shape)} and {list(b.shape)}") from exc
    if terms != terms_b:
        raise FormatError(f"{where(node)}: {terms} columns times {terms_b} rows")
    if terms > MAX_TERMS // 2:
        raise unsupported(node, f"{terms} terms, at most {MAX_TERMS // 2} fit")
    expect_shape(node, y, (*batch, rows, columns))
    a_scale, b_scale, (y_scale, y_zero) = (
        int8_quant(node, a)[0],
        int8_quant(node, b)[0],
        int8_quant(node, y),
    )
    # Source: tensorflow/lite/kernels/kernel_util.cc, GetQuantizedConvolutionMultipler without bias:
    # the product in float32, the quotient in float64.
    product = float(np.float32(a_scale) * np.float32(b_scale))
    multiplier, shift = quantize_multiplier(product / y_scale)
    inputs = []
    for index, tensor, shape in ((node.inputs[0], a, shape_a), (node.inputs[1], b, shape_b)):
        if tensor.data is not None:
            index = builder.constant(tensor.name, tensor.data.reshape(shape), tensor.quant)
        elif tensor.shape != shape:
            view = builder.activation(f"{tensor.name} view", shape, tensor.quant)
            builder.emit("copy", node, inputs=(index,), outputs=(view,), suffix=" view")
            index = view
        inputs.append(index)
    low, high = activation_range(node, "NONE", y_scale, y_zero)
    builder.emit(
        "batch_matmul",
        node,
        inputs=inputs,
        outputs=node.outputs,
        attrs={
            "adj_x": int(adj_x),
            "adj_y": int(adj_y),
            "multiplier": multiplier,
            "shift": shift,
            "y_min": low,
            "y_max": high,
            "rounding": int(BATCH_MATMUL_ROUNDING),
        },
    )


BATCH_MATMUL_ROUNDING = Rounding.DOUBLE


def _check_fully_connected(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 3)
    x, w, q = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(w.shape) == 2, node, "weights have not rank 2")
    require(q.shape in ((w.shape[0], 1), (w.shape[0], 3)), node, f"requant has shape {q.shape}")
    require(
        x.elements % w.shape[1] == 0 and x.elements // w.shape[1] * w.shape[0] == y.elements,
        node,
        f"{x.shape} times {w.shape} is not {y.shape}",
    )


def _check_batch_matmul(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    a, b = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    require(len(a.shape) == len(b.shape) == len(y.shape) >= 2, node, "ranks differ")


def _macs_fully_connected(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements * graph.tensor(node.inputs[1]).shape[1]


def _lead_fully_connected(graph: Graph, node: Node) -> int:
    x, w = graph.tensor(node.inputs[0]), graph.tensor(node.inputs[1])
    return rows_lead(x.elements // w.shape[1], w.shape[1], w.shape[0])


def _terms(graph: Graph, node: Node) -> int:
    a = graph.tensor(node.inputs[0])
    return a.shape[-2] if attr_int(node, "adj_x") else a.shape[-1]


def _macs_batch_matmul(graph: Graph, node: Node) -> int:
    return math.prod(graph.tensor(node.outputs[0]).shape) * _terms(graph, node)


FULLY_CONNECTED = Kernel(
    "fully_connected",
    3,
    ("multiplier", "shift", "y_min", "y_max", "rounding"),
    _check_fully_connected,
    _macs_fully_connected,
    revision=2,
    lead=_lead_fully_connected,
)
BATCH_MATMUL = Kernel(
    "batch_matmul",
    4,
    ("adj_x", "adj_y", "multiplier", "shift", "y_min", "y_max", "rounding"),
    _check_batch_matmul,
    _macs_batch_matmul,
    lambda graph, node: 2 * _terms(graph, node),
)
