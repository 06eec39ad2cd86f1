"""Memory of text models, and instructions of a sentence on an emulated Cortex-M4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit import share
from edgekit.boards import load_board
from edgekit.data.text import load_text
from edgekit.data.tokenizer import Tokenizer
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.flash.bench import cached_firmware, run_on_board
from edgekit.models.worker import run_worker
from edgekit.quantize.text_runs import WRITER, quantize_text_runs
from edgekit.runtime import Runner
from edgekit.train.text_jobs import TextJob
from tools.bench.mcu_data import M4
from tools.bench.rows import Result, Row, count, result_key, row, table
from tools.bench.text_sets import SIZES

DEFAULT = {**SIZES, "vocab": 8192}
PAPER = {"preset": "embbert"}
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "default, 256 tokens": ({**DEFAULT, "length": 256}, 450_000),
    "default, 64 tokens": ({**DEFAULT, "length": 64}, 400_000),
    "paper's blocks, 256 tokens": ({**PAPER, "length": 256}, 450_000),
    "paper's blocks, 64 tokens": ({**PAPER, "length": 64}, 400_000),
}
"""Sizes, and the most bytes that weights, biases, multipliers and arena may have together."""
WEIGHT_TARGET = 376_000
PAPER_TOTAL = 781_056
"""Of the paper's 8-bit EmbBERT, weights partly in 16 and 32 bits.

Source: EmbBERT (arXiv 2502.10001) and the authors' code."""
WORDS = 16
SENTENCES = 3


def measure_memory() -> list[Result]:
    """Compile untrained models for a Cortex-M4 and add up what they need."""
    folder = share.cache_dir() / "bench" / "text" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    keys = {name: result_key(repr(sizes), str(WRITER)) for name, (sizes, _) in MODELS.items()}
    paths = {name: folder / f"{key[:12]}.tflite" for name, key in keys.items()}
    missing = {str(path): MODELS[name][0] for name, path in paths.items() if not path.is_file()}
    if missing:
        run_worker("tools.bench.text_models", {"seed": 1, "files": missing}, lambda event: None)
    return [{"model": name, **_memory(_compile(path.read_bytes()))} for name, path in paths.items()]


def _compile(source: bytes) -> CompiledModel:
    family = load_board(M4).chip.kernel_family
    return compile_tflite(source, name="model", family=family, fuse=True)


def _memory(model: CompiledModel) -> Result:
    weights = model.weight_bytes
    return {
        "weight_bytes": weights,
        "arena_bytes": model.arena_bytes,
        "total_bytes": weights + model.arena_bytes,
    }


def measure_instructions(job: TextJob) -> Result:
    """Run test sentences of 16 words on the emulated board; every output must equal the host's.

    Args:
        job: Of a trained run.
    """
    data = load_text(job.source)
    texts = [text for text in data.test.texts if len(text.split()) == WORDS][:SENTENCES]
    room = int(job.sizes["length"])
    (quantized,) = quantize_text_runs([job.run], length=room)
    source = quantized.tflite.read_bytes()
    model = _compile(source)
    ids = Tokenizer.load(job.run / "tokenizer.json").encode_batch(texts, room)
    board = load_board(M4)
    done = run_on_board(board, model.image, ids, firmware=cached_firmware(board, model.ops))
    expected = Runner(compile_tflite(source, name="model", fuse=True).image).run(ids)
    total = sum(done.layers)
    return {
        "tokens": [int(n) for n in np.count_nonzero(ids, axis=1)],
        "room": room,
        "instructions": round(float(done.instructions.max())),
        "wrong": int(np.any((done.outputs != expected).reshape(len(ids), -1), axis=1).sum()),
        "check_loop": [done.check_loop.expected, done.check_loop.measured],
        "layers": [
            {"layer": cost.name, "op": cost.op, "share": share_of / total}
            for cost, share_of in zip(model.layers, done.layers, strict=True)
        ],
    }


def memory_rows(results: Sequence[Result]) -> list[Row]:
    """Return the totals with their targets."""
    rows = []
    for each in results:
        name, total = each["model"], each["total_bytes"]
        target = MODELS[name][1]
        rows.append(row(f"{name}: weights and arena", total, "bytes", target, good=True))
        weights = each["weight_bytes"]
        rows.append(row(f"{name}: weights", weights, "bytes", WEIGHT_TARGET, good=True))
    return rows


def instruction_rows(facts: Result) -> list[Row]:
    """Return the instructions of a sentence; there is no target."""
    good = facts["wrong"] == 0
    figure = f"a sentence of {WORDS} words on {M4}"
    return [
        row(f"{figure}: instructions", facts["instructions"], "instructions", None, good=good),
        row(f"{figure}: wrong answers", facts["wrong"], "sentences", 0, good=good),
    ]


def memory_text(results: Sequence[Result]) -> str:
    """Return the table of memory."""
    keys = ("weight_bytes", "arena_bytes", "total_bytes")
    lines = [
        [each["model"], *(count(each[key]) for key in keys), count(MODELS[each["model"]][1])]
        for each in results
    ]
    lines.append(["paper, 8 bits, 256 tokens", "-", "-", count(PAPER_TOTAL), "-"])
    return table(("model", "weights", "arena", "together", "target"), lines)


def instruction_text(facts: Result) -> str:
    """Return the count of a sentence and the shares of the layers."""
    lines = [
        [each["layer"], each["op"], f"{100 * each['share']:.1f}"]
        for each in facts["layers"]
        if each["share"] >= 0.001
    ]
    said = (
        f"{facts['instructions']:,} instructions on {M4} for a sentence of {WORDS} words"
        f" ({max(facts['tokens'])} tokens, room for {facts['room']}) of emotion, tokenizer not"
        f" counted; {facts['wrong']} of {len(facts['tokens'])} answers differ from the host's."
    )
    shares = table(("layer", "kernel", "share, %"), lines)
    return f"{said}\n\n{shares}"
