"""A cheap teacher for text: logistic regression on TF-IDF of words, pairs of words and characters.

What it says of a row was learned without that row, so its doubts are honest, and a small model that
is taught them as well as the labels learns more from the same rows.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.files import write_atomic
from edgekit.data.text import TextSource, load_text
from edgekit.models.saved import pack_arrays

FOLDS = 5
STRENGTH = 5.0
"""Inverse strength of the penalty on the weights."""
LEAST = 1e-4
"""Probabilities are not less."""
Array = NDArray[np.float32]


def write_teacher(source: TextSource, path: Path, *, characters: bool) -> None:
    """Write `logits`, one row for each of the training file; rows of other parts are zero.

    Args:
        source: The set; only its training part is learned from.
        path: The .npz.
        characters: Ask a second model, of 2 to 5 characters, and take the mean; slow on long texts.
    """
    data = load_text(source)
    classes = len(data.label_names)
    chances = np.zeros((len(data.train), classes), np.float32)
    features = _features(data.train.texts, characters=characters)
    for matrix in features:
        chances += _cross_fitted(matrix, data.train.labels, classes) / len(features)
    logits = np.zeros((data.train_file_rows, classes), np.float32)
    logits[data.train.rows] = np.log(np.maximum(chances, LEAST))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pack_arrays({"teacher": "lexical"}, {"logits": logits}))


def _features(texts: tuple[str, ...], *, characters: bool) -> list[object]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"\b\w+\b|[!?$£]"
    )
    found = [words.fit_transform(texts)]
    if characters:
        parts = TfidfVectorizer(
            analyzer="char_wb",
            ngram_range=(2, 5),
            sublinear_tf=True,
            min_df=3,
            max_features=150_000,
        )
        found.append(parts.fit_transform(texts))
    return found


def _cross_fitted(matrix: object, labels: NDArray[np.int64], classes: int) -> Array:
    """Return probabilities [N, classes], each row from a model that has not seen it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(labels), classes), np.float32)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for learned, asked in folds.split(np.zeros(len(labels)), labels):
        solver = "liblinear" if classes == 2 else "lbfgs"
        model = LogisticRegression(C=STRENGTH, solver=solver, max_iter=60)
        with warnings.catch_warnings():
            # As good a teacher as one that is fitted to the end.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(matrix[learned], labels[learned])  # type: ignore[index]
        found[asked] = model.predict_proba(matrix[asked])  # type: ignore[index]
    return found
