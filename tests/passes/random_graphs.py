"""Random graphs of kernels, with branches, views, and shapes that grow and shrink."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from edgekit.graph import DType, Graph, Node, Quant, Tensor, verify

QUANT = Quant((0.5,), (0,))
TABLE = Tensor("table", (256,), DType.INT8, None, np.arange(-128, 128, dtype=np.int8)[::-1].copy())
ADD = {
    "a_multiplier": 1 << 30,
    "a_shift": 0,
    "b_multiplier": 1 << 30,
    "b_shift": 0,
    "y_multiplier": 1 << 30,
    "y_shift": -18,
    "sign": 1,
    "y_min": -128,
    "y_max": 127,
}
WINDOW = {
    "stride_w": 1,
    "dilation_h": 1,
    "dilation_w": 1,
    "pad_left": 0,
    "y_min": -128,
    "y_max": 127,
    "rounding": 0,
}


class Maker:
    """Adds nodes over tensors [1, H, 1, C] to a graph."""

    def __init__(self, height: int, channels: int) -> None:
        self.tensors = [TABLE, Tensor("x", (1, height, 1, channels), DType.INT8, QUANT)]
        self.nodes: list[Node] = []

    def add(self, op: str, inputs: tuple[int, ...], shape: tuple[int, ...], **attrs: object) -> int:
        self.tensors.append(Tensor(f"t{len(self.nodes)}", shape, DType.INT8, QUANT))
        output = (len(self.tensors) - 1,)
        self.nodes.append(Node(f"n{len(self.nodes)}", op, inputs, output, dict(attrs)))
        return output[0]

    def constant(self, data: np.ndarray) -> int:
        self.tensors.append(Tensor("c", data.shape, DType(str(data.dtype)), None, data))
        return len(self.tensors) - 1

    def conv(self, x: int, taps: int, stride: int, outputs: int, *, depthwise: bool) -> int:
        _, h, _, c = self.tensors[x].shape
        rng = np.random.default_rng(len(self.nodes))
        outputs = c if depthwise else outputs
        shape = (1, taps, 1, c) if depthwise else (outputs, taps, 1, c)
        w = self.constant(rng.integers(-128, 128, shape, dtype=np.int8))
        bias = rng.integers(-99, 99, outputs)
        scales = np.tile([1 << 30, -5], (outputs, 1))
        q = self.constant(np.column_stack([bias, scales]).astype(np.int32))
        return self.add(
            "depthwise_conv_2d" if depthwise else "conv_2d",
            (x, w, q),
            (1, -(-h // stride), 1, outputs),
            stride_h=stride,
            pad_top=taps // 2,
            **WINDOW,
        )

    def graph(self, output: int) -> Graph:
        return verify(Graph("g", tuple(self.tensors), tuple(self.nodes), (1,), (output,)))


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> Graph:
    """Graphs of up to `most` nodes; heights and channels make some places multiples of 16."""
    make = Maker(draw(st.integers(1, 20)), draw(st.sampled_from([1, 8, 16])))
    live = [1]
    ops = ["copy", "lut", "add", "concatenation", "slice", "pool", "conv", "depthwise", "pointwise"]
    for _ in range(draw(st.integers(1, most))):
        op = draw(st.sampled_from(ops))
        # Mostly the newest tensors, as in real models, but old ones live on now and then.
        x = draw(st.sampled_from([live[-1], *live[-3:], *live]))
        shape = make.tensors[x].shape
        _, h, _, c = shape
        if op == "copy":
            live.append(make.add("copy", (x,), shape))
        elif op == "lut":
            live.append(make.add("lut", (x, 0), shape))
        elif op == "add":
            other = draw(st.sampled_from([i for i in live if make.tensors[i].shape == shape]))
            live.append(make.add("add", (x, other), shape, **ADD))
        elif op == "concatenation":
            fits = [i for i in live if make.tensors[i].shape[3] == c]
            inputs = (x, *draw(st.lists(st.sampled_from(fits), min_size=1, max_size=3)))
            total = sum(make.tensors[i].shape[1] for i in inputs)
            if total <= 64:
                live.append(make.add("concatenation", inputs, (1, total, 1, c), axis=1))
        elif op == "slice":
            stride = draw(st.sampled_from([1, 1, 1, 2, -1]))
            count = draw(st.integers(1, -(-h // abs(stride))))
            reach = (count - 1) * stride
            begin = draw(st.integers(max(0, -reach), min(h - 1, h - 1 - reach)))
            live.append(
                make.add(
                    "strided_slice",
                    (x,),
                    (1, count, 1, c),
                    begin=(0, begin, 0, 0),
                    stride=(1, stride if count > 1 else 1, 1, 1),
                )
            )
        elif op == "pool":
            stride = draw(st.integers(1, 2))
            window = {"filter_h": 3, "filter_w": 1, "stride_w": 1, "pad_left": 0}
            live.append(
                make.add(
                    "max_pool_2d",
                    (x,),
                    (1, -(-h // stride), 1, c),
                    stride_h=stride,
                    pad_top=1,
                    y_min=-128,
                    y_max=127,
                    **window,
                )
            )
        else:
            taps = 1 if op == "pointwise" else 3
            stride = 1 if op == "pointwise" else draw(st.integers(1, 2))
            outputs = draw(st.sampled_from([8, 16, 24]))
            live.append(make.conv(x, taps, stride, outputs, depthwise=op == "depthwise"))
    if not make.nodes:
        live.append(make.add("lut", (1, 0), make.tensors[1].shape))
    return make.graph(live[-1])
