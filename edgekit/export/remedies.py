"""What would make a model fit a board: the cheapest ways, each with its numbers.

A way costs the share of the model's multiply-accumulates that it gives up. Building with fewer
kernels costs nothing; another board is counted as dear as half of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.graph import Graph
from edgekit.ops import FAMILIES
from edgekit.passes.pack import unpack
from edgekit.passes.pair import joined_macs, joined_pairs, pair
from edgekit.passes.patch import arena_of, macs_of, patch
from edgekit.passes.schedule import schedule

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel

BOARD_COST = 0.5
WAYS = 2
_NAMED = 3
_SCRATCH_RESERVE = 0.9
"""What is live at a layer includes scratch, which does not shrink with its channels."""

_PATCHES = 8
"""More patches hardly save more, and compute more rows twice."""

_SLOWDOWN = 1.25
"""Instructions of a pair in one portable kernel, against those of a packed pointwise layer behind a
depthwise one with a channel multiplier: 1.04 on M3 to 1.25 on M55."""

_HEAVIEST = 0.9
"""Of its weights a layer can lose at most so many before it is nothing."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way.

    Attributes:
        text: One sentence.
        cost: Share of the multiply-accumulates that it gives up, or adds.
        kind: "input", "pairs", "patches", "layers", "weights", "kernels" or "board".
        layers: Names of the layers that it changes.
        factor: What is kept of the input's sides, of the layers' live bytes, or of their weights.
    """

    text: str
    cost: float
    kind: str
    layers: tuple[str, ...] = ()
    factor: float = 1.0


def for_arena(model: CompiledModel, graph: Graph, room: int, beside: int) -> list[Remedy]:
    """Return ways to bring the arena down to room bytes, the cheapest first.

    Args:
        beside: Bytes beside the arena that grow with the input; they are not in room.
    """
    if not model.layers:
        return []
    ways = []
    total = max(1, model.macs)
    large = [layer for layer in model.layers if layer.arena_bytes > room]
    peak = max(model.layers, key=lambda layer: layer.arena_bytes)
    if large and room > 0:
        lost = sum(layer.macs * (1 - room / layer.arena_bytes) for layer in large)
        factor = _SCRATCH_RESERVE * room / peak.arena_bytes
        ways.append(
            Remedy(
                f"make {_named([layer.name for layer in large])} smaller: up to"
                f" {peak.arena_bytes:,} bytes are live there ('{peak.name}'), {room:,} may be:"
                f" about {factor:.0%} of the channels",
                lost / total,
                "layers",
                tuple(layer.name for layer in large),
                factor,
            )
        )
    shape = graph.tensors[graph.inputs[0]].shape
    if len(shape) == 4 and min(shape[1:3]) > 1 and room + beside > 0:
        side = math.sqrt((room + beside) / (peak.arena_bytes + beside))
        small = [max(1, math.floor(n * side)) for n in shape[1:3]]
        ways.append(
            Remedy(
                f"feed it about {small[0]} x {small[1]} instead of {shape[1]} x {shape[2]}: what is"
                f" live shrinks with the area, to {side * side:.0%}, the weights stay",
                1 - side * side,
                "input",
                (),
                side,
            )
        )
    ways += _in_pairs(model, graph, room)
    ways += _in_patches(model, graph, room)
    return sorted(ways, key=lambda way: way.cost)


def _in_pairs(model: CompiledModel, graph: Graph, room: int) -> list[Remedy]:
    """Return that depthwise layers run with the pointwise ones behind, if the arena then has room.

    They take no more multiply-accumulates, but a core with packed kernels runs them slower.
    """
    whole = unpack(graph)
    paired = pair(whole)
    family = model.meta.kernel_family
    count = joined_pairs(paired) - joined_pairs(whole)
    arena = arena_of(schedule(paired), family) if count else room + 1
    if arena > room:
        return []
    share = (joined_macs(paired) - joined_macs(whole)) / max(1, model.macs)
    slower = (_SLOWDOWN - 1) * share if FAMILIES[family] else 0.0
    text = (
        f"run {count} of its depthwise layers with the pointwise ones behind (--pairs): the arena"
        f" becomes {arena:,} bytes, the outputs stay"
    )
    if slower:
        text += f", {share:.0%} of its multiply-accumulates get slower"
    return [Remedy(text, slower, "pairs")]


def _in_patches(model: CompiledModel, graph: Graph, room: int) -> list[Remedy]:
    """Return the fewest patches of the first layers with which the arena has room, if any do."""
    whole = unpack(graph)
    before = macs_of(whole)
    for count in range(2, _PATCHES + 1):
        patched = patch(whole, count)
        if patched is whole:
            continue
        arena = arena_of(patched, model.meta.kernel_family)
        if arena <= room:
            more = macs_of(patched) / max(1, before) - 1
            text = (
                f"run its first layers in {count} patches (--patches {count}): the arena becomes"
                f" {arena:,} bytes, the multiply-accumulates grow by {more:.1%}"
            )
            return [Remedy(text, more, "patches")]
    return []


def for_weights(model: CompiledModel, graph: Graph, room: int) -> list[Remedy]:
    """Return ways to bring the image down to room bytes, the cheapest first."""
    excess = len(model.image) - room
    if room <= 0 or not model.layers:
        return []
    weights = _weight_bytes(graph)
    total = max(1, model.macs)
    ways = []
    by_weight = sorted(
        zip(weights, model.layers, strict=True), key=lambda pair: (pair[1].macs, -pair[0])
    )
    for held, layer in by_weight:
        if held * _HEAVIEST >= excess:
            factor = 1 - excess / held
            ways.append(
                Remedy(
                    f"make layer '{layer.name}' lighter: {held:,} of the image's"
                    f" {len(model.image):,} bytes are its constants, {held - excess:,} may be",
                    layer.macs / total * (1 - factor),
                    "weights",
                    (layer.name,),
                    factor,
                )
            )
    held = sum(weights)
    if held * _HEAVIEST >= excess:
        factor = 1 - excess / held
        ways.append(
            Remedy(
                f"make all layers narrower, to {math.sqrt(factor):.0%} of their channels: the"
                f" image shrinks from {len(model.image):,} to some {room:,} bytes",
                1 - factor,
                "weights",
                tuple(layer.name for layer in model.layers),
                factor,
            )
        )
    return sorted(ways, key=lambda way: way.cost)


def cheapest(parts: Sequence[Sequence[Remedy]], boards: Sequence[Remedy]) -> tuple[Remedy, ...]:
    """Return the two cheapest ways that put everything right.

    Args:
        parts: Per reason its remedies, the cheapest first; one of each is needed.
        boards: Boards that the model fits as it is, the smallest first.
    """
    ways = list(boards[:1])
    for number in range(WAYS if parts and all(parts) else 0):
        chosen = [part[min(number, len(part) - 1)] for part in parts]
        cost = 1 - math.prod(1 - remedy.cost for remedy in chosen)
        text = "; and ".join(remedy.text for remedy in chosen)
        layers = tuple(dict.fromkeys(name for remedy in chosen for name in remedy.layers))
        factor = min(remedy.factor for remedy in chosen)
        way = Remedy(text, cost, chosen[0].kind, layers, factor)
        if way.text not in {other.text for other in ways}:
            ways.append(way)
    return tuple(sorted(ways, key=lambda way: way.cost)[:WAYS])


def _weight_bytes(graph: Graph) -> list[int]:
    """Return the bytes of constants of each node; a shared one counts where it is read first."""
    seen: set[int] = set()
    sizes = []
    for node in graph.nodes:
        mine = {i for i in node.inputs if i >= 0 and graph.tensors[i].data is not None} - seen
        seen |= mine
        sizes.append(sum(graph.tensors[index].nbytes for index in mine))
    return sizes


def _named(names: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:_NAMED])
    if len(names) == 1:
        return f"layer {listed}"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"layers {listed}{more}"
