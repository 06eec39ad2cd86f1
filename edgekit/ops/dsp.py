"""Packed convolutions and dense layers for cores with DSP instructions.

Their constants are one stream of words in the order in which the inner loop reads them: what the
sums start with, weights, and how the sums are finished.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import DType, Graph, Node
from edgekit.ops.base import Builder, Kernel, Packing, attr_int, check_dense, require
from edgekit.ops.conv import MAX_TERMS
from edgekit.ops.dsp_lanes import (
    Form,
    Sums,
    biases_of,
    choose_form,
    lanes_of,
    pad_channels,
    pair_biases,
    pair_words,
    settle,
    shifts_of,
    sums_of,
    weights_of,
)
from edgekit.ops.dsp_patches import (
    TILE_ROWS,
    Patches,
    from_stream,
    lead,
    patches_of,
    scratch,
    stream_of,
)
from edgekit.ops.fixed import Rounding

GROUP = 8
GROUP_LANES = 3 * GROUP


def constants(builder: Builder, node: Node) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Return weights [M, K] and rows [M, 3] of a node whose constants come second and third."""
    weights, rows = (builder.tensors[index].data for index in node.inputs[1:3])
    assert weights is not None
    assert rows is not None
    if rows.shape[1] == 1:
        scale = np.array([[attr_int(node, "multiplier"), attr_int(node, "shift")]], np.int32)
        rows = np.concatenate([rows, np.repeat(scale, len(rows), axis=0)], axis=1)
    return weights.reshape(len(rows), -1), rows


def zero_of(builder: Builder, index: int) -> int:
    """Return the zero point of a tensor."""
    quant = builder.tensors[index].quant
    assert quant is not None
    return quant.zero_point


def fitted(builder: Builder, node: Node) -> Sums | None:
    """Return the constants of a node such that every lane can finish them, None if none can."""
    weights, rows = constants(builder, node)
    rounding = Rounding(attr_int(node, "rounding"))
    return settle(
        sums_of(weights, rows),
        zero_of(builder, node.outputs[0]),
        attr_int(node, "y_min"),
        attr_int(node, "y_max"),
        rounding,
        least=2 if rounding is Rounding.SINGLE else 1,
    )


def pack_conv_2d(builder: Builder, node: Node) -> bool:
    """Make a stream of the weights of a convolution."""
    sums = fitted(builder, node)
    if sums is None:
        return False
    kernel = builder.tensors[node.inputs[1]].shape[1:3]
    attrs = {**node.attrs, "kernel_h": kernel[0], "kernel_w": kernel[1]}
    zero = zero_of(builder, node.outputs[0])
    form = choose_form(sums, zero, Rounding(attr_int(node, "rounding")))
    graph = Graph("", tuple(builder.tensors), (), (), ())
    shape = patches_of(graph, Node("", "", node.inputs, node.outputs, attrs))
    stream = builder.constant(f"{node.name} stream", stream_of(sums, zero, form, shape))
    builder.emit(
        CONV_2D_DSP.name,
        node,
        inputs=(node.inputs[0], stream),
        outputs=node.outputs,
        attrs={name: value for name, value in attrs.items() if name != "rounding"}
        | {"form": int(form)},
    )
    return True


def unpack_conv_2d(builder: Builder, node: Node) -> None:
    """Make a convolution of a stream."""
    shape = patches_of(Graph("", tuple(builder.tensors), (), (), ()), node)
    form = Form(attr_int(node, "form"))
    weights, rows = from_stream(stream_data(builder, node), form, shape)
    kernel = weights.reshape(-1, *shape.kernel, shape.x[3])
    packed = ("kernel_h", "kernel_w", "form")
    builder.emit(
        "conv_2d",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(f"{node.name} weights", kernel),
            builder.constant(f"{node.name} requant", rows),
        ),
        outputs=node.outputs,
        attrs={name: value for name, value in node.attrs.items() if name not in packed}
        | {"rounding": int(form.rounding)},
    )


def stream_data(builder: Builder, node: Node) -> NDArray[np.int32]:
    """Return the words of a packed node."""
    data = builder.tensors[node.inputs[1]].data
    assert data is not None
    return data


