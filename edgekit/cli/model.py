"""Reading the MODEL argument of commands: a `.tflite`, or an image that edgekit made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ConfigError

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.export.compile import CompiledModel

# Raw samples in an image that a device checks before it becomes active.
GOLDEN = 4


def load_model(path: Path, *, rounding: str = "litert") -> CompiledModel:
    """Compile a `.tflite`, or take an `.ekm` as it is.

    Raises:
        ConfigError: If the file has another ending or cannot be read.
        FormatError: If its content is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    from edgekit.export.compile import compile_tflite

    data = _read(path)
    if path.suffix == ".ekm":
        return describe_image(data)
    return compile_tflite(data, name=path.stem, rounding=rounding)


def compile_for_project(path: Path, config: Config) -> CompiledModel:
    """Compile a `.tflite` with all that the project knows: input, labels, licences, head.

    Raises:
        ConfigError: If the file is no `.tflite`, cannot be read or does not fit the data.
        FormatError: If its content is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    from edgekit.data import load_dataset
    from edgekit.export.compile import compile_tflite
    from edgekit.formats.image import Features
    from edgekit.formats.tflite import read_tflite
    from edgekit.quantize.interpreter import TensorQuant, input_table

    if path.suffix != ".tflite":
        raise ConfigError(f"{path.name}: only a .tflite is compiled for a project")
    data = _read(path)
    dataset = load_dataset(config.data.dataset)
    golden = dataset.acceptance.raw[:GOLDEN].reshape(GOLDEN, -1)
    graph = read_tflite(data, name=path.stem)
    x, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if x.quant is None or x.elements != golden.shape[1] or y.elements != len(dataset.label_names):
        raise ConfigError(
            f"{path.name}: turns {x.elements} values into {y.elements}, data set"
            f" '{config.data.dataset}' has {golden.shape[1]} and {len(dataset.label_names)} classes"
        )
    quant = TensorQuant(float(x.quant.scales[0]), int(x.quant.zero_points[0]))
    table = input_table(quant, max_value=dataset.max_value)
    return compile_tflite(
        data,
        name=config.project.name,
        version=config.project.version,
        task=dataset.task,
        labels=dataset.label_names,
        license=config.project.license,
        data_license=dataset.data_license,
        features=Features(kind="lut_u8", table=table),
        head=config.learn.head or config.learn.enabled,
        raw_golden=golden,
        rounding=config.export.rounding,
    )


def _read(path: Path) -> bytes:
    if path.suffix not in (".tflite", ".ekm"):
        raise ConfigError(f"{path.name}: a model is a .tflite or .ekm file")
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


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
