"""Texts as raw inputs: rows of equal length, and what a classifier says about one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GOLDEN_TEXTS = (
    "The quick brown fox jumps over 13 lazy dogs; it isn't their day.",
    "Über naïve cafés: ÀÉÎÕÜ – Привет, мир! 안녕 你好 😀",
    b"broken \xff\xe2( bytes \xf0\x9f and [SEP] signs",
    "",
)
"""What golden vectors of a model that takes text are made of, unless it names others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a classifier says.

    Attributes:
        label: Number of the class.
        name: Of the class; its number if the image has no labels.
        score: Its probability, float32; of a model with one output, that output.
        logits: Outputs as real numbers, float32 [k].
    """

    label: int
    name: str
    score: float
    logits: NDArray[np.float32]


def text_bytes(text: str | bytes) -> bytes:
    """Return the bytes of a text; half a surrogate pair stays, as bytes that are no UTF-8."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def text_rows(texts: Sequence[str | bytes]) -> NDArray[np.uint8]:
    """Return texts as uint8 [N, bytes], filled up with zero bytes, which no tokenizer sees.

    Raises:
        ValueError: If there is none.
    """
    if not texts:
        raise ValueError("no text is given")
    data = [text_bytes(text) for text in texts]
    rows = np.zeros((len(data), max(1, *(len(text) for text in data), 1)), np.uint8)
    for row, text in zip(rows, data, strict=True):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return rows
