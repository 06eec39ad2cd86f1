"""Models of one node over a sweep of shapes: what `tools.calibrate` counts instructions of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from tools.sweeps_pair import pairs
from tools.sweeps_state import grus, lstms
from tools.sweeps_text import sentences
from tools.sweeps_wide import types, wide_elements, wide_products

Shape = tuple[int, ...]


def single(
    op: str,
    inputs: Sequence[Shape],
    y: Shape,
    attrs: dict[str, Attr] | None = None,
    constants: Sequence[Tensor] = (),
) -> Graph:
    """Return a model of one source operator; inputs beyond the first are constants of int8."""
    rng = np.random.default_rng(1)
    tensors = [Tensor("x", inputs[0], DType.INT8, Quant((0.05,), (3,)))]
    for index, shape in enumerate(inputs[1:]):
        data = rng.integers(-127, 128, shape, np.int8)
        quant = Quant((0.05,), (3,)) if op == "MAXIMUM" else Quant((0.02,), (0,))
        tensors.append(Tensor(f"c{index}", shape, DType.INT8, quant, data))
    tensors += constants
    tensors.append(Tensor("y", y, DType.INT8, _output_quant(op)))
    last = len(tensors) - 1
    node = Node(op.lower(), op, tuple(range(last)), (last,), attrs or {})
    return Graph(op.lower(), tuple(tensors), (node,), (0,), (last,))


def _output_quant(op: str) -> Quant:
    if op in ("SOFTMAX", "LOGISTIC"):
        return Quant((1 / 256,), (-128,))
    same = (
        "RESHAPE",
        "TRANSPOSE",
        "CONCATENATION",
        "PAD",
        "STRIDED_SLICE",
        "MIRROR_PAD",
        "MAXIMUM",
    )
    if op in same or op.endswith("POOL_2D") or op.startswith("RESIZE"):
        return Quant((0.05,), (3,))
    return Quant((0.11,), (-5,))


def _int32(name: str, values: Sequence[int] | npt.NDArray[np.int32]) -> Tensor:
    data = np.asarray(values, np.int32)
    return Tensor(name, data.shape, DType.INT32, None, data)


def _size(size: int, kernel: int, stride: int, padding: str) -> int:
    return -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1


def convolutions() -> Iterator[Graph]:
    """Sweep CONV_2D and DEPTHWISE_CONV_2D."""
    sweep = [
        (8, 8, 1, 8, 3, 1, "SAME"),
        (8, 8, 16, 16, 1, 1, "SAME"),
        (7, 5, 15, 9, 1, 1, "SAME"),
        (16, 16, 3, 16, 3, 2, "SAME"),
        (9, 9, 8, 7, 3, 1, "VALID"),
        (12, 12, 4, 12, 5, 2, "VALID"),
        (8, 8, 32, 64, 1, 1, "SAME"),
        (8, 8, 64, 32, 1, 1, "SAME"),
        (6, 6, 24, 24, 3, 1, "SAME"),
        (25, 5, 64, 64, 1, 1, "SAME"),
        (49, 10, 1, 32, 5, 2, "SAME"),
        (4, 4, 48, 96, 1, 2, "SAME"),
        (4, 4, 16, 24, 1, 1, "SAME"),
        (1, 1, 32, 20, 1, 1, "SAME"),
        (49, 40, 1, 8, 8, 2, "SAME"),
        (6, 6, 96, 24, 1, 1, "SAME"),
        (16, 16, 16, 16, 3, 1, "SAME"),
        (10, 9, 5, 6, 4, 1, "SAME"),
        (12, 12, 2, 3, 3, 2, "SAME"),
        (4, 4, 256, 32, 1, 1, "SAME"),
        (24, 24, 8, 16, 1, 1, "SAME"),
        (24, 24, 16, 32, 1, 1, "SAME"),
        (8, 8, 64, 64, 3, 1, "SAME"),
        (16, 16, 32, 32, 3, 2, "SAME"),
        (33, 31, 3, 16, 3, 2, "VALID"),
        (6, 6, 128, 128, 1, 1, "SAME"),
        (20, 20, 12, 20, 2, 2, "VALID"),
        (3, 2, 7, 2, 2, 1, "SAME"),
    ]
    for height, width, c, m, k, stride, padding in sweep:
        attrs: dict[str, Attr] = {
            "stride_h": stride,
            "stride_w": stride,
            "dilation_h": 1,
            "dilation_w": 1,
            "padding": padding,
            "activation": "RELU",
        }
        oh, ow = _size(height, k, stride, padding), _size(width, k, stride, padding)
        x = (1, height, width, c)
        yield single("CONV_2D", [x, (m, k, k, c)], (1, oh, ow, m), attrs)
    depthwise = [
        (8, 8, 8, 1, 3, 1, "SAME"),
        (16, 16, 16, 1, 3, 1, "SAME"),
        (16, 16, 16, 1, 3, 2, "SAME"),
        (9, 9, 7, 1, 3, 1, "VALID"),
        (25, 5, 64, 1, 3, 1, "SAME"),
        (12, 12, 33, 1, 5, 1, "SAME"),
        (4, 4, 48, 1, 3, 1, "SAME"),
        (20, 12, 1, 8, 5, 2, "SAME"),
        (49, 40, 1, 8, 8, 2, "SAME"),
        (10, 10, 4, 3, 3, 1, "VALID"),
        (10, 10, 2, 5, 3, 1, "SAME"),
        (30, 30, 4, 1, 7, 1, "VALID"),
        (6, 6, 96, 1, 3, 1, "SAME"),
        (12, 12, 24, 1, 3, 1, "VALID"),
        (8, 8, 32, 1, 3, 2, "SAME"),
        (5, 9, 6, 1, 3, 1, "SAME"),
        (12, 7, 3, 1, 3, 1, "SAME"),
        (24, 24, 8, 1, 3, 2, "SAME"),
        (24, 24, 16, 1, 3, 1, "SAME"),
        (48, 48, 8, 1, 3, 1, "SAME"),
        (48, 48, 12, 1, 3, 2, "SAME"),
        (12, 12, 64, 1, 3, 1, "SAME"),
        (24, 22, 32, 1, 3, 2, "SAME"),
        (3, 3, 256, 1, 3, 1, "SAME"),
        (6, 6, 128, 1, 3, 2, "SAME"),
        (13, 11, 20, 1, 3, 1, "SAME"),
        (10, 30, 12, 1, 3, 1, "VALID"),
        (30, 10, 12, 1, 3, 2, "VALID"),
        (33, 5, 16, 1, 3, 1, "SAME"),
        (5, 33, 16, 1, 3, 1, "SAME"),
        (40, 36, 4, 1, 3, 1, "SAME"),
        (17, 19, 24, 1, 3, 2, "SAME"),
    ]
    for height, width, c, multiplier, k, stride, padding in depthwise:
        attrs = {
            "stride_h": stride,
            "stride_w": stride,
            "dilation_h": 1,
            "dilation_w": 1,
            "padding": padding,
            "activation": "RELU" if k == 3 and height % 5 == 0 else "NONE",
            "depth_multiplier": multiplier,
        }
        oh, ow = _size(height, k, stride, padding), _size(width, k, stride, padding)
        m = c * multiplier
        yield single(
            "DEPTHWISE_CONV_2D", [(1, height, width, c), (1, k, k, m)], (1, oh, ow, m), attrs
        )


def dense() -> Iterator[Graph]:
    """Sweep FULLY_CONNECTED and BATCH_MATMUL."""
    sizes = [(1, 16, 16), (1, 64, 10), (1, 400, 12), (1, 1960, 4), (4, 32, 33), (5, 48, 24)]
    sizes += [(16, 24, 72), (64, 32, 32), (1, 1, 16), (1, 31, 7), (3, 17, 5), (16, 96, 24)]
    sizes += [(1, 128, 8), (1, 640, 128), (2, 40, 6), (49, 10, 12), (9, 33, 7), (1, 27, 33)]
    sizes += [(4, 256, 2), (12, 6, 40), (1, 96, 3)]
    attrs: dict[str, Attr] = {"activation": "NONE", "weights_format": 0, "keep_num_dims": False}
    for rows, k, n in sizes:
        yield single("FULLY_CONNECTED", [(rows, k), (n, k)], (rows, n), attrs)
    products = [(1, 16, 16, 16), (2, 16, 8, 16), (4, 10, 12, 9), (2, 32, 32, 4), (1, 5, 64, 7)]
    for adj_x, adj_y in ((False, False), (False, True)):
        for batch, m, k, n in products:
            a = (batch, k, m) if adj_x else (batch, m, k)
            b = (batch, n, k) if adj_y else (batch, k, n)
            flags: dict[str, Attr] = {"adj_x": adj_x, "adj_y": adj_y}
            yield single("BATCH_MATMUL", [a, b], (batch, m, n), flags)


def elementwise() -> Iterator[Graph]:
    """Sweep what broadcasts, LOGISTIC, SOFTMAX, MEAN."""
    pairs: list[tuple[Shape, Shape]] = [
        ((1, 8, 8, 16), (1, 8, 8, 16)),
        ((1, 8, 8, 16), (16,)),
        ((1, 16, 24), (1, 16, 1)),
        ((1, 64, 8), (1, 64, 1)),
        ((1, 500), (1, 500)),
        ((1, 7, 5, 3), (1, 7, 1, 3)),
        ((1, 4, 4, 24), (1, 1, 1, 1)),
        ((1, 16, 16, 8), (1, 16, 16, 8)),
        ((1, 12, 40), (40,)),
    ]
    for op in ("ADD", "MUL", "MAXIMUM", "SQUARED_DIFFERENCE", "PRELU"):
        for a, b in pairs:
            yield single(op, [a, b], a, {"activation": "NONE", "pot_scale_int16": False})
    shapes: list[Shape] = [(1, 10), (1, 256), (4, 16, 16), (16, 100), (1, 64, 4), (2, 3, 12)]
    for shape in shapes:
        yield single("LOGISTIC", [shape], shape)
        yield single("SOFTMAX", [shape], shape, {"beta": 1.0})
    means: list[tuple[Shape, tuple[int, ...]]] = [
        ((1, 8, 8, 16), (1, 2)),
        ((1, 4, 4, 32), (1, 2)),
        ((1, 16, 24), (2,)),
        ((1, 16, 24), (1,)),
        ((1, 64, 32), (2,)),
        ((1, 49, 10, 8), (1, 2)),
        ((1, 8, 8, 24), (3,)),
    ]
    for x, axes in means:
        y = tuple(1 if d in axes else n for d, n in enumerate(x))
        yield single("MEAN", [x], y, {"keep_dims": True}, [_int32("axes", axes)])


def windows() -> Iterator[Graph]:
    """Sweep AVERAGE_POOL_2D and MAX_POOL_2D."""
    sizes = [
        (8, 8, 16, 2, 2),
        (25, 5, 64, 0, 1),
        (12, 10, 7, 3, 2),
        (16, 16, 4, 2, 2),
        (9, 9, 3, 3, 1),
    ]
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for height, width, c, filter_size, stride in sizes:
            kh, kw = (filter_size, filter_size) if filter_size else (height, width)
            attrs: dict[str, Attr] = {
                "stride_h": stride,
                "stride_w": stride,
                "filter_h": kh,
                "filter_w": kw,
                "padding": "VALID",
                "activation": "NONE",
            }
            y = (1, _size(height, kh, stride, "VALID"), _size(width, kw, stride, "VALID"), c)
            yield single(op, [(1, height, width, c)], y, attrs)


def layouts() -> Iterator[Graph]:
    """Sweep what only moves bytes."""
    shapes: list[Shape] = [(1, 8, 8, 16), (1, 4, 6, 5), (1, 16, 4, 8), (1, 32, 32, 3)]
    for shape in shapes:
        yield single("RESHAPE", [shape], (1, int(np.prod(shape))))
        for perm in ((0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1)):
            y = tuple(shape[d] for d in perm)
            yield single("TRANSPOSE", [shape], y, {}, [_int32("perm", perm)])
        joined = (*shape[:3], 2 * shape[3])
        yield single("CONCATENATION", [shape], joined, {"axis": 3, "activation": "NONE"}, [])
        before = np.array([[0, 0], [1, 1], [1, 2], [0, 0]], np.int32)
        padded = (1, shape[1] + 2, shape[2] + 3, shape[3])
        yield single("PAD", [shape], padded, {}, [_int32("widths", before)])
        cut = (1, shape[1] - 2, shape[2] - 1, shape[3])
        slices = [_int32("begin", [0, 1, 0, 0]), _int32("end", [1, shape[1] - 1, shape[2] - 1, 0])]
        masks: dict[str, Attr] = {
            "begin_mask": 0,
            "end_mask": 8,
            "ellipsis_mask": 0,
            "new_axis_mask": 0,
            "shrink_axis_mask": 0,
            "offset": False,
        }
        yield single("STRIDED_SLICE", [shape], cut, masks, [*slices, _int32("strides", [1] * 4)])


def resizing() -> Iterator[Graph]:
    """Sweep MIRROR_PAD, the resizes and TRANSPOSE_CONV."""
    images = [(8, 8, 16), (6, 5, 3), (16, 12, 1), (4, 4, 32)]
    for height, width, c in images:
        x = (1, height, width, c)
        for axes in ((1, 2), (3,), (1,)):
            widths = np.array([[d in axes and c > 1] * 2 for d in range(4)], np.int32)
            y = tuple(n + 2 * int(w[0]) for n, w in zip(x, widths, strict=True))
            if c > 1:
                yield single("MIRROR_PAD", [x], y, {"mode": 0}, [_int32("widths", widths)])
        flags: dict[str, Attr] = {"align_corners": False, "half_pixel_centers": True}
        for op in ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"):
            for oh, ow in ((2 * height, 2 * width), (height + 3, width - 1)):
                yield single(op, [x], (1, oh, ow, c), flags, [_int32("size", [oh, ow])])
    sweep = [(8, 8, 8, 4, 3, 2), (4, 4, 16, 8, 2, 2), (6, 6, 3, 5, 3, 1), (5, 7, 1, 6, 4, 3)]
    for height, width, c, m, k, stride in sweep:
        oh, ow = height * stride, width * stride
        attrs: dict[str, Attr] = {
            "stride_h": stride,
            "stride_w": stride,
            "padding": "SAME",
            "activation": "NONE",
        }
        shape = _int32("shape", [1, oh, ow, m])
        graph = single(
            "TRANSPOSE_CONV", [(1, height, width, c), (m, k, k, c)], (1, oh, ow, m), attrs, [shape]
        )
        node = graph.nodes[0]
        turned = Node(node.name, node.op, (2, 1, 0), node.outputs, node.attrs)
        yield Graph(graph.name, graph.tensors, (turned,), graph.inputs, graph.outputs)


def picking() -> Iterator[Graph]:
    """Sweep ARG_MAX, and GATHER by its indices."""
    sweep: list[tuple[Shape, int, int]] = [
        ((1, 16, 10), 2, 8),
        ((1, 64, 4), 1, 16),
        ((1, 5, 100), 2, 1),
        ((1, 32, 32), 2, 24),
        ((1, 12, 7), 1, 3),
    ]
    for shape, axis, width in sweep:
        ids = tuple(n for d, n in enumerate(shape) if d != axis)
        row = (shape[axis], width)
        base = single("GATHER", [shape, row], (*ids, width), {"axis": 0, "batch_dims": 0})
        x, table, y = base.tensors
        y = Tensor("y", y.shape, DType.INT8, table.quant)
        found = Tensor("found", ids, DType.INT32)
        find = Node("arg_max", "ARG_MAX", (0, 3), (4,), {})
        pick = Node("gather", "GATHER", (1, 4), (2,), base.nodes[0].attrs)
        tensors = (x, table, y, _int32("axis", [axis]), found)
        yield Graph("gather", tensors, (find, pick), (0,), (2,))


def norms() -> Iterator[Graph]:
    """Sweep NORM, our own."""
    shapes: list[Shape] = [
        (1, 16, 24),
        (1, 4, 64),
        (1, 50, 16),
        (1, 1, 128),
        (1, 9, 33),
        (1, 64, 8),
    ]
    for centred in (True, False):
        for shape in shapes:
            ones = Tensor("gamma", shape[-1:], DType.FLOAT32, None, np.ones(shape[-1], np.float32))
            zeros = np.zeros(shape[-1], np.float32)
            beta = Tensor("beta", shape[-1:], DType.FLOAT32, None, zeros)
            yield single(
                "NORM", [shape], shape, {"centred": centred, "epsilon": 1e-5}, [ones, beta]
            )


def attentions() -> Iterator[Graph]:
    """Sweep ATTENTION, our own: [1, rows, heads * depth] with constant keys and values."""
    sizes = [(1, 16, 16, 24), (2, 16, 16, 12), (4, 10, 10, 8), (1, 32, 32, 16), (2, 5, 40, 16)]
    sizes += [(1, 64, 20, 8), (3, 7, 9, 10), (2, 33, 17, 32), (1, 3, 50, 6)]
    for heads, rows, keys, depth in sizes:
        whole = heads * depth
        attrs: dict[str, Attr] = {"heads": heads, "rows": rows, "keys": keys}
        attrs |= {"depth": depth, "width": depth, "score": 0.25, "bias": 0.0}
        attrs |= {f"{name}_head": depth if heads > 1 else 0 for name in "qkvy"}
        attrs |= {f"{name}_row": whole for name in "qkvy"}
        attrs |= {"bias_head": 0, "bias_row": 0, "bias_key": 0}
        others = (1, keys, whole)
        base = single("ATTENTION", [(1, rows, whole), others, others], (1, rows, whole), attrs)
        yield replace(base, nodes=(replace(base.nodes[0], inputs=(0, 1, 2, -1)),))


def _twice(graph: Graph) -> Graph:
    """Let a concatenation read its input twice."""
    node = graph.nodes[0]
    doubled = Node(node.name, node.op, (0, 0), node.outputs, node.attrs)
    return Graph(graph.name, graph.tensors, (doubled,), graph.inputs, graph.outputs)


def cases() -> Iterator[Graph]:
    """Yield every model of the sweep."""
    for source in (
        convolutions,
        dense,
        elementwise,
        windows,
        layouts,
        resizing,
        picking,
        norms,
        attentions,
        grus,
        lstms,
        types,
        wide_products,
        wide_elements,
        pairs,
        sentences,
    ):
        for graph in source():
            yield _twice(graph) if graph.nodes[0].op == "CONCATENATION" else graph
