"""check, export, build, run, profile, doctor: what they print, write, refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.cli import main as frame
from edgekit.cli.model import load_model
from edgekit.errors import FormatError, UnsupportedError
from edgekit.formats.image_reader import read_image
from tools.calibrate import image_of
from tools.sweeps import cases, single


@pytest.fixture(scope="module")
def ekm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.ekm"
    path.write_bytes(image_of(next(cases())))
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attrs = {"activation": "NONE", "weights_format": 0, "keep_num_dims": False}
    graph = single("FULLY_CONNECTED", [(1, 1000), (400, 1000)], (1, 400), attrs)
    path = tmp_path_factory.mktemp("model") / "large.ekm"
    path.write_bytes(image_of(graph))
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = frame.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_check_says_that_it_fits(capsys: pytest.CaptureFixture[str], ekm: Path) -> None:
    code, out, _ = call(capsys, "check", ekm, "--board", "mps2_an386")
    assert code == 0
    assert out.startswith("small.ekm fits board mps2_an386\n")


def test_check_says_why_it_does_not_fit(capsys: pytest.CaptureFixture[str], large: Path) -> None:
    code, out, _ = call(capsys, "check", large, "--board", "mps2_an386")
    assert code == 1
    assert "why:   its image has" in out
    assert out.count("help:  make ") == 2


def test_check_as_json_has_the_promised_keys(
    capsys: pytest.CaptureFixture[str], large: Path
) -> None:
    code, out, _ = call(capsys, "check", large, "--board", "mps2_an386", "--json")
    facts = json.loads(out)
    assert code == 1
    assert facts["fits"] is False
    assert {"arena_bytes", "flash_bytes", "instructions", "unsupported", "remedies"} <= set(facts)


def test_check_of_an_unknown_board_is_one_line(
    capsys: pytest.CaptureFixture[str], ekm: Path
) -> None:
    code, out, err = call(capsys, "check", ekm, "--board", "mps2_an38x")
    assert (code, out) == (1, "")
    assert err == "error: board 'mps2_an38x' is not known; did you mean 'mps2_an386'?\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.onnx", b"", "x.onnx: a model is a .tflite or .ekm file"),
        ("x.tflite", b"nonsense", "no .tflite file"),
        ("x.ekm", b"nonsense", ""),
        ("x.tflite", b"", ""),
    ],
)
def test_file_that_is_no_model_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for command in ("check", "profile"):
        code, _, err = call(capsys, command, path, "--board", "mps2_an386")
        assert code == 1
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert message in err


@pytest.mark.data("models")
def test_check_says_how_many_macs_are_left_out(
    capsys: pytest.CaptureFixture[str], models_dir: Path
) -> None:
    """The public sine model has neurons that answer 0 to every input."""
    path = models_dir / "hello_world_int8.tflite"
    code, out, _ = call(capsys, "check", path, "--board", "mps2_an386", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["macs"] < facts["nominal_macs"] == 288
    code, out, _ = call(capsys, "check", path, "--board", "mps2_an386")
    assert f"{facts['macs']:,} of 288 in the file" in out


@pytest.mark.data("models")
def test_operator_that_is_not_supported_is_named_with_its_node(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, models_dir: Path
) -> None:
    source = (models_dir / "hello_world_int8.tflite").read_bytes()
    path = tmp_path / "strange.tflite"
    for at in [index for index, byte in enumerate(source) if byte == 9]:  # FULLY_CONNECTED
        path.write_bytes(source[:at] + b"\x0a" + source[at + 1 :])
        try:
            load_model(path)
        except UnsupportedError as exc:
            if exc.op == "HASHTABLE_LOOKUP":
                break
        except FormatError:
            continue
    else:
        pytest.fail("no byte of the model names its operator")
    code, _, err = call(capsys, "check", path, "--board", "mps2_an386")
    assert code == 1
    assert "HASHTABLE_LOOKUP is not supported" in err
    assert "node '" in err
    code, out, _ = call(capsys, "check", path, "--board", "mps2_an386", "--json")
    assert code == 1
    assert json.loads(out)["unsupported"][0]["op"] == "HASHTABLE_LOOKUP"
    for command in ("export", "run"):
        assert call(capsys, command, path)[0] == 1


@pytest.mark.data("models")
def test_export_writes_an_image_that_reads_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, models_dir: Path
) -> None:
    model = models_dir / "hello_world_int8.tflite"
    code, out, _ = call(capsys, "export", model, "--out", tmp_path, "--json")
    facts = json.loads(out)
    assert code == 0
    image = read_image((tmp_path / "hello_world_int8.ekm").read_bytes())
    assert image.id.hex() == facts["image_id"]
    assert [path.name for path in tmp_path.iterdir()] == ["hello_world_int8.ekm"]


@pytest.mark.cc
def test_run_writes_outputs_and_repeats(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ekm: Path
) -> None:
    for name in ("a.npy", "b.npy"):
        assert call(capsys, "run", ekm, "--count", "3", "--output", tmp_path / name)[0] == 0
    first, second = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert first.shape[0] == 3
    np.testing.assert_array_equal(first, second)


@pytest.mark.cc
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), "holds float32, expected int8"),
        (np.zeros((2, 7, 8, 1), np.int8), "has shape [2, 7, 8, 1], expected [N, 8, 8, 1]"),
        (np.zeros((0, 8, 8, 1), np.int8), "has shape [0, 8, 8, 1]"),
    ],
)
def test_run_refuses_wrong_inputs(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    ekm: Path,
    array: np.ndarray,
    message: str,
) -> None:
    np.save(tmp_path / "x.npy", array)
    code, _, err = call(capsys, "run", ekm, "--input", tmp_path / "x.npy")
    assert code == 1
    assert message in err


@pytest.mark.emulator
@pytest.mark.cc
def test_run_on_the_board_equals_the_host(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ekm: Path
) -> None:
    inputs = np.random.default_rng(5).integers(-128, 128, (2, 8, 8, 1), np.int8)
    np.save(tmp_path / "x.npy", inputs)
    for on in ("host", "mps2_an386"):
        arguments = ("--input", tmp_path / "x.npy", "--output", tmp_path / f"{on}.npy")
        code, out, _ = call(capsys, "run", ekm, "--on", on, *arguments, "--json")
        assert code == 0
        facts = json.loads(out)
    assert len(facts["instructions"]) == 2
    host, board = np.load(tmp_path / "host.npy"), np.load(tmp_path / "mps2_an386.npy")
    np.testing.assert_array_equal(host, board)


@pytest.mark.emulator
def test_run_refuses_a_model_that_does_not_fit(
    capsys: pytest.CaptureFixture[str], large: Path
) -> None:
    code, _, err = call(capsys, "run", large, "--on", "mps2_an386")
    assert code == 1
    assert "does not fit board 'mps2_an386': its image has" in err


@pytest.mark.emulator
def test_profile_counts_every_layer(capsys: pytest.CaptureFixture[str], ekm: Path) -> None:
    code, out, _ = call(capsys, "profile", ekm, "--board", "mps2_an386", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["check_loop"] == {"expected": 200_000, "measured": 200_000}
    assert 0 < sum(layer["instructions"] for layer in facts["layers"]) < facts["instructions"]
    assert facts["predicted_instructions"] == pytest.approx(facts["instructions"], rel=0.1)
    for layer in facts["layers"]:
        assert layer["read_bytes"] > 0
        assert layer["written_bytes"] > 0


def test_profile_needs_a_board_that_counts(capsys: pytest.CaptureFixture[str], ekm: Path) -> None:
    code, _, err = call(capsys, "profile", ekm, "--board", "host")
    assert code == 1
    assert "board 'host' counts no instructions" in err


@pytest.mark.emulator
def test_build_takes_the_kernels_of_a_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ekm: Path
) -> None:
    arguments = ("--ops", ekm, "--out", tmp_path, "--json")
    code, out, _ = call(capsys, "build", "--board", "mps2_an386", *arguments)
    facts = json.loads(out)
    assert code == 0
    assert facts["ops"] == ["conv_2d"]
    assert facts["flash_bytes"] < facts["flash_limit_bytes"]
    assert Path(facts["elf"]).is_file()


def test_build_of_an_unknown_set_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "build", "--board", "mps2_an386", "--ops", "visoin")
    assert code == 1
    assert "kernel set 'visoin' is not known; known are all, series, text, vision" in err


def test_doctor_names_what_a_bare_machine_lacks(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-m", "edgekit", "doctor", "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    findings = {row["name"]: row for row in json.loads(result.stdout)["findings"]}
    assert findings["arm-none-eabi-gcc"]["found"] == ""
    assert "apt-get install gcc-arm-none-eabi" in findings["arm-none-eabi-gcc"]["mend"]
    assert findings["qemu-system-arm"]["mend"] == "apt-get install qemu-system-arm"
    assert findings["numpy"]["found"]
