"""`edgekit export --project`: what the project knows goes into the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from litert_models import Model, T

from edgekit.cli.main import main
from edgekit.data import load_dataset
from edgekit.formats.image_reader import read_image
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc


def classifier(inputs: int, classes: int) -> bytes:
    rng = np.random.default_rng(1)
    model = Model()
    x = model.add(T((1, inputs), [1 / 240], [-128]))
    weights = rng.integers(-127, 128, (classes, inputs), np.int8)
    w = model.add(T(weights.shape, [0.01], [0], data=weights))
    bias = np.zeros(classes, np.int32)
    b = model.add(T(bias.shape, [0.01 / 240], [0], data=bias, dtype="int32"))
    y = model.add(T((1, classes), [0.2], [0]))
    model.op("FULLY_CONNECTED", [x, w, b], [y])
    model.inputs, model.outputs = [x], [y]
    return model.to_bytes()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "edgekit.toml").write_text('[project]\nname = "digits"\nversion = "7"\n')
    return tmp_path


def export(project: Path, data: bytes) -> int:
    (project / "model.tflite").write_bytes(data)
    arguments = ["export", str(project / "model.tflite"), "--project", str(project)]
    return main([*arguments, "--out", str(project / "out")])


def test_image_has_input_table_labels_licences_and_head(project: Path) -> None:
    """Without the table, a release of this image was measured on raw bytes and refused."""
    assert export(project, classifier(64, 10)) == 0
    data = (project / "out" / "model.ekm").read_bytes()
    image = read_image(data)
    assert (image.meta.name, image.meta.version) == ("digits", "7")
    assert image.meta.labels == tuple("0123456789")
    assert image.meta.license == "Apache-2.0"
    assert image.meta.data_license
    assert image.features.kind == "lut_u8"
    assert image.head is not None
    assert image.head.classes == 10
    Runner(data).golden_check()


def test_table_gives_the_model_its_float_input(project: Path) -> None:
    assert export(project, classifier(64, 10)) == 0
    table = read_image((project / "out" / "model.ekm").read_bytes()).features.table
    values = np.frombuffer(table, np.int8).astype(int)
    largest = load_dataset("digits").max_value
    expected = np.floor(np.arange(largest + 1) / largest * 240 + 0.5) - 128
    assert values[: largest + 1].tolist() == expected.tolist()


@pytest.mark.parametrize(("inputs", "classes"), [(63, 10), (64, 11)])
def test_model_of_other_data_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], inputs: int, classes: int
) -> None:
    assert export(project, classifier(inputs, classes)) == 1
    error = capsys.readouterr().err
    assert f"turns {inputs} values into {classes}" in error
    assert not (project / "out" / "model.ekm").exists()
