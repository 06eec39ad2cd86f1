"""What drives the instructions of kernels with activations of 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from edgekit.graph import Graph, Node

Features = tuple[float, ...]
RUN = 512
"""Products that a 32-bit sum takes. Twin: firmware/kernels/ek_wide.h, EK_WIDE_RUN."""


def _shapes(graph: Graph, node: Node) -> list[tuple[int, ...]]:
    return [graph.tensors[index].shape for index in (*node.inputs, *node.outputs) if index >= 0]


def _conv_2d(graph: Graph, node: Node) -> Features:
    _, w, *_, y = _shapes(graph, node)
    rows, terms = prod(y[:3]), prod(w[1:])
    return (
        float(rows * w[0] * terms),
        float(rows * w[0] * -(-terms // RUN)),
        float(rows * w[0]),
        float(rows * terms),
        float(rows * w[1] * w[2]),
        float(rows),
        1.0,
    )


def _depthwise_conv_2d(graph: Graph, node: Node) -> Features:
    x, w, *_, y = _shapes(graph, node)
    inside = _inside(x[1], w[1], y[1], node, "h") * _inside(x[2], w[2], y[2], node, "w")
    sums = x[0] * y[1] * y[2] * w[3]
    return (
        float(x[0] * inside * w[3]),
        float(sums * w[1] * w[2]),
        float(sums * w[1]),
        float(sums),
        float(prod(y[:3])),
        1.0,
    )


def _inside(size: int, kernel: int, outputs: int, node: Node, axis: str) -> int:
    """Count taps that lie in the image, along one side, over all outputs."""
    stride, dilation = _int(node, f"stride_{axis}"), _int(node, f"dilation_{axis}")
    pad = _int(node, "pad_top" if axis == "h" else "pad_left")
    return sum(
        0 <= i * stride - pad + tap * dilation < size
        for i in range(outputs)
        for tap in range(kernel)
    )


def _int(node: Node, name: str) -> int:
    value = node.attrs[name]
    assert isinstance(value, int)
    return value


def _fully_connected(graph: Graph, node: Node) -> Features:
    x, w, *_ = _shapes(graph, node)
    rows = prod(x) // w[1]
    sums = rows * w[0]
    return float(sums * w[1]), float(sums * -(-w[1] // RUN)), float(sums), float(rows), 1.0


def _batch_matmul(graph: Graph, node: Node) -> Features:
    a, _, y = _shapes(graph, node)
    terms = prod(a[-2:]) // y[-2]
    # Each column is gathered once.
    columns = prod(y[:-2]) * y[-1]
    return (
        float(prod(y) * terms),
        float(columns * terms),
        float(prod(y)),
        float(columns),
        float(prod(y[:-2])),
        1.0,
    )


def _mean(graph: Graph, node: Node) -> Features:
    x, y = _shapes(graph, node)[0], _shapes(graph, node)[-1]
    axes = _int(node, "axes")
    inner = 1
    for d in range(len(x) - 1, -1, -1):
        if axes >> d & 1:
            inner *= x[d]
        elif inner > 1:
            break
    return float(prod(x)), float(prod(x) // inner), float(prod(y)), 1.0


def _elements(graph: Graph, node: Node) -> Features:
    return float(prod(_shapes(graph, node)[-1])), 1.0


def _logistic(graph: Graph, node: Node) -> Features:
    count, tanh = float(prod(_shapes(graph, node)[-1])), float(bool(node.attrs["tanh"]))
    return count * tanh, count * (1 - tanh), 1.0


def _rescale(graph: Graph, node: Node) -> Features:
    sizes = [graph.tensors[index].dtype.size for index in (*node.inputs, *node.outputs)]
    count = float(prod(_shapes(graph, node)[-1]))
    return count, count * (1 in sizes), count * (4 in sizes), 1.0


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {
    "conv_2d_s16": _conv_2d,
    "depthwise_conv_2d_s16": _depthwise_conv_2d,
    "fully_connected_s16": _fully_connected,
    "batch_matmul_s16": _batch_matmul,
    "mean_s16": _mean,
    "lut_s16": _elements,
    "logistic_s16": _logistic,
    "rescale_s16": _rescale,
}
