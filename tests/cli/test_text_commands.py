"""`edgekit new`, `edgekit data check`, and the way of a text project through all commands."""

import json

import pytest

from edgekit.cli.main import main

SIZES = """[model.sizes]
length = 16
hidden = 32
reduced = 16
layers = 1
kernel = 3
attention = false
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What `edgekit new` writes, with a smaller model and a third of the rows."""
    folder = tmp_path_factory.mktemp("new")
    assert main(["new", "home", "--template", "text", "--in", str(folder)]) == 0
    home = folder / "home"
    text = (home / "edgekit.toml").read_text()
    head, _, tail = text.partition("[model.sizes]")
    text = head + SIZES + "[train]" + tail.partition("[train]")[2]
    text = text.replace("epochs = 6", "epochs = 5").replace("3e-3", "1e-2")
    (home / "edgekit.toml").write_text(text.replace("min_accuracy = 0.95", "min_accuracy = 0.6"))
    for name in ("train.csv", "test.csv"):
        lines = (home / name).read_text().splitlines(keepends=True)
        (home / name).write_text("".join(lines[: 1 + (len(lines) - 1) // 3]))
    return home


def _json(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_new_writes_a_whole_project_and_never_over_another(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    facts = _json(capsys, "new", "one", "--template", "text")
    assert facts == {
        "project": "one",
        "files": ["README.md", "edgekit.toml", "test.csv", "train.csv"],
    }
    readme = (tmp_path / "one" / "README.md").read_text()
    assert "6,000 and 1,200 distinct sentences" in readme
    assert "$" not in readme
    assert main(["new", "one"]) == 1
    assert "one: is there already and not empty" in capsys.readouterr().err
    assert main(["new", "two", "--template", "sound"]) == 1
    assert "template 'sound' is not known; there are: text" in capsys.readouterr().err
    assert main(["new", "a/b"]) == 1
    assert "'a/b' is no name of a project" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()


def test_help_of_new_lists_the_templates(capsys):
    assert main(["new", "--help"]) == 0
    assert "text: classify sentences" in " ".join(capsys.readouterr().out.split())


def test_check_says_what_is_in_files(project, tmp_path, capsys):
    train, test = _json(capsys, "data", "check", "--project", str(project))
    assert (train["rows"], test["rows"]) == (2000, 400)
    assert len(train["classes"]) == 12
    assert main(["data", "check", "--project", str(project)]) == 0
    assert "train.csv: 2,000 rows" in capsys.readouterr().out
    path = tmp_path / "a.tsv"
    path.write_text("review\tstars\ngood one\t5\ngood one\t4\n")
    options = ("--text", "review", "--label", "stars", "--labels", "number")
    (facts,) = _json(capsys, "data", "check", str(path), *options)
    assert facts["numbers"] == [4.0, 4.5, 5.0]
    assert facts["contradictions"] == 1
    assert main(["data", "check", str(path)]) == 1
    assert "a.tsv:2: has no column 'label'" in capsys.readouterr().err
    assert main(["data", "check", str(path), "--labels", "some"]) == 2


def test_commands_before_training_say_what_to_do(project, tmp_path, capsys):
    (tmp_path / "edgekit.toml").write_text((project / "edgekit.toml").read_text())
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text((project / name).read_text())
    for command in ("quantize", "evaluate"):
        assert main([command, "--project", str(tmp_path)]) == 1
        assert "has no trained model; run 'edgekit train' first" in capsys.readouterr().err
    (tmp_path / "train.csv").unlink()
    assert main(["train", "--project", str(tmp_path)]) == 1
    assert "train.csv: cannot be read: No such file" in capsys.readouterr().err


def test_pretraining_needs_text_and_a_start_needs_pretraining(project, tmp_path, capsys):
    (tmp_path / "train.csv").write_text((project / "train.csv").read_text())
    toml = tmp_path / "edgekit.toml"
    text = "[project]\ntask = 'text'\n"
    for more, message in (
        ("[pretrain]\nown_text = false\n", "names no 'files', and own_text = false"),
        ("[pretrain]\nfiles = ['*.txt']\n", "nothing matches"),
    ):
        toml.write_text(text + more)
        assert main(["train", "--task", "pretrain", "--project", str(tmp_path)]) == 1
        assert message in capsys.readouterr().err
    for key, message in (
        ("start = 'pretrain'", "run 'edgekit train --task pretrain' first"),
        ("start = 'nowhere'", "nowhere has no model.npz"),
        ("teacher = ['nowhere']", "model.npz is not there; a teacher is"),
    ):
        toml.write_text(text + f"[train]\n{key}\n")
        assert main(["train", "--project", str(tmp_path)]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.train
@pytest.mark.cc
def test_whole_way_of_a_text_project(project, tmp_path, capsys):
    trained = _json(capsys, "train", "--project", str(project))
    assert trained["test"]["accuracy"] > 0.5
    output, page = tmp_path / "home.tflite", tmp_path / "report.html"
    where = ("--project", str(project))
    quantized = _json(capsys, "quantize", *where, "--output", str(output))
    assert quantized["int8_test"]["accuracy"] >= trained["test"]["accuracy"] - 0.03
    assert quantized["float_test"]["accuracy"] == pytest.approx(trained["test"]["accuracy"])
    measured = _json(capsys, "evaluate", *where, "--report", str(page))
    assert measured["int8_test"] == quantized["int8_test"]
    assert measured["accepted"] is True
    text = page.read_text()
    for title in ("Learning curves", "Confusion matrix", "Classes", "Most confident mistakes"):
        assert f"<h2>{title}</h2>" in text
    built = ("--to", "mcu", "--out", str(tmp_path))
    facts = _json(capsys, "export", str(output), *where, *built)
    assert facts["image_bytes"] > quantized["weight_bytes"]
    # The kernels of its task, and those that fuse; judged on the texts that training watched.
    released = _json(capsys, "update", "publish", str(output), *where, "--board", "host")
    assert released["name"] == "home"
    assert released["accuracy"] == measured["int8_validation"]["accuracy"]
    assert main(["quantize", *where]) == 0
    assert main(["train", *where]) == 0
    assert "home: was already trained" in capsys.readouterr().out
