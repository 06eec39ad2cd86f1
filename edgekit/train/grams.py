"""Hashed character n-grams that share the training of a token table, and are folded into it.

A rare token's row is mostly the mean of the rows of its n-grams, which other tokens train too. The
device gets the sum, so it costs nothing there.

Only worker processes import this file: it loads the training framework.

Source: P. Bojanowski et al., Enriching Word Vectors with Subword Information (arXiv 1607.04606),
section 3.2; the folding is ours.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgekit.train.batches import SEP, Int32Array

SIZES = (3, 4, 5)
MOST = 20
"""N-grams of one token that count."""
DEVIATION = 0.8
"""Of a row's first values; the mean of several is smaller."""


class GramTable:
    """The table of n-grams and which of its rows each token has.

    Attributes:
        variable: Rows [grams, r]; row 0 is never used.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        rows: int,
        width: int,
        seed: int | None,
        deviation: float = DEVIATION,
    ) -> None:
        """Number the n-grams of every token.

        Args:
            tokens: Text of each token by id.
            rows: Rows of the table; n-grams with one hash share a row.
            width: Values of a row.
            seed: Of the first values; None for zeros, which leave a trained token table as it is.
            deviation: Of the first values.
        """
        index, share = number_grams(tokens, rows=rows)
        first = np.zeros((rows, width), np.float32)
        if seed is not None:
            rng = np.random.default_rng([seed, rows])
            first = rng.normal(0.0, deviation, first.shape).astype(np.float32)
        self.variable = tf.Variable(first, name="grams")
        self._index, self._share = tf.constant(index), tf.constant(share)

    def mix(self, table: Any, words: Any) -> Any:
        """Return the token table [V, r] with the n-grams of the given token ids added to it."""
        added = self._means(words)
        rows = tf.gather(table, words) + added
        return tf.tensor_scatter_nd_update(table, words[:, None], rows)

    def fold(self, table: Any) -> Any:
        """Return the token table with the n-grams of all tokens added to it."""
        return table + self._means(tf.range(tf.shape(table)[0]))

    def gradient(self, gradient: Any, words: Any) -> Any:
        """Turn the gradient of the token table into that of the n-grams.

        Args:
            gradient: [V, r].
            words: Ids, each once, but for 0 as filling.
        """
        rows = tf.gather(gradient, words)[:, None] * tf.gather(self._share, words)[..., None]
        flat = tf.reshape(rows, (-1, rows.shape[-1]))
        index = tf.reshape(tf.gather(self._index, words), (-1,))
        return tf.math.unsorted_segment_sum(flat, index, self.variable.shape[0])

    def _means(self, words: Any) -> Any:
        rows = tf.gather(self.variable, tf.gather(self._index, words))
        return tf.reduce_sum(rows * tf.gather(self._share, words)[..., None], axis=1)


def number_grams(tokens: Sequence[str], *, rows: int) -> tuple[Int32Array, NDArray[np.float32]]:
    """Return each token's rows of a gram table and their shares, both [V, MOST].

    Examples:
        >>> index, share = number_grams(["[PAD]", "", "", "", "", "ab"], rows=100)
        >>> share[5, :4].round(2).tolist()
        [0.33, 0.33, 0.33, 0.0]
    """
    index = np.zeros((len(tokens), MOST), dtype=np.int32)
    share = np.zeros((len(tokens), MOST), dtype=np.float32)
    for number, token in enumerate(tokens):
        if number <= SEP:
            continue
        text = f"<{token}>"
        grams = [text[i : i + n] for n in SIZES for i in range(len(text) - n + 1)][:MOST]
        index[number, : len(grams)] = [zlib.crc32(g.encode()) % (rows - 1) + 1 for g in grams]
        share[number, : len(grams)] = 1.0 / max(1, len(grams))
    return index, share


def distinct_words(ids: Int32Array, *, room: int) -> Int32Array:
    """Return the distinct ids of a batch, filled up with 0 to `room`."""
    words = np.unique(ids).astype(np.int32)
    return np.concatenate([words, np.zeros(room - len(words), np.int32)])
