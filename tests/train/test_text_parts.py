"""The parts of text training that need no framework: batches, masks, metrics, schedules, jobs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.text import TextSource
from edgekit.errors import ConfigError, FormatError
from edgekit.train.batches import (
    PAD,
    SEP,
    UNK,
    choose_buckets,
    cut_windows,
    drop_words,
    fit,
    plan_epoch,
    token_counts,
)
from edgekit.train.metrics import main_metric, matthews, measure, spearman
from edgekit.train.schedule import rate_at
from edgekit.train.text_jobs import TextJob, TextResult, read_text_result


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_every_row_is_in_one_batch_and_batches_are_whole():
    counts = _rng().integers(1, 60, 1003)
    buckets = choose_buckets(counts, limit=64)
    batches = plan_epoch(counts, batch=32, buckets=buckets, rng=_rng(1))
    rows = np.concatenate([batch.rows for batch in batches])
    assert {len(batch.rows) for batch in batches} == {32}
    assert set(rows.tolist()) == set(range(1003))
    assert len(rows) == 1024
    assert all(counts[batch.rows].max() <= batch.length for batch in batches)
    again = plan_epoch(counts, batch=32, buckets=buckets, rng=_rng(1))
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(batches, again, strict=True))


def test_sorted_batches_pad_little():
    counts = np.minimum(_rng().poisson(12, 8000) + 2, 64)
    buckets = choose_buckets(counts, limit=256)
    batches = plan_epoch(counts, batch=32, buckets=buckets, rng=_rng(1))
    padded = sum(len(batch.rows) * batch.length for batch in batches)
    assert padded < 1.35 * counts.sum()
    assert len(buckets) <= 5


def test_fewer_rows_than_a_batch_fill_it():
    batches = plan_epoch(np.array([3, 4, 5]), batch=8, buckets=(8,), rng=_rng())
    assert len(batches) == 1
    assert set(batches[0].rows.tolist()) == {0, 1, 2}


def test_buckets_end_where_rows_end():
    assert choose_buckets(np.array([100, 300]), limit=256, most=1) == (256,)
    assert choose_buckets(np.array([3, 4]), limit=10, most=3) == (8,)
    assert fit(9, (8, 16)) == 16
    assert fit(99, (8, 16)) == 16


def test_tokens_are_counted_to_the_last_and_words_are_dropped():
    ids = np.array([[2, 9, 0, 4, 0], [0, 0, 0, 0, 0], [2, 9, 9, 9, 9]], np.int32)
    assert token_counts(ids).tolist() == [4, 1, 5]
    many = _rng().integers(0, 50, (200, 40)).astype(np.int32)
    dropped = drop_words(many, 0.3, _rng(2))
    changed = dropped != many
    assert set(dropped[changed].tolist()) == {UNK}
    assert many[changed].min() > SEP
    assert 0.25 < changed.sum() / (many > SEP).sum() < 0.35
    assert drop_words(many, 0.0, _rng()) is many
    assert (dropped[many == PAD] == PAD).all()


def test_metrics_equal_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = _rng(5)
    labels, logits = rng.integers(0, 5, 300), rng.normal(size=(300, 5))
    logits[np.arange(300), labels] += 0.7
    found = measure("single", labels, logits)
    answers = logits.argmax(axis=1)
    assert found["accuracy"] == sklearn.accuracy_score(labels, answers)
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score(labels, answers, average="macro"))
    assert found["mcc"] == pytest.approx(sklearn.matthews_corrcoef(labels, answers))
    table = (rng.random((200, 6)) < 0.3).astype(np.float32)
    scores = rng.normal(size=(200, 6)) + 2 * table - 1
    several = measure("multi", table, scores, threshold=0.5)
    chosen = scores > 0
    assert several["micro_f1"] == pytest.approx(sklearn.f1_score(table, chosen, average="micro"))
    assert several["macro_f1"] == pytest.approx(sklearn.f1_score(table, chosen, average="macro"))
    assert several["accuracy"] == pytest.approx(sklearn.accuracy_score(table, chosen))
    strict = measure("multi", table, scores, threshold=0.9)
    assert strict["precision"] > several["precision"]
    assert strict["recall"] < several["recall"]


def test_rank_correlation_shares_ranks_and_metrics_of_nothing_are_zero():
    one, two = np.array([1.0, 2, 2, 3]), np.array([10.0, 20, 30, 40])
    assert spearman(one, two) == pytest.approx(0.9486832980505138)
    assert spearman(np.ones(4), two) == 0.0
    assert matthews(np.zeros(4, np.int64), np.zeros(4, np.int64), classes=2) == 0.0
    number = measure("number", np.array([1.0, 3.0]), np.array([[1.0], [5.0]]))
    assert number["rmse"] == pytest.approx(2**0.5)


def test_metric_must_fit_the_labels():
    assert main_metric("multi", "auto") == "macro_f1"
    with pytest.raises(ValueError, match="'mcc' is not measured for labels 'number'"):
        main_metric("number", "mcc")
    with pytest.raises(ConfigError, match="'metric' 'spearman' is not measured"):
        TextJob("x", Path(), TextSource(Path("a.csv")), metric="spearman")


@pytest.mark.parametrize("schedule", ["cosine", "constant", "wsd"])
def test_schedules_rise_to_the_peak_and_never_above(schedule):
    rates = [
        rate_at(step, schedule=schedule, total=100, warmup=0.1, decay=0.3, peak=2.0)
        for step in range(100)
    ]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[9] == 2.0
    assert min(rates) > 0
    assert (rates[-1] < 0.1) == (schedule != "constant")
    flat = [rate == 2.0 for rate in rates[10:70]]
    assert all(flat) == (schedule != "cosine")


def test_job_survives_json_and_its_hash_knows_what_decides(tmp_path):
    source = TextSource(tmp_path / "a.csv", test=tmp_path / "t.csv")
    job = TextJob("x", tmp_path / "r", source, teachers=(tmp_path / "t",), digests={"train": "1"})
    again = TextJob.from_json(json.loads(json.dumps(job.to_json())))
    assert again == job
    moved = dataclasses.replace(
        job, name="y", run=tmp_path / "z", source=dataclasses.replace(source, train=Path("b.csv"))
    )
    assert moved.hash() == job.hash()
    assert dataclasses.replace(job, digests={"train": "2"}).hash() != job.hash()
    assert dataclasses.replace(job, rate=1.0).hash() != job.hash()
    assert dataclasses.replace(job, checkpoint_s=0.0).hash() == job.hash()


def test_damaged_result_is_a_format_error(tmp_path):
    assert read_text_result(tmp_path) is None
    for text in ("{", "[]", '{"name": 1}'):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(FormatError, match=r"result\.json: is not"):
            read_text_result(tmp_path)
    result = TextResult("n", tmp_path, "h", 1, "single", ("a",), "accuracy", (1.0,), (0.5,), 1,
                        {"accuracy": 0.5}, {"accuracy": 0.5}, 1.0)  # fmt: skip
    (tmp_path / "result.json").write_text(json.dumps(result.to_json()))
    assert read_text_result(tmp_path) == result


def test_a_long_row_is_read_from_anywhere_and_a_short_one_from_its_beginning() -> None:
    ids = np.zeros((2, 12), np.int32)
    ids[0] = [2, *range(10, 21)]
    ids[1, :3] = [2, 5, 6]
    seen = set()
    for seed in range(40):
        long, short = cut_windows(ids, np.array([12, 3]), 4, np.random.default_rng(seed))
        assert long[0] == 2
        assert np.all(np.diff(long[1:]) == 1)
        assert short.tolist() == [2, 5, 6, 0]
        seen.add(int(long[1]))
    assert seen == set(range(10, 19))
