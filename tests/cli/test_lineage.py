"""From the data set over the training run to the released model: the journal and the registry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from litert_models import Model, T

from edgekit.cli.main import main
from edgekit.config import load_config
from edgekit.journal import Journal
from edgekit.service.lineage import enter_training, image_dataset_body, text_dataset_body
from edgekit.train.projects import project_job
from edgekit.train.text_projects import text_project_job


def classifier() -> bytes:
    rng = np.random.default_rng(1)
    model = Model()
    x = model.add(T((1, 64), [1 / 240], [-128]))
    weights = rng.integers(-127, 128, (10, 64), np.int8)
    w = model.add(T(weights.shape, [0.01], [0], data=weights))
    bias = np.zeros(10, np.int32)
    b = model.add(T(bias.shape, [0.01 / 240], [0], data=bias, dtype="int32"))
    y = model.add(T((1, 10), [0.2], [0]))
    model.op("FULLY_CONNECTED", [x, w, b], [y])
    model.inputs, model.outputs = [x], [y]
    return model.to_bytes()


@pytest.mark.cc
@pytest.mark.parametrize("published", ["run", "image"])
def test_released_model_knows_its_run_and_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], published: str
) -> None:
    (tmp_path / "edgekit.toml").write_text('[project]\nname = "digits"\nversion = "7"\n')
    config = load_config(tmp_path)
    job = project_job(config)
    job.run.mkdir(parents=True)
    tflite = job.run / "model.tflite"
    tflite.write_bytes(classifier())
    enter_training(config.state, image_dataset_body("digits"), job, seconds=3.0)
    project = ("--project", str(tmp_path))
    given = tflite
    if published == "image":
        given = tmp_path / "out" / "model.ekm"
        assert main(["export", str(tflite), *project, "--out", str(tmp_path / "out")]) == 0
    assert main(["update", "publish", str(given), *project, "--min-accuracy", "0"]) == 0
    capsys.readouterr()
    assert main(["registry", "query", "lineage", "digits:7", *project, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]["bindings"]
    found = {row["kind"]["value"].rsplit("#")[-1]: row["ancestor"]["value"] for row in rows}
    assert found["TrainingRun"].endswith(job.run.name)
    assert found["Dataset"].endswith("/digits")
    assert len(rows) == len(found)
    assert main(["registry", "show", job.run.name, *project]) == 0
    shown = capsys.readouterr().out
    assert "\nek:TrainingRun " in shown and "digits" in shown
    # Who knows only ML-Schema and PROV-O finds the run, too.
    text = "SELECT ?run { ?run a mls:Run, prov:Activity }"
    assert main(["registry", "query", text, *project, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]["bindings"]
    assert row["run"]["value"] == found["TrainingRun"]


def test_training_and_data_are_entered_once(tmp_path: Path) -> None:
    (tmp_path / "edgekit.toml").write_text("")
    config = load_config(tmp_path)
    for seed in (1, 1, 2):
        job = project_job(config, seed=seed)
        enter_training(config.state, image_dataset_body("digits"), job, seconds=3.0)
    with Journal.open(config.state) as journal:
        kinds = [event.kind for event in journal.events()]
        last = list(journal.events())[-1].body
    assert kinds == ["dataset.described", "training.finished", "training.finished"]
    assert last["seed"] == 2 and last["settings"]["epochs"] == 25


def test_text_data_is_named_by_its_project_and_content(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nyes,a\nno,b\n")
    (tmp_path / "edgekit.toml").write_text(
        '[project]\nname = "commands"\ntask = "text"\n[data]\ntrain = "train.csv"\n'
        'license = "CC0-1.0"\n'
    )
    config = load_config(tmp_path)
    job = text_project_job(config)
    body = text_dataset_body(config, job, 2)
    assert body["name"] == "commands-text" and body["source"] == "train.csv"
    assert (body["license"], body["classes"], len(body["version"])) == ("CC0-1.0", 2, 16)
    enter_training(config.state, body, job, seconds=1.0)
    with Journal.open(config.state) as journal:
        assert [event.subject for event in journal.events()] == ["commands-text", job.run.name]
