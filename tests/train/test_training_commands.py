"""`edgekit train`, `quantize` and `evaluate` on a real, short project."""

import importlib
import json

import pytest

from edgekit.cli.main import Command, load_command
from edgekit.config import parse_config
from edgekit.errors import ConfigError, FormatError, StoreError
from edgekit.journal import Journal
from edgekit.train.projects import project_job

NAMES = ("train", "quantize", "evaluate")


def _run(name, *arguments):
    command = load_command(Command(name, name, name, ""))
    command(args=list(arguments), prog_name=f"edgekit {name}", standalone_mode=False)


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(name, capsys):
    _run(name, "--help")
    assert f"Example: edgekit {name}" in capsys.readouterr().out
    assert callable(getattr(importlib.import_module(f"edgekit.cli.{name}"), name))


def test_changed_file_is_another_run_folder(tmp_path):
    one = project_job(parse_config("", root=tmp_path))
    two = project_job(parse_config("[train]\nseed = 2", root=tmp_path))
    assert one.run.parent == tmp_path / ".edgekit" / "runs"
    assert one.run != two.run
    assert project_job(parse_config("", root=tmp_path), seed=2).run == two.run


def test_model_from_elsewhere_is_not_trained(tmp_path):
    with pytest.raises(ConfigError, match="'file' in"):
        project_job(parse_config("[model]\nfile = 'm.tflite'", root=tmp_path))


def test_evaluate_and_quantize_before_train_say_what_to_do(tmp_path):
    (tmp_path / "edgekit.toml").write_text("")
    with pytest.raises(StoreError, match="'edgekit train' and 'edgekit quantize' make it"):
        _run("evaluate", "--project", str(tmp_path))
    with pytest.raises(FormatError, match="run 'edgekit train' first"):
        _run("quantize", "--project", str(tmp_path))


@pytest.mark.data("models")
def test_evaluate_refuses_a_model_for_other_samples(tmp_path, models_dir):
    (tmp_path / "edgekit.toml").write_text("")
    model = models_dir / "kws_dscnn_int8.tflite"
    with pytest.raises(FormatError, match=r"'kws_dscnn_int8\.tflite' reads"):
        _run("evaluate", str(model), "--project", str(tmp_path))


@pytest.mark.train
def test_three_commands_in_a_row(tmp_path, capsys):
    (tmp_path / "edgekit.toml").write_text(
        "[project]\nname = 'short'\n[train]\nepochs = 3\n[accept]\nmin_accuracy = 0.99\n"
    )
    project = ("--project", str(tmp_path))
    _run("train", *project, "--json")
    trained = json.loads(capsys.readouterr().out)
    assert not trained["reused"]
    assert len(trained["losses"]) == 3
    output = tmp_path / "out" / "short.tflite"
    _run("quantize", *project, "--output", str(output))
    assert "all int8" in capsys.readouterr().out
    _run("evaluate", *project, "--json")
    own = json.loads(capsys.readouterr().out)
    assert own["accepted"] is False
    _run("evaluate", str(output), *project)
    text = capsys.readouterr().out
    assert f"accuracy {own['accuracy']:.1%}" in text
    assert "may not be published" in text
    _run("train", *project)
    assert "was already trained" in capsys.readouterr().out
    with Journal.open(tmp_path / ".edgekit") as journal:
        kinds = [event.kind for event in journal.events()]
    assert kinds == ["dataset.described", "training.finished"]
