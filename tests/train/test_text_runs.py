"""Text models trained for real, small and short: every kind of labels, resumed after a kill."""

import dataclasses
import json

import numpy as np
import pytest

from edgekit.data.text import TextSource
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import ConfigError
from edgekit.models import make_config
from edgekit.models.saved import unpack_arrays
from edgekit.train.launch import run_pretraining, run_text_jobs
from edgekit.train.pretrain_jobs import PretrainJob
from edgekit.train.text_jobs import TextJob, read_teacher

pytestmark = pytest.mark.train

SIZES = {"hidden": 16, "reduced": 8, "layers": 1, "kernel": 3, "attention": False, "length": 16}
COLOURS = ("red", "green", "blue", "yellow")
THINGS = ("car", "house", "bird", "tree", "shoe")


class _Stop(Exception):
    pass


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with tables: the colour is the class and most of the value."""
    folder = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(240):
        words = rng.choice(THINGS, int(rng.integers(1, 6))).tolist()
        words.insert(int(rng.integers(len(words) + 1)), COLOURS[i % 4])
        rows.append(
            {
                "text": " ".join(words),
                "other": f"the {rng.choice(THINGS)}",
                "label": COLOURS[i % 4],
                "things": sorted(set(words) & set(THINGS[:3])),
                "value": i % 4 + len(words) / 20,
            }
        )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text)
    lines = [f"the {row['text']} is here .\n" + "\n" * (i % 9 == 8) for i, row in enumerate(rows)]
    (folder / "plain.txt").write_text("".join(lines))
    return folder


def _job(root, name, *, sizes=SIZES, **more):
    labels = more.pop("labels", {})
    source = TextSource(root / "train.jsonl", share=0.2, **labels)
    settings = {"epochs": 8, "batch": 16, "rate": 2e-2, "grams": 500, **more}
    return TextJob(name, root / name, source, sizes=dict(sizes), **settings)


@pytest.fixture(scope="module")
def runs(root):
    """One run straight, one killed in its second epoch, and every kind of labels."""
    multi = {"label": "things", "labels": "multi"}
    number = {"label": "value", "labels": "number"}
    jobs = [
        _job(root, "straight"),
        _job(root, "cut", checkpoint_s=0.0),
        _job(root, "second", seed=2, patience=2, epochs=12),
        _job(root, "pair", labels={"pair": "other"}, balance=True, schedule="wsd"),
        _job(root, "multi", labels=multi, balance=True, epochs=14),
        _job(root, "number", labels=number, epochs=14, label_smoothing=0.0),
    ]

    def interrupt(epoch, step):
        epochs = []

        def on_event(event):
            epochs.extend([event["epoch"]] if event["event"] == "epoch" else [])
            if event["event"] == "step" and (len(epochs), event["step"]) == (epoch, step):
                raise _Stop

        return on_event

    with pytest.raises(_Stop):
        run_text_jobs(jobs[1:2], interrupt(1, 4))
    assert (root / "cut" / "checkpoint.npz").is_file()
    with pytest.raises(ConfigError, match=r"cut: holds the run of another configuration"):
        run_text_jobs([dataclasses.replace(jobs[1], batch=8)])
    events = []
    results = {result.name: result for result in run_text_jobs(jobs, events.append)}
    return {"results": results, "jobs": {job.name: job for job in jobs}, "events": events}


@pytest.fixture(scope="module")
def taught(root, runs):
    """What begins with other runs: a committee, a file of logits, and a pretrained body."""
    pretrained = PretrainJob(
        "pretrained", root / "pretrained", (root / "plain.txt",), sizes=SIZES, steps=24, batch=8,
        length=24, checkpoint_s=0.0,
    )  # fmt: skip

    def stop(event):
        if event["event"] == "step" and event["step"] == 11:
            raise _Stop

    straight = dataclasses.replace(pretrained, name="plain", run=root / "plain", checkpoint_s=99.0)
    with pytest.raises(_Stop):
        run_pretraining([pretrained], stop)
    language = run_pretraining([pretrained, straight])
    np.savez(root / "logits.npz", logits=np.eye(4)[np.arange(240) % 4] * 9)
    committee = (root / "straight", root / "second")
    jobs = [
        _job(root, "student", teachers=committee, hidden_weight=0.5, seed=5),
        _job(root, "answers", teachers=(root / "logits.npz",), teacher_weight=1.0),
        _job(root, "started", start=root / "pretrained", epochs=1),
    ]
    found = run_text_jobs(jobs)
    return {result.name: result for result in (*language, *found)}


def _weights(run):
    return unpack_arrays(run / "model.npz")[1]


def _equal(one, two):
    a, b = _weights(one), _weights(two)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_classes_are_learned(runs):
    result = runs["results"]["straight"]
    assert result.test["accuracy"] >= 0.9
    assert result.scores[-1] == result.validation["accuracy"]
    assert result.label_names == ("blue", "green", "red", "yellow")
    assert len(result.losses) == 8
    assert Tokenizer.load(result.tokenizer).vocab < 8192


def test_killed_run_equals_a_straight_one(runs, root):
    assert _equal(root / "cut", root / "straight")
    results = runs["results"]
    assert results["cut"].losses == results["straight"].losses
    starts = [e for e in runs["events"] if e["event"] == "started" and e["job"] == "cut"]
    assert [start["from"] for start in starts] == [1]
    assert not (root / "cut" / "checkpoint.npz").exists()


def test_whole_run_is_not_done_again_and_another_configuration_is_refused(runs, root, tmp_path):
    job = runs["jobs"]["straight"]
    (again,) = run_text_jobs([job])
    assert again.reused
    assert again.scores == runs["results"]["straight"].scores
    with pytest.raises(ConfigError, match=r"straight: holds the run of another configuration"):
        run_text_jobs([dataclasses.replace(job, rate=0.5)])


def test_early_stopping_keeps_the_best_epoch(runs):
    result = runs["results"]["second"]
    best = int(np.argmax(result.scores)) + 1
    assert result.best_epoch == best
    assert len(result.scores) in (12, best + 2)
    assert result.validation["accuracy"] == max(result.scores)


def test_pairs_and_several_classes_and_numbers_are_learned(runs):
    results = runs["results"]
    assert results["pair"].test["accuracy"] >= 0.8
    assert results["multi"].metric == "macro_f1"
    assert results["multi"].test["macro_f1"] >= 0.85
    assert results["number"].test["spearman"] >= 0.8
    assert results["number"].test["rmse"] < 1.0


def test_committee_and_file_teach(taught):
    assert taught["student"].test["accuracy"] >= 0.9
    # The file's teacher takes blue for red: learned from alone, its answers are what comes out.
    assert taught["answers"].test["accuracy"] < 0.6


def test_pretraining_resumes_and_starts_a_run(taught, root):
    assert _equal(root / "pretrained", root / "plain")
    result = taught["pretrained"]
    assert result.losses == taught["plain"].losses
    assert len(result.losses) == 10
    assert np.isfinite(result.held_out).all()
    tokens = (root / name / "tokenizer.json" for name in ("pretrained", "started"))
    one, two = (path.read_text() for path in tokens)
    assert one == two


def test_start_of_other_sizes_and_teacher_of_other_labels_are_refused(taught, root):
    from edgekit.train.start import copy_body  # imports the framework: only here

    meta, _ = unpack_arrays(root / "pretrained" / "model.npz")
    config = make_config("embbert", {**meta["sizes"], "hidden": 32})
    with pytest.raises(ConfigError, match=r"has hidden = 16, the project 32"):
        copy_body(root / "pretrained", None, family="embbert", config=config)
    with pytest.raises(ConfigError, match=r"straight: was trained on 4 labels \(blue, green, red"):
        read_teacher(root / "straight", labels="number", label_names=())
    with pytest.raises(ConfigError, match=r"pretrained: is no finished run of a text model"):
        read_teacher(root / "pretrained", labels="single", label_names=("a",))
