"""Reading the MODEL argument of commands: a `.tflite`, or an image that edgekit made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ConfigError

if TYPE_CHECKING:
    from edgekit.config import Config
    from edgekit.export.compile import CompiledModel


def load_model(
    path: Path,
    *,
    rounding: str = "litert",
    family: str = "portable",
    fuse: bool = False,
    patches: int = 1,
    pairs: bool = False,
    head: bool = False,
) -> CompiledModel:
    """Compile a `.tflite` for a kernel family, or take an `.ekm` as it is.

    Args:
        head: Make the last dense layer of a `.tflite` trainable.
        patches: As for `compile_tflite`; so are rounding, family, fuse and pairs.

    Raises:
        ConfigError: If the file has another ending, cannot be read, or is an image to be fused,
            patched or paired.
        FormatError: If its content is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    from edgekit.export.compile import compile_tflite

    data = _read(path)
    if path.suffix != ".ekm":
        return compile_tflite(
            data,
            name=path.stem,
            rounding=rounding,
            family=family,
            fuse=fuse,
            patches=patches,
            pairs=pairs,
            head=head,
        )
    if fuse or patches > 1 or pairs:
        flag = "--fuse" if fuse else "--patches" if patches > 1 else "--pairs"
        raise ConfigError(f"{path.name}: {flag} needs the .tflite, an image is compiled already")
    return describe_image(data)


def compile_for_project(path: Path, config: Config, *, family: str = "portable") -> CompiledModel:
    """Compile a `.tflite` with all that the project knows: input, labels, licences, head, fusion.

    Raises:
        ConfigError: If the file is no `.tflite`, cannot be read or does not fit the data.
        FormatError: If its content is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    if path.suffix != ".tflite":
        raise ConfigError(f"{path.name}: only a .tflite is compiled for a project")
    if config.project.task == "text":
        from edgekit.export.text import open_text_project
        from edgekit.export.text_image import compile_for_text

        return compile_for_text(_read(path), open_text_project(config), config, family=family)
    from edgekit.data import load_dataset
    from edgekit.export.project import compile_for_dataset

    return compile_for_dataset(
        _read(path),
        load_dataset(config.data.dataset),
        name=config.project.name,
        version=config.project.version,
        license=config.project.license,
        head=config.learn.head or config.learn.enabled,
        head_mode=config.learn.mode,
        max_classes=config.learn.max_classes,
        rounding=config.export.rounding,
        fuse=config.export.fuse,
        patches=config.export.patches,
        pairs=config.export.pairs,
        family=family,
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
    from edgekit.export.compile import CompiledModel, layer_costs
    from edgekit.formats.image_reader import read_image
    from edgekit.passes.storage import live_bytes

    parsed = read_image(image)
    layers = layer_costs(parsed.graph, live_bytes(parsed.graph))
    return CompiledModel(
        image=image,
        id=parsed.id,
        meta=parsed.meta,
        arena_bytes=parsed.plan.arena_bytes,
        flash_bytes=len(image),
        macs=sum(layer.macs for layer in layers),
        ops=parsed.meta.kernel_ops,
        layers=layers,
    )
