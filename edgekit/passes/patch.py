"""Run the first layers patch by patch, so that their large maps never exist as a whole.

A patch is a stripe of rows over the full width: stripes of one tensor lie one behind the other, so
cutting and joining them costs no copying. Each stripe of the last patched layer is computed from
the input rows that it depends on; rows that two stripes need are computed twice. What lies outside
the image stays padding, at the borders of a stripe the neighbouring rows are read: every output
is the same byte.

Source: Lin, Chen, Cai, Gan, Han: MCUNetV2: Memory-efficient patch-based inference for tiny deep
learning, arXiv 2110.15352, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekit.graph import Attr, DType, Graph, Node
from edgekit.ops.base import Builder, attr_int
from edgekit.ops.fixed import Rounding
from edgekit.passes.drop import drop_unused
from edgekit.passes.lower import verify_kernels
from edgekit.passes.pack import pack
from edgekit.passes.plan import plan_memory
from edgekit.passes.schedule import schedule
from edgekit.passes.storage import ALIGN, kernel_of, live_bytes
from edgekit.passes.uses import Uses

MAX_PATCHES = 16
NEAR = 1.1
"""A peak of so many times the lowest is good too, if it takes less work."""

_WEIGHTED = ("conv_2d", "depthwise_conv_2d")
_POOLS = ("average_pool_2d", "max_pool_2d")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows [first, stop) of an image, and the padding above them that a window sees."""

    first: int
    stop: int
    pad: int = 0


def patch(graph: Graph, count: int) -> Graph:
    """Return the graph with its first layers run in so many patches; the outputs are equal.

    Of all numbers of layers whose peak of live bytes comes near the lowest, the one with the fewest
    multiply-accumulates is taken. Where none lowers the peak, the graph itself is returned.

    Args:
        graph: Of kernels, not packed.
        count: 2 to 16.
    """
    plain = max(live_bytes(graph), default=0)
    chain = first_layers(graph)
    found = []
    for length, last in enumerate(chain, start=1):
        if graph.tensor(last.outputs[0]).shape[1] < count:
            break
        tried = in_patches(graph, chain[:length], count)
        peak = max(live_bytes(tried))
        if peak < plain:
            found.append((peak, macs_of(tried), tried))
    near = NEAR * min((peak for peak, _, _ in found), default=0)
    good = [(macs, tried) for peak, macs, tried in found if peak <= near]
    return min(good, key=lambda pair: pair[0])[1] if good else graph


def patch_if_smaller(graph: Graph, count: int, family: str) -> tuple[Graph, str]:
    """Return the graph in an order of the least peak, patched if that makes its arena smaller.

    Args:
        graph: Of kernels, not packed.
        count: 2 to 16.
        family: Kernel family that it will be packed for.

    Returns:
        The graph, and one sentence about what was done.
    """
    plain, patched = schedule(graph), schedule(patch(graph, count))
    before, after = (arena_of(whole, family) for whole in (plain, patched))
    if after >= before:
        return plain, f"{count} patches need no smaller arena: layers run whole"
    text = (
        f"first layers run in {count} patches: arena {after:,} instead of {before:,} bytes,"
        f" {macs_of(patched):,} instead of {macs_of(plain):,} multiply-accumulates"
    )
    return patched, text


def arena_of(graph: Graph, family: str) -> int:
    """Return the bytes of the arena of a graph once it is packed for a family."""
    return plan_memory(pack(graph, family)).arena_bytes


def macs_of(graph: Graph) -> int:
    """Return the multiply-accumulates of a graph of kernels."""
    return sum(kernel_of(node).macs(graph, node) for node in graph.nodes)


def first_layers(graph: Graph) -> list[Node]:
    """Return the layers from the input on that can be patched, each the only reader of the last."""
    uses, index = Uses(graph), graph.inputs[0]
    chain: list[Node] = []
    while not uses.is_output(index) and len(uses.readers(index)) == 1:
        (node,) = uses.readers(index)
        if _splits(graph, node):
            chain.append(node)
        elif chain or node.op != "copy":
            break
        index = node.outputs[0]
    return chain


