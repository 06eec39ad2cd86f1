"""Reading the MODEL argument of commands: a `.tflite`, or an image that edgekit made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ConfigError

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel


def load_model(path: Path, *, rounding: str = "litert") -> CompiledModel:
    """Compile a `.tflite`, or take an `.ekm` as it is.

    Raises:
        ConfigError: If the file has another ending or cannot be read.
        FormatError: If its content is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    from edgekit.export.compile import compile_tflite

    if path.suffix not in (".tflite", ".ekm"):
        raise ConfigError(f"{path.name}: a model is a .tflite or .ekm file")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if path.suffix == ".ekm":
        return describe_image(data)
    return compile_tflite(data, name=path.stem, rounding=rounding)


def describe_image(image: bytes) -> CompiledModel:
    """Return an image with its costs, which are read off its graph.

    Raises:
        FormatError: If it is malformed.
    """
    from edgekit.export.compile import CompiledModel, LayerCost
    from edgekit.formats.image import read_image
    from edgekit.ops import kernel
    from edgekit.passes.plan import plan_memory

    parsed = read_image(image)
    graph = parsed.graph
    live = plan_memory(graph).live_bytes
    layers = []
    for node, arena_bytes in zip(graph.nodes, live, strict=True):
        found = kernel(node.op)
        assert found is not None
        outputs = sum(graph.tensors[index].elements for index in node.outputs)
        layers.append(LayerCost(node.name, node.op, found.macs(graph, node), outputs, arena_bytes))
    return CompiledModel(
        image=image,
        id=parsed.id,
        meta=parsed.meta,
        arena_bytes=parsed.plan.arena_bytes,
        flash_bytes=len(image),
        macs=sum(layer.macs for layer in layers),
        ops=parsed.meta.kernel_ops,
        layers=tuple(layers),
    )
