"""Runs a source graph in real numbers: the float model that a quantized file stands for.

Weights are dequantized, activations are not rounded. This is what accuracy is measured against,
with and without fusion, and what the table of a chain of functions is made from. What an operator
computes is defined in `edgekit.ops.real`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.errors import UnsupportedError
from edgekit.graph import DType, Graph, Node, Tensor
from edgekit.ops import LOWERINGS
from edgekit.ops.base import Builder
from edgekit.ops.fixed import Rounding
from edgekit.ops.real import CLAMPS, REAL, Array, real_of
from edgekit.passes.fold import RULES


def run_real(graph: Graph, x: Array, *, limited: bool = False) -> Array:
    """Compute the graph's output from its input, one sample of real values.

    Args:
        x: Values of the input, of its shape.
        limited: Bound every int8 tensor to what it can hold, as rounding would.

    Raises:
        UnsupportedError: If an operator has no real counterpart here.
    """
    values: dict[int, Array] = {graph.inputs[0]: x}
    for node in graph.nodes:
        if node.op not in REAL and node.op not in _LAYOUT:
            raise UnsupportedError(
                f"node '{node.name}': {node.op} is not computed in real numbers",
                node=node.name,
                op=node.op,
            )
        if node.op in _LAYOUT:
            _lay_out(graph, node, values)
            continue
        y = graph.tensor(node.outputs[0])
        inputs = [_value(graph, values, index) for index in node.inputs if index >= 0]
        with np.errstate(all="ignore"):
            result = _clamped(node, REAL[node.op](node, inputs, y))
        if limited and y.quant is not None and y.dtype is DType.INT8:
            low, high = (y.quant.scale * (v - y.quant.zero_point) for v in (-128, 127))
            result = np.clip(result, low, high)
        values[node.outputs[0]] = result.reshape(y.shape)
    return _value(graph, values, graph.outputs[0])


def _value(graph: Graph, values: Mapping[int, Array], index: int) -> Array:
    tensor = graph.tensor(index)
    if index not in values and tensor.data is not None:
        return real_of(tensor, tensor.data)
    return values[index]


def _clamped(node: Node, value: Array) -> Array:
    return np.clip(value, *CLAMPS[str(node.attrs.get("activation", "NONE"))])


_LAYOUT = tuple(
    op
    for op, source in LOWERINGS.items()
    if set(source.kernels)
    <= {"copy", "transpose", "concatenation", "pad", "strided_slice", "remap", "gather"}
)
"""Operators that only move elements: their kernels move real ones as well."""


def _lay_out(graph: Graph, node: Node, values: dict[int, Array]) -> None:
    builder = Builder(graph, Rounding.SINGLE, list(graph.tensors))
    LOWERINGS[node.op].lower(builder, node)
    for made in builder.nodes:
        tensors = [builder.tensors[index] for index in made.inputs]
        data = [
            values[index]
            if index in values
            else tensor.data
            if made.op in ("remap", "gather") and position and tensor.data is not None
            else _constant(tensor)
            for position, (index, tensor) in enumerate(zip(made.inputs, tensors, strict=True))
        ]
        y = builder.tensors[made.outputs[0]]
        if made.op == "copy":
            result = data[0]
        elif made.op == "pad":
            result = _pad(made, data[0], y)
        else:
            result = RULES[made.op](made, tensors, data, y)
        values[made.outputs[0]] = result.reshape(y.shape)


def _constant(tensor: Tensor) -> Array:
    assert tensor.data is not None
    return real_of(tensor, tensor.data)


def _pad(node: Node, x: Array, y: Tensor) -> Array:
    """Pad with what the stored value of the padding means."""
    value, before = node.attrs["value"], node.attrs["before"]
    assert isinstance(value, int)
    assert isinstance(before, tuple)
    out = np.full(y.shape, real_of(y, np.array(value)))
    out[tuple(slice(b, b + n) for b, n in zip(before, x.shape, strict=False))] = x
    return out
