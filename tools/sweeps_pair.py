"""Models of a depthwise and a pointwise convolution in one node, for `tools.calibrate`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.graph import DType, Graph, Node, Quant, Tensor
from edgekit.ops.fixed import quantize_multiplier


def pairs() -> Iterator[Graph]:
    """Sweep depthwise_pointwise, as the kernel: [1, height, width, channels]."""
    rng = np.random.default_rng(8)
    sweep = [
        (8, 8, 8, 2, 8, 3, 1),
        (16, 16, 16, 2, 16, 3, 1),
        (9, 7, 5, 3, 6, 3, 1),
        (12, 12, 4, 4, 12, 5, 2),
        (24, 24, 8, 2, 8, 3, 2),
        (10, 10, 16, 2, 33, 3, 1),
        (5, 5, 33, 2, 7, 3, 1),
        (7, 6, 12, 1, 1, 3, 1),
        (12, 12, 24, 1, 12, 3, 1),
        (16, 12, 3, 8, 10, 3, 1),
        (9, 9, 7, 1, 20, 5, 1),
        (6, 6, 2, 6, 4, 1, 1),
        (20, 10, 6, 2, 24, 3, 1),
        (11, 13, 10, 3, 9, 2, 1),
        (1, 1, 40, 2, 40, 3, 1),
        (14, 14, 2, 16, 2, 3, 1),
        (8, 8, 64, 1, 16, 3, 2),
        (3, 30, 8, 2, 5, 5, 1),
        (30, 4, 9, 2, 17, 3, 1),
        (10, 10, 1, 1, 8, 3, 1),
    ]
    for height, width, c, multiplier, m, k, stride in sweep:
        sides = -(-height // stride), -(-width // stride)
        middle = c * multiplier

        def constant(*shape: int) -> Tensor:
            data = rng.integers(-127, 128, shape, np.int8)
            return Tensor("w", shape, DType.INT8, None, data)

        def rows(count: int, terms: int) -> Tensor:
            found = quantize_multiplier(0.02 / terms**0.5)
            data = np.array([(100, *found)] * count, np.int32)
            return Tensor("rows", data.shape, DType.INT32, None, data)

        quant = Quant((0.05,), (3,))
        tensors = (
            Tensor("x", (1, height, width, c), DType.INT8, quant),
            constant(1, k, k, middle),
            rows(middle, k * k),
            constant(m, 1, 1, middle),
            rows(m, middle),
            Tensor("y", (1, *sides, m), DType.INT8, quant),
        )
        attrs = {"stride_h": stride, "stride_w": stride, "dilation_h": 1, "dilation_w": 1}
        attrs |= {"pad_top": (k - 1) // 2, "pad_left": (k - 1) // 2}
        attrs |= {"y_min": -128, "y_max": 127, "rounding": 0, "middle_zero": 3}
        attrs |= {"last_min": -128, "last_max": 127, "last_rounding": 0}
        node = Node("pair", "depthwise_pointwise", tuple(range(5)), (5,), dict(attrs))
        yield Graph("pair", tensors, (node,), (0,), (5,))
