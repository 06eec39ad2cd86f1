"""What `edgekit new` writes: distinct sentences, phrasings held out, the same every time."""

from collections import Counter

import numpy as np
import pytest

from edgekit.data.commands import GRAMMAR, PLAIN, POLITE, TEST_ROWS, TRAIN_ROWS, make_commands
from edgekit.data.describe import describe_text
from edgekit.data.text import TextSource


@pytest.fixture(scope="module")
def parts():
    return make_commands()


def test_sentences_are_distinct_and_classes_even(parts):
    train, test = parts
    assert (len(train), len(test)) == (TRAIN_ROWS, TEST_ROWS)
    texts = [text for text, _ in train + test]
    assert len(set(texts)) == len(texts)
    for rows in parts:
        counts = Counter(label for _, label in rows)
        assert set(counts) == set(GRAMMAR)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert make_commands() == parts


def test_held_out_phrasings_are_in_the_test_part_alone(parts):
    train, test = parts
    for phrase in ("wake me up in", "wants in at the", "should be locked", "in the porch"):
        assert not any(phrase in text for text, _ in train)
        assert any(phrase in text for text, _ in test)


def test_requests_are_polite_only_where_grammar_allows():
    for phrases in GRAMMAR.values():
        for phrase in sum(phrases, ()):
            assert not phrase.startswith(tuple(p for p in POLITE + PLAIN if p))


def test_description_counts_what_is_there(tmp_path):
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "one two,x\n" * 12 + "One  two,y\nthree,y\n" * 6
    )
    (tmp_path / "t.csv").write_text("text,label\nthree,y\nfour five six,x\n")
    train, test = describe_text(TextSource(tmp_path / "a.csv", test=tmp_path / "t.csv"))
    assert (train.rows, train.classes) == (24, {"x": 12, "y": 12})
    assert (train.duplicates, train.contradictions, train.in_train) == (22, 6, 0)
    assert (test.rows, test.in_train, test.words) == (2, 1, (1, 2, 3, 3))
    (tmp_path / "n.csv").write_text("text,label\n" + "a,1\nb,2\nc,6\n" * 20)
    (number,) = describe_text(TextSource(tmp_path / "n.csv", labels="number"))
    assert number.numbers == (1.0, 3.0, 6.0)
    assert np.isclose(number.rows, 60)
