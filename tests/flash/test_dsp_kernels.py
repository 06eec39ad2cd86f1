"""Kernels with DSP instructions on the emulated board equal the portable ones on the host.

Each image holds many nodes that read the same input, with constants that no converter would write;
their outputs are joined into one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from node_images import written
from packed_cases import depthwise_3x3

from edgekit.boards import load_board
from edgekit.export.mcu import Firmware, library_units
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.graph import Attr, DType, Graph, Node, Quant, Tensor
from edgekit.ops import kernel_set
from edgekit.ops.conv import padding
from edgekit.ops.dsp_lanes import Form
from edgekit.passes.lower import verify_kernels
from edgekit.passes.pack import pack
from edgekit.runtime import Runner

BOARD = load_board("mps2_an386")
NODES = 16
IMAGES = 14
PLANES = 40
FULL = (-128, 127)


@dataclass
class Joined:
    """A graph whose nodes all read tensor 0."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    zero: int
    tensors: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    flat: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.activation(self.shape, self.zero)

    def activation(self, shape: tuple[int, ...], zero: int = 0) -> int:
        self.tensors.append(Tensor("", shape, DType.INT8, Quant((0.1,), (zero,))))
        return len(self.tensors) - 1

    def constant(self, data: npt.NDArray[np.int8] | npt.NDArray[np.int32]) -> int:
        self.tensors.append(Tensor("", data.shape, DType(str(data.dtype)), None, data))
        return len(self.tensors) - 1

    def weights(self, shape: tuple[int, ...]) -> int:
        data = self.rng.integers(-127, 128, shape, np.int8)
        if self.rng.random() < 0.3:
            data = self.rng.choice(np.array([-127, 127], np.int8), shape)
        if self.rng.random() < 0.3:
            data.flat[0] = -128
        return self.constant(data)

    def scale(self, terms: int, odd: float) -> tuple[int, int]:
        """Return multiplier and shift, such that few outputs saturate, or, sometimes, any."""
        multiplier = int(self.rng.choice([2**30, 2**31 - 1, int(self.rng.integers(2**30, 2**31))]))
        usual = -int(np.log2(terms + 1) / 2) - 6
        shift = usual + int(self.rng.integers(-2, 3))
        if self.rng.random() < odd:
            shift = int(self.rng.integers(-31, 3))
        return (0, 0) if self.rng.random() < odd / 5 else (multiplier, shift)

    def biases(self, count: int, terms: int) -> npt.NDArray[np.int32]:
        reach = int(2000 * np.sqrt(terms))
        bias = self.rng.integers(-reach, reach + 1, count)
        if self.rng.random() < 0.15:
            edge = np.array([2**31 - 1, -(2**31), 2**30, -(2**30), 2**30 - terms * 2**14])
            bias[int(self.rng.integers(count))] = self.rng.choice(edge)
        return bias.astype(np.int32)

    def rows(self, count: int, terms: int) -> int:
        odd = float(self.rng.choice([0, 0, 0.1]))
        scales = [self.scale(terms, odd) for _ in range(count)]
        return self.constant(np.c_[self.biases(count, terms), scales].astype(np.int32))

    def limits(self) -> tuple[int, int]:
        if self.rng.random() < 0.6:
            return FULL
        low, high = sorted(int(v) for v in self.rng.integers(-128, 128, 2))
        return low, high

    def finish(self) -> dict[str, Attr]:
        low, high = self.limits()
        return {"y_min": low, "y_max": high, "rounding": int(self.rng.random() < 0.4)}

    def emit(self, op: str, constants: tuple[int, ...], y: tuple[int, ...], **attrs: Attr) -> None:
        zero = int(self.rng.choice([-128, 127, 0, int(self.rng.integers(-128, 128))]))
        target = self.activation(y, zero)
        name = f"{op} {len(self.nodes)}"
        self.nodes.append(Node(name, op, (0, *constants), (target,), {**attrs, **self.finish()}))
        self.flat.append(self.activation((1, prod(y)), zero))
        self.nodes.append(Node(f"flat {name}", "copy", (target,), (self.flat[-1],), {}))

    def graph(self) -> Graph:
        total = sum(self.tensors[index].elements for index in self.flat)
        target = self.activation((1, total))
        self.nodes.append(Node("join", "concatenation", tuple(self.flat), (target,), {"axis": 1}))
        graph = Graph("joined", tuple(self.tensors), tuple(self.nodes), (0,), (target,))
        return verify_kernels(graph)


