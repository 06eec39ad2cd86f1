"""The worker that makes int8 files of untrained text models; `tools.bench.text_memory` drives it.

What memory a model takes depends on its sizes, and not on what it learned.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.files import write_atomic
from edgekit.models import find_family, make_config
from edgekit.models.worker import Emit, Event, serve_worker
from edgekit.quantize.embbert import quantize_embbert

SENTENCES = 16
CLASSES = 7


def build_file(sizes: dict[str, Any], seed: int) -> bytes:
    """Build an EmbBERT with random weights and quantize it with random sentences."""
    config = make_config("embbert", {**sizes, "classes": CLASSES})
    model = find_family("embbert").build(config, seed=seed)
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, config.vocab, (SENTENCES, config.length)).astype(np.int32)
    for row, tokens in zip(ids, rng.integers(2, config.length + 1, SENTENCES), strict=True):
        row[tokens:] = 0
    return quantize_embbert(model, config, ids).data


def _work(request: Event, emit: Emit) -> None:
    for path, sizes in request["files"].items():
        emit({"event": "building", "model": Path(path).stem})
        write_atomic(Path(path), build_file(sizes, request["seed"]))


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
