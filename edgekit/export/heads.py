"""The trainable head of a model: taken from its file, given room, and put back as int8."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ConfigError, QuantizationError, RefusedError, UnsupportedError
from edgekit.formats.image import Head
from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops.activation import Table
from edgekit.ops.conv import fold_offset, weight_scales
from edgekit.ops.dense import dense_multiplier
from edgekit.ops.softmax import exp_table, float_of_bits

HEAD_RATE = 0.05
HEAD_MODES = ("widen", "replace", "append")
MOST_CLASSES = 256
"""Twin: firmware/learn/ek_online.h, EK_ONLINE_CLASSES_MAX"""


def dense_named(model: Graph, wanted: bool | str) -> Node:
    """Return the last dense layer, or the one of that name."""
    dense = [node for node in model.nodes if node.op == "FULLY_CONNECTED"]
    if isinstance(wanted, str):
        dense = [node for node in dense if wanted in {node.name, *re.split(r"[/;:]", node.name)}]
    if not dense:
        label = f" '{wanted}'" if isinstance(wanted, str) else ""
        raise UnsupportedError(f"model '{model.name}' has no fully connected layer{label}")
    return dense[-1]


def head_of(model: Graph, graph: Graph, source: Node) -> Head:
    """Return a dense layer of the file as a head: dequantized."""
    position = next(
        number
        for number, node in enumerate(graph.nodes)
        if node.name == source.name and node.op == "fully_connected"
    )
    x = model.tensor(source.inputs[0])
    w = model.tensor(source.inputs[1])
    assert w.data is not None
    assert x.quant is not None
    k, h = w.shape
    if x.elements != h:
        raise UnsupportedError(
            f"node '{source.name}': a head reads {h} features once, its input has {x.elements}",
            node=source.name,
            op=source.op,
        )
    scales = np.array(weight_scales(source, w, 0), np.float64)
    bias = np.zeros(k, np.float64)
    if len(source.inputs) > 2 and source.inputs[2] >= 0:
        stored = model.tensor(source.inputs[2]).data
        assert stored is not None
        bias = stored.reshape(-1).astype(np.float64) * scales * x.quant.scale
    return Head(
        classes=k,
        max_classes=k,
        features=h,
        scale=x.quant.scale,
        zero_point=x.quant.zero_point,
        weights=(w.data.astype(np.float64) * scales[:, None]).astype(np.float32),
        bias=bias.astype(np.float32),
        rate=HEAD_RATE,
        node=position,
    )


def appended_head(graph: Graph) -> Head:
    """Return a head that reads the model's output and gives it back."""
    y = graph.tensor(graph.outputs[0])
    if y.dtype is not DType.INT8 or y.quant is None:
        raise UnsupportedError(
            f"model '{graph.name}' gives {y.dtype.value}: a head can be appended to int8 alone"
        )
    k = y.elements
    return Head(
        classes=k,
        max_classes=k,
        features=k,
        scale=y.quant.scale,
        zero_point=y.quant.zero_point,
        weights=np.eye(k, dtype=np.float32),
        bias=np.zeros(k, np.float32),
        rate=HEAD_RATE,
        node=len(graph.nodes),
    )


def with_room(head: Head, mode: str, max_classes: int) -> Head:
    """Return the head as it begins on the device, with room for more classes."""
    if max_classes and not head.classes <= max_classes <= MOST_CLASSES:
        raise ConfigError(
            f"the head has {head.classes} classes, so [learn] max_classes = {max_classes} must be"
            f" in {head.classes} .. {MOST_CLASSES}"
        )
    if mode == "replace":
        head = replace(head, weights=np.zeros_like(head.weights), bias=np.zeros_like(head.bias))
    return replace(head, max_classes=max_classes or head.classes)


def with_dense(
    graph: Graph,
    head: Head,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    logits: NDArray[np.float64],
) -> Graph:
    """Return a graph whose head has these weights as int8, its output the range of the logits.

    Args:
        w: Float64 [k, h].
        b: Float64 [k].
        logits: Float64 [N, k], of some inputs.

    Raises:
        RefusedError: If what follows the head does not allow another output scale.
        QuantizationError: If the bias does not fit int32.
    """
    node = graph.nodes[head.node]
    w_scale = float(np.float32(max(float(np.abs(w).max()), 1e-6) / 127))
    low, high = min(0.0, float(logits.min())), max(0.0, float(logits.max()))
    y_scale = float(np.float32(max(high - low, 1e-6) / 255))
    y_zero = max(-128, min(127, round(-128 - low / y_scale)))
    stored = np.clip(np.rint(w / w_scale), -127, 127).astype(np.int8)
    wide = np.rint(b / (head.scale * w_scale))
    if float(np.abs(wide).max()) >= 2**30:
        raise QuantizationError(f"head's bias {float(np.abs(b).max())} does not fit int32")
    sums = stored.astype(np.int64).sum(axis=1)
    folded = fold_offset(wide.astype(np.int64), sums, head.zero_point)
    multiplier, shift = dense_multiplier(head.scale, w_scale, y_scale)
    tensors = list(graph.tensors)
    nodes = list(graph.nodes)

    def constant(name: str, data: NDArray[np.int32] | Table) -> int:
        dtype = tensors[node.inputs[1 if data.dtype == np.int8 else 2]].dtype
        tensors.append(Tensor(name, tuple(data.shape), dtype, None, data))
        return len(tensors) - 1

    inputs = (
        node.inputs[0],
        constant("head", stored),
        constant("head requant", folded.reshape(-1, 1)),
    )
    if (node.attrs["y_min"], node.attrs["y_max"]) != (-128, 127):
        raise RefusedError(f"node '{node.name}': a head with a fused activation cannot be replaced")
    attrs = {**node.attrs, "multiplier": multiplier, "shift": shift}
    nodes[head.node] = replace(node, inputs=inputs, attrs=attrs)
    changed = {node.outputs[0]}
    quant = Quant((y_scale,), (y_zero,))
    for position, reader in enumerate(graph.nodes):
        if not changed.intersection(reader.inputs):
            continue
        if reader.op == "copy":
            changed.update(reader.outputs)
        elif reader.op == "softmax":
            beta = reader.attrs["beta"]
            assert isinstance(beta, int)
            table = constant("softmax exp", exp_table(y_scale, float_of_bits(beta)))
            nodes[position] = replace(reader, inputs=(reader.inputs[0], table))
        else:
            raise RefusedError(
                f"node '{reader.name}' ({reader.op}) reads the head's output; "
                "only softmax and reshape may follow a head that is replaced"
            )
    for index in changed:
        tensors[index] = replace(tensors[index], quant=quant)
    return _drop(replace(graph, tensors=tuple(tensors), nodes=tuple(nodes)))


def _drop(graph: Graph) -> Graph:
    """Remove constants that nobody reads; node numbers stay."""
    used = sorted(
        {*graph.inputs, *graph.outputs}.union(
            *({*node.inputs, *node.outputs} for node in graph.nodes)
        )
    )
    number = {old: new for new, old in enumerate(used)}

    def moved(node: Node) -> Node:
        return replace(
            node,
            inputs=tuple(number[index] for index in node.inputs),
            outputs=tuple(number[index] for index in node.outputs),
        )

    return Graph(
        graph.name,
        tuple(graph.tensors[index] for index in used),
        tuple(moved(node) for node in graph.nodes),
        tuple(number[index] for index in graph.inputs),
        tuple(number[index] for index in graph.outputs),
    )