def window(joined: Joined, kernel: tuple[int, int]) -> tuple[tuple[int, int], dict[str, Attr]]:
    """Return output size and attributes of a random window over the input."""
    rng = joined.rng
    mode = str(rng.choice(["SAME", "VALID"]))
    attrs: dict[str, Attr] = {}
    sizes = []
    for axis, name, before in ((0, "h", "pad_top"), (1, "w", "pad_left")):
        stride = int(rng.choice([1, 1, 2, 3]))
        dilation = int(rng.choice([1, 1, 1, 2]))
        size = joined.shape[1 + axis]
        if mode == "VALID" and (kernel[axis] - 1) * dilation >= size:
            mode = "SAME"
        out, pad = padding(mode, size, kernel[axis], stride, dilation)
        sizes.append(out)
        attrs |= {f"stride_{name}": stride, f"dilation_{name}": dilation, before: pad}
    return (sizes[0], sizes[1]), attrs


def convolution(joined: Joined) -> None:
    n, _, _, c = joined.shape
    pointwise = joined.rng.random() < 0.4
    kernel = (1, 1) if pointwise else tuple(int(v) for v in joined.rng.integers(1, 6, 2))
    size, attrs = window(joined, (kernel[0], kernel[1]))
    if pointwise and joined.rng.random() < 0.8:
        size = (joined.shape[1], joined.shape[2])
        attrs = dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
        attrs |= {"pad_top": 0, "pad_left": 0}
    m = int(joined.rng.integers(1, 14))
    terms = prod(kernel) * c
    constants = (joined.weights((m, *kernel, c)), joined.rows(m, terms))
    joined.emit("conv_2d", constants, (n, *size, m), **attrs)


def depthwise(joined: Joined) -> None:
    n, _, _, c = joined.shape
    three = joined.rng.random() < 0.7
    kernel = (3, 3) if three else tuple(int(v) for v in joined.rng.integers(1, 6, 2))
    size, attrs = window(joined, (kernel[0], kernel[1]))
    m = c * int(joined.rng.choice([1, 1, 1, 1, 2]))
    constants = (joined.weights((1, *kernel, m)), joined.rows(m, prod(kernel)))
    joined.emit("depthwise_conv_2d", constants, (n, *size, m), **attrs)


def dense(joined: Joined) -> None:
    elements = prod(joined.shape)
    divisors = [k for k in range(1, elements + 1) if elements % k == 0]
    k = int(joined.rng.choice(divisors))
    m = int(joined.rng.integers(1, 20))
    multiplier, shift = joined.scale(k, 0.1)
    requant = joined.rows(m, k)
    if joined.rng.random() < 0.5:
        requant = joined.constant(joined.biases(m, k).reshape(m, 1))
    joined.emit(
        "fully_connected",
        (joined.weights((m, k)), requant),
        (elements // k, m),
        multiplier=multiplier,
        shift=shift,
    )


def addition(joined: Joined) -> None:
    """A sum with a constant; the larger scale is halved exactly, as converters write it."""
    rng = joined.rng
    data = rng.integers(-128, 128, joined.shape, np.int8)
    zero = int(rng.choice([-128, 0, 77]))
    joined.tensors.append(Tensor("", data.shape, DType.INT8, Quant((0.1,), (zero,)), data))
    inputs = [(2**30, 0), (int(rng.integers(2**30, 2**31)), -int(rng.integers(0, 6)))]
    if rng.random() < 0.3:
        inputs[1] = inputs[0]
    if rng.random() < 0.5:
        inputs.reverse()
    names = ("multiplier", "shift")
    scales = zip("ab", inputs, strict=True)
    attrs: dict[str, Attr] = {
        f"{side}_{name}": value
        for side, pair in scales
        for name, value in zip(names, pair, strict=True)
    }
    attrs |= {"y_multiplier": int(rng.integers(2**30, 2**31)), "sign": int(rng.choice([-1, 1]))}
    attrs["y_shift"] = -int(rng.choice([17, 18, 19, 19, 20, 25]))
    joined.emit("add", (len(joined.tensors) - 1,), joined.shape, **attrs)


def image(seed: int) -> tuple[bytes, Graph]:
    rng = np.random.default_rng([seed, 4])
    shape = (int(rng.choice([1, 1, 2])), *(int(v) for v in rng.integers(1, 10, 3)))
    if seed % 3 == 0:
        shape = (1, *(int(v) for v in rng.integers(1, 5, 2)), int(rng.integers(30, 90)))
    joined = Joined(rng, shape, int(rng.choice([-128, 127, 0, 17])))
    for _ in range(NODES):
        rng.choice(np.array([convolution, depthwise, dense, addition], object))(joined)
    graph = joined.graph()
    return written(graph, "portable"), graph


def inputs(graph: Graph, seed: int) -> npt.NDArray[np.int8]:
    rng = np.random.default_rng([seed, 5])
    x = rng.integers(-128, 128, (4, *graph.tensors[0].shape), np.int8)
    x[1] = rng.choice(np.array([-128, 127], np.int8), x[1].shape)
    x[2], x[3] = -128, 127
    return x


def unequal(graph: Graph, found: npt.NDArray[np.int8], expected: npt.NDArray[np.int8]) -> list[str]:
    """Return the nodes whose outputs differ."""
    names = []
    start = 0
    flats = graph.nodes[-1].inputs
    for node, index in zip(graph.nodes[::2], flats, strict=False):
        end = start + graph.tensors[index].elements
        if not np.array_equal(found[:, start:end], expected[:, start:end]):
            shapes = [graph.tensors[i].shape for i in (*node.inputs, *node.outputs)]
            names.append(f"{node.name} {shapes} {dict(node.attrs)}")
        start = end
    return names


@pytest.fixture(scope="module")
def firmware() -> Firmware:
    return cached_firmware(BOARD, kernel_set("all", "dsp"))


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(IMAGES))
def test_dsp_kernels_equal_the_portable_ones(seed: int, firmware: Firmware) -> None:
    data, graph = image(seed)
    x = inputs(graph, seed)
    result = run_on_board(BOARD, data, x, firmware=firmware)
    rows = (len(x), -1)
    expected = Runner(data).run(x).reshape(rows)
    assert unequal(graph, result.outputs.reshape(rows), expected) == []


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(IMAGES))
def test_packed_kernels_equal_the_canonical_ones(seed: int, firmware: Firmware) -> None:
    data, graph = image(seed)
    packed = pack(graph, "dsp")
    x = inputs(graph, seed)
    result = run_on_board(BOARD, written(packed, "dsp"), x, firmware=firmware)
    rows = (len(x), -1)
    expected = Runner(data).run(x).reshape(rows)
    assert unequal(packed, result.outputs.reshape(rows), expected) == []


