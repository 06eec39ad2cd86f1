"""What kernels cost on a core: bytes of code, and instructions as a function of shapes.

The instruction count of a node is the scalar product of a feature vector, computed here from its
shapes as the loops of the kernel run, and coefficients measured in the emulator. Coefficients and
code sizes are in `costs.toml`; `python -m tools.calibrate` writes it anew after a change of kernels
or compiler.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgekit.export import packed_costs, portable_costs, state_costs, text_costs, wide_costs
from edgekit.graph import Graph, Node
from edgekit.ops import kernel

TABLE = Path(__file__).resolve().parent / "costs.toml"

Features = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CoreCosts:
    """Costs on one core.

    Attributes:
        base_flash_bytes: The agent without any kernel, 0 if it was not measured.
        static_ram_bytes: Its memory without arena, feature cache and stack.
        bench_flash_bytes: The firmware of a board without an agent, without any kernel; 0 if it
            was not measured.
        bench_ram_bytes: Its memory without arena and stack.
        parts: Bytes of each function that kernels share or own.
        op_parts: Functions that a kernel needs.
        run: Coefficients of a whole run, beside its nodes: once, per node, per byte of input and
            output.
        ops: Coefficients of each kernel, as many as `features` returns.
    """

    base_flash_bytes: int
    static_ram_bytes: int
    bench_flash_bytes: int
    bench_ram_bytes: int
    parts: dict[str, int]
    op_parts: dict[str, tuple[str, ...]]
    run: Features
    ops: dict[str, Features]

    def firmware_bytes(self, ops: tuple[str, ...], *, agent: bool = True) -> int:
        """Return the flash of a firmware with these kernels."""
        names = {part for op in ops for part in self.op_parts.get(op, ())}
        base = self.base_flash_bytes if agent else self.bench_flash_bytes
        return base + sum(self.parts[name] for name in names)

    def node_instructions(
        self, graph: Graph, node: Node, offsets: Sequence[int] = ()
    ) -> float | None:
        """Return the predicted instructions of one node, None for a kernel without coefficients."""
        coefficients = self.ops.get(node.op)
        if coefficients is None or node.op not in FEATURES:
            return None
        *growing, once = FEATURES[node.op](graph, node)
        moved = moved_share(graph, node, offsets)
        values = (*(moved * value for value in growing), once)
        return max(0.0, sum(c * v for c, v in zip(coefficients, values, strict=True)))

    def instructions(self, graph: Graph, offsets: Sequence[int] = ()) -> int | None:
        """Return the predicted instructions of one inference, None if a kernel is not known.

        Args:
            graph: Of kernels.
            offsets: Of each tensor in the arena; without them nothing is taken to lie in place.
        """
        if not self.run:
            return None
        total = sum(c * v for c, v in zip(self.run, run_features(graph), strict=True))
        for node in graph.nodes:
            cost = self.node_instructions(graph, node, offsets)
            if cost is None:
                return None
            total += cost
        return round(total)


def moved_share(graph: Graph, node: Node, offsets: Sequence[int]) -> float:
    """Return which part of its inputs a slice or concatenation moves: what lies in place stays."""
    views = kernel(node.op)
    places = views.views(graph, node) if views is not None and offsets else ()
    sizes = [graph.tensors[index].nbytes for index in node.inputs[: len(places)]]
    there = sum(
        size
        for index, place, size in zip(node.inputs, places, sizes, strict=False)
        if place is not None
        and graph.tensors[index].data is None
        and offsets[index] == offsets[node.outputs[0]] + place
    )
    return 1.0 - there / sum(sizes) if sizes else 1.0


ALIKE = {"cortex-m7": "cortex-m4"}
"""Cores that run the code of another, nearly instruction by instruction."""


def costs_of(core: str) -> CoreCosts | None:
    """Return the costs on a core, or on one that is alike; None if neither was measured."""
    return load_costs().get(ALIKE.get(core, core))


@lru_cache(maxsize=1)
def load_costs() -> dict[str, CoreCosts]:
    """Read the table, by core."""
    document = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return {
        core: CoreCosts(
            base_flash_bytes=int(values.get("base_flash_bytes", 0)),
            static_ram_bytes=int(values.get("static_ram_bytes", 0)),
            bench_flash_bytes=int(values.get("bench_flash_bytes", 0)),
            bench_ram_bytes=int(values.get("bench_ram_bytes", 0)),
            parts={name: int(size) for name, size in values["parts"].items()},
            op_parts={name: tuple(parts) for name, parts in values["op_parts"].items()},
            run=tuple(float(value) for value in values.get("run", ())),
            ops={
                name: tuple(map(float, row)) for name, row in values.get("instructions", {}).items()
            },
        )
        for core, values in document.items()
    }


def run_features(graph: Graph) -> Features:
    """Return what a run does beside its nodes."""
    ends = [graph.tensors[index].nbytes for index in (*graph.inputs, *graph.outputs)]
    return (1.0, float(len(graph.nodes)), float(sum(ends)))


FEATURES: dict[str, Callable[[Graph, Node], Features]] = {
    **portable_costs.FEATURES,
    **packed_costs.FEATURES,
    **state_costs.FEATURES,
    **text_costs.FEATURES,
    **wide_costs.FEATURES,
}
"""What an instruction count is a scalar product of, by kernel."""
