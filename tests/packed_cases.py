"""Random graphs of one kernel that packed forms are made from, beyond what converters write."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops.fixed import Rounding
from edgekit.passes.lower import verify_kernels


def depthwise_3x3(rng: np.random.Generator) -> Graph:
    """Return a 3x3 depthwise convolution with any padding that LiteRT or a folded PAD gives."""
    stride, channels = int(rng.integers(1, 3)), int(rng.integers(4, 16))
    shape = (int(rng.choice([1, 1, 2])), *(int(v) for v in rng.integers(1, 14, 2)), channels)
    if rng.random() < 0.2:
        shape = (1, *(int(v) for v in rng.choice([20, 37, 64], 2)), channels)
    pads = (1, 1) if stride == 1 else (0, 0)
    out = tuple(-(-size // stride) for size in shape[1:3])
    if rng.random() < 0.4:
        pads = (int(rng.integers(3)), int(rng.integers(3)))
        out = tuple(max(1, (shape[1 + i] + 2 * pads[i] - 3) // stride + 1) for i in range(2))
    zero = int(rng.choice([-128, -128, 0, 9]))
    x = Tensor("x", shape, DType.INT8, Quant((0.1,), (int(rng.choice([-128, 3])),)))
    y = Tensor("y", (shape[0], *out, channels), DType.INT8, Quant((0.1,), (zero,)))
    w = rng.integers(-128, 128, (1, 3, 3, channels), np.int8)
    rows = np.empty((channels, 3), np.int32)
    rows[:, 0] = rng.integers(-9000, 9000, channels)
    rows[:, 1] = rng.choice([2**30, 2**31 - 1, int(rng.integers(2**30, 2**31))], channels)
    rows[:, 2] = rng.integers(-9, -5, channels)
    q = Tensor("q", rows.shape, DType.INT32, None, rows)
    attrs: dict[str, Attr] = {
        "stride_h": stride,
        "stride_w": stride,
        "dilation_h": 1,
        "dilation_w": 1,
        "pad_top": pads[0],
        "pad_left": pads[1],
        "y_min": -128 if rng.random() < 0.7 else int(rng.integers(-128, zero + 1)),
        "y_max": 127 if rng.random() < 0.7 else int(rng.integers(zero, 128)),
        "rounding": int(Rounding.DOUBLE),
    }
    weights = Tensor("w", w.shape, DType.INT8, None, w)
    node = Node("node", "depthwise_conv_2d", (0, 1, 2), (3,), attrs)
    return verify_kernels(Graph("m", (x, weights, q, y), (node,), (0,), (3,)))