@pytest.mark.emulator
@pytest.mark.cc
@pytest.mark.parametrize("seed", range(PLANES))
def test_packed_depthwise_convolutions_equal_the_canonical_ones(
    seed: int, firmware: Firmware
) -> None:
    """The cases are those of tests/ops/test_dsp.py, which says what they reach."""
    graph = depthwise_3x3(np.random.default_rng([seed, 6]))
    x = inputs(graph, seed)
    result = run_on_board(BOARD, written(pack(graph, "dsp"), "dsp"), x, firmware=firmware)
    expected = Runner(written(graph, "portable")).run(x)
    assert np.array_equal(result.outputs.reshape(expected.shape), expected)


def test_images_reach_every_form() -> None:
    """Of packed kernels, each way to lay out weights and to finish sums runs on the board."""
    seen = set()
    for seed in range(IMAGES):
        packed = pack(image(seed)[1], "dsp")
        seen |= {(node.op, node.attrs.get("form")) for node in packed.nodes}
    for form in Form:
        assert ("conv_2d_dsp", int(form)) in seen
        assert ("fully_connected_dsp", int(form)) in seen


def test_images_reach_what_they_should() -> None:
    """Of all outputs, many are no limit of int8, and every kernel and rounding is there."""
    seen = set()
    inner = total = 0
    for seed in range(IMAGES):
        data, graph = image(seed)
        outputs = Runner(data).run(inputs(graph, seed))
        inner += int(np.count_nonzero(np.abs(outputs.astype(int) * 2 + 1) < 255))
        total += outputs.size
        seen |= {(node.op, node.attrs.get("rounding")) for node in graph.nodes}
    assert inner > total / 3
    for op in ("conv_2d", "depthwise_conv_2d", "fully_connected"):
        assert {(op, 0), (op, 1)} <= seen


def test_core_with_dsp_gets_its_kernels() -> None:
    def names(board: str) -> dict[str, Path]:
        return {unit.source.stem: unit.source.parent for unit in library_units(load_board(board))}

    fast, plain = names("mps2_an386"), names("mps2_an385")
    for name in ("ek_tile_dsp", "ek_dense_dsp", "ek_add_row"):
        assert fast[name].name == "dsp"
        assert plain[name].name == "kernels"
