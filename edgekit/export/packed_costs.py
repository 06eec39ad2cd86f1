"""What packed kernels do how often, per family of cores: features for `costs.py`.

Twins: the loops of firmware/kernels/ek_*_dsp.c, ek_*_mve.c and ek_*_small.c
"""

from __future__ import annotations

from math import prod

from edgekit.graph import Graph, Node
from edgekit.ops.base import attr_int

Features = tuple[float, ...]
Shape = tuple[int, ...]


def _ends(graph: Graph, node: Node) -> tuple[Shape, Shape]:
    return graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape


def _limited(node: Node) -> float:
    return float((node.attrs["y_min"], node.attrs["y_max"]) != (-128, 127))


def _up(value: int, unit: int) -> int:
    return -(-value // unit)


def _inside(x: Shape, y: Shape, node: Node, kernel: Shape, axis: int) -> int:
    """Count the outputs along an axis whose windows do not cross the border."""
    name, pad = ("h", "pad_top") if axis == 1 else ("w", "pad_left")
    stride = node.attrs.get(f"stride_{name}", node.attrs.get("stride"))
    assert isinstance(stride, int)
    dilation = node.attrs.get(f"dilation_{name}", 1)
    assert isinstance(dilation, int)
    reach = (kernel[axis - 1] - 1) * dilation
    starts = (i * stride - attr_int(node, pad) for i in range(y[axis]))
    return sum(at >= 0 and at + reach < x[axis] for at in starts)


def _product(
    rows: int, n: int, k: int, *, block: int, columns: int, step: int
) -> tuple[float, ...]:
    """Count inner steps, tiles, terms that are laid out, blocks, and groups of columns."""
    blocks, groups, steps = _up(rows, block), _up(n, columns), _up(k, step)
    return (
        float(blocks * groups * steps),
        float(blocks * groups),
        float(blocks * steps),
        float(blocks),
        float(groups),
    )


def _conv(graph: Graph, node: Node, *, block: int, columns: int, step: int) -> Features:
    x, y = _ends(graph, node)
    kernel = (attr_int(node, "kernel_h"), attr_int(node, "kernel_w"))
    pixels, run = prod(y[:3]), kernel[1] * x[3]
    plain = kernel == (1, 1) and x[1:3] == y[1:3]
    terms = run if plain else kernel[0] * run
    border = pixels - x[0] * _inside(x, y, node, kernel, 1) * _inside(x, y, node, kernel, 2)
    gathered = 0 if plain else pixels * kernel[0]
    return (
        *_product(pixels, y[3], terms, block=block, columns=columns, step=step),
        float(gathered),
        float(gathered * run),
        float(border * kernel[0]),
        float(border * kernel[0] * run),
        _limited(node) * prod(y),
        1.0,
    )


def _dense(
    graph: Graph, node: Node, terms: int, *, block: int, columns: int, step: int
) -> Features:
    """One row times four columns where there are fewer rows than a block has, else blocks."""
    x, y = _ends(graph, node)
    rows = prod(x) // terms
    n = prod(y) // rows
    one = float(rows < block)
    single = _product(rows, n, terms, block=1, columns=4, step=step)
    several = _product(rows, n, terms, block=block, columns=columns, step=step)
    return (
        *(one * value for value in single[:3]),
        one * rows,
        *((1 - one) * value for value in several[:3]),
        (1 - one) * several[3],
        (rows % block > 0 or n % columns > 0) * (1 - one) * prod(y),
        _limited(node) * prod(y),
        1.0,
    )


def _planes(graph: Graph, node: Node, band: int) -> Features:
    """Depthwise on planes of 16 bits: gathered, then row by row, two outputs at a time."""
    x, y = _ends(graph, node)
    stride = attr_int(node, "stride")
    bands = x[0] * _up(y[1], band)
    across = bool(node.attrs.get("across", 0))
    height, width = (y[2], y[1]) if across else (y[1], y[2])
    lines = x[0] * height * y[3]
    pairs = lines * _up(width, 2)
    under = min(x[1], (band - 1) * stride + 3) * bands
    in_height, in_width = (x[2], under) if across else (under, x[2])
    groups = _up(x[3], 4)
    return (
        float(stride == 1) * pairs,
        float(stride == 2) * pairs,
        float(lines),
        float(bands * y[3]),
        float(in_height * _up(in_width, 2) * groups),
        float(in_height * groups),
        float(bands * groups),
        float(bands),
        _limited(node) * prod(y),
        1.0,
    )


def conv_2d_dsp(graph: Graph, node: Node) -> Features:
    """Four pixels times two channels; rows of patches are expanded from words."""
    x, y = _ends(graph, node)
    kernel = (attr_int(node, "kernel_h"), attr_int(node, "kernel_w"))
    run = kernel[1] * x[3]
    plain = kernel == (1, 1) and x[1:3] == y[1:3]
    steps = kernel[0] * _up(run, 4)
    pixels = prod(y[:3])
    blocks, pairs = _up(pixels, 4), _up(y[3], 2)
    rows = 0 if plain else blocks * kernel[0]
    edges = 0 if plain else x[0] * y[1] * (y[2] - _inside(x, y, node, kernel, 2)) * kernel[0]
    outer = 0 if plain else x[0] * (y[1] - _inside(x, y, node, kernel, 1)) * y[2] * kernel[0]
    spilled = (pixels % 4 > 0 or y[3] % 2 > 0) * prod(y)
    return (
        float(blocks * pairs * steps),
        float(blocks * pairs),
        float(blocks * steps),
        float(rows),
        float(blocks),
        float(edges),
        float(edges * run),
        float(outer),
        float((y[3] % 2 > 0) * spilled),
        _limited(node) * prod(y),
        1.0,
    )


def fully_connected_dsp(graph: Graph, node: Node) -> Features:
    """One row times eight columns, or four rows times two."""
    x, y = _ends(graph, node)
    terms = attr_int(node, "terms")
    rows = prod(x) // terms
    n = prod(y) // rows
    words, groups = _up(terms, 4), _up(n, 8)
    one = float(rows < 4)
    blocks, pairs = _up(rows, 4), _up(n, 2)
    return (
        one * rows * groups * words,
        one * rows * groups,
        one * rows,
        one * rows * (terms % 4 > 0) * terms,
        one * rows * (n % 8 > 0),
        (1 - one) * blocks * pairs * words,
        (1 - one) * blocks * pairs,
        (1 - one) * blocks * words,
        (1 - one) * blocks,
        (1 - one) * (rows % 4 > 0 or n % 2 > 0) * prod(y),
        _limited(node) * prod(y),
        1.0,
    )


def depthwise_conv_2d_dsp(graph: Graph, node: Node) -> Features:
    """Whole planes of a few channels."""
    return _planes(graph, node, graph.tensors[node.outputs[0]].shape[1])


def depthwise_bands_dsp(graph: Graph, node: Node) -> Features:
    """Bands of rows, all channels of each."""
    return _planes(graph, node, attr_int(node, "band"))


def conv_2d_mve(graph: Graph, node: Node) -> Features:
    """Two pixels times four channels, 16 terms at a time."""
    return _conv(graph, node, block=2, columns=4, step=16)


def fully_connected_mve(graph: Graph, node: Node) -> Features:
    """One or two rows times four columns."""
    return _dense(graph, node, attr_int(node, "terms"), block=2, columns=4, step=16)


def depthwise_conv_2d_mve(graph: Graph, node: Node) -> Features:
    """Row by row, 16 channels at a time, as columns of three pixels."""
    x, y = _ends(graph, node)
    groups, quads = _up(x[3], 16), _up(x[3], 4)
    rows = x[0] * y[1]
    return (
        float(rows * y[2] * quads),
        float(rows * x[2] * quads),
        float(rows * y[2] * groups),
        float(rows * x[2] * groups),
        float(rows * groups),
        float(rows),
        1.0,
    )


def conv_2d_small(graph: Graph, node: Node) -> Features:
    """Four pixels times four channels; or one pixel."""
    y = graph.tensors[node.outputs[0]].shape
    tiled = bool(node.attrs["tiled"])
    values = _conv(graph, node, block=4 if tiled else 1, columns=4, step=1)
    zeros = (0.0,) * (len(values) - 1)
    outputs = float(prod(y))
    return (
        *(values[:-1] if tiled else zeros),
        *(zeros if tiled else values[:-1]),
        outputs,
        1.0,
    )


def fully_connected_small(graph: Graph, node: Node) -> Features:
    """One row times four columns, or four rows."""
    weights = graph.tensors[node.inputs[1]].shape
    tiled = float(bool(node.attrs["tiled"]))
    x, y = _ends(graph, node)
    terms = weights[1]
    rows = prod(x) // terms
    n = prod(y) // rows
    several = _product(rows, n, terms, block=4, columns=4, step=1)
    single = _product(rows, n, terms, block=1, columns=4, step=1)
    return (
        *(tiled * value for value in several),
        *((1 - tiled) * value for value in single),
        float(rows * n),
        1.0,
    )


def depthwise_conv_2d_small(graph: Graph, node: Node) -> Features:
    """One channel after the other, in a plane of bytes."""
    x, y = _ends(graph, node)
    weights = graph.tensors[node.inputs[1]].shape
    taps = weights[1] * weights[2]
    fast = float(weights[1:] == (3, 3))
    outputs = prod(y)
    return (
        fast * outputs,
        (1 - fast) * outputs * taps,
        (1 - fast) * outputs,
        float(outputs),
        float(prod(x)),
        float(x[0] * x[1] * x[3]),
        float(y[0] * y[1] * y[3]),
        float(x[0] * x[3]),
        1.0,
    )


def add_small(graph: Graph, node: Node) -> Features:
    """Two tables, then an output after the other."""
    return float(prod(graph.tensors[node.outputs[0]].shape)), 1.0


FEATURES = {
    "conv_2d_dsp": conv_2d_dsp,
    "fully_connected_dsp": fully_connected_dsp,
    "depthwise_conv_2d_dsp": depthwise_conv_2d_dsp,
    "depthwise_bands_dsp": depthwise_bands_dsp,
    "conv_2d_mve": conv_2d_mve,
    "fully_connected_mve": fully_connected_mve,
    "depthwise_conv_2d_mve": depthwise_conv_2d_mve,
    "add_small": add_small,
    "conv_2d_small": conv_2d_small,
    "fully_connected_small": fully_connected_small,
    "depthwise_conv_2d_small": depthwise_conv_2d_small,
}
