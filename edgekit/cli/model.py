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
    from edgekit.export.compile import compile_tflite, describe_image

    if path.suffix not in (".tflite", ".ekm"):
        raise ConfigError(f"{path.name}: a model is a .tflite or .ekm file")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if path.suffix == ".ekm":
        return describe_image(data)
    return compile_tflite(data, name=path.stem, rounding=rounding)
