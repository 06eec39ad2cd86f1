"""Mutated images under sanitizers: refused by the loader, or run inside all bounds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fused_models import ATTENTIONS, NORMS
from litert_models import Model, T, classifier
from mve_cases import dense, joined, window
from node_images import written
from op_cases import CASES
from packed_cases import depthwise_3x3
from sanitized import FLAGS, TOOLCHAIN
from streaming_models import streaming

from edgekit import share
from edgekit.export.compile import compile_tflite
from edgekit.export.toolchain import WARNINGS, Unit, compile_and_link
from edgekit.formats.image import Features
from edgekit.ops import FAMILIES, kernel
from edgekit.passes.pack import pack
from edgekit.runtime.host import FOLDERS, arch_folders, host_sources

MUTATIONS_PER_IMAGE = 6000 if os.environ.get("EDGEKIT_FULL") else 300
FUSED_CHAINS = NORMS | ATTENTIONS
TABLE = Features("lut_u8", np.arange(-128, 128, dtype=np.int8).tobytes())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return an image per operator, one per packed form and one per fused chain."""
    folder = tmp_path_factory.mktemp("images")
    files: dict[str, bytes] = {}
    for number, (op, case) in enumerate(CASES.items()):
        model = case(np.random.default_rng([3, number]))
        features = TABLE if number % 2 and model.input_dtype == "int8" else None
        for family in FAMILIES:
            compiled = compile_tflite(
                model.to_bytes(), name=op, features=features, family=family, passes=False
            )
            if family == "portable" or any(kernel(name).family for name in compiled.ops):
                files[f"{op}_{family}"] = compiled.image
    files["variables"] = compile_tflite(streaming(), name="v").image
    files["head"] = compile_tflite(classifier(), name="c", head=True, features=TABLE).image
    for seed in range(6):
        files[f"mve_{seed}"] = packed_for("mve", seed)
        files[f"small_{seed}"] = packed_for("small", seed)
        files[f"dsp_{seed}"] = packed_for("dsp", seed)
        planes = pack(depthwise_3x3(np.random.default_rng([seed, 6])), "dsp")
        files[f"planes_{seed}"] = written(planes, "dsp")
    files["small_sum"] = small_sum()
    for name, chain in FUSED_CHAINS.items():
        made = chain(np.random.default_rng(5)).to_bytes()
        files[name] = compile_tflite(made, name=name, fuse=True).image
    for name, data in files.items():
        (folder / f"{name}.ekm").write_bytes(data)
    return [folder / f"{name}.ekm" for name in files]


def small_sum() -> bytes:
    """Return an image with a sum that is long enough for tables."""
    model = Model()
    x, y = model.add(T((1, 700), [0.03], [-7])), model.add(T((1, 700), [0.05], [-11]))
    model.op("ADD", [x, x], [y])
    model.inputs, model.outputs = [x], [y]
    return compile_tflite(model.to_bytes(), name="sum", family="small").image


def packed_for(family: str, seed: int) -> bytes:
    """Return an image with a node of each kind of packed kernel."""
    rng = np.random.default_rng([seed, 4])
    x = (1, *(int(v) for v in rng.integers(2, 8, 2)), int(rng.choice([4, 8, 20, 32])))
    cases = [window(rng, x, depthwise=True), window(rng, x, depthwise=False), dense(rng, x)]
    return written(pack(joined(rng, x, cases), family), family)


def accepted_of(images: list[Path], count: int, arch: tuple[str, ...], folder: Path) -> int:
    """Mutate each image count times and return how many the loader took."""
    firmware = share.firmware()
    program = folder / "fuzz_image"
    sources = [Path(__file__).with_name("fuzz_image.c"), *host_sources(firmware, arch)]
    compile_and_link(
        TOOLCHAIN,
        [Unit(source, WARNINGS) for source in sources],
        include=[firmware / name for name in ("include", *FOLDERS, *arch)],
        flags=FLAGS,
        link_script=None,
        elf=program,
    )
    done = subprocess.run([program, str(count), "1", *images], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return int(done.stdout)


@pytest.mark.cc
@pytest.mark.parametrize("arch", [(), arch_folders()], ids=["portable", "processor"])
def test_mutated_images_never_leave_their_bounds(
    arch: tuple[str, ...], images: list[Path], tmp_path: Path
) -> None:
    """Full: more than 300,000 images."""
    accepted = accepted_of(images, MUTATIONS_PER_IMAGE, arch, tmp_path)
    assert MUTATIONS_PER_IMAGE < accepted < MUTATIONS_PER_IMAGE * len(images)


@pytest.mark.cc
@pytest.mark.train
def test_mutated_tokenizers_never_leave_their_bounds(tmp_path: Path) -> None:
    """Half of what is changed lies in the tokenizer's table."""
    from text_models import text_model

    path = tmp_path / "text.ekm"
    path.write_bytes(text_model().image)
    count = 10 * MUTATIONS_PER_IMAGE
    assert count // 50 < accepted_of([path], count, (), tmp_path) < count
