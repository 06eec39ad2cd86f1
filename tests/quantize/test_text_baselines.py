"""The plain BERT and the convolution over embeddings, through the converter, in C."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from litert_models import reference
from sentence_models import small_text

from edgekit.export.compile import compile_tflite
from edgekit.models import find_family, make_config
from edgekit.runtime import Runner

KINDS: dict[str, dict[str, Any]] = {
    "bert": {"hidden": 16, "layers": 1},
    "embed_conv": {"hidden": 16, "reduced": 4, "kernel": 5},
}


@pytest.mark.train
@pytest.mark.cc
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("family", KINDS)
def test_converted_file_compiles_and_is_near_the_float_model(family: str) -> None:
    from edgekit.quantize.text_convert import convert_text_model

    ids = small_text("attention")[2]
    config = make_config(family, {"vocab": 64, "length": 24, "classes": 5, **KINDS[family]})
    model = find_family(family).build(config, seed=1)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        # Larger than at the start of training, so that rounding is not all that is left.
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    wanted = np.asarray(model(ids, training=False))
    data = convert_text_model(model, ids, name=family)
    image = compile_tflite(data, name=family).image
    found = Runner(image).run(ids).reshape(wanted.shape)
    distance = np.abs(found.astype(int) - reference(data, ids).reshape(wanted.shape))
    # The pool of the convolution has a SUM, of which LiteRT has no whole reference kernel.
    assert distance.max() <= (2 if family == "embed_conv" else 0)
    assert np.corrcoef(found.reshape(-1), wanted.reshape(-1))[0, 1] > 0.95
