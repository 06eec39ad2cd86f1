"""The digits and their fixed split."""

import dataclasses
import hashlib

import numpy as np
import pytest

from edgekit.data import DATASETS, load_dataset
from edgekit.data.dataset import Part
from edgekit.errors import ConfigError


@pytest.fixture(scope="module", params=[name for name, _ in DATASETS])
def dataset(request):
    return load_dataset(request.param)


def test_parts_have_the_promised_sizes_and_every_class():
    digits = load_dataset("digits")
    assert (len(digits.train), len(digits.acceptance), len(digits.test)) == (1007, 250, 540)


def test_parts_are_stratified(dataset):
    for part in (dataset.train, dataset.acceptance, dataset.test):
        shares = np.bincount(part.labels, minlength=len(dataset.label_names)) / len(part)
        assert shares.min() > 0.09
        assert shares.max() < 0.11


def test_raw_values_are_bytes_in_range(dataset):
    for part in (dataset.train, dataset.acceptance, dataset.test):
        assert part.raw.dtype == np.uint8
        assert part.raw.max() == dataset.max_value
    assert dataset.to_float(dataset.test.raw).max() == 1.0


def test_split_never_changes():
    """Published accuracies rest on these very test images."""
    test = load_dataset("digits").test
    found = hashlib.blake2b(test.raw.tobytes() + test.labels.tobytes(), digest_size=8)
    assert found.hexdigest() == "60f585024ae0262d"


def test_without_classes_leaves_out_exactly_these(dataset):
    part = dataset.train.without_classes((7, 8, 9))
    assert sorted(set(part.labels.tolist())) == list(range(7))
    assert len(part) == int(np.sum(dataset.train.labels < 7))


def test_unknown_dataset_is_refused_by_name():
    with pytest.raises(ConfigError, match="'digit' is not known; there are: digits"):
        load_dataset("digit")


def test_part_with_too_few_labels_is_refused(dataset):
    with pytest.raises(ValueError, match="labels"):
        dataclasses.replace(dataset.test, labels=dataset.test.labels[:-1])
    assert isinstance(dataset.test, Part)
