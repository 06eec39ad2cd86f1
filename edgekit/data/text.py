"""Labelled text: sentences or pairs of them, with one class, several classes or a number each."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Float32Array, Int64Array
from edgekit.data.split import stratified_split
from edgekit.data.tables import Row, read_table
from edgekit.errors import ConfigError, FormatError

Labels = Literal["single", "multi", "number"]
LABELS: tuple[Labels, ...] = ("single", "multi", "number")
PAIR = " [SEP] "
"""Stands between the two texts of a pair; the tokenizer makes one token of it.

Source: EmbBERT, lib/preprocessing.py: pairs are joined by this literal text."""
SEPARATOR = ";"
"""Between the labels of one cell of a multi-label table."""
BINS = 10
"""A split by numbers keeps the shares of so many equal ranks."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """Where labelled text comes from.

    Attributes:
        train: The file that models learn from.
        validation: What training watches; None splits `share` off the training rows.
        test: What results are reported on; None splits `share` off the training rows.
        text: Column of the text; `pair` of the second one, empty for single texts.
        label: Column of the labels.
        labels: "single": a class. "multi": none, one or more classes, `;` between them or a JSON
            list. "number": a value to be estimated.
        share: Of the training rows, for each part without a file.
        seed: Decides which rows are split off.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    text: str = "text"
    pair: str = ""
    label: str = "label"
    labels: Labels = "single"
    share: float = 0.1
    seed: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns to be read: label, text, second text."""
        return (self.label, self.text, *([self.pair] if self.pair else []))

    @property
    def files(self) -> dict[str, Path | None]:
        """The files of the parts by name; None: there is none."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def to_json(self) -> dict[str, Any]:
        """Turn into what JSON can say."""
        files = {key: None if path is None else str(path) for key, path in self.files.items()}
        return {**dataclasses.asdict(self), **files}

    @staticmethod
    def from_json(facts: dict[str, Any]) -> TextSource:
        """Read what `to_json` made."""
        paths = {
            key: None if facts[key] is None else Path(facts[key]) for key in ("validation", "test")
        }
        return TextSource(**{**facts, **paths, "train": Path(facts["train"])})


