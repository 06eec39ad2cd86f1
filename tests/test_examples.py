"""The examples: their data is what they say; one runs small, the other too where time allows."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.text import TextSource, load_text

ROOT = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES = ("prompt_guard", "tool_retrieval")
FULL = os.environ.get("EDGEKIT_FULL", "") == "1"
RUN = EXAMPLES if FULL else ("tool_retrieval",)


def _load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / name / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_folder_is_listed():
    folders = {path.parent.name for path in ROOT.glob("*/run.py")}
    assert folders == set(EXAMPLES)
    readme = (ROOT / "README.md").read_text()
    assert all(f"python examples/{name}/run.py" in readme for name in EXAMPLES)


def test_tool_requests_name_one_to_three_tools_of_sixteen(tmp_path):
    module = _load("tool_retrieval")
    rng = np.random.default_rng(1)
    (tmp_path / "a.jsonl").write_bytes(module.make_rows(400, rng, held_out=False))
    source = TextSource(tmp_path / "a.jsonl", label="tools", labels="multi")
    data = load_text(source)
    assert len(data.label_names) == len(module.TOOLS) == 16
    counts = data.train.labels.sum(axis=1)
    assert set(counts.tolist()) == {1.0, 2.0, 3.0}
    assert len(set(data.train.texts)) == len(data.train)


def test_guarded_prompts_are_half_good_and_never_in_both_parts(tmp_path):
    module = _load("prompt_guard")
    rng, seen = np.random.default_rng(1), set()
    (tmp_path / "a.csv").write_bytes(module.make_rows(400, rng, seen, held_out=False))
    (tmp_path / "t.csv").write_bytes(module.make_rows(100, rng, seen, held_out=True))
    data = load_text(TextSource(tmp_path / "a.csv", test=tmp_path / "t.csv"))
    assert data.label_names == ("answer", "refuse")
    assert data.test.labels.mean() == 0.5
    assert not set(data.test.texts) & {*data.train.texts, *data.validation.texts}


@pytest.mark.train
@pytest.mark.cc
@pytest.mark.parametrize("name", RUN)
def test_example_runs_small(name, tmp_path, capsys):
    found = _load(name).run(tmp_path, quick=True)
    assert found["model_bytes"] < 100_000
    out = capsys.readouterr().out
    assert "int32 ids in, int8 out" in out
    assert f"the model has {int(found['model_bytes']):,} bytes" in out
