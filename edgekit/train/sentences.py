"""Rows of pretraining: neighbouring segments of plain text, and which of their tokens are hidden.

Pure NumPy and the tokenizer; what is drawn depends on the given generators alone.

Source: J. Devlin et al., BERT (arXiv 1810.04805), sections 3.1 and A.1; masks drawn anew in every
epoch as Y. Liu et al., RoBERTa (arXiv 1907.11692), section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Float32Array, Int64Array
from edgekit.data.tables import read_text
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import ConfigError
from edgekit.train.batches import CLS, MASK, SEP, Int32Array

FOLLOWS, RANDOM = 0, 1
"""Classes of the next-sentence task. Source: EmbBERT, pretrain.py."""
HELD_OUT = 0.01
MOST_HELD_OUT = 512
KEPT, SWAPPED = 0.1, 0.1
"""Of the tokens to be guessed, those that stay as they are and those replaced by any other."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Plain text as segments of tokens.

    Attributes:
        segments: Token ids of each, [CLS] left out; a document's lie behind each other.
        follows: Whether the next segment is the same document's, [segments].
        lines: Lines of text.
        tokens: Tokens of all segments.
    """

    segments: tuple[Int32Array, ...]
    follows: NDArray[np.bool_]
    lines: int
    tokens: int


def read_documents(path: Path) -> list[list[str]]:
    """Read a file of plain text as documents of lines; an empty line ends a document.

    Raises:
        FormatError: If it cannot be read, is empty or not UTF-8.
    """
    documents: list[list[str]] = [[]]
    for line in read_text(path).split("\n"):
        if line.strip():
            documents[-1].append(line.strip())
        elif documents[-1]:
            documents.append([])
    return [document for document in documents if document]


def make_corpus(documents: Iterable[Sequence[str]], tokenizer: Tokenizer, *, length: int) -> Corpus:
    """Cut documents into segments, two of which fill a row of `length` tokens.

    Lines that follow each other are joined as long as they fit, longer ones are cut.

    Raises:
        ConfigError: If there is less text than two rows.
    """
    room = (length - 3) // 2
    segments: list[Int32Array] = []
    follows: list[bool] = []
    lines = 0
    for document in documents:
        before = len(segments)
        lines += len(document)
        held: list[int] = []
        for line in document:
            size = max(2, tokenizer.count(line))
            ids = tokenizer.encode(line, size)[1:].tolist()
            if held and len(held) + len(ids) > room:
                segments.append(np.array(held, np.int32))
                held = []
            held += ids
            while len(held) > room:
                segments.append(np.array(held[:room], np.int32))
                held = held[room:]
        if held:
            segments.append(np.array(held, np.int32))
        follows += [True] * (len(segments) - before - 1) + [False] * (len(segments) > before)
    if len(segments) < 4:
        raise ConfigError(
            f"[pretrain]: {lines} lines of text make {len(segments)} segments of"
            f" {room} tokens; that is too little to learn a language from"
        )
    tokens = sum(len(segment) for segment in segments)
    return Corpus(tuple(segments), np.array(follows, dtype=bool), lines, tokens)


def choose_seconds(
    corpus: Corpus, firsts: Int64Array, rng: np.random.Generator
) -> tuple[Int64Array, Int32Array]:
    """Choose the second segment of each row: half of them the next, half any.

    Returns:
        The second segments, -1 for none; and whether it FOLLOWS or is RANDOM, -1 for none.
    """
    seconds = firsts + 1
    kinds = np.full(len(firsts), FOLLOWS, np.int32)
    swap = rng.random(len(firsts)) < 0.5
    seconds[swap] = rng.integers(0, len(corpus.segments), int(swap.sum()))
    kinds[swap] = RANDOM
    # A text of one segment stays alone: beside strangers only, it would tell the answer.
    alone = ~corpus.follows[firsts]
    seconds[alone], kinds[alone] = -1, -1
    return seconds, kinds


def make_rows(
    corpus: Corpus, firsts: Int64Array, seconds: Int64Array, *, length: int
) -> Int32Array:
    """Write rows [CLS] A, or [CLS] A [SEP] B [SEP], filled up with 0; [N, length]."""
    rows = np.zeros((len(firsts), length), np.int32)
    for row, first, second in zip(rows, firsts.tolist(), seconds.tolist(), strict=True):
        ids = [CLS, *corpus.segments[first].tolist()]
        if second >= 0:
            ids += [SEP, *corpus.segments[second].tolist(), SEP]
        ids = ids[:length]
        row[: len(ids)] = ids
    return rows


@dataclass(frozen=True, slots=True)
class Masked:
    """Rows with hidden tokens.

    Attributes:
        ids: What the model reads, [N, L].
        places: Where tokens are to be guessed, as numbers into N * L; [M].
        answers: The tokens there, [M].
        weights: 1, or 0 for filling, [M].
    """

    ids: Int32Array
    places: Int32Array
    answers: Int32Array
    weights: Float32Array


def mask_tokens(rows: Int32Array, *, share: float, vocab: int, rng: np.random.Generator) -> Masked:
    """Hide a share of the tokens; special tokens are never hidden.

    M depends on the shape alone, so that batches of one shape share one compiled function.
    """
    room = int(np.ceil(share * rows.size))
    flat = rows.reshape(-1)
    candidates = np.flatnonzero(flat > SEP)
    count = min(room, max(1, round(share * len(candidates))), len(candidates))
    chosen = np.sort(rng.choice(candidates, count, replace=False))
    dice = rng.random(count)
    hidden = np.full(count, MASK, np.int32)
    hidden = np.where(dice < KEPT + SWAPPED, rng.integers(SEP + 1, vocab, count), hidden)
    hidden = np.where(dice < KEPT, flat[chosen], hidden)
    ids = flat.copy()
    ids[chosen] = hidden
    places, answers = np.zeros(room, np.int32), np.zeros(room, np.int32)
    weights = np.zeros(room, np.float32)
    places[:count], answers[:count], weights[:count] = chosen, flat[chosen], 1.0
    return Masked(ids.reshape(rows.shape), places, answers, weights)
