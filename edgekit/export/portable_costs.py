"""What drives the instructions of portable kernels: counts from shapes, as their loops run."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from edgekit.graph import Graph, Node
from edgekit.ops.logic import MODES

Features = tuple[float, ...]
DIVISIONS = (MODES["FLOOR_DIV"], MODES["FLOOR_MOD"])


def _shapes(graph: Graph, node: Node) -> list[tuple[int, ...]]:
    return [graph.tensors[index].shape for index in (*node.inputs, *node.outputs) if index >= 0]


def matmul(rows: int, n: int, k: int) -> Features:
    """Count a product of [rows, k] and [n, k]: sums, results, tiles, pairs of rows, once."""
    # Two rows and two columns at a time; what is left over costs more per product.
    pairs, row = divmod(rows, 2)
    columns, column = divmod(n, 2)
    return (
        float(pairs * columns * k),
        float(pairs * column * k),
        float(row * columns * k),
        float(row * column * k),
        float(rows * n),
        float((pairs + row) * (columns + column)),
        float(pairs + row),
        1.0,
    )


def _fully_connected(graph: Graph, node: Node) -> Features:
    x, w, *_ = _shapes(graph, node)
    return matmul(prod(x) // w[1], w[0], w[1])


def _borders(graph: Graph, node: Node) -> tuple[int, int, int]:
    """Count windows, rows of windows that lie inside, and taps elsewhere, of one image."""
    x, w, *_, y = _shapes(graph, node)
    rows = _inside(x[1], w[1], y[1], node, "h")
    columns = _inside(x[2], w[2], y[2], node, "w")
    return y[1] * y[2], rows, columns


def _inside(size: int, kernel: int, outputs: int, node: Node, axis: str) -> int:
    stride = _int(node, f"stride_{axis}", 1)
    dilation = _int(node, f"dilation_{axis}", 1)
    pad = _int(node, "pad_top" if axis == "h" else "pad_left", 0)
    last = (kernel - 1) * dilation
    return sum(at >= 0 and at + last < size for at in (i * stride - pad for i in range(outputs)))


def _int(node: Node, name: str, default: int) -> int:
    value = node.attrs.get(name, default)
    return int(value) if isinstance(value, (int, float)) else default


def _conv_2d(graph: Graph, node: Node) -> Features:
    x, w, *_, y = _shapes(graph, node)
    k = w[1] * w[2] * w[3]
    rows = x[0] * y[1] * y[2]
    pointwise = w[1] == w[2] == 1 and x[1:3] == y[1:3]
    if pointwise:
        return (*matmul(rows, w[0], k), 0.0, 0.0, 0.0, 0.0)
    _, _, columns_inside = _borders(graph, node)
    # Kernel rows are copied whole where the window lies between left and right border.
    whole = x[0] * y[1] * columns_inside * w[1]
    single = x[0] * y[1] * (y[2] - columns_inside) * w[1] * w[2]
    return (
        *matmul(rows, w[0], k),
        float(rows),
        float(whole),
        float(single),
        float(rows * k),
    )


def _depthwise_conv_2d(graph: Graph, node: Node) -> Features:
    x, w, *_ = _shapes(graph, node)
    taps = w[1] * w[2]
    windows, rows_inside, columns_inside = _borders(graph, node)
    pixels = x[0] * windows
    border = x[0] * (windows - rows_inside * columns_inside)
    channels = w[3]
    multiplied = float(channels != x[3])
    plain = 1.0 - multiplied
    groups = (channels + 1) // 2
    return (
        plain * pixels * (channels // 2) * taps,
        plain * pixels * (channels % 2) * taps,
        plain * pixels * groups * w[1],
        plain * pixels * groups,
        multiplied * pixels * channels * taps,
        multiplied * pixels * channels * w[1],
        float(pixels * channels),
        float(pixels),
        float(border * taps),
        float(border * taps * x[3]),
        1.0,
    )


def _depthwise_pointwise(graph: Graph, node: Node) -> Features:
    x, _, _, w, _, y = _shapes(graph, node)
    *depthwise, _ = _depthwise_conv_2d(graph, node)
    return (*depthwise, *matmul(x[0] * y[1] * y[2], w[0], w[3]))


def _batch_matmul(graph: Graph, node: Node) -> Features:
    a, b, y = _shapes(graph, node)
    rows, columns = y[-2], y[-1]
    terms = prod(a[-2:]) // rows
    batches = prod(y[:-2])
    del b
    return (
        float(batches * rows * columns * terms),
        float(batches * rows * columns),
        float(batches * columns * terms),
        float(batches * columns),
        float(batches),
        1.0,
    )


def _broadcast(graph: Graph, node: Node) -> Features:
    a, b, y = _shapes(graph, node)
    rows = _broadcast_rows(a, b, y)
    return float(prod(y)), float(rows), 1.0


def _compare(graph: Graph, node: Node) -> Features:
    outputs, rows, once = _broadcast(graph, node)
    scaled = float(_int(node, "scaled", 0))
    return outputs * scaled, outputs * (1 - scaled), rows, once


def _index_binary(graph: Graph, node: Node) -> Features:
    outputs, rows, once = _broadcast(graph, node)
    divides = float(_int(node, "mode", 0) in DIVISIONS)
    return outputs * divides, outputs * (1 - divides), rows, once


def _add(graph: Graph, node: Node) -> Features:
    a, b, y = _shapes(graph, node)
    rows = _broadcast_rows(a, b, y)
    same = float(a == b)
    again = float(min(a[-1], b[-1]) < y[-1])
    beside = 1.0 - max(same, again)
    outputs = prod(y)
    return same * outputs, again * outputs, beside * outputs, (1 - same) * rows, 1.0


def _broadcast_rows(a: tuple[int, ...], b: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Count the rows that are left when neighbouring dimensions of one kind are joined.

    Twin: firmware/kernels/ek_broadcast.h, ek_broadcast_plan
    """
    wide_a = (1,) * (len(y) - len(a)) + a
    wide_b = (1,) * (len(y) - len(b)) + b
    joined: list[tuple[int, bool, bool]] = []
    for da, db, dy in zip(wide_a, wide_b, y, strict=True):
        if dy == 1:
            continue
        kind = (da == dy, db == dy)
        if joined and joined[-1][1:] == kind:
            joined[-1] = (joined[-1][0] * dy, *kind)
        else:
            joined.append((dy, *kind))
    return prod(size for size, _, _ in joined[:-1])