def _check_stream(graph: Graph, node: Node, words: int) -> None:
    stream = graph.tensor(node.inputs[1])
    require(stream.dtype is DType.INT32, node, f"stream is {stream.dtype.value}")
    require(stream.elements == words, node, f"{stream.elements} words, expected {words}")
    require(0 <= attr_int(node, "form") < len(Form), node, "form")


def _check_conv_2d(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    require(len(x.shape) == len(y.shape) == 4, node, "shapes have not rank 4")
    require(x.shape[0] == y.shape[0], node, "output shape")
    shape = patches_of(graph, node)
    require(shape.kernel[0] * shape.kernel[1] * x.shape[3] <= MAX_TERMS, node, "too many terms")
    _check_stream(graph, node, shape.pairs * (2 + shape.terms // 2 + 6))


def _macs_conv_2d(graph: Graph, node: Node) -> int:
    shape = patches_of(graph, node)
    return graph.tensor(node.outputs[0]).elements * shape.kernel[0] * shape.kernel[1] * shape.x[3]


def _rows(graph: Graph, node: Node) -> int:
    return graph.tensor(node.inputs[0]).elements // attr_int(node, "terms")


def _dense_patches(graph: Graph, node: Node) -> Patches:
    rows = _rows(graph, node)
    columns = graph.tensor(node.outputs[0]).elements // rows
    return Patches((1, 1, rows, attr_int(node, "terms")), (1, 1, rows, columns))


def pack_fully_connected(builder: Builder, node: Node) -> bool:
    """Make a stream of the weights of a dense layer: as a convolution's, or by groups of eight."""
    sums = fitted(builder, node)
    if sums is None:
        return False
    columns, terms = sums.weights.shape
    zero = zero_of(builder, node.outputs[0])
    form = choose_form(sums, zero, Rounding(attr_int(node, "rounding")))
    scales = sums.rows[:, 1:]
    each = builder.tensors[node.inputs[2]].shape[1] == 3 or bool(np.any(scales != scales[0]))
    rows = builder.tensors[node.inputs[0]].elements // terms
    if rows >= TILE_ROWS:
        stream = stream_of(sums, zero, form, Patches((1, 1, rows, terms), (1, 1, rows, columns)))
    else:
        form = Form.DOUBLE if form is Form.FLOOR else form
        stream = _group_stream(sums, zero, form, each)
    builder.emit(
        FULLY_CONNECTED_DSP.name,
        node,
        inputs=(node.inputs[0], builder.constant(f"{node.name} stream", stream)),
        outputs=node.outputs,
        attrs={
            "terms": terms,
            "lanes": int(each),
            "y_min": node.attrs["y_min"],
            "y_max": node.attrs["y_max"],
            "form": int(form),
        },
    )
    return True


def unpack_fully_connected(builder: Builder, node: Node) -> None:
    """Make a dense layer of a stream."""
    graph = Graph("", tuple(builder.tensors), (), (), ())
    form, each = Form(attr_int(node, "form")), bool(node.attrs["lanes"])
    shape = _dense_patches(graph, node)
    stream = stream_data(builder, node)
    if _rows(graph, node) >= TILE_ROWS:
        weights, rows = from_stream(stream, form, shape)
    else:
        weights, rows = _from_group_stream(stream, form, each, shape)
    requant = rows if each else rows[:, :1]
    multiplier, shift = (0, 0) if each else (int(value) for value in rows[0, 1:])
    builder.emit(
        "fully_connected",
        node,
        inputs=(
            node.inputs[0],
            builder.constant(f"{node.name} weights", weights),
            builder.constant(f"{node.name} requant", np.ascontiguousarray(requant)),
        ),
        outputs=node.outputs,
        attrs={
            "multiplier": multiplier,
            "shift": shift,
            "y_min": node.attrs["y_min"],
            "y_max": node.attrs["y_max"],
            "rounding": int(form.rounding),
        },
    )


def _group_stream(sums: Sums, zero: int, form: Form, each: bool) -> NDArray[np.int32]:
    """Return groups of eight columns, then their lanes, or those of one group for all.

    Twin: firmware/kernels/ek_dense_dsp.h.
    """
    terms = sums.weights.shape[1]
    first = np.concatenate([sums.rows[:1]] * GROUP)
    whole = pad_channels(sums, GROUP)
    weights = np.pad(whole.weights, ((0, 0), (0, -terms % 4)))
    pairs = pair_words(weights, form).reshape(-1, GROUP // 2, weights.shape[1] // 4, 2)
    groups = np.concatenate(
        [
            pair_biases(whole.rows[:, 0], form).reshape(-1, GROUP),
            pairs.transpose(0, 2, 1, 3).reshape(len(pairs), -1),
        ],
        axis=1,
    )
    lanes = lanes_of(whole.rows if each else first, zero, form)
    return np.concatenate([groups.reshape(-1), lanes.reshape(-1)])


def _from_group_stream(
    stream: NDArray[np.int32], form: Form, each: bool, shape: Patches
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    columns, terms = shape.y[3], shape.x[3]
    count = -(-columns // GROUP)
    lanes_at = len(stream) - GROUP_LANES * (count if each else 1)
    groups = stream[:lanes_at].reshape(count, -1)
    pairs = groups[:, GROUP:].reshape(count, -1, GROUP // 2, 2).transpose(0, 2, 1, 3)
    weights = weights_of(pairs.reshape(count * GROUP // 2, -1), form)[:columns, :terms]
    lanes = stream[lanes_at:].reshape(-1, 3)
    scales = np.stack([lanes[:, 0], shifts_of(lanes, form)], axis=1)
    bias = biases_of(groups[:, :GROUP].reshape(-1, 2), form).reshape(-1, 1)
    repeated = scales if each else np.tile(scales, (count, 1))
    rows = np.concatenate([bias, repeated], axis=1)[:columns].astype(np.int32)
    return np.ascontiguousarray(weights), rows


def _check_fully_connected(graph: Graph, node: Node) -> None:
    check_dense(graph, node, 2)
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    terms = attr_int(node, "terms")
    require(1 <= terms <= MAX_TERMS and x.elements % terms == 0, node, f"{terms} terms")
    require(y.elements % _rows(graph, node) == 0, node, "output shape")
    shape = _dense_patches(graph, node)
    if _rows(graph, node) >= TILE_ROWS:
        words = shape.pairs * (2 + shape.terms // 2 + 6)
    else:
        count = -(-shape.y[3] // GROUP)
        words = count * GROUP * (1 + shape.terms // 4)
        words += GROUP_LANES * (count if node.attrs["lanes"] else 1)
    _check_stream(graph, node, words)


def _scratch_fully_connected(graph: Graph, node: Node) -> int:
    shape = _dense_patches(graph, node)
    if _rows(graph, node) >= TILE_ROWS:
        return scratch(shape)
    return shape.terms if shape.x[3] % 4 else 0


def _lead_fully_connected(graph: Graph, node: Node) -> int | None:
    many = _rows(graph, node) >= TILE_ROWS
    return lead(_dense_patches(graph, node)) if many else None


CONV_2D_DSP = Kernel(
    "conv_2d_dsp",
    32,
    (
        "kernel_h",
        "kernel_w",
        "stride_h",
        "stride_w",
        "dilation_h",
        "dilation_w",
        "pad_top",
        "pad_left",
        "y_min",
        "y_max",
        "form",
    ),
    _check_conv_2d,
    _macs_conv_2d,
    lambda graph, node: scratch(patches_of(graph, node)),
    lead=lambda graph, node: lead(patches_of(graph, node)),
    family="dsp",
    packs="conv_2d",
)
FULLY_CONNECTED_DSP = Kernel(
    "fully_connected_dsp",
    33,
    ("terms", "lanes", "y_min", "y_max", "form"),
    _check_fully_connected,
    lambda graph, node: graph.tensor(node.outputs[0]).elements * attr_int(node, "terms"),
    _scratch_fully_connected,
    lead=_lead_fully_connected,
    family="dsp",
    packs="fully_connected",
)
PACKINGS = (
    Packing(CONV_2D_DSP, pack_conv_2d, unpack_conv_2d),
    Packing(FULLY_CONNECTED_DSP, pack_fully_connected, unpack_fully_connected),
)
