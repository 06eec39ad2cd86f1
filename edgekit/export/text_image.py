"""Compiling a text model with its tokenizer, labels and licences."""

from __future__ import annotations

from edgekit.config import Config
from edgekit.data.token_table import text_features
from edgekit.errors import ConfigError
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.text import TextProject
from edgekit.formats.tflite import read_tflite

TASKS = {"single": "text-classification", "multi": "text-tagging", "number": "text-regression"}


def compile_for_text(
    source: bytes,
    project: TextProject,
    config: Config,
    *,
    family: str = "portable",
) -> CompiledModel:
    """Compile a `.tflite` with tokenizer, labels, licences and golden vectors of its project.

    Raises:
        ConfigError: If the model does not fit the data.
        FormatError: If the file is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    data, name = project.data, config.project.name
    graph = read_tflite(source, name=name)
    x, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if x.dtype.value != "int32" or y.elements != data.outputs:
        raise ConfigError(
            f"model '{name}' turns {x.dtype.value} into {y.elements} values, project"
            f" '{name}' needs int32 token ids and {data.outputs} values"
        )
    return compile_tflite(
        source,
        name=name,
        version=config.project.version,
        task=TASKS[data.labels],
        labels=data.label_names,
        license=config.project.license,
        data_license=config.text_data.license,
        features=text_features(project.tokenizer),
        head=config.learn.head or config.learn.enabled,
        head_mode=config.learn.mode,
        max_classes=config.learn.max_classes,
        rounding=config.export.rounding,
        fuse=config.export.fuse,
        patches=config.export.patches,
        family=family,
    )
