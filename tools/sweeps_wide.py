"""Models of one node with int16 activations, on truth values and on whole numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops.logic import MODES

Shape = tuple[int, ...]
NONE: dict[str, Attr] = {"activation": "NONE"}


def _wide(
    op: str,
    shapes: Sequence[Shape],
    y: Shape,
    attrs: dict[str, Attr],
    *,
    weights: DType = DType.INT16,
    constants: Sequence[Tensor] = (),
    y_scale: float = 0.002,
) -> Graph:
    """Return a model of one operator of int16; inputs beyond the first are constants."""
    rng = np.random.default_rng(3)
    tensors = [Tensor("x", shapes[0], DType.INT16, Quant((0.001,), (0,)))]
    for shape in shapes[1:]:
        data = rng.integers(-120, 121, shape).astype(weights.value)
        tensors.append(Tensor("c", shape, weights, Quant((0.01,), (0,)), data))
    tensors += constants
    tensors.append(Tensor("y", y, DType.INT16, Quant((y_scale,), (0,))))
    last = len(tensors) - 1
    node = Node(op.lower(), op, tuple(range(last)), (last,), attrs)
    return Graph(op.lower(), tuple(tensors), (node,), (0,), (last,))


def _window(k: int, stride: int) -> dict[str, Attr]:
    sides: dict[str, Attr] = {"stride_h": stride, "stride_w": stride, "padding": "SAME"}
    return {**NONE, **sides, "dilation_h": 1, "dilation_w": 1, "filter_h": k, "filter_w": k}


def wide_products() -> Iterator[Graph]:
    """Sweep CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and BATCH_MATMUL."""
    convolutions = [
        (8, 8, 3, 8, 3, 1),
        (6, 6, 16, 24, 1, 1),
        (9, 7, 8, 5, 3, 2),
        (4, 4, 64, 32, 1, 1),
    ]
    convolutions += [(12, 12, 1, 6, 5, 2), (3, 3, 72, 9, 3, 1), (10, 5, 20, 10, 1, 1)]
    convolutions += [(7, 11, 6, 12, 3, 1), (16, 4, 4, 3, 4, 3), (5, 5, 33, 17, 2, 1)]
    for height, width, c, m, k, stride in convolutions:
        y = (1, -(-height // stride), -(-width // stride))
        shapes = [(1, height, width, c), (m, k, k, c)]
        yield _wide("CONV_2D", shapes, (*y, m), _window(k, stride), weights=DType.INT8)
        shapes = [(1, height, width, c), (1, k, k, c)]
        attrs = {**_window(k, stride), "depth_multiplier": 1}
        yield _wide("DEPTHWISE_CONV_2D", shapes, (*y, c), attrs, weights=DType.INT8)
    attrs = {**NONE, "weights_format": 0, "keep_num_dims": False}
    for rows, k, n in [
        (1, 16, 16),
        (1, 700, 10),
        (5, 48, 24),
        (16, 24, 40),
        (1, 64, 3),
        (9, 1, 30),
    ]:
        yield _wide("FULLY_CONNECTED", [(rows, k), (n, k)], (rows, n), attrs, weights=DType.INT8)
    for batch, m, k, n in [
        (1, 16, 16, 16),
        (2, 10, 24, 7),
        (4, 5, 3, 20),
        (1, 1, 64, 9),
        (3, 12, 1, 2),
    ]:
        for adj_y in (False, True):
            b = (batch, n, k) if adj_y else (batch, k, n)
            flags: dict[str, Attr] = {"adj_x": False, "adj_y": adj_y}
            yield _wide("BATCH_MATMUL", [(batch, m, k), b], (batch, m, n), flags)


def wide_elements() -> Iterator[Graph]:
    """Sweep ADD, MUL, pools, MEAN, SOFTMAX and functions of int16."""
    pairs: list[tuple[Shape, Shape]] = [
        ((1, 8, 8, 16), (1, 8, 8, 16)),
        ((1, 8, 8, 16), (16,)),
        ((1, 16, 24), (1, 16, 1)),
        ((1, 500), (1, 500)),
        ((1, 7, 5, 3), (1, 7, 1, 3)),
    ]
    for a, b in pairs:
        yield _wide("ADD", [a, b], a, {**NONE, "pot_scale_int16": False})
        yield _wide("MUL", [a, b], a, NONE)
    pools = [
        (8, 16, 2, 2),
        (9, 3, 3, 1),
        (12, 7, 3, 2),
        (16, 4, 4, 4),
        (6, 32, 5, 1),
        (10, 1, 2, 3),
    ]
    for size, c, k, stride in pools:
        y = (1, -(-size // stride), -(-size // stride), c)
        for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            yield _wide(op, [(1, size, size, c)], y, _window(k, stride), y_scale=0.001)
    for shape, axes in [
        ((1, 8, 8, 16), (1, 2)),
        ((1, 16, 24), (2,)),
        ((1, 16, 24), (1,)),
        ((1, 64), (1,)),
    ]:
        left = tuple(1 if d in axes else n for d, n in enumerate(shape))
        data = np.array(axes, np.int32)
        axis = Tensor("axes", data.shape, DType.INT32, None, data)
        yield _wide("MEAN", [shape], left, {"keep_dims": True}, constants=[axis])
    shapes: list[Shape] = [(1, 10), (4, 16, 16), (16, 100), (1, 300), (2, 3, 12)]
    for shape in shapes:
        yield _wide("SOFTMAX", [shape], shape, {"beta": 1.0}, y_scale=2.0**-15)
        yield _wide("LOGISTIC", [shape], shape, {}, y_scale=2.0**-15)
        yield _wide("TANH", [shape], shape, {}, y_scale=2.0**-15)
        yield _wide("EXP", [shape], shape, {})
        yield _wide("RELU", [shape], shape, {})
        for dtype in (DType.INT8, DType.INT32):
            base = _wide("QUANTIZE", [shape], shape, {})
            y_tensor = Tensor("y", shape, dtype, Quant((0.2,), (0,)))
            yield Graph("quantize", (base.tensors[0], y_tensor), base.nodes, (0,), (1,))


def _kernel(name: str, tensors: Sequence[Tensor], attrs: dict[str, Attr], y: Tensor) -> Graph:
    """Return a model of one kernel whose first tensor is the input."""
    last = len(tensors)
    node = Node(name, name, tuple(range(last)), (last,), attrs)
    return Graph(name, (*tensors, y), (node,), (0,), (last,))


def types() -> Iterator[Graph]:
    """Sweep comparisons, selection and arithmetic of whole numbers, as kernels."""
    rng = np.random.default_rng(4)
    shapes: list[Shape] = [(1, 64), (1, 8, 12), (1, 40, 5), (1, 3, 4, 5), (1, 300)]
    quant = Quant((0.05,), (3,))
    for shape in shapes:
        for other in (shape, (*shape[:-1], 1)):
            whole = rng.integers(1, 50, other).astype(np.int32)
            small = rng.integers(-100, 100, other).astype(np.int8)
            x32, c32 = Tensor("x", shape, DType.INT32), Tensor("c", other, DType.INT32, None, whole)
            x8, c8 = (
                Tensor("x", shape, DType.INT8, quant),
                Tensor("c", other, DType.INT8, quant, small),
            )
            for mode in (MODES["ADD"], MODES["FLOOR_DIV"]):
                y = Tensor("y", shape, DType.INT32)
                yield _kernel("index_binary", [x32, c32], {"mode": mode}, y)
            plain = Tensor("y", shape, DType.INT8)
            for tensors, scaled in (([x32, c32], 0), ([x8, c8], 1)):
                attrs: dict[str, Attr] = {"mode": 1, "negate": 0, "scaled": scaled}
                attrs |= {f"{w}_multiplier": 2**30 * scaled for w in "ab"}
                attrs |= {f"{w}_shift": -3 * scaled for w in "ab"}
                yield _kernel("compare", tensors, attrs, plain)
            out = Tensor("y", shape, DType.INT8, Quant((0.2,), (0,)))
            attrs = {"multiplier": 2**30, "shift": 2, "y_min": -128, "y_max": 127}
            yield _kernel("div", [x8, c8], attrs, out)
            yield _kernel("select", [x8, c8, c8], {}, out)
        x32 = Tensor("x", shape, DType.INT32)
        yield _kernel(
            "cumulate",
            [x32],
            {"axis": len(shape) - 1, "exclusive": 0, "reverse": 0},
            Tensor("y", shape, DType.INT32),
        )
        yield _kernel(
            "widen", [Tensor("x", shape, DType.INT8, quant)], {}, Tensor("y", shape, DType.INT32)
        )
        if len(shape) < 4:
            y = Tensor("y", (*shape, 9), DType.INT8, quant)
            yield _kernel("one_hot", [x32], {"axis": len(shape), "on": 20, "off": 3}, y)
