"""`edgekit check` says what fusion changes, and takes the inputs to measure it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fused_models import ATTENTIONS, TABLES

from edgekit.cli import main as frame


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert frame.main(["check", *arguments, "--board", "mps2_an386", "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


@pytest.mark.cc
def test_both_variants_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ATTENTIONS["biased_attention"](np.random.default_rng(2))
    path, inputs = tmp_path / "m.tflite", tmp_path / "x.npy"
    path.write_bytes(model.to_bytes())
    shape = tuple(model.tensors[model.inputs[0]].shape)[1:]
    drawn = np.random.default_rng(3).normal(0, 25, (40, *shape))
    np.save(inputs, np.clip(np.rint(drawn), -128, 127).astype(np.int8))
    facts = check(capsys, str(path), "--fuse", "--input", str(inputs))
    fusion = facts["fusion"]
    assert facts["fused"] is True
    assert fusion["patterns"] == {"ATTENTION": 1}
    assert fusion["fused"]["sqnr_db"] > fusion["exact"]["sqnr_db"]
    assert fusion["fused"]["arena_bytes"] == facts["arena_bytes"]


@pytest.mark.cc
def test_model_without_chains_has_nothing_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.tflite"
    model = TABLES["silu"](np.random.default_rng(2))
    model.ops, model.outputs = model.ops[:1], [model.ops[0].outputs[0]]
    path.write_bytes(model.to_bytes())
    assert check(capsys, str(path))["fusion"] is None
