"""The wheel works outside the checkout: installed by itself, it builds, runs and validates."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from litert_models import reference
from op_cases import conv_2d

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.cc, pytest.mark.emulator]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    local = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(out), str(ROOT)]
    result = subprocess.run([*pip, *local], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (built,) = out.glob("edgekit-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment outside the checkout with the wheel, and the packages it depends on.

    The dependencies are those of the environment that runs the tests, so that nothing is
    downloaded; edgekit comes first from the wheel.
    """
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    # A path in a .pth comes after the environment's own packages, and its .pth files do not count.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


@pytest.fixture
def outside(python: Path, tmp_path: Path) -> Outside:
    return Outside(python, tmp_path)


class Outside:
    """Runs the installed command with an empty home, far from the checkout."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        (folder / "home").mkdir()

    def edgekit(self, *arguments: str) -> str:
        return self.run(str(self.python.with_name("edgekit")), *arguments)

    def compiled(self) -> list[Path]:
        """Libraries that were compiled instead of taken from the wheel."""
        return list((self.folder / "cache").rglob("*.so"))

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.folder,
            env=self.environment,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


def test_wheel_is_for_this_platform_and_any_python(wheel: Path) -> None:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_wheel_holds_what_is_shared(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "edgekit/py.typed",
        "edgekit/_share/firmware/include/ek_port.h",
        "edgekit/_share/devices/boards/mps2_an386.toml",
        "edgekit/_share/ontologies/edgekit.ttl",
        "edgekit/_share/third_party/monocypher/monocypher.c",
        "edgekit/_share/third_party/monocypher/LICENSE.txt",
        "edgekit/_share/host/libedgekit.so",
        "edgekit/_share/host/libedgekit_learn_float32.so",
        "edgekit/_share/host/libedgekit_learn_fixed.so",
    ):
        assert wanted in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_package_comes_from_the_wheel(outside: Outside, python: Path) -> None:
    where = outside.run(str(python), "-c", "import edgekit; print(edgekit.__file__)").strip()
    assert Path(where).is_relative_to(python.parent.parent)
    checkout = outside.run(
        str(python), "-c", "from edgekit import share; print(share.checkout())"
    ).strip()
    assert checkout == "None"


def test_build_works_outside_the_checkout(outside: Outside) -> None:
    outside.edgekit("build", "--board", "mps2_an386", "--out", "firmware")
    assert list((outside.folder / "firmware").glob("*.elf"))


def test_run_works_outside_the_checkout(outside: Outside) -> None:
    rng = np.random.default_rng(3)
    made = conv_2d(rng)
    model = made.to_bytes()
    shape = tuple(made.tensors[made.inputs[0]].shape)
    single = shape[1:] if shape[0] == 1 else shape
    inputs = rng.integers(-128, 128, (4, *single), np.int8)
    (outside.folder / "model.tflite").write_bytes(model)
    np.save(outside.folder / "x.npy", inputs)
    outside.edgekit(
        *("run", "model.tflite", "--on", "host", "--input", "x.npy", "--output", "y.npy")
    )
    outputs = np.load(outside.folder / "y.npy")
    expected = reference(model, inputs)
    assert outputs.tobytes() == expected.tobytes()
    assert not outside.compiled()


def test_head_trains_outside_the_checkout(outside: Outside, python: Path) -> None:
    code = (
        "import numpy as np\n"
        "from edgekit.runtime.head import HeadTrainer\n"
        "trainer = HeadTrainer(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))\n"
        "x = np.array([[9, 0, 1], [0, 9, 1]], np.int8)\n"
        "losses = trainer.train(x, np.array([0, 1]), scale=0.1, zero_point=0, rate=0.5, epochs=9)\n"
        "assert losses[-1] < losses[0], losses\n"
    )
    outside.run(str(python), "-c", code)
    assert not outside.compiled()


def test_registry_validate_works_outside_the_checkout(outside: Outside, python: Path) -> None:
    code = "from edgekit import share; print(share.ontologies())"
    examples = Path(outside.run(str(python), "-c", code).strip()) / "examples"
    outside.edgekit("registry", "validate", str(examples / "board-valid.ttl"))
    result = subprocess.run(
        [python.with_name("edgekit"), "registry", "validate", examples / "board-invalid.ttl"],
        capture_output=True,
        text=True,
        cwd=outside.folder,
        env=outside.environment,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
