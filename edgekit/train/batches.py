"""Batches of sentences of like length: few static shapes, little padding, the same on every resume.

Pure NumPy; what is drawn depends on the given generators alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Int64Array

Int32Array = NDArray[np.int32]

PAD, UNK, CLS, MASK, SEP = range(5)
"""Ids of the special tokens. Source: EmbBERT, lib/preprocessing.py."""
CHUNK_BATCHES = 40
"""Batches are sorted by length inside shuffled chunks of so many: like lengths, mixed order."""
MOST_BUCKETS = 5
STEPS = (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024)
"""Lengths that a bucket may have."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are trained on together.

    Attributes:
        rows: Sample numbers, always as many as the batch size.
        length: Tokens per row, one of the buckets.
    """

    rows: Int64Array
    length: int


def token_counts(ids: Int32Array) -> Int64Array:
    """Count the tokens of each row up to the last that is not padding, [N]."""
    width = ids.shape[1]
    filled = (ids != PAD)[:, ::-1]
    return np.where(filled.any(axis=1), width - filled.argmax(axis=1), 1).astype(np.int64)


def choose_buckets(counts: Int64Array, *, limit: int, most: int = MOST_BUCKETS) -> tuple[int, ...]:
    """Choose the few lengths to which rows are padded, so that little is padded in all.

    Args:
        counts: Tokens of each row.
        limit: Largest length; longer rows are cut to it.
        most: Most lengths; each is traced once.

    Examples:
        >>> choose_buckets(np.array([5, 6, 7, 20, 30]), limit=64, most=2)
        (8, 32)
    """
    candidates = sorted({min(step, limit) for step in STEPS} | {limit})
    counts = np.minimum(counts, limit)
    place = np.searchsorted(candidates, counts)
    rows = np.bincount(place, minlength=len(candidates))
    last = int(place.max())
    # cost[j]: least padded tokens of all rows of the first j candidates, the j-th being a bucket.
    total = np.concatenate([[0], np.cumsum(rows)])
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {}

    def cheapest(j: int, left: int) -> tuple[float, tuple[int, ...]]:
        if (j, left) not in best:
            choices: list[tuple[float, tuple[int, ...]]] = [
                (float(total[j + 1] * candidates[j]), (candidates[j],))
            ]
            if left > 1:
                for i in range(j):
                    cost, chosen = cheapest(i, left - 1)
                    cost += float((total[j + 1] - total[i + 1]) * candidates[j])
                    choices.append((cost, (*chosen, candidates[j])))
            best[j, left] = min(choices, key=lambda choice: (choice[0], len(choice[1])))
        return best[j, left]

    return cheapest(last, most)[1]


def plan_epoch(
    counts: Int64Array, *, batch: int, buckets: Sequence[int], rng: np.random.Generator
) -> list[Batch]:
    """Put every row into one batch; the last batch is filled up with rows drawn again.

    Args:
        counts: Tokens of each row.
        batch: Rows of a batch.
        buckets: Ascending; rows longer than the last are cut.
        rng: Decides the order.
    """
    order = rng.permutation(len(counts))
    missing = -len(order) % batch
    order = np.concatenate([order, rng.choice(len(counts), missing)]).astype(np.int64)
    batches = []
    span = CHUNK_BATCHES * batch
    for begin in range(0, len(order), span):
        chunk = order[begin : begin + span]
        chunk = chunk[np.argsort(counts[chunk], kind="stable")]
        for first in range(0, len(chunk), batch):
            rows = chunk[first : first + batch]
            batches.append(Batch(rows, fit(int(counts[rows].max()), buckets)))
    return [batches[i] for i in rng.permutation(len(batches))]


def fit(count: int, buckets: Sequence[int]) -> int:
    """Return the smallest bucket that holds so many tokens, or the largest of all."""
    return next((bucket for bucket in buckets if bucket >= count), buckets[-1])


def cut_windows(
    ids: Int32Array, counts: Int64Array, length: int, rng: np.random.Generator
) -> Int32Array:
    """Return `length` tokens of each row, of longer rows [CLS] and a part from anywhere.

    Args:
        ids: [N, at least length].
        counts: Tokens of each row.
        length: Tokens to be kept.
        rng: Decides where each part begins.
    """
    start = rng.integers(0, np.maximum(counts - length, 0) + 1)
    if not start.any():
        return ids[:, :length]
    index = start[:, None] + np.arange(length)
    index[:, 0] = 0
    return np.take_along_axis(ids, index, axis=1)


def drop_words(ids: Int32Array, share: float, rng: np.random.Generator) -> Int32Array:
    """Replace a share of the tokens by [UNK]; special tokens stay.

    Source: K. Dai, Q. Le, Semi-supervised Sequence Learning (arXiv 1511.01432), section 3.
    """
    if share <= 0:
        return ids
    dropped = (rng.random(ids.shape) < share) & (ids > SEP)
    return np.where(dropped, np.int32(UNK), ids)
