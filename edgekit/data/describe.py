"""What is in labelled text: rows, classes, lengths, and texts that appear twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.text import TextSource, load_text, read_rows


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What one file holds.

    Attributes:
        classes: Rows of each class, the largest first; empty for numbers.
        numbers: Smallest, mean and largest value; None for classes.
        words: Words per text, split at white space: smallest, median, 95th of 100, largest.
        characters: The same of characters.
        duplicates: Rows whose text an earlier row has, white space and case aside.
        contradictions: Those of them with another label.
        in_train: Rows whose text the training file has too; 0 for the training file itself.
    """

    path: Path
    rows: int
    classes: dict[str, int]
    numbers: tuple[float, float, float] | None
    words: tuple[int, int, int, int]
    characters: tuple[int, int, int, int]
    duplicates: int
    contradictions: int
    in_train: int = 0


def describe_text(source: TextSource) -> tuple[TextFacts, ...]:
    """Read every file of a source and say what is in it; the training file first.

    Raises:
        FormatError: If a file is not as its columns say; names file and line.
        ConfigError: If nothing can be learned from the rows.
    """
    load_text(source)
    facts: list[TextFacts] = []
    known: set[str] = set()
    for path in (source.train, source.validation, source.test):
        if path is not None:
            facts.append(_describe(path, source, known))
            known = known or {_plain(text) for text in read_rows(path, source)[0]}
    return tuple(facts)


def describe_file(source: TextSource) -> TextFacts:
    """Say what is in one file, that of `train`, without asking whether it can be learned from.

    Raises:
        FormatError: If it is not as its columns say; names file and line.
    """
    return _describe(source.train, source, set())


def _describe(path: Path, source: TextSource, known: set[str]) -> TextFacts:
    texts, labels = read_rows(path, source)
    counts: Counter[str] = Counter()
    numbers = None
    if source.labels == "number":
        values = np.array(labels, dtype=np.float64)
        numbers = (float(values.min()), float(values.mean()), float(values.max()))
    else:
        for label in labels:
            counts.update([label] if isinstance(label, str) else label)
    first: dict[str, Any] = {}
    twice = other = 0
    for text, label in zip(texts, labels, strict=True):
        plain = _plain(text)
        if plain in first:
            twice += 1
            other += first[plain] != label
        first.setdefault(plain, label)
    return TextFacts(
        path=path,
        rows=len(texts),
        classes=dict(counts.most_common()),
        numbers=numbers,
        words=_spread([len(text.split()) for text in texts]),
        characters=_spread([len(text) for text in texts]),
        duplicates=twice,
        contradictions=other,
        in_train=sum(_plain(text) in known for text in texts),
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _spread(values: Sequence[int]) -> tuple[int, int, int, int]:
    low, middle, most, high = np.percentile(values, (0, 50, 95, 100)).round().astype(int).tolist()
    return low, middle, most, high