def _pool(graph: Graph, node: Node) -> Features:
    x, y = _shapes(graph, node)[0], _shapes(graph, node)[-1]
    filter_h, filter_w = _int(node, "filter_h", 1), _int(node, "filter_w", 1)
    outputs = prod(y)
    pixels = outputs // x[3]
    taps = sum(_covered(x[1], i, filter_h, node, "h") for i in range(y[1])) * sum(
        _covered(x[2], i, filter_w, node, "w") for i in range(y[2])
    )
    rows = sum(_covered(x[1], i, filter_h, node, "h") for i in range(y[1])) * y[2]
    channels = x[0] * x[3]
    return (
        float(taps * channels),
        float(rows * channels),
        float(outputs),
        float(pixels),
        1.0,
    )


def _covered(size: int, index: int, length: int, node: Node, axis: str) -> int:
    stride = _int(node, f"stride_{axis}", 1)
    start = index * stride - _int(node, "pad_top" if axis == "h" else "pad_left", 0)
    return max(0, min(start + length, size) - max(start, 0))


def _mean(graph: Graph, node: Node) -> Features:
    x, y = _shapes(graph, node)[0], _shapes(graph, node)[-1]
    outputs = prod(y)
    return float(prod(x)), float(outputs), 1.0


def _last_axis(graph: Graph, node: Node) -> Features:
    x = _shapes(graph, node)[0]
    return float(prod(x)), float(prod(x) // x[-1]), 1.0


def _elements(graph: Graph, node: Node) -> Features:
    y = _shapes(graph, node)[-1]
    return float(prod(y)), 1.0


def _rows(graph: Graph, node: Node) -> Features:
    x, y = _shapes(graph, node)[0], _shapes(graph, node)[-1]
    return float(prod(y)), float(prod(y) // y[-1]), float(prod(x) // x[-1]), 1.0


def _transpose(graph: Graph, node: Node) -> Features:
    y = _shapes(graph, node)[-1]
    perm = node.attrs["perm"]
    whole = isinstance(perm, tuple) and perm[len(y) - 1] == len(y) - 1
    return (
        float(whole) * prod(y),
        float(not whole) * prod(y),
        float(whole) * (prod(y) // y[-1]),
        float(not whole) * (prod(y) // y[-1]),
        1.0,
    )


def _remap(graph: Graph, node: Node) -> Features:
    y = _shapes(graph, node)[-1]
    axes = _int(node, "axes", 0)
    run = prod(y[axes.bit_length() :])
    pieces = prod(y) // run
    rows = pieces // y[axes.bit_length() - 1]
    whole = float(run > 1)
    return whole * prod(y), whole * pieces, (1 - whole) * pieces, float(rows), 1.0


def _resize_bilinear(graph: Graph, node: Node) -> Features:
    y = _shapes(graph, node)[-1]
    return float(prod(y)), float(prod(y) // y[3]), 1.0


def _transpose_conv(graph: Graph, node: Node) -> Features:
    x, w, *_, y = _shapes(graph, node)
    taps = x[1] * x[2] * w[1] * w[2]
    return (
        float(x[0] * taps * prod(x[3:]) * w[0]),
        float(x[0] * taps * w[0]),
        float(prod(y)),
        float(prod(y) // y[3]),
        1.0,
    )


def _gather(graph: Graph, node: Node) -> Features:
    x, ids, y = _shapes(graph, node)
    axis = _int(node, "axis", 0)
    return float(prod(y)), float(prod(ids) * prod(x[:axis])), 1.0


def _attention(graph: Graph, node: Node) -> Features:
    heads, rows, keys, depth, width = (
        _int(node, name, 1) for name in ("heads", "rows", "keys", "depth", "width")
    )
    biased = float(len(node.inputs) == 5)
    return (
        float(heads * rows * keys * (depth // 4)),
        float(heads * rows * keys * (depth % 4)),
        float(heads * rows * keys * width),
        float(heads * rows * keys),
        biased * heads * rows * keys,
        float(heads * -(-rows // 4) * keys),
        float(heads * rows * (depth + width)),
        float(heads * rows),
        1.0,
    )


def _arg_max(graph: Graph, node: Node) -> Features:
    x, y = _shapes(graph, node)
    return float(prod(x)), float(prod(y)), 1.0


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {
    "conv_2d": _conv_2d,
    "depthwise_conv_2d": _depthwise_conv_2d,
    "depthwise_pointwise": _depthwise_pointwise,
    "fully_connected": _fully_connected,
    "batch_matmul": _batch_matmul,
    "add": _add,
    "mul": _broadcast,
    "average_pool_2d": _pool,
    "max_pool_2d": _pool,
    "mean": _mean,
    "softmax": _last_axis,
    "lut": _elements,
    "copy": _elements,
    "transpose": _transpose,
    "concatenation": _rows,
    "pad": _rows,
    "strided_slice": _rows,
    "remap": _remap,
    "maximum": _broadcast,
    "squared_difference": _broadcast,
    "prelu": _broadcast,
    "resize_bilinear": _resize_bilinear,
    "transpose_conv": _transpose_conv,
    "gather": _gather,
    "arg_max": _arg_max,
    "attention": _attention,
    "layer_norm": _last_axis,
    "add_s16": _broadcast,
    "average_pool_2d_s16": _pool,
    "compare": _compare,
    "div": _broadcast,
    "index_binary": _index_binary,
    "max_pool_2d_s16": _pool,
    "mul_s16": _broadcast,
    "softmax_s16": _last_axis,
}
