"""Rows of pretraining: segments, pairs and hidden tokens."""

import numpy as np
import pytest

from edgekit.data.tokenizer import train_tokenizer
from edgekit.errors import ConfigError, FormatError
from edgekit.train.batches import CLS, MASK, SEP
from edgekit.train.sentences import (
    FOLLOWS,
    RANDOM,
    choose_seconds,
    make_corpus,
    make_rows,
    mask_tokens,
    read_documents,
)

pytest.importorskip("tokenizers")

LENGTH = 24


@pytest.fixture(scope="module")
def corpus():
    words = "the cat sat on a mat and looked at the small brown dog that ran away".split()
    rng = np.random.default_rng(0)
    documents = [
        [" ".join(rng.choice(words, int(rng.integers(2, 30)))) for _ in range(int(size))]
        for size in rng.integers(1, 6, 60)
    ]
    lines = [line for document in documents for line in document]
    tokenizer = train_tokenizer(lines, 128, exact=False)
    return make_corpus(documents, tokenizer, length=LENGTH), documents, tokenizer


def test_segments_hold_all_tokens_in_order(corpus):
    made, documents, tokenizer = corpus
    room = (LENGTH - 3) // 2
    assert max(len(segment) for segment in made.segments) <= room
    whole = np.concatenate(made.segments).tolist()
    ids = [i for d in documents for line in d for i in tokenizer.encode(line, 400)[1:] if i]
    assert whole == ids
    assert made.tokens == len(ids)
    assert made.lines == sum(map(len, documents))
    assert int((~made.follows).sum()) == len(documents)


def test_half_of_the_pairs_follow(corpus):
    made, _, _ = corpus
    firsts = np.arange(len(made.segments), dtype=np.int64)
    seconds, kinds = choose_seconds(made, firsts, np.random.default_rng(1))
    follows = kinds == FOLLOWS
    assert (seconds[follows] == firsts[follows] + 1).all()
    assert made.follows[firsts[follows]].all()
    assert (seconds[~made.follows] == -1).all()
    share = follows.sum() / (kinds >= 0).sum()
    assert 0.35 < share < 0.65
    assert set(kinds.tolist()) == {-1, FOLLOWS, RANDOM}
    rows = make_rows(made, firsts, seconds, length=LENGTH)
    assert (rows[:, 0] == CLS).all()
    assert ((rows == SEP).sum(axis=1) == np.where(seconds >= 0, 2, 0)).all()


def test_masks_hide_the_share_and_never_special_tokens():
    rng = np.random.default_rng(2)
    rows = rng.integers(SEP + 1, 300, (64, 40)).astype(np.int32)
    rows[:, 0], rows[:, 20], rows[:, 35:] = CLS, SEP, 0
    masked = mask_tokens(rows, share=0.15, vocab=300, rng=rng)
    count = int(masked.weights.sum())
    flat, ids = rows.reshape(-1), masked.ids.reshape(-1)
    places = masked.places[:count]
    assert count == round(0.15 * int((rows > SEP).sum()))
    assert (flat[places] == masked.answers[:count]).all()
    assert (flat[places] > SEP).all()
    others = np.setdiff1d(np.arange(rows.size), places)
    assert np.array_equal(ids[others], flat[others])
    assert 0.72 < np.mean(ids[places] == MASK) < 0.88
    assert 0.05 < np.mean(ids[places] == flat[places]) < 0.16
    again = mask_tokens(rows, share=0.15, vocab=300, rng=np.random.default_rng(9))
    assert not np.array_equal(again.ids, masked.ids)
    assert again.places.shape == masked.places.shape == (int(np.ceil(0.15 * rows.size)),)


def test_plain_text_is_read_as_documents(tmp_path):
    (tmp_path / "a.txt").write_text("\none\ntwo \n\n\nthree\n")
    assert read_documents(tmp_path / "a.txt") == [["one", "two"], ["three"]]
    (tmp_path / "b.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(FormatError, match=r"b\.txt:2: is not UTF-8"):
        read_documents(tmp_path / "b.txt")


def test_too_little_text_is_refused(corpus):
    _, _, tokenizer = corpus
    with pytest.raises(ConfigError, match=r"1 lines of text make 1 segments"):
        make_corpus([["the cat"]], tokenizer, length=LENGTH)
