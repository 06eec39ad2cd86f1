"""The bench of text models: recipes that can be trained, figures, tables, a teacher."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.text import TextSource, load_text
from edgekit.models import make_config
from edgekit.models.saved import unpack_arrays
from tools.bench import text, text_page
from tools.bench.__main__ import main
from tools.bench.text_memory import MODELS
from tools.bench.text_sets import COMPARED, OTHERS, SEEDS, SETS, SIZES, text_job
from tools.bench.text_teacher import LEAST, write_teacher

FACTS = {
    "float": 99.0,
    "parameters": 250_000,
    "weight_bytes": 300_000,
    "arena_bytes": 20_000,
    "tokenizer_bytes": 90_000,
    "vocab": 8192,
    "seconds": 60.0,
}


def result(name: str, seed: int, int8: float, **more: object) -> dict[str, object]:
    """Make what one run gives."""
    return {"set": name, "seed": seed, "int8": int8, **FACTS, **more}


def test_every_set_has_sizes_that_a_model_has_and_a_target_below_its_stretch() -> None:
    for chosen in SETS.values():
        make_config("embbert", {**SIZES, **chosen.sizes})
        assert chosen.target < chosen.stretch
    for family, sizes, _ in OTHERS.values():
        make_config(family, sizes)
    for sizes, _ in MODELS.values():
        make_config("embbert", sizes)
    assert set(COMPARED) <= set(SETS)


def test_a_figure_is_ok_from_its_target_on() -> None:
    runs = [result("snips", seed, 97.4 + 0.1 * seed) for seed in SEEDS]
    rows = {each.figure: each for each in text.rows_of(runs)}
    mean = rows["snips: int8 accuracy, mean of 3"]
    assert mean.value == pytest.approx(97.6)
    assert mean.ok
    assert not rows["snips: points lost by int8"].ok
    assert rows["snips: training"].ok
    low = text.rows_of([result("snips", 1, 97.4)])[0]
    assert not low.ok


def test_table_has_mean_and_spread_over_seeds() -> None:
    runs = [result("emotion", seed, value) for seed, value in zip(SEEDS, (88, 89, 90), strict=True)]
    line = text.text_of(runs).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:4]] == ["emotion", "89.00", "1.00"]


def test_page_is_made_from_the_results() -> None:
    assert text_page.PAGE.read_text(encoding="utf-8") == text_page.page()


def test_wrong_use_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path))
    assert main(["text", "--only", "snip"]) == 1
    assert "'snip' is no set; there are snips" in capsys.readouterr().err
    assert main(["text", "--only", "snips/gpt"]) == 1
    assert "'gpt' is no model; there are paper" in capsys.readouterr().err
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path / "missing"))
    assert main(["text"]) == 1
    assert "name it by EDGEKIT_DATA" in capsys.readouterr().err


def _table(path: Path, rows: int, *, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["text", "label"])
    for _ in range(rows):
        warm = rng.integers(2)
        words = rng.choice(["please", "now", "the", "room", "kitchen"], 3).tolist()
        writer.writerow([" ".join([*words, ("cold", "warm")[warm]]), ("off", "on")[warm]])
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


@pytest.mark.train
def test_teacher_says_of_each_training_row_what_it_learned_without_it(tmp_path: Path) -> None:
    train = _table(tmp_path / "train.csv", 200, seed=1)
    source = TextSource(train=train, test=_table(tmp_path / "test.csv", 40, seed=2), share=0.1)
    write_teacher(source, tmp_path / "teacher.npz", characters=True)
    _, arrays = unpack_arrays(tmp_path / "teacher.npz")
    logits, part = arrays["logits"], load_text(source).train
    assert logits.shape == (200, 2)
    assert np.mean(logits[part.rows].argmax(axis=1) == part.labels) > 0.95
    assert np.all(logits >= np.log(LEAST) - 1e-6)
    others = np.setdiff1d(np.arange(200), part.rows)
    assert not logits[others].any()


def test_a_job_names_its_files_and_its_model(tmp_path: Path) -> None:
    for folder, names in {
        "snips": ("train.csv.gz", "test.csv.gz"),
        "wikitext2_part": ("valid.txt.gz",),
        "storybooks": ("alice.txt.gz",),
    }.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_bytes(b"x")
    job = text_job("snips", 2, tmp_path / "runs", tmp_path)
    assert job.run == tmp_path / "runs" / "snips-2"
    assert set(job.digests) == {"train", "test", "corpus0", "corpus1"}
    assert job.sizes["layers"] == SIZES["layers"]
    other = text_job("snips", 2, tmp_path / "runs", tmp_path, other="bert")
    assert other.family == "bert"
    assert other.hash() != job.hash()
