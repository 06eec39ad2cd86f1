"""Compare an int8 file with the float model it was made from, and refuse it if they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from edgekit.data.dataset import Dataset, Float32Array, Part, UInt8Array
from edgekit.errors import FormatError, QuantizationError
from edgekit.quantize.interpreter import Int8Array, LiteModel, apply_table, input_table

MAX_MEAN_DIFFERENCE = 0.02
"""Mean difference of class probabilities that rounding explains; a broken conversion has 0.1."""
MAX_WORSE = 8
"""Samples of the test part that float gets right and int8 wrong, beyond those the other way."""
NEAR_CHANCE = 2.0
"""A float model below this many times the accuracy of guessing has no right answers to lose."""


@dataclass(frozen=True, slots=True)
class Int8Accuracy:
    """How often an int8 file is right.

    Attributes:
        accuracy: Share of right answers on the test part.
        acceptance_accuracy: The same on the acceptance part.
        confusion: Of the test part; rows are true classes, columns answers; counts.
    """

    accuracy: float
    acceptance_accuracy: float
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Int8Report:
    """What quantization cost, measured with LiteRT's reference kernels on the test part.

    Attributes:
        float_accuracy: Of the Keras model; `int8_accuracy` of the file.
        acceptance_accuracy: Of the file, on the acceptance part.
        worse: Right answers lost, net of those gained; may be negative.
        agreement: Share of samples on which both choose the same class.
        mean_difference: Mean absolute difference of the class probabilities.
        max_difference: Largest such difference.
        ops: How often the file has each operator.
        bytes: Size of the file.
        confusion: Rows are true classes, columns answers of the file; counts.
    """

    float_accuracy: float
    int8_accuracy: float
    acceptance_accuracy: float
    worse: int
    agreement: float
    mean_difference: float
    max_difference: float
    ops: dict[str, int]
    bytes: int
    confusion: tuple[tuple[int, ...], ...]


def classify(model: LiteModel, dataset: Dataset, part: Part) -> Int8Array:
    """Run every sample of a part as a device would: raw bytes, table, model; int8 [N, classes]."""
    table = input_table(model.input, max_value=dataset.max_value)
    return model.run(apply_table(table, part.raw))


def count_confusion(
    labels: UInt8Array, answers: np.ndarray[tuple[int], np.dtype[np.int64]], *, classes: int
) -> tuple[tuple[int, ...], ...]:
    """Count answers by true class (rows) and answer (columns)."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (labels, answers), 1)
    return tuple(tuple(row) for row in table.tolist())


def measure_int8(data: bytes, dataset: Dataset, *, name: str) -> Int8Accuracy:
    """Measure an int8 file by itself, on the test and the acceptance part.

    Raises:
        QuantizationError: If the file computes in float anywhere.
        FormatError: If LiteRT refuses it or it is not made for such samples.
    """
    model = LiteModel(data)
    refuse_float(model, name=name)
    if model.shape != dataset.test.raw.shape[1:]:
        raise FormatError(
            f"model {name!r} reads {list(model.shape)},"
            f" a sample of {dataset.name!r} is {list(dataset.test.raw.shape[1:])}"
        )
    answers = classify(model, dataset, dataset.test)
    classes = len(dataset.label_names)
    if answers.shape[1:] != (classes,):
        raise FormatError(
            f"model {name!r} answers {list(answers.shape[1:])},"
            f" {dataset.name!r} has {classes} classes"
        )
    chosen = answers.argmax(axis=1)
    accepted = classify(model, dataset, dataset.acceptance).argmax(axis=1)
    return Int8Accuracy(
        accuracy=float(np.mean(chosen == dataset.test.labels)),
        acceptance_accuracy=float(np.mean(accepted == dataset.acceptance.labels)),
        confusion=count_confusion(dataset.test.labels, chosen, classes=classes),
    )


def evaluate_int8(
    data: bytes, dataset: Dataset, reference: Float32Array, *, name: str, max_worse: int = MAX_WORSE
) -> Int8Report:
    """Measure an int8 file against the float model's answers on the test part.

    Args:
        data: The .tflite.
        reference: The Keras model's class probabilities, [N, classes].
        name: What messages call the model.
        max_worse: Largest net loss of right answers.

    Raises:
        QuantizationError: If the file computes in float anywhere, or differs too much.
        FormatError: If LiteRT refuses the file.
    """
    model = LiteModel(data)
    refuse_float(model, name=name)
    labels = dataset.test.labels
    answers = classify(model, dataset, dataset.test)
    real = model.output.to_real(answers)
    if real.shape != reference.shape:
        raise QuantizationError(
            f"model {name!r}: file answers {real.shape}, Keras model {reference.shape}"
        )
    chosen, wanted = answers.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(real - reference)
    accepted = classify(model, dataset, dataset.acceptance).argmax(axis=1)
    report = Int8Report(
        float_accuracy=float(np.mean(wanted == labels)),
        int8_accuracy=float(np.mean(chosen == labels)),
        acceptance_accuracy=float(np.mean(accepted == dataset.acceptance.labels)),
        worse=int(np.sum(wanted == labels) - np.sum(chosen == labels)),
        agreement=float(np.mean(chosen == wanted)),
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
        ops=dict(sorted(Counter(model.ops).items())),
        bytes=len(data),
        confusion=count_confusion(labels, chosen, classes=len(dataset.label_names)),
    )
    if not report.mean_difference <= MAX_MEAN_DIFFERENCE:
        raise QuantizationError(
            f"model {name!r}: int8 class probabilities differ from the Keras model's by"
            f" {report.mean_difference:.3f} on average, at most {MAX_MEAN_DIFFERENCE} is rounding"
        )
    # Near chance both models' answers are noise, and so is their difference.
    near_chance = report.float_accuracy < NEAR_CHANCE / len(dataset.label_names)
    if report.worse > max_worse and not near_chance:
        raise QuantizationError(
            f"model {name!r}: int8 loses {report.worse} of {len(labels)} test samples,"
            f" at most {max_worse} are allowed"
        )
    return report


def refuse_float(model: LiteModel, *, name: str) -> None:
    """Raise QuantizationError if any tensor of the file is a float."""
    if model.float_tensors:
        raise QuantizationError(
            f"model {name!r}: not full int8; float tensors: {', '.join(model.float_tensors[:3])}"
            f" ({len(model.float_tensors)} in all)"
        )
