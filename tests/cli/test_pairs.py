"""`--pairs`: check says what it saves, export writes it, run gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reference_models import Net, widening

from edgekit.cli import main as frame

pytestmark = pytest.mark.cc


def test_check_export_and_run_take_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wide.tflite"
    path.write_bytes(widening())
    facts = []
    for more in ([], ["--pairs"]):
        assert frame.main(["check", str(path), "--board", "mps2_an386", "--json", *more]) == 0
        facts.append(json.loads(capsys.readouterr().out))
    apart, paired = facts
    assert (apart["pairs"], paired["pairs"]) == (False, True)
    assert paired["arena_bytes"] < 0.53 * apart["arena_bytes"]
    assert paired["macs"] == apart["macs"]
    assert paired["instructions"] > apart["instructions"]
    assert frame.main(["export", str(path), "--out", str(tmp_path), "--pairs"]) == 0
    assert "1 depthwise layer runs with the pointwise one behind" in capsys.readouterr().out
    image = tmp_path / "wide.ekm"
    outputs = []
    for number, more in enumerate(([str(path)], [str(path), "--pairs"], [str(image)])):
        target = tmp_path / f"{number}.npy"
        assert frame.main(["run", *more, "--count", "3", "--output", str(target)]) == 0
        outputs.append(np.load(target))
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])
    capsys.readouterr()
    assert frame.main(["run", str(image), "--pairs"]) == 1
    assert "--pairs needs the .tflite" in capsys.readouterr().err


def test_check_proposes_pairs_where_they_make_a_model_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pair lies behind a branch: patches, which begin at the input, do not reach it."""
    net = Net((1, 20, 20, 8), 3)
    y = net.add(net.x, net.conv(net.x, 8, 3))
    y = net.conv(net.depthwise(y, multiplier=4), 8, 1)
    path = tmp_path / "wide.tflite"
    path.write_bytes(net.done(net.dense(net.mean(y, 1, 2), 2)))
    assert frame.main(["check", str(path), "--board", "microbit_v1"]) == 1
    ways = [line for line in capsys.readouterr().out.splitlines() if line.startswith("help:")]
    assert "1 of its depthwise layers with the pointwise ones behind (--pairs)" in " ".join(ways)
    assert frame.main(["check", str(path), "--board", "microbit_v1", "--pairs"]) == 0
    assert "fits board microbit_v1" in capsys.readouterr().out
