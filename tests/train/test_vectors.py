"""First values of a token table from which tokens stand near each other."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.tokenizer import train_tokenizer
from edgekit.errors import FormatError
from edgekit.train.vectors import DEVIATION, read_corpus, token_vectors

WIDTH = 4


def _texts() -> list[np.ndarray[tuple[int], np.dtype[np.int32]]]:
    # 5 and 6 stand among 10..19, 7 and 8 among 20..29.
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(400):
        first = rng.integers(2)
        around = rng.integers(10 + 10 * first, 20 + 10 * first, 6)
        word = 5 + 2 * first + rng.integers(2)
        texts.append(np.array([2, *around[:3], word, *around[3:]], np.int32))
    return texts


def test_words_that_are_used_alike_get_rows_that_are_alike() -> None:
    rows = token_vectors(_texts(), vocab=31, width=WIDTH, seed=1)
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    near = unit @ unit.T
    assert near[5, 6] > 0.8
    assert near[7, 8] > 0.8
    assert near[5, 7] < 0.5


def test_rows_have_one_size_and_unknown_tokens_none() -> None:
    rows = token_vectors(_texts(), vocab=31, width=WIDTH, seed=1)
    root = np.sqrt(np.mean(rows**2, axis=1))
    np.testing.assert_allclose(root[5:9], DEVIATION, rtol=1e-5)
    assert not rows[:5].any()
    assert not rows[30].any()


def test_a_text_without_neighbours_gives_zeros() -> None:
    rows = token_vectors([np.array([2, 7], np.int32)], vocab=9, width=WIDTH, seed=1)
    assert rows.shape == (9, WIDTH)
    assert not rows.any()


def test_a_table_wider_than_the_vocabulary_is_filled_with_zeros() -> None:
    rows = token_vectors(_texts(), vocab=31, width=64, seed=1)
    assert rows.shape == (31, 64)
    assert not rows[:, 30:].any()


def test_one_seed_gives_one_table() -> None:
    first, again = (token_vectors(_texts(), vocab=31, width=WIDTH, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_corpus_is_read_by_lines_and_headings_are_left_out(tmp_path: Path) -> None:
    line = "the kettle in the kitchen is on again"
    path = tmp_path / "prose.txt.gz"
    path.write_bytes(gzip.compress(f"= Heading =\n{line}\n\n{line}\n".encode()))
    tokenizer = train_tokenizer([line] * 4, 64, exact=False)
    found = read_corpus([path], tokenizer)
    assert [len(ids) for ids in found] == [tokenizer.count(line)] * 2


def test_a_corpus_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_bytes(b"abc \xff\n")
    with pytest.raises(FormatError, match=r"prose\.txt:1: is not UTF-8"):
        read_corpus([path], train_tokenizer(["abc abc"] * 4, 64, exact=False))