@dataclass(frozen=True, slots=True)
class TextPart:
    """Rows of one part.

    Attributes:
        texts: [N]; both texts of a pair are joined by PAIR.
        labels: Class numbers int64 [N], 0 or 1 per class float32 [N, classes], or values float32
            [N].
        rows: Which rows of its file these are, from 0; int64 [N].
    """

    texts: tuple[str, ...]
    labels: NDArray[Any]
    rows: Int64Array

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.labels) == len(self.rows):
            raise ValueError(f"{len(self.texts)} texts have {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: Int64Array) -> TextPart:
        """Choose rows by number."""
        texts = tuple(self.texts[i] for i in index.tolist())
        return TextPart(texts, self.labels[index], self.rows[index])


@dataclass(frozen=True, slots=True)
class TextDataset:
    """Labelled text in three parts.

    Attributes:
        label_names: Classes in their order; empty for numbers.
        train: What models and tokenizers learn from and quantization is calibrated with.
        validation: What training watches to stop, and what decides whether a model is published.
        test: What results are reported on; nothing is chosen by it.
        train_file_rows: Rows of the training file, with those that were split off.
    """

    name: str
    labels: Labels
    label_names: tuple[str, ...]
    train: TextPart
    validation: TextPart
    test: TextPart
    train_file_rows: int

    @property
    def outputs(self) -> int:
        """Values that a model of this data answers with."""
        return max(1, len(self.label_names))


def load_text(source: TextSource, *, name: str = "text") -> TextDataset:
    """Read and check all parts.

    Raises:
        FormatError: If a file is not as its columns say; names file and line.
        ConfigError: If nothing can be learned from the rows.
    """
    texts, raw, lines = _read(source.train, source)
    names = _class_names(raw, source)
    numbers = np.arange(len(texts), dtype=np.int64)
    labels = _to_labels(raw, names, source, source.train, lines, given=True)
    train = TextPart(texts, labels, numbers)
    validation = _other(source.validation, names, source)
    test = _other(source.test, names, source)
    if test is None:
        test, train = _split(train, source, seed=source.seed + 1)
    if validation is None:
        validation, train = _split(train, source, seed=source.seed)
    return TextDataset(name, source.labels, names, train, validation, test, len(texts))


def read_rows(path: Path, source: TextSource) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Read the texts of a file, and its labels as class name, tuple of class names or float.

    Raises:
        FormatError: If a row is not as its columns say; names file and line.
    """
    texts, raw, _ = _read(path, source)
    return texts, tuple(raw)


def _other(path: Path | None, names: tuple[str, ...], source: TextSource) -> TextPart | None:
    if path is None:
        return None
    texts, raw, lines = _read(path, source)
    labels = _to_labels(raw, names, source, path, lines, given=False)
    return TextPart(texts, labels, np.arange(len(texts), dtype=np.int64))


def _read(path: Path, source: TextSource) -> tuple[tuple[str, ...], list[Any], list[int]]:
    texts, raw, lines = [], [], []
    for row in read_table(path, source.columns):
        texts.append(_text(path, row, source))
        raw.append(_label(path, row, source))
        lines.append(row.line)
    return tuple(texts), raw, lines


def _text(path: Path, row: Row, source: TextSource) -> str:
    parts = []
    for column, cell in zip(source.columns[1:], row.cells[1:], strict=True):
        if not isinstance(cell, str):
            raise FormatError(f"{path}:{row.line}: {column!r} is {cell!r:.60}, must be a text")
        if not cell.strip():
            raise FormatError(f"{path}:{row.line}: {column!r} is empty; remove the row")
        try:
            cell.encode()
        except UnicodeEncodeError as exc:  # JSON can say half a character.
            raise FormatError(
                f"{path}:{row.line}: {column!r} has a lone surrogate {cell[exc.start]!r}"
            ) from exc
        parts.append(cell)
    return PAIR.join(parts)


def _label(path: Path, row: Row, source: TextSource) -> Any:
    cell, place = row.cells[0], f"{path}:{row.line}: {source.label!r}"
    if source.labels == "number":
        try:
            value = float(cell)
        except (TypeError, ValueError) as exc:
            raise FormatError(f"{place} is {cell!r:.60}, must be a number") from exc
        if isinstance(cell, bool) or not math.isfinite(value):
            raise FormatError(f"{place} is {cell!r}, must be a finite number")
        return value
    if source.labels == "multi":
        entries = cell if isinstance(cell, list) else str(cell or "").split(SEPARATOR)
        names = [_class_name(entry, place) for entry in entries if str(entry).strip()]
        return tuple(dict.fromkeys(names))
    return _class_name(cell, place)


def _class_name(cell: Any, place: str) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if not isinstance(cell, str | int):
        raise FormatError(f"{place} is {cell!r:.60}, must be a class name")
    name = str(cell).strip()
    if not name:
        raise FormatError(f"{place} is empty; give every row a class or remove it")
    return name


def _class_names(raw: Sequence[Any], source: TextSource) -> tuple[str, ...]:
    if source.labels == "number":
        if len(set(raw)) < 2:
            raise ConfigError(f"{source.train}: every row has the value {raw[0]}; nothing to learn")
        return ()
    entries = [raw_label] if isinstance(raw_label := raw[0], str) else list(raw_label)
    names = set(entries)
    for label in raw:
        names.update([label] if isinstance(label, str) else label)
    if source.labels == "single" and len(names) < 2:
        raise ConfigError(
            f"{source.train}: all {len(raw)} rows have the label {raw[0]!r};"
            " a classifier needs at least two classes"
        )
    if not names:
        raise ConfigError(f"{source.train}: no row has a label in {source.label!r}")
    if all(name.lstrip("-").isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _to_labels(
    raw: Sequence[Any],
    names: tuple[str, ...],
    source: TextSource,
    path: Path,
    lines: Sequence[int],
    *,
    given: bool,
) -> NDArray[Any]:
    if source.labels == "number":
        return np.array(raw, dtype=np.float32)
    place = {name: i for i, name in enumerate(names)}
    if not given:
        for label, line in zip(raw, lines, strict=True):
            for name in [label] if isinstance(label, str) else label:
                if name not in place:
                    near = difflib.get_close_matches(name, names, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise FormatError(
                        f"{path}:{line}: label {name!r} is not among the {len(names)} of"
                        f" {source.train.name}{hint}"
                    )
    if source.labels == "single":
        return np.array([place[label] for label in raw], dtype=np.int64)
    table: Float32Array = np.zeros((len(raw), len(names)), dtype=np.float32)
    for row, label in enumerate(raw):
        table[row, [place[name] for name in label]] = 1.0
    return table


def _split(part: TextPart, source: TextSource, *, seed: int) -> tuple[TextPart, TextPart]:
    """Split a share off; a class with one row stays whole with the others."""
    if part.labels.ndim == 2:
        groups = np.zeros(len(part), dtype=np.int64)
    elif source.labels == "number":
        ranks = np.argsort(np.argsort(part.labels, kind="stable"), kind="stable")
        groups = ranks * BINS // len(part)
    else:
        groups = part.labels
    sizes = np.bincount(groups)
    candidates = np.flatnonzero(sizes[groups] > 1)
    count = max(1, round(source.share * len(part)))
    if count >= len(candidates):
        raise ConfigError(
            f"{source.train}: {len(part)} rows are too few to split {source.share:.0%} off;"
            " give a file for 'validation' and 'test' in [data]"
        )
    chosen, _ = stratified_split(groups[candidates], count, seed=seed)
    taken = np.zeros(len(part), dtype=bool)
    taken[candidates[chosen]] = True
    return part.take(np.flatnonzero(taken)), part.take(np.flatnonzero(~taken))
