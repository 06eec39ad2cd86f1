"""The project file: what it may say, and how it is told what it may not."""

import dataclasses
from pathlib import Path

import pytest

from edgekit.config import CHOICES, RANGES, Config, load_config, parse_config
from edgekit.errors import ConfigError


def _parse(text):
    return parse_config(text, root=Path("project"))


def test_empty_file_is_a_project():
    assert _parse("") == Config(root=Path("project"))


def test_values_arrive_with_their_types():
    config = _parse(
        """
        [project]
        name = "digits"
        [model]
        family = "tinyvit"
        [model.sizes]
        width = 16
        [data]
        leave_out = [7, 8, 9]
        [train]
        rate = 1
        [fleet]
        waves = [0.1, 1]
        """
    )
    assert config.project.name == "digits"
    assert config.model.sizes == {"width": 16}
    assert config.data.leave_out == (7, 8, 9)
    assert type(config.train.rate) is float
    assert config.fleet.waves == (0.1, 1.0)
    assert config.state == Path("project/.edgekit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[trian]", r"edgekit.toml: unknown section \[trian\]; did you mean 'train'\?"),
        ("[train]\nepoch = 1", r"unknown key 'epoch' in \[train\]; did you mean 'epochs'\?"),
        ("[train]\nqqqq = 1", r"unknown key 'qqqq' in \[train\]$"),
        ("train = 3", r"'train' is 3, must be a section \[train\]"),
        ("[train]\nepochs = '3'", r"'epochs' in \[train\] is '3', must be an integer"),
        ("[train]\nepochs = true", r"'epochs' in \[train\] is True, must be an integer"),
        ("[train]\nepochs = 0", r"'epochs' in \[train\] is 0, must be 1 to 100000"),
        ("[train]\nrate = nan", r"'rate' in \[train\] is nan, must be"),
        ("[train]\nrate = 'fast'", r"'rate' in \[train\] is 'fast', must be a number"),
        ("[export]\nfuse = 1", r"'fuse' in \[export\] is 1, must be true or false"),
        ("[export]\nrounding = 'up'", r"must be one of: litert, tflm"),
        ("[data]\nleave_out = 7", r"'leave_out' in \[data\] is 7, must be a list"),
        ("[data]\nleave_out = [7, 'x']", r"entry 1 is 'x', must be an integer"),
        ("[model]\nsizes = 3", r"'sizes' in \[model\] is 3, must be a table"),
        ("[model.sizes]\nwidth = [1]", r"'sizes' in \[model\], 'width' is \[1\], must be a number"),
        (
            "[project]\ntask = 'tabular'",
            r"'task' in \[project\] is 'tabular', must be one of: image",
        ),
        ("[train]\nword_dropout = 0.1", r"in \[train\]; it belongs to task = 'text' in"),
        ("[pretrain]\nsteps = 1", r"unknown section \[pretrain\]"),
        ("[fleet]\nwaves = [0.5, 0.2, 1.0]", r"must rise from above 0 to 1.0"),
        ("[fleet]\nwaves = []", r"must rise"),
        ("[fleet]\nwaves = [0.5]", r"must rise"),
        ("[fleet]\nbroker_port = 70000", r"must be 0 to 65535"),
        ("[train", r"edgekit.toml: is not TOML: "),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        _parse(text)


TEXT = "[project]\ntask = 'text'\n"


def test_text_project_has_keys_of_its_own():
    config = _parse(
        TEXT + "[data]\ntrain = 'a.tsv'\n[train]\nteacher = ['big']\n[pretrain]\nmask = 0.2\n"
    )
    assert config.text_data.train == "a.tsv"
    assert config.text_train.teacher == ("big",)
    assert config.pretrain.mask == 0.2
    assert config.family == "embbert"
    assert config.train == Config().train
    assert _parse("").family == "tinyvit"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nshift = 1", r"unknown key 'shift' in \[train\]"),
        ("[data]\ndataset = 'digits'", r"unknown key 'dataset' in \[data\]"),
        ("[train]\nword_dropout = 1.5", r"'word_dropout' in \[train\] is 1.5, must be 0 to 0.9"),
        ("[train]\nschedule = 'step'", r"must be one of: cosine, constant, wsd"),
        ("[data]\nlabels = 'some'", r"must be one of: single, multi, number"),
        ("[text_train]\nepochs = 3", r"unknown section \[text_train\]"),
    ],
)
def test_mistakes_of_a_text_project_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        _parse(TEXT + text)


def test_task_can_be_given_from_outside(tmp_path):
    config = parse_config("[train]\npatience = 3\n", root=tmp_path, task="text")
    assert config.project.task == "text"
    assert config.text_train.patience == 3


def test_missing_and_binary_files_are_config_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"edgekit\.toml: No such file.*a project begins with"):
        load_config(tmp_path)
    (tmp_path / "edgekit.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(tmp_path)


def test_folder_and_file_name_the_same_project(tmp_path):
    (tmp_path / "edgekit.toml").write_text("[project]\nname = 'x'\n")
    assert load_config(tmp_path) == load_config(tmp_path / "edgekit.toml")
    assert load_config(tmp_path).root == tmp_path


def test_ranges_and_choices_are_about_real_keys_and_hold_for_defaults():
    config = Config()
    for (section, key), (low, high) in RANGES.items():
        assert low <= getattr(getattr(config, section), key) <= high
    for (section, key), choices in CHOICES.items():
        assert getattr(getattr(config, section), key) in choices


def test_train_section_is_the_jobs_fields():
    """What the file can say about training is what a job has, with the same defaults."""
    from edgekit.train.jobs import TrainJob

    job = TrainJob("x", Path("x"))
    for field in dataclasses.fields(Config().train):
        assert getattr(job, field.name) == getattr(Config().train, field.name)
