"""What lies where in the arena, layer by layer: as data, and drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.errors import ConfigError, ToolError
from edgekit.export.compile import CompiledModel
from edgekit.export.report import TensorLife
from edgekit.formats.image import Image
from edgekit.formats.image_reader import read_image
from edgekit.passes.storage import Lives, scratch_bytes

ENDINGS = (".svg", ".png")


def memory_map(image: Image) -> tuple[TensorLife, ...]:
    """Return the place and life of every activation, then those of each layer's scratch.

    A tensor has the name of the layer that writes it. Lives count layers from 0; the model's input
    begins with the first, its output ends with the last.
    """
    graph, plan = image.graph, image.plan
    lives, layers = Lives.of(graph), len(graph.nodes)
    names = {index: node.name for node in graph.nodes for index in node.outputs}
    found = []
    for index, tensor in enumerate(graph.tensors):
        if tensor.data is None:
            first, last = max(0, lives.first[index]), min(layers - 1, lives.last[index])
            name = names.get(index, "input")
            place = plan.offsets[index]
            found.append(TensorLife(name, place, tensor.nbytes, first, max(first, last)))
    for position, node in enumerate(graph.nodes):
        size = scratch_bytes(graph, node)
        if size:
            name = f"{node.name} scratch"
            found.append(TensorLife(name, plan.scratch[position], size, position, position))
    return tuple(found)


def arena_facts(model: CompiledModel) -> dict[str, Any]:
    """Return what JSON says about the arena: its lower bound, the layer that sets it, the map."""
    peak = max(model.layers, key=lambda layer: layer.arena_bytes, default=None)
    return {
        "arena_bound_bytes": 0 if peak is None else peak.arena_bytes,
        "arena_peak_layer": "" if peak is None else peak.name,
        "arena_map": [asdict(life) for life in memory_map(read_image(model.image))],
    }


def draw_memory_map(model: CompiledModel, path: Path, instructions: Sequence[float] = ()) -> None:
    """Draw tensors as bars: layers to the right, addresses upwards. Equal models, equal files.

    Args:
        path: Ends in .svg or .png.
        instructions: Of each layer; drawn above the arena.

    Raises:
        ConfigError: If it ends otherwise or cannot be written.
        ToolError: If matplotlib is missing.
    """
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{path.name}: a plot is a .svg or .png file")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ToolError("a plot needs matplotlib: pip install 'edgekit[plot]'") from exc
    with matplotlib.rc_context({"svg.hashsalt": "edgekit", "svg.fonttype": "none"}):
        rows = 2 if instructions else 1
        figure = Figure(figsize=(10, 4 + 3 * rows), layout="constrained")
        axes = figure.add_subplot(rows, 1, rows)
        _fill(axes, read_image(model.image))
        if instructions:
            above = figure.add_subplot(rows, 1, 1, sharex=axes)
            above.bar(range(len(instructions)), instructions, color="C0")
            above.set_ylabel("instructions")
            above.set_title(f"{sum(instructions):,.0f} instructions in {len(instructions)} layers")
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc


def _fill(axes: Any, image: Image) -> None:
    for number, life in enumerate(memory_map(image)):
        is_scratch = life.name.endswith(" scratch")
        axes.bar(
            (life.first + life.last) / 2,
            life.bytes,
            width=life.last - life.first + 0.9,
            bottom=life.offset,
            color="0.6" if is_scratch else f"C{number % 10}",
            alpha=0.55,
            edgecolor="black",
            linewidth=0.5,
        )
    axes.axhline(image.plan.arena_bytes, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("layer")
    axes.set_ylabel("offset in the arena, bytes")
    axes.set_title(f"{image.meta.name}: arena of {image.plan.arena_bytes:,} bytes")
    axes.margins(x=0.01)
