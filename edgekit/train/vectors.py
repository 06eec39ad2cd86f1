"""First values of a token table from which tokens stand near each other in plain text.

Words that are used alike get rows that are alike, so a small labelled set teaches more words than
it has. Seconds of work, where pretraining takes minutes.

Source: O. Levy, Y. Goldberg, Neural Word Embedding as Implicit Matrix Factorization (NIPS 2014),
sections 3 and 5: positive pointwise mutual information, its truncated singular value
decomposition with the root of the singular values; O. Levy et al., Improving Distributional
Similarity (TACL 2015), section 3: contexts smoothed by the power 0.75, windows weighted by 1 / n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.tables import read_text
from edgekit.data.tokenizer import PAD, SEPARATOR, Tokenizer

WINDOW = 8
"""Tokens to each side that count as near; one at distance n counts 1 / n."""
SMOOTHING = 0.75
SHORTEST = 20
"""Characters that a line of a corpus must have to be read: headings say little."""

LONGEST = 1024
"""Tokens of a text that are read."""
AT_ONCE = 2000
DEVIATION = 0.3
"""Root of the mean square of a row."""
GRAM_DEVIATION = 0.2
"""First values of the n-grams beside such rows: less than beside rows drawn at random."""

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]


def token_vectors(
    texts: Iterable[Int32Array], *, vocab: int, width: int, seed: int
) -> Float32Array:
    """Return rows [vocab, width]; those of tokens that have no neighbour are zero.

    Args:
        texts: Token ids of each text; ids up to [SEP] count for nothing.
        vocab: Number of token ids.
        width: Values of a row.
        seed: Of the randomized decomposition.
    """
    from sklearn.utils.extmath import randomized_svd

    shared = _shared_information(_count_neighbours(texts, vocab))
    if shared.nnz == 0:
        return np.zeros((vocab, width), np.float32)
    rank = min(width, vocab - 1)
    left, strength, _ = randomized_svd(shared, rank, n_iter=3, random_state=seed)
    # Rounding leaves the rows of tokens without neighbours near zero, not at it.
    rows = left * np.sqrt(strength) * (shared.getnnz(axis=1) > 0)[:, None]
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= np.where(size > 1e-9, DEVIATION * width**0.5 / np.maximum(size, 1e-9), 0.0)
    found = np.zeros((vocab, width), np.float32)
    found[:, :rank] = rows
    return found


def read_corpus(files: Sequence[Path], tokenizer: Tokenizer) -> list[Int32Array]:
    """Return the token ids of the lines of plain text files, which may end in `.gz`.

    Raises:
        FormatError: If a file cannot be read as UTF-8 text.
    """
    lines = [line for path in files for line in read_text(path).split("\n")]
    return encode_all(tokenizer, [line for line in lines if len(line) > SHORTEST])


def encode_all(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Int32Array]:
    """Return the token ids of each text, at most `LONGEST`, without padding."""
    found: list[Int32Array] = []
    for begin in range(0, len(texts), AT_ONCE):
        rows = tokenizer.encode_batch(texts[begin : begin + AT_ONCE], LONGEST)
        found += [row[row != PAD] for row in rows]
    return found


def _count_neighbours(texts: Iterable[Int32Array], vocab: int) -> Any:
    """Return how near tokens stand to each other, a symmetric sparse matrix [vocab, vocab]."""
    from scipy.sparse import coo_matrix, csr_matrix

    gap = np.zeros(WINDOW, np.int32)
    parts = [part for text in texts for part in (text, gap)]
    flat: Int32Array = np.concatenate([*parts, gap])
    counts = csr_matrix((vocab, vocab), dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        first, second = flat[:-distance], flat[distance:]
        near = (first > SEPARATOR) & (second > SEPARATOR)
        weights = np.full(int(near.sum()), 1 / distance, np.float32)
        pairs = coo_matrix((weights, (first[near], second[near])), (vocab, vocab)).tocsr()
        counts = counts + pairs + pairs.T
    return counts


def _shared_information(counts: Any) -> Any:
    """Return the positive pointwise mutual information of a matrix of counts."""
    from scipy.sparse import coo_matrix

    tokens = np.asarray(counts.sum(axis=1), np.float64).ravel()
    contexts = tokens**SMOOTHING
    cells = counts.tocoo()
    expected = tokens[cells.row] * contexts[cells.col] / max(float(contexts.sum()), 1e-30)
    information = np.log(np.maximum(cells.data / np.maximum(expected, 1e-30), 1e-30))
    kept = information > 0
    values = information[kept].astype(np.float32)
    return coo_matrix((values, (cells.row[kept], cells.col[kept])), counts.shape).tocsr()
