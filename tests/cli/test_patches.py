"""`--patches`: check says what it costs, export writes it, run gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reference_models import Net

from edgekit.cli import main as frame
from edgekit.formats.image_reader import read_image

pytestmark = pytest.mark.cc


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a wide map behind its first layer, and a small one behind the third."""
    net = Net((1, 48, 48, 1), 3)
    y = net.conv(net.depthwise(net.conv(net.x, 16, 3), 2), 8, 1)
    path = tmp_path_factory.mktemp("patches") / "wide.tflite"
    path.write_bytes(net.done(net.dense(net.mean(y, 1, 2), 2)))
    return path


def test_check_says_what_is_saved_and_what_it_costs(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = []
    for count in ("1", "4"):
        arguments = ["check", str(path), "--board", "mps2_an386", "--patches", count, "--json"]
        assert frame.main(arguments) == 0
        facts.append(json.loads(capsys.readouterr().out))
    whole, patched = facts
    assert (whole["patches"], patched["patches"]) == (1, 4)
    assert patched["arena_bytes"] < 0.6 * whole["arena_bytes"]
    assert patched["macs"] > patched["nominal_macs"] == whole["macs"]
    assert frame.main(["check", str(path), "--board", "mps2_an386", "--patches", "4"]) == 0
    text = capsys.readouterr().out
    assert f"{patched['macs']:,} instead of {whole['macs']:,}: patches compute" in text
    assert f"arena {patched['arena_bytes']:,} instead of {whole['arena_bytes']:,}" in text


def test_export_writes_the_patches_and_run_gives_the_same_bytes(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "wide.ekm"
    arguments = ["export", str(path), "--out", str(tmp_path), "--patches", "3"]
    assert frame.main(arguments) == 0
    assert "first layers run in 3 patches" in capsys.readouterr().out
    ops = [node.op for node in read_image(image.read_bytes()).graph.nodes]
    assert ops.count("strided_slice") == ops.count("depthwise_conv_2d") == 3
    outputs = []
    for number, more in enumerate(([str(path)], [str(path), "--patches", "5"], [str(image)])):
        target = tmp_path / f"{number}.npy"
        assert frame.main(["run", *more, "--count", "3", "--output", str(target)]) == 0
        outputs.append(np.load(target))
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


def test_number_out_of_range_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["check", str(path), "--board", "mps2_an386", "--patches", "17"]) == 2
    assert "less than or equal to 16" in capsys.readouterr().err
