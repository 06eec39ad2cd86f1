"""Compiling a model together with the data set it was trained on."""

from __future__ import annotations

from edgekit.data.dataset import Dataset
from edgekit.errors import ConfigError
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.formats.image import Features
from edgekit.formats.tflite import read_tflite
from edgekit.quantize.interpreter import TensorQuant, input_table

GOLDEN = 4
"""Raw samples in an image that a device checks before it becomes active."""


def compile_for_dataset(
    source: bytes,
    dataset: Dataset,
    *,
    name: str,
    version: str,
    license: str,
    head: bool | str = True,
    head_mode: str = "widen",
    max_classes: int = 0,
    rounding: str = "litert",
    family: str = "portable",
    fuse: bool = False,
    patches: int = 1,
    pairs: bool = False,
) -> CompiledModel:
    """Compile a `.tflite` with the table of its input, labels, licences and golden vectors.

    Args:
        head: As for `compile_tflite`; so are head_mode, max_classes, rounding, family, fuse,
            patches and pairs.

    Raises:
        ConfigError: If the model does not fit the data.
        FormatError: If the file is malformed.
        UnsupportedError: If it needs what edgekit does not do; names node and operator.
    """
    golden = dataset.acceptance.raw[:GOLDEN].reshape(GOLDEN, -1)
    graph = read_tflite(source, name=name)
    x, y = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    if x.quant is None or x.elements != golden.shape[1] or y.elements != len(dataset.label_names):
        raise ConfigError(
            f"model '{name}' turns {x.elements} values into {y.elements}, data set"
            f" '{dataset.name}' has {golden.shape[1]} and {len(dataset.label_names)} classes"
        )
    quant = TensorQuant(float(x.quant.scales[0]), int(x.quant.zero_points[0]))
    return compile_tflite(
        source,
        name=name,
        version=version,
        task=dataset.task,
        labels=dataset.label_names,
        license=license,
        data_license=dataset.data_license,
        features=Features(kind="lut_u8", table=input_table(quant, max_value=dataset.max_value)),
        head=head,
        head_mode=head_mode,
        max_classes=max_classes,
        raw_golden=golden,
        rounding=rounding,
        family=family,
        fuse=fuse,
        patches=patches,
        pairs=pairs,
    )
