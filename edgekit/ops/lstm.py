"""UNIDIRECTIONAL_SEQUENCE_LSTM with int8 activations and weights and an int16 cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import FormatError
from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops.base import (
    Builder,
    Kernel,
    attr_int,
    constant_of,
    expect_shape,
    int8_quant,
    operand,
    optional,
    require,
    result,
    unsupported,
    where,
)
from edgekit.ops.conv import fold_offset, weight_scales
from edgekit.ops.fixed import quantize_multiplier

GATES = ("input", "forget", "cell", "output")
GATE_SCALE = 2.0**-12
CELL_BITS_MAX = 6
_INPUT, _RECURRENT, _PEEPHOLE, _BIAS, _PROJECTION = 1, 5, 9, 12, 16
_HIDDEN, _CELL, _LAYER_NORM, _END = 18, 19, 20, 24


def _refuse(builder: Builder, node: Node) -> None:
    """Refuse the parts of the operator that the converter leaves out for a plain layer."""
    parts = {
        "peephole connections": range(_PEEPHOLE, _BIAS),
        "a projection": range(_PROJECTION, _HIDDEN),
        "layer normalization": range(_LAYER_NORM, _END),
    }
    for what, positions in parts.items():
        if any(optional(builder, node, position) is not None for position in positions):
            raise unsupported(node, f"{what} is not supported in an LSTM")
    if optional(builder, node, _INPUT) is None:
        raise unsupported(node, "coupled input and forget gates are not supported in an LSTM")
    if node.attrs["activation"] != "TANH":
        raise unsupported(node, f"activation {node.attrs['activation']}, expected TANH")
    if node.attrs["diagonal_recurrent_tensors"]:
        raise unsupported(node, "diagonal recurrent weights are not supported in an LSTM")


def _weights(
    builder: Builder, node: Node, first: int, shape: tuple[int, int]
) -> tuple[NDArray[np.int8], list[float]]:
    """Return the weights of the four gates one below the other, and the scale of each."""
    stacked, scales = [], []
    for gate in range(len(GATES)):
        w = operand(builder, node, first + gate)
        expect_shape(node, w, shape)
        found = set(weight_scales(node, w, 0))
        if len(found) != 1:
            raise unsupported(node, f"'{w.name}' has one scale per channel, expected one")
        stacked.append(constant_of(node, w).astype(np.int8))
        scales.append(found.pop())
    return np.concatenate(stacked), scales


def _biases(builder: Builder, node: Node, units: int) -> NDArray[np.int64]:
    parts = []
    for gate in range(len(GATES)):
        bias = operand(builder, node, _BIAS + gate)
        expect_shape(node, bias, (units,))
        if bias.dtype is not DType.INT32:
            raise unsupported(node, f"bias '{bias.name}' is {bias.dtype.value}, expected int32")
        parts.append(constant_of(node, bias).astype(np.int64))
    return np.concatenate(parts)


def _cell(node: Node, cell: Tensor) -> tuple[int, int]:
    """Return integer bits of the cell state and its clip.

    Source: tensorflow/lite/kernels/unidirectional_sequence_lstm.cc,
    PopulateQuantizedLstmParams8x8_16.
    """
    if cell.dtype is not DType.INT16 or cell.quant is None or cell.quant.zero_point != 0:
        raise unsupported(node, f"cell state '{cell.name}' is not int16 around 0")
    mantissa, exponent = math.frexp(cell.quant.scale)
    bits = 15 + exponent - 1
    if mantissa != 0.5 or not 0 <= bits <= CELL_BITS_MAX:
        raise unsupported(node, f"cell state '{cell.name}' has scale {cell.quant.scale}")
    clip = node.attrs["cell_clip"]
    if not isinstance(clip, float) or not math.isfinite(clip) or clip < 0:
        raise FormatError(f"{where(node)}: cell_clip is {clip}")
    limit = float(np.float32(clip) / np.float32(cell.quant.scale))
    return bits, int(min(limit, 32767.0))


def _hidden(builder: Builder, node: Node, y: tuple[float, int]) -> float:
    """Return the scale of the hidden state, which the last intermediate tensor states."""
    ids = node.attrs["intermediates"]
    if not isinstance(ids, tuple) or len(ids) != 5:
        raise unsupported(node, "only the form with int8 weights and an int16 cell is supported")
    scale, zero = int8_quant(node, builder.source.tensor(ids[4]))
    hidden = int8_quant(node, operand(builder, node, _HIDDEN))
    if zero != y[1] or hidden != y:
        raise unsupported(node, "hidden state and output have different quantization")
    return scale


def lower_lstm(builder: Builder, node: Node) -> None:
    """UNIDIRECTIONAL_SEQUENCE_LSTM; its state starts anew in each inference.

    Source: tensorflow/lite/kernels/unidirectional_sequence_lstm.cc; lstm_eval.cc,
    LstmStepInteger8x8_16.
    """
    x, y = operand(builder, node, 0), result(builder, node)
    _refuse(builder, node)
    if len(x.shape) != 3:
        raise FormatError(f"{where(node)}: input has {len(x.shape)} dimensions, expected 3")
    time_major = int(bool(node.attrs["time_major"]))
    batch, features = x.shape[1 if time_major else 0], x.shape[2]
    units = operand(builder, node, _RECURRENT).shape[0]
    x_quant, y_quant = int8_quant(node, x), int8_quant(node, y)
    expect_shape(node, y, (*x.shape[:2], units))
    w_input, input_scales = _weights(builder, node, _INPUT, (units, features))
    w_recurrent, recurrent_scales = _weights(builder, node, _RECURRENT, (units, units))
    biases = np.stack(
        (
            fold_offset(_biases(builder, node, units), w_input.astype(np.int64).sum(1), x_quant[1]),
            fold_offset(
                np.zeros(4 * units, np.int64), w_recurrent.astype(np.int64).sum(1), y_quant[1]
            ),
        ),
        axis=1,
    )
    gates: list[int] = []
    for input_scale, recurrent_scale in zip(input_scales, recurrent_scales, strict=True):
        for w_scale, scale in ((input_scale, x_quant[0]), (recurrent_scale, y_quant[0])):
            real = np.float32(w_scale) * np.float32(scale) / np.float32(GATE_SCALE)
            gates.extend(quantize_multiplier(float(real)))
    cell = operand(builder, node, _CELL)
    bits, clip = _cell(node, cell)
    hidden_scale = np.float32(_hidden(builder, node, y_quant))
    real = np.float32(2.0**-15) / hidden_scale * np.float32(2.0**-15)
    multiplier, shift = quantize_multiplier(float(real))
    h_quant, c_quant = Quant((y_quant[0],), (y_quant[1],)), cell.quant
    state = (batch, units)
    builder.emit(
        "lstm",
        node,
        inputs=(
            node.inputs[0],
            builder.constant("lstm input weights", w_input),
            builder.constant("lstm recurrent weights", w_recurrent),
            builder.constant("lstm biases", biases),
            builder.constant("lstm hidden", np.full(state, y_quant[1], np.int8), h_quant),
            builder.constant("lstm cell", np.zeros(state, np.int16), c_quant),
        ),
        outputs=(
            node.outputs[0],
            builder.activation(f"{y.name} hidden", state, h_quant),
            builder.activation(f"{y.name} cell", state, c_quant, DType.INT16),
        ),
        attrs={
            "time_major": time_major,
            "gates": tuple(gates),
            "cell_bits": bits,
            "cell_clip": clip,
            "y_multiplier": multiplier,
            "y_shift": shift,
        },
    )


def _check(graph: Graph, node: Node) -> None:
    require(len(node.inputs) == 6 and len(node.outputs) == 3, node, "6 inputs, 3 outputs expected")
    x, w_input, w_recurrent, bias, h, c = (graph.tensor(i) for i in node.inputs)
    y, h_out, c_out = (graph.tensor(i) for i in node.outputs)
    require(len(x.shape) == len(y.shape) == 3, node, "input or output has not rank 3")
    require(len(w_recurrent.shape) == 2, node, "recurrent weights have not rank 2")
    units = w_recurrent.shape[1]
    batch = x.shape[1 if attr_int(node, "time_major") else 0]
    require(y.shape == (*x.shape[:2], units), node, f"output has shape {y.shape}")
    require(w_input.shape == (4 * units, x.shape[2]), node, f"weights have shape {w_input.shape}")
    require(w_recurrent.shape[0] == 4 * units, node, f"weights have shape {w_recurrent.shape}")
    require(bias.shape == (4 * units, 2), node, f"biases have shape {bias.shape}")
    for state, dtype in ((h, DType.INT8), (h_out, DType.INT8), (c, DType.INT16)):
        require(state.shape == (batch, units), node, f"state has shape {state.shape}")
        require(state.dtype is dtype, node, f"state is {state.dtype.value}")
    require(c_out.shape == (batch, units), node, f"state has shape {c_out.shape}")
    require(c_out.dtype is DType.INT16, node, f"state is {c_out.dtype.value}")
    require(x.dtype is y.dtype is DType.INT8, node, "input or output is not int8")


def _macs(graph: Graph, node: Node) -> int:
    x, w_input, w_recurrent = (graph.tensor(i) for i in node.inputs[:3])
    return x.shape[0] * x.shape[1] * (w_input.elements + w_recurrent.elements)


LSTM = Kernel(
    "lstm",
    96,
    ("time_major", ("gates", 16), "cell_bits", "cell_clip", "y_multiplier", "y_shift"),
    _check,
    _macs,
    lambda graph, node: 8 * graph.tensor(node.inputs[2]).shape[1],
)
