"""Text models with their data: measuring the int8 file.

Accuracy "on the board" is that of the C runtime on this machine, which gives the board's bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config import Config
from edgekit.data.text import TextDataset, TextPart, load_text
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import QuantizationError, StoreError
from edgekit.export.compile import compile_tflite
from edgekit.formats.tflite import read_tflite
from edgekit.models.saved import unpack_arrays
from edgekit.runtime import Runner
from edgekit.train.metrics import measure
from edgekit.train.text_projects import text_project_job, text_source

Array = NDArray[Any]
LOST_SHARE = 0.01
"""Share of the test rows that int8 may lose, if that is more than [accept] max_worse."""


@dataclass(frozen=True, slots=True)
class TextReport:
    """What quantization cost, measured with the C runtime on all rows.

    Attributes:
        labels: Kind of the labels; `label_names` the classes.
        float_test: Metrics of the Keras model on the test part; `int8_test` of the file.
        int8_validation: Of the file, on the part that decides whether it is published.
        worse: Right answers lost on the test part, net of those gained; 0 for numbers.
        agreement: Share of test rows to which both answer alike.
        ops: How often the file has each operator.
        bytes: Size of the file.
        weight_bytes: Of its constants, multipliers left out.
        float_confusion: Rows are true classes, columns answers of the Keras model; empty unless
            the labels are "single".
        confusion: The same of the file.
    """

    labels: str
    label_names: tuple[str, ...]
    float_test: dict[str, float]
    int8_test: dict[str, float]
    int8_validation: dict[str, float]
    worse: int
    agreement: float
    ops: dict[str, int]
    bytes: int
    weight_bytes: int
    float_confusion: tuple[tuple[int, ...], ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TextProject:
    """The trained model of a text project, with its data."""

    run: Path
    data: TextDataset
    tokenizer: Tokenizer
    threshold: float


def open_text_project(config: Config, run: Path | None = None) -> TextProject:
    """Read the data of a text project and the tokenizer of its run.

    Raises:
        StoreError: If it is not trained.
        FormatError: If a file of data is broken.
    """
    folder = run if run is not None else text_project_job(config).run
    if not (folder / "result.json").is_file():
        raise StoreError(f"{folder}: has no trained model; run 'edgekit train' first")
    data = load_text(text_source(config), name=config.project.name)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    return TextProject(folder, data, tokenizer, config.text_train.threshold)


def answer_texts(source: bytes, tokenizer: Tokenizer, texts: tuple[str, ...]) -> Array:
    """Run texts through the C runtime: real logits, float32 [N, outputs]."""
    compiled = compile_tflite(source, name="model")
    return answer_ids(compiled.image, tokenizer, texts)


def answer_ids(image: bytes, tokenizer: Tokenizer, texts: tuple[str, ...]) -> Array:
    """Run texts through an image by their ids: real logits, float32 [N, outputs]."""
    runner = Runner(image)
    graph = runner.image.graph
    length = graph.tensor(graph.inputs[0]).elements
    outputs = runner.run(tokenizer.encode_batch(texts, length)).reshape(len(texts), -1)
    quant = graph.tensor(graph.outputs[0]).quant
    if quant is None:
        raise QuantizationError("the model's output has no scale")
    scale, zero = np.float32(quant.scale), np.float32(quant.zero_point)
    return np.asarray((outputs.astype(np.float32) - zero) * scale)


def measure_text(source: bytes, project: TextProject, *, fuse: bool = False) -> TextReport:
    """Measure an int8 file beside the float model that it was made from.

    Args:
        source: The `.tflite`.
        project: Where it comes from; its run has the answers of the float model.
        fuse: Measure the file with operators of our own in place of chains.

    Raises:
        StoreError: If the answers of the float model are missing.
        UnsupportedError: If the file needs what edgekit does not do.
    """
    data = project.data
    reference = project.run / "reference.npz"
    if not reference.is_file():
        raise StoreError(f"{reference} is not there; 'edgekit quantize' makes it")
    _, floats = unpack_arrays(reference)
    rows = {part: len(getattr(data, part)) for part in ("validation", "test")}
    if rows != {part: len(floats[part]) for part in rows}:
        raise StoreError(f"{reference}: was made with other data; run 'edgekit quantize' again")
    compiled = compile_tflite(source, name=data.name, fuse=fuse)
    answers = {
        part: answer_ids(compiled.image, project.tokenizer, getattr(data, part).texts)
        for part in ("validation", "test")
    }
    graph = read_tflite(source, name=data.name)
    weights = sum(t.data.nbytes for t in graph.tensors if t.data is not None)

    def scores(part: TextPart, logits: Array) -> dict[str, float]:
        return measure(data.labels, part.labels, logits, threshold=project.threshold)

    right = [
        _right(data, logits, project.threshold) for logits in (floats["test"], answers["test"])
    ]
    return TextReport(
        labels=data.labels,
        label_names=data.label_names,
        float_test=scores(data.test, floats["test"]),
        int8_test=scores(data.test, answers["test"]),
        int8_validation=scores(data.validation, answers["validation"]),
        worse=int(right[0].sum() - right[1].sum()),
        agreement=_agreement(data, floats["test"], answers["test"], project.threshold),
        ops=dict(sorted(Counter(node.op for node in graph.nodes).items())),
        bytes=len(source),
        weight_bytes=int(weights),
        float_confusion=_confusion(data, floats["test"]),
        confusion=_confusion(data, answers["test"]),
    )


def refuse_worse(report: TextReport, *, name: str, rows: int, max_worse: int) -> None:
    """Raise QuantizationError if int8 loses more right answers than it may.

    Args:
        report: What was measured.
        name: What messages call the model.
        rows: Of the test part.
        max_worse: From [accept].
    """
    allowed = max(max_worse, round(LOST_SHARE * rows))
    if report.worse > allowed:
        raise QuantizationError(
            f"model {name!r}: int8 loses {report.worse} of {rows} test rows,"
            f" at most {allowed} are allowed; more 'calibration_samples' in [export] may help"
        )


def _right(data: TextDataset, logits: Array, threshold: float) -> Array:
    labels = data.test.labels
    if data.labels == "number":
        return np.zeros(len(labels), dtype=bool)
    if data.labels == "multi":
        return np.asarray(np.all(_chosen(logits, threshold) == (labels > 0), axis=1))
    return np.asarray(logits.argmax(axis=1) == labels)


def _agreement(data: TextDataset, one: Array, two: Array, threshold: float) -> float:
    if data.labels == "number":
        return float(np.mean(np.abs(one - two) <= 0.1 * np.std(data.test.labels)))
    if data.labels == "multi":
        return float(np.mean(np.all(_chosen(one, threshold) == _chosen(two, threshold), axis=1)))
    return float(np.mean(one.argmax(axis=1) == two.argmax(axis=1)))


def _chosen(logits: Array, threshold: float) -> Array:
    clipped = min(max(threshold, 1e-7), 1 - 1e-7)
    return np.asarray(logits > np.log(clipped / (1 - clipped)))


def _confusion(data: TextDataset, logits: Array) -> tuple[tuple[int, ...], ...]:
    if data.labels != "single":
        return ()
    classes = len(data.label_names)
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (data.test.labels, logits.argmax(axis=1)), 1)
    return tuple(tuple(row) for row in table.tolist())
