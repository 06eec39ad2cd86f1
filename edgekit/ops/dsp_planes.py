"""Packed 3x3 depthwise convolutions for cores with DSP instructions: channel by channel on planes.

Four channels of some rows are gathered into planes of int16 with their border. Where a whole image
fits, the output may lie on the input; else rows are taken in bands, and it may begin a little
before.

Twin: firmware/kernels/ek_planes_dsp.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node
from edgekit.ops.base import Builder, Kernel, Packing, attr_int, check_dense, require
from edgekit.ops.dsp import stream_data, zero_of
from edgekit.ops.dsp_lanes import Form, Sums, settle, sums_of
from edgekit.ops.fixed import Rounding

PLANES = 4
TAPS = 3
MAX_BYTES = 1 << 24
MIN_ROWS = {1: 4, 2: 2}
"""Rows of a band by stride, such that at most half as many rows are gathered twice."""
MIN_OUTPUTS = 48
"""Outputs of a channel in a band, such that its constants are not loaded for nothing."""
WHOLE_BYTES = 2048
"""Planes of whole images are never worth avoiding below this size."""

PARAMS = ("stride", "pad_top", "pad_left", "y_min", "y_max", "form")

# Instructions of a row of outputs: of itself, of two of them, of one that is left.
_ROW, _PAIR, _SINGLE = 18, 31, 22


def _pitch(width: int, out_w: int, stride: int, pad_left: int) -> int:
    return (max(pad_left + width, (out_w - 1) * stride + TAPS) + 1) // 2 * 2


def plane_bytes(width: int, out_w: int, *, stride: int, pad_left: int, rows: int) -> int:
    """Return the scratch for the planes under some rows of output."""
    under = (rows - 1) * stride + TAPS
    return PLANES * 2 * under * _pitch(width, out_w, stride, pad_left)


def band_lead(x: tuple[int, ...], y: tuple[int, ...], stride: int, pad_top: int, rows: int) -> int:
    """Return by how many bytes the output must begin before the input that it overlaps."""
    whole = y[1] * y[2] * y[3]
    if x[0] != 1:
        return x[0] * whole
    most = 0
    for start in range(0, y[1], rows):
        written = min(start + rows, y[1]) * y[2] * y[3]
        most = max(most, written - max(0, start * stride - pad_top) * x[2] * x[3])
    return min(most, whole)


def _shapes(graph: Graph, node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return graph.tensor(node.inputs[0]).shape, graph.tensor(node.outputs[0]).shape


def _fitted(builder: Builder, node: Node) -> Sums | None:
    """Return the constants [C, 9] if this convolution has a packed form."""
    x, w, rows = (builder.tensors[index] for index in node.inputs)
    stride = attr_int(node, "stride_h")
    pads = (attr_int(node, "pad_top"), attr_int(node, "pad_left"))
    if (
        w.shape[1:] != (TAPS, TAPS, x.shape[3])
        or x.shape[3] < PLANES
        or stride not in MIN_ROWS
        or node.attrs["stride_w"] != stride
        or (node.attrs["dilation_h"], node.attrs["dilation_w"]) != (1, 1)
        or max(pads) >= TAPS
        or node.attrs["rounding"] != int(Rounding.DOUBLE)
    ):
        return None
    assert w.data is not None
    assert rows.data is not None
    return settle(
        sums_of(w.data.reshape(TAPS * TAPS, -1).T, rows.data),
        zero_of(builder, node.outputs[0]),
        attr_int(node, "y_min"),
        attr_int(node, "y_max"),
        Rounding.DOUBLE,
        least=1,
    )


def stream_of(sums: Sums, zero: int, *, across: bool) -> NDArray[np.int32]:
    """Return the words of channels with weights [C, 9].

    Twin: firmware/kernels/ek_rows_dsp.h.
    """
    taps = sums.weights.reshape(-1, TAPS, TAPS)
    taps = taps.transpose(0, 2, 1) if across else taps
    words: NDArray[Any] = np.ascontiguousarray(taps[:, :, [0, 1, 1, 2]]).view("<i4")[:, :, 0]
    shift = -sums.rows[:, 2].astype(np.int64)
    ends = [2 * sums.rows[:, 0], sums.rows[:, 1], (1 << (shift - 1)) + zero * (1 << shift), shift]
    return np.concatenate([words, np.stack(ends, axis=1)], axis=1).astype(np.int32).reshape(-1)


def _emit(builder: Builder, node: Node, name: str, sums: Sums, last: dict[str, int]) -> None:
    zero = zero_of(builder, node.outputs[0])
    stream = stream_of(sums, zero, across=bool(last.get("across")))
    builder.emit(
        name,
        node,
        inputs=(node.inputs[0], builder.constant(f"{node.name} stream", stream)),
        outputs=node.outputs,
        attrs={key: node.attrs[key] for key in ("pad_top", "pad_left", "y_min", "y_max")}
        | {"stride": node.attrs["stride_h"], **last}
        | {"form": int(Form.FLOOR if zero == -128 else Form.DOUBLE)},
    )


def _row_cost(rows: int, width: int) -> int:
    return rows * (_ROW + width // 2 * _PAIR + width % 2 * _SINGLE)


def pack_planes(builder: Builder, node: Node) -> bool:
    """Use whole planes where they are small."""
    sums = _fitted(builder, node)
    if sums is None:
        return False
    x, y = builder.tensors[node.inputs[0]].shape, builder.tensors[node.outputs[0]].shape
    if x != y or node.attrs["stride_h"] != 1:
        return False
    across = _row_cost(x[2], x[1]) < _row_cost(x[1], x[2])
    size = _whole_bytes(x, {**node.attrs, "across": int(across)})
    band = _band(builder, node)
    banded = band_lead(x, y, 1, attr_int(node, "pad_top"), band) + _band_bytes(x, y, node, band)
    if size > max(WHOLE_BYTES, banded):
        return False
    _emit(builder, node, DEPTHWISE_CONV_2D_DSP.name, sums, {"across": int(across)})
    return True


def _whole_bytes(x: tuple[int, ...], attrs: dict[str, Any]) -> int:
    height, width, pad = (x[2], x[1], "pad_top") if attrs["across"] else (x[1], x[2], "pad_left")
    return plane_bytes(width, width, stride=1, pad_left=attrs[pad], rows=height)


def _band(builder: Builder, node: Node) -> int:
    """Return the rows of a band."""
    y = builder.tensors[node.outputs[0]].shape
    return min(y[1], max(MIN_ROWS[attr_int(node, "stride_h")], -(-MIN_OUTPUTS // y[2])))


def _band_bytes(x: tuple[int, ...], y: tuple[int, ...], node: Node, band: int) -> int:
    stride = attr_int(node, "stride_h" if "stride_h" in node.attrs else "stride")
    pad_left = attr_int(node, "pad_left")
    return plane_bytes(x[2], y[2], stride=stride, pad_left=pad_left, rows=band)


def pack_bands(builder: Builder, node: Node) -> bool:
    """Use bands of rows elsewhere."""
    sums = _fitted(builder, node)
    if sums is None:
        return False
    x, y = builder.tensors[node.inputs[0]].shape, builder.tensors[node.outputs[0]].shape
    band = _band(builder, node)
    if _band_bytes(x, y, node, band) > MAX_BYTES:
        return False
    _emit(builder, node, DEPTHWISE_BANDS_DSP.name, sums, {"band": band})
    return True


def unpack_depthwise(builder: Builder, node: Node) -> None:
    """Make a depthwise convolution of a stream."""
    words = stream_data(builder, node).reshape(-1, 7)
    taps = np.ascontiguousarray(words[:, :3].astype("<i4")).view(np.int8).reshape(-1, TAPS, 4)
    weights = taps[:, :, [0, 1, 3]]
    if node.attrs.get("across"):
        weights = weights.transpose(0, 2, 1)
    kernel = np.ascontiguousarray(weights.transpose(1, 2, 0))[np.newaxis]
    rows = np.stack([words[:, 3] >> 1, words[:, 4], -words[:, 6]], axis=1).astype(np.int32)
    builder.emit(
        "depthwise_conv_2d",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(f"{node.name} weights", kernel),
            builder.constant(f"{node.name} requant", rows),
        ),
        outputs=node.outputs,
        attrs={key: node.attrs[key] for key in ("pad_top", "pad_left", "y_min", "y_max")}
        | {"stride_h": node.attrs["stride"], "stride_w": node.attrs["stride"]}
        | {"dilation_h": 1, "dilation_w": 1, "rounding": int(Rounding.DOUBLE)},
    )


def _check(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = _shapes(graph, node)
    require(len(x) == len(y) == 4, node, "shapes have not rank 4")
    require(x[0] == y[0] and x[3] == y[3] and x[3] >= PLANES, node, "channels")
    require(attr_int(node, "stride") in MIN_ROWS, node, "stride")
    stream = graph.tensor(node.inputs[1])
    require(stream.dtype is DType.INT32 and stream.elements == 7 * x[3], node, "stream")
    if "across" in node.attrs:
        require(x == y, node, f"output shape {y}, expected {x}")
    else:
        require(1 <= attr_int(node, "band") <= y[1], node, "band")
    require(_scratch(graph, node) <= MAX_BYTES, node, "planes are too large")


def _macs(graph: Graph, node: Node) -> int:
    return graph.tensor(node.outputs[0]).elements * TAPS * TAPS


def _scratch(graph: Graph, node: Node) -> int:
    x, y = _shapes(graph, node)
    if "across" in node.attrs:
        return _whole_bytes(x, dict(node.attrs))
    return _band_bytes(x, y, node, attr_int(node, "band"))


def _lead(graph: Graph, node: Node) -> int:
    x, y = _shapes(graph, node)
    stride, pad_top = attr_int(node, "stride"), attr_int(node, "pad_top")
    return band_lead(x, y, stride, pad_top, attr_int(node, "band"))


DEPTHWISE_CONV_2D_DSP = Kernel(
    "depthwise_conv_2d_dsp",
    34,
    (*PARAMS, "across"),
    _check,
    _macs,
    _scratch,
    in_place=True,
    family="dsp",
    packs="depthwise_conv_2d",
)
DEPTHWISE_BANDS_DSP = Kernel(
    "depthwise_bands_dsp",
    35,
    (*PARAMS, "band"),
    _check,
    _macs,
    _scratch,
    lead=_lead,
    family="dsp",
    packs="depthwise_conv_2d",
)
PACKINGS = (
    Packing(DEPTHWISE_CONV_2D_DSP, pack_planes, unpack_depthwise),
    Packing(DEPTHWISE_BANDS_DSP, pack_bands, unpack_depthwise),
)
