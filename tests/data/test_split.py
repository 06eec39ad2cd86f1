"""Splitting by class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.data.split import partition_by_class, shuffled, stratified_split

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.uint8)
)


@settings(deadline=None, max_examples=60)
@given(labels=LABELS, share=st.floats(0, 1), seed=st.integers(0, 9))
def test_stratified_split_takes_exactly_the_count_and_class_shares(labels, share, seed):
    count = int(share * len(labels))
    chosen, others = stratified_split(labels, count, seed=seed)
    assert len(chosen) == count
    assert sorted([*chosen, *others]) == list(range(len(labels)))
    for label in np.unique(labels):
        exact = np.sum(labels == label) * count / len(labels)
        assert abs(np.sum(labels[chosen] == label) - exact) < 1


def test_stratified_split_refuses_more_than_there_is():
    with pytest.raises(ValueError, match="cannot choose 3 of 2"):
        stratified_split(np.zeros(2, dtype=np.uint8), 3, seed=0)


def test_shuffled_depends_on_the_seed_alone():
    numbers = np.arange(8)
    assert shuffled(numbers, seed=1).tolist() == shuffled(numbers[::-1], seed=1).tolist()
    assert shuffled(numbers, seed=1).tolist() != shuffled(numbers, seed=2).tolist()


def test_partition_deals_each_sample_of_a_listed_class_once():
    labels = np.repeat(np.arange(4, dtype=np.uint8), 10)
    parts = partition_by_class(labels, [[0, 1], [1, 2], []], seed=3)
    assert [sorted(set(labels[part].tolist())) for part in parts] == [[0, 1], [1, 2], []]
    dealt = np.concatenate(parts)
    assert sorted(dealt.tolist()) == np.flatnonzero(labels < 3).tolist()
    assert [len(part) for part in parts] == [15, 15, 0]


def test_partition_mixes_the_classes_of_a_device():
    labels = np.repeat(np.arange(2, dtype=np.uint8), 50)
    (part,) = partition_by_class(labels, [[0, 1]], seed=0)
    assert 10 < np.sum(labels[part][:50] == 0) < 40


@pytest.mark.parametrize(
    ("classes", "message"), [([[0, 0]], "class 0 twice"), ([[0], [7]], "device 1 lists class 7")]
)
def test_partition_refuses_impossible_lists(classes, message):
    with pytest.raises(ValueError, match=message):
        partition_by_class(np.zeros(4, dtype=np.uint8), classes, seed=0)
