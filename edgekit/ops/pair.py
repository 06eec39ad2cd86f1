"""A depthwise convolution and the pointwise one behind it in one kernel.

Of the map between them only two pixels exist at a time, so this pays where that map is larger than
what goes in and what comes out: behind a channel multiplier of 2 or more. Every value is rounded as
the two kernels round it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops.base import Kernel, check_dense, matmul_scratch, require, window_lead
from edgekit.ops.conv import MAX_TERMS, PARAMS, is_pointwise, window_scratch
from edgekit.ops.fixed import Rounding

Int64 = NDArray[np.int64]


def _wrapped(value: Int64) -> Int64:
    return value.astype(np.int32).astype(np.int64)


def requantized(
    sums: Int64, rows: NDArray[np.int32], rounding: int, zero: int, low: int, high: int
) -> NDArray[np.int8]:
    """Return sums of products, [.., M], as int8.

    Args:
        sums: Without bias.
        rows: [M, 3]: bias, multiplier, shift.
        rounding: Of `Rounding`.
        zero: Zero point of the result.
        low: Its least value.
        high: Its largest.

    Twin: firmware/kernels/ek_fixed.h, ek_finish_double and ek_finish_single
    """
    bias, multiplier, shift = rows.astype(np.int64).T
    value = _wrapped(sums + bias)
    if rounding == Rounding.SINGLE:
        total = 31 - shift
        value = _wrapped((value * multiplier + (np.int64(1) << (total - 1))) >> total)
    else:
        left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
        value = _wrapped((_wrapped(value << left) * multiplier + 2**30) >> 31)
        half = (np.int64(1) << right) >> 1
        value = (value - ((value < 0) & (right > 0)) + half) >> right
    return np.clip(_wrapped(value + zero), low, high).astype(np.int8)


def depthwise_pointwise(
    x: NDArray[np.int8],
    taps: NDArray[np.int8],
    taps_rows: NDArray[np.int32],
    weights: NDArray[np.int8],
    rows: NDArray[np.int32],
    attrs: dict[str, int],
    *,
    sides: tuple[int, int],
    x_zero: int,
    y_zero: int,
) -> NDArray[np.int8]:
    """Run both layers over one image: the definition of the kernel.

    Args:
        x: [H, W, C].
        taps: [1, KH, KW, C * D]; channel c * D + d reads channel c.
        taps_rows: [C * D, 3]: bias, multiplier, shift.
        weights: [M, 1, 1, C * D].
        rows: [M, 3].
        attrs: Parameters of the kernel.
        sides: Height and width of the output.
        x_zero: Zero point of x: what lies outside.
        y_zero: Zero point of the output.

    Returns:
        [OH, OW, M].

    Twin: firmware/kernels/ek_depthwise_pointwise_s8.c
    """
    _, kernel_h, kernel_w, channels = taps.shape
    repeated = np.repeat(x, channels // x.shape[2], axis=2).astype(np.int64)
    sums = np.zeros((*sides, channels), np.int64)
    at_h = np.arange(sides[0]) * attrs["stride_h"] - attrs["pad_top"]
    at_w = np.arange(sides[1]) * attrs["stride_w"] - attrs["pad_left"]
    for ky in range(kernel_h):
        for kx in range(kernel_w):
            iy, ix = at_h + ky * attrs["dilation_h"], at_w + kx * attrs["dilation_w"]
            inside = ((iy >= 0) & (iy < x.shape[0]))[:, None] & (ix >= 0) & (ix < x.shape[1])
            read = repeated[np.clip(iy, 0, x.shape[0] - 1)][:, np.clip(ix, 0, x.shape[1] - 1)]
            sums += np.where(inside[:, :, None], read, x_zero) * taps[0, ky, kx].astype(np.int64)
    middle = requantized(
        sums, taps_rows, attrs["rounding"], attrs["middle_zero"], attrs["y_min"], attrs["y_max"]
    )
    products = middle.astype(np.int64) @ weights[:, 0, 0].astype(np.int64).T
    last = (attrs["last_rounding"], y_zero, attrs["last_min"], attrs["last_max"])
    return requantized(products, rows, *last)


def pair_of(graph: Graph, first: Node, second: Node) -> Node | None:
    """Return one node for a depthwise convolution and what reads it; None if they are no pair.

    Only shapes and quantization are looked at, not who else reads the map between them.
    """
    if first.op != "depthwise_conv_2d" or second.op != "conv_2d":
        return None
    between = graph.tensor(first.outputs[0])
    if second.inputs[0] != first.outputs[0] or not is_pointwise(graph, second):
        return None
    zero = 0 if between.quant is None else between.quant.zero_point
    attrs = {name: first.attrs[name] for name in PARAMS}
    attrs |= {"middle_zero": zero}
    attrs |= {f"last_{name}": second.attrs[f"y_{name}"] for name in ("min", "max")}
    attrs |= {"last_rounding": second.attrs["rounding"]}
    inputs = (*first.inputs, *second.inputs[1:])
    return Node(second.name, DEPTHWISE_POINTWISE.name, inputs, second.outputs, attrs)


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 5)
    x, taps, taps_rows, w, rows = (graph.tensor(i) for i in node.inputs)
    y = graph.tensor(node.outputs[0])
    for tensor in (x, taps, w, y):
        require(len(tensor.shape) == 4, node, f"'{tensor.name}' has not rank 4")
    for tensor in (taps, w):
        require(tensor.dtype is DType.INT8, node, f"'{tensor.name}' is {tensor.dtype.value}")
    channels, outputs = taps.shape[3], w.shape[0]
    require(taps.shape[0] == 1 and channels % x.shape[3] == 0, node, "input channels")
    require(w.shape[1:] == (1, 1, channels), node, f"weights have shape {w.shape}")
    require(channels <= MAX_TERMS, node, f"{channels} channels, at most {MAX_TERMS} fit")
    require(y.shape[3] == outputs and x.shape[0] == y.shape[0], node, "output shape")
    for tensor, count in ((taps_rows, channels), (rows, outputs)):
        require(tensor.shape == (count, 3), node, f"requant has shape {tensor.shape}")


def _parts(graph: Graph, node: Node) -> tuple[Tensor, Tensor, Tensor]:
    return graph.tensor(node.inputs[1]), graph.tensor(node.inputs[3]), graph.tensor(node.outputs[0])


def _macs(graph: Graph, node: Node) -> int:
    taps, w, y = _parts(graph, node)
    return y.elements // y.shape[3] * (taps.elements + w.elements)


def _scratch(graph: Graph, node: Node) -> int:
    _, w, _ = _parts(graph, node)
    return matmul_scratch(w.shape[3], gathers=True) + window_scratch(graph, node)


DEPTHWISE_POINTWISE = Kernel(
    "depthwise_pointwise",
    111,
    (*PARAMS, "middle_zero", "last_min", "last_max", "last_rounding"),
    _check,
    _macs,
    _scratch,
    lead=window_lead,
)