def _splits(graph: Graph, node: Node) -> bool:
    """Return whether rows of a node's output depend on some rows of its first input only."""
    x, y = graph.tensor(node.inputs[0]), graph.tensor(node.outputs[0])
    if len(x.shape) != 4 or x.shape[0] != 1 or x.dtype is not DType.INT8:
        return False
    if any(graph.tensor(index).data is None for index in node.inputs[1:]):
        return False
    if node.op == "lut":
        return x.shape == y.shape and y.dtype is DType.INT8
    if node.op not in (*_WEIGHTED, *_POOLS):
        return False
    # A window that begins below the image would need less than no padding above.
    return (y.shape[1] - 1) * attr_int(node, "stride_h") - attr_int(node, "pad_top") < x.shape[1]


def _needed(graph: Graph, node: Node, rows: _Rows) -> _Rows:
    """Return the rows of a node's input that some rows of its output depend on."""
    if node.op == "lut":
        return _Rows(rows.first, rows.stop)
    if node.op in _POOLS:
        reach = attr_int(node, "filter_h")
    else:
        taps = graph.tensor(node.inputs[1]).shape[1]
        reach = (taps - 1) * attr_int(node, "dilation_h") + 1
    stride, pad = attr_int(node, "stride_h"), attr_int(node, "pad_top")
    top = rows.first * stride - pad
    first = max(top, 0)
    stop = min((rows.stop - 1) * stride - pad + reach, graph.tensor(node.inputs[0]).shape[1])
    # Windows that see nothing but padding still get a row, and do not read it.
    return _Rows(first, max(stop, first + 1), first - top)


def in_patches(graph: Graph, chain: list[Node], count: int) -> Graph:
    """Return the graph with the layers of a chain run in patches; the outputs are equal.

    Args:
        chain: Of `first_layers`, one or more from the first on.
        count: At most as many as the last one's output has rows.
    """
    source, target = chain[0].inputs[0], chain[-1].outputs[0]
    height = graph.tensor(target).shape[1]
    builder = Builder(graph, Rounding.SINGLE, list(graph.tensors))
    cuts: list[Node] = []
    parts = []
    for number in range(count):
        needs = [_Rows(height * number // count, height * (number + 1) // count)]
        for node in reversed(chain):
            needs.insert(0, _needed(graph, node, needs[0]))
        index = _stripe(builder, source, needs[0])
        first = {"begin": (0, needs[0].first, 0, 0), "stride": (1, 1, 1, 1)}
        cut = Node(_name(chain[0], "rows", number), "strided_slice", (source,), (index,), first)
        # Views are cut first, so that input rows can go stripe by stripe; a copy when it is read.
        late = needs[0].first * graph.tensor(source).nbytes // graph.tensor(source).shape[1] % ALIGN
        (builder.nodes if late else cuts).append(cut)
        for node, rows, made in zip(chain, needs[:-1], needs[1:], strict=True):
            attrs: dict[str, Attr] = dict(node.attrs)
            if node.op != "lut":
                attrs["pad_top"] = rows.pad
            inputs = (index, *node.inputs[1:])
            index = _stripe(builder, node.outputs[0], made)
            name = _name(node, "patch", number)
            builder.nodes.append(Node(name, node.op, inputs, (index,), attrs))
        parts.append(index)
    joined = _name(chain[-1], "patches", count - 1)
    builder.nodes.append(Node(joined, "concatenation", tuple(parts), (target,), {"axis": 1}))
    gone = {node.outputs[0] for node in chain}
    position = min(i for i, node in enumerate(graph.nodes) if node.outputs[0] in gone)
    rest = [node for node in graph.nodes if node.outputs[0] not in gone]
    nodes = (*rest[:position], *cuts, *builder.nodes, *rest[position:])
    return verify_kernels(drop_unused(replace(graph, tensors=tuple(builder.tensors), nodes=nodes)))


def _stripe(builder: Builder, index: int, rows: _Rows) -> int:
    """Add a tensor for some rows of another."""
    whole = builder.source.tensor(index)
    shape = (1, rows.stop - rows.first, *whole.shape[2:])
    return builder.activation(f"{whole.name} from row {rows.first}", shape, whole.quant)


def _name(node: Node, what: str, number: int) -> str:
    return f"{node.name.split(';')[0]} {what} {number + 1}"
