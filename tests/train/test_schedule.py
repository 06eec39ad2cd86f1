"""Learning-rate schedule, augmentation and job descriptions, without the framework."""

import dataclasses
import doctest
import json
from pathlib import Path

import numpy as np
import pytest

import edgekit.train.schedule
from edgekit.errors import ConfigError, FormatError
from edgekit.train.augment import augment_images
from edgekit.train.jobs import TrainJob, TrainResult
from edgekit.train.schedule import cosine_rate


def test_schedule_examples():
    assert doctest.testmod(edgekit.train.schedule).failed == 0


def test_rate_rises_to_the_peak_then_falls():
    rates = [cosine_rate(s, total=100, warmup=10, peak=2.0) for s in range(101)]
    assert max(rates) == rates[9] == rates[10] == 2.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == 0.0


def test_augmentation_is_the_generators_alone():
    images = np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32)
    one, two = (
        augment_images(images, np.random.default_rng(5), shift=1, noise=0.1) for _ in range(2)
    )
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert one.shape == images.shape
    assert one.min() >= 0
    assert one.max() <= 1


def test_augmentation_moves_by_at_most_the_shift():
    image = np.zeros((200, 8, 8, 1), dtype=np.float32)
    image[:, 4, 4] = 0.8
    moved = augment_images(image, np.random.default_rng(1), shift=1, noise=0.0)
    places = {(int(y), int(x)) for _, y, x, _ in np.argwhere(moved > 0.5)}
    assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}


def test_job_survives_json_and_hash_ignores_name_and_folder(tmp_path):
    job = TrainJob("a", tmp_path, leave_out=(7, 8), sizes={"width": 16})
    assert TrainJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert dataclasses.replace(job, name="b", run=Path("elsewhere")).hash() == job.hash()
    for change in ({"seed": 2}, {"epochs": 3}, {"leave_out": (7,)}, {"sizes": {}}):
        assert dataclasses.replace(job, **change).hash() != job.hash()


@pytest.mark.parametrize("change", [{"epochs": 0}, {"rate": 0.0}, {"label_smoothing": 1.0}])
def test_impossible_jobs_are_refused(tmp_path, change):
    with pytest.raises(ConfigError, match="job 'a'"):
        TrainJob("a", tmp_path, **change)


def test_damaged_result_is_a_format_error():
    with pytest.raises(FormatError, match=r"result\.json: is not a training result"):
        TrainResult.from_json({"name": "x"}, where="result.json")
