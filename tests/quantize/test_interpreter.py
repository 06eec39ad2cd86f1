"""The interpreter loader and the input table, without the training framework."""

import numpy as np
import pytest

from edgekit.errors import FormatError, QuantizationError, ToolError
from edgekit.quantize import interpreter
from edgekit.quantize.evaluate import count_confusion, refuse_float
from edgekit.quantize.interpreter import (
    LiteModel,
    TensorQuant,
    apply_table,
    input_table,
    make_interpreter,
)


def test_garbage_is_a_format_error():
    with pytest.raises(FormatError, match="LiteRT refuses the model"):
        make_interpreter(b"not a model")


def test_no_working_package_names_them_all(monkeypatch):
    monkeypatch.setattr(interpreter, "PACKAGES", ("no_such_one.interpreter", "no_other.x"))
    with pytest.raises(ToolError, match=r"edgekit\[runtime\].*no_such_one.*no_other"):
        make_interpreter(b"")


def test_package_that_imports_but_cannot_work_is_passed_over(monkeypatch, tmp_path):
    """tflite-runtime with NumPy 2 imports, then raises SystemError in the constructor."""
    (tmp_path / "half_broken.py").write_text(
        "class OpResolverType:\n    BUILTIN_REF = 3\n"
        "def Interpreter(**arguments):\n    raise SystemError('returned a result')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(interpreter, "PACKAGES", ("half_broken", "ai_edge_litert.interpreter"))
    with pytest.raises(FormatError):
        make_interpreter(b"not a model")


def test_table_maps_raw_bytes_to_the_model_input():
    table = input_table(TensorQuant(1 / 255, -128), max_value=16)
    values = np.frombuffer(table, dtype=np.int8)
    assert len(table) == 256
    assert values[[0, 8, 16, 255]].tolist() == [-128, 0, 127, 127]
    raw = np.array([[0, 16]], dtype=np.uint8)
    assert apply_table(table, raw).tolist() == [[-128, 127]]


def test_confusion_counts_every_sample_once():
    labels = np.array([0, 0, 1, 2], dtype=np.uint8)
    table = count_confusion(labels, np.array([0, 1, 1, 0]), classes=3)
    assert table == ((1, 1, 0), (0, 1, 0), (1, 0, 0))


@pytest.mark.data("models")
def test_foreign_int8_models_run(models_dir):
    for path in sorted(models_dir.glob("*.tflite")):
        model = LiteModel(path.read_bytes())
        refuse_float(model, name=path.name)
        assert model.run(np.zeros((2, *model.shape), dtype=np.int8)).shape[0] == 2


def test_float_tensors_are_refused():
    class Fake(LiteModel):
        def __init__(self):
            self.float_tensors = ("a", "b")

    with pytest.raises(QuantizationError, match=r"float tensors: a, b \(2 in all\)"):
        refuse_float(Fake(), name="m")
