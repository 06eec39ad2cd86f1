"""ADD by tables, for small cores: equal to what it is packed from."""

from __future__ import annotations

import numpy as np
import pytest
from litert_models import ACTIVATIONS, Model, T
from mve_cases import inputs

from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.formats.image_reader import read_image
from edgekit.ops.small_add import LEAST
from edgekit.runtime import Runner

pytestmark = pytest.mark.cc

SEEDS = 24


def compiled(seed: int, family: str, *, elements: int = 0) -> CompiledModel:
    """Return a sum or difference of an input and what a table makes of it."""
    rng = np.random.default_rng([seed, 51])
    shape = (1, elements or int(rng.integers(LEAST, 3 * LEAST)))
    model = Model()
    scales = rng.uniform(0.02, 0.1, 3)
    zeros = rng.choice([-128, 127, 0, int(rng.integers(-128, 128))], 3)
    x, a, y = (
        model.add(T(shape, [scale], [int(z)])) for scale, z in zip(scales, zeros, strict=True)
    )
    model.op("QUANTIZE", [x], [a])
    operands = [x, a] if rng.random() < 0.5 else [a, x]
    activation = ACTIVATIONS[str(rng.choice(["NONE", "RELU"]))]
    op = str(rng.choice(["ADD", "SUB"]))
    model.op(op, operands, [y], fusedActivationFunction=activation)
    model.inputs, model.outputs = [x], [y]
    return compile_tflite(model.to_bytes(), name="sum", family=family, passes=False)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_sum_by_tables_equals_the_portable_one(seed: int) -> None:
    plain, small = compiled(seed, "portable"), compiled(seed, "small")
    assert "add_small" in small.ops
    x = inputs(read_image(plain.image).graph, seed)
    expected = Runner(plain.image).run(x)
    assert np.array_equal(Runner(small.image, as_packed=True).run(x), expected)


def test_short_sum_stays_as_it_is() -> None:
    assert "add_small" in compiled(0, "small", elements=LEAST).ops
    assert "add_small" not in compiled(0, "small", elements=LEAST - 1).ops
