"""How good answers are: accuracy, F1, Matthews correlation, rank correlation; pure NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Int64Array

Array = NDArray[Any]


def accuracy(labels: Int64Array, answers: Int64Array) -> float:
    """Return the share of right answers."""
    return float(np.mean(labels == answers))


def macro_f1(labels: Int64Array, answers: Int64Array, *, classes: int) -> float:
    """Return the mean F1 of all classes that occur in labels or answers.

    Examples:
        >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=2), 4)
        0.7333
    """
    onehot = np.eye(classes, dtype=np.float64)
    return multi_f1(onehot[labels], onehot[answers])


def multi_f1(labels: Array, answers: Array) -> float:
    """Return the mean F1 over the columns of 0 and 1, [N, classes], that have any 1."""
    hits = np.sum(labels * answers, axis=0)
    marked = np.sum(labels, axis=0) + np.sum(answers, axis=0)
    there = marked > 0
    return float(np.mean(2.0 * hits[there] / marked[there])) if there.any() else 0.0


def matthews(labels: Int64Array, answers: Int64Array, *, classes: int) -> float:
    """Return Matthews' correlation for any number of classes, -1 to 1; 0 if it is not defined.

    Source: J. Gorodkin, Comparing two K-category assignments by a K-category correlation
    coefficient, Computational Biology and Chemistry 28 (2004), equation 8.

    Examples:
        >>> round(matthews(np.array([1, 1, 1, 0]), np.array([1, 0, 1, 1]), classes=2), 4)
        -0.3333
    """
    true = np.bincount(labels, minlength=classes).astype(np.float64)
    found = np.bincount(answers, minlength=classes).astype(np.float64)
    count = float(len(labels))
    right = float(np.sum(labels == answers))
    above = right * count - float(true @ found)
    below = (count**2 - float(found @ found)) * (count**2 - float(true @ true))
    return above / below**0.5 if below > 0 else 0.0


def pearson(one: Array, two: Array) -> float:
    """Return the correlation of two rows of numbers; 0 if one of them is constant."""
    a, b = one - np.mean(one, dtype=np.float64), two - np.mean(two, dtype=np.float64)
    below = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
    return float(np.sum(a * b)) / below if below > 0 else 0.0


def spearman(one: Array, two: Array) -> float:
    """Return the correlation of ranks; equal values share their mean rank.

    Examples:
        >>> round(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 4, 9, 16])), 4)
        1.0
    """
    return pearson(_ranks(one), _ranks(two))


def _ranks(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2.0)[place]


def measure(
    labels_kind: str, labels: Array, logits: Array, *, threshold: float = 0.5
) -> dict[str, float]:
    """Measure answers in every way that fits the labels.

    Args:
        labels_kind: "single", "multi" or "number", as `edgekit.data.text.Labels`.
        labels: As `TextPart.labels`.
        logits: What the model answers, [N, outputs].
        threshold: Probability from which a class of several counts as chosen.

    Returns:
        For "single": accuracy, macro_f1, mcc. For "multi": accuracy (all classes of a row right),
        macro_f1, micro_f1, precision, recall. For "number": spearman, pearson, rmse.
    """
    if labels_kind == "number":
        values = logits[:, 0]
        error = float(np.sqrt(np.mean((values - labels) ** 2, dtype=np.float64)))
        return {
            "spearman": spearman(labels, values),
            "pearson": pearson(labels, values),
            "rmse": error,
        }
    if labels_kind == "multi":
        chosen = (logits > _logit(threshold)).astype(np.float64)
        hits = float(np.sum(chosen * labels))
        marked, wanted = float(np.sum(chosen)), float(np.sum(labels))
        return {
            "accuracy": float(np.mean(np.all(chosen == labels, axis=1))),
            "macro_f1": multi_f1(labels, chosen),
            "micro_f1": 2 * hits / (marked + wanted) if marked + wanted else 0.0,
            "precision": hits / marked if marked else 0.0,
            "recall": hits / wanted if wanted else 0.0,
        }
    answers, classes = logits.argmax(axis=1), logits.shape[1]
    return {
        "accuracy": accuracy(labels, answers),
        "macro_f1": macro_f1(labels, answers, classes=classes),
        "mcc": matthews(labels, answers, classes=classes),
    }


def main_metric(labels_kind: str, metric: str) -> str:
    """Return the metric that decides: the given one, or for "auto" that of the labels.

    Raises:
        ValueError: If the metric is not measured for such labels.
    """
    known = {
        "single": ("accuracy", "macro_f1", "mcc"),
        "multi": ("macro_f1", "accuracy"),
        "number": ("spearman",),
    }[labels_kind]
    if metric == "auto":
        return known[0]
    if metric not in known:
        raise ValueError(f"{metric!r} is not measured for labels {labels_kind!r}")
    return metric


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-7), 1 - 1e-7)
    return float(np.log(clipped / (1 - clipped)))
