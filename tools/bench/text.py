"""Text models on nine public sets: accuracy of the int8 file in the C library, sizes, times.

Each set is trained from its own rows with several seeds. What is measured on the test part is the
image that a board runs; the float model's answer stands beside it.
"""

from __future__ import annotations

import functools
import math
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import share
from edgekit.data.text import load_text
from edgekit.data.token_table import token_table
from edgekit.data.tokenizer import Tokenizer
from edgekit.errors import ConfigError, QuantizationError, UnsupportedError
from edgekit.export.compile import compile_tflite
from edgekit.models.worker import Event
from edgekit.quantize.text_runs import quantize_text_runs
from edgekit.runtime import Runner
from edgekit.train.launch import run_text_jobs
from edgekit.train.text_jobs import TextJob, TextResult
from tools.bench import text_memory as memory
from tools.bench.rows import Result, Row, count, result_key, resumed, row, row_of_least, table
from tools.bench.text_sets import COMPARED, OTHERS, SEEDS, SETS, data_folder, text_job

AREA = "text"
LOSS_TARGET = 1.0
"""Points that int8 may lose."""
SNIPS_TARGET_S = 600.0
_ROOT = Path(__file__).resolve().parents[2]
CODE = tuple(
    _ROOT / "edgekit" / name
    for name in (
        "quantize/embbert.py",
        "quantize/lexical.py",
        "quantize/net.py",
        "passes/fuse_text.py",
        "ops/text.py",
    )
)
"""What decides the int8 answers of a trained model."""
SPOKEN = "emotion"
"""The set whose sentences are counted in instructions: it has the default sizes."""


def measure(only: str = "", seed: int = 0) -> list[Result]:
    """Train and measure every set, or one; what is known is not measured again.

    Args:
        only: Name of a set, or `SET/MODEL` for another model on it; empty: all.
        seed: One seed; 0: all of `SEEDS`.

    Raises:
        ConfigError: If there is no such set, or no folder of data.
    """
    data = data_folder()
    if data is None:
        raise ConfigError("the folder of real data is not here: name it by EDGEKIT_DATA")
    name, _, other = only.partition("/")
    if only and name not in SETS:
        raise ConfigError(f"'{name}' is no set; there are {', '.join(SETS)}")
    if other:
        if other not in OTHERS:
            raise ConfigError(f"'{other}' is no model; there are {', '.join(OTHERS)}")
        return [_measure_other(name, other, seed or SEEDS[0], data)]
    results = []
    for name in [only] if only else SETS:
        results += _measure_set(name, [seed] if seed else SEEDS, data)
    if not only and not seed:
        for name in COMPARED:
            results += [_measure_other(name, other, SEEDS[0], data) for other in OTHERS]
        results += memory.measure_memory()
        job = text_job(SPOKEN, SEEDS[0], _runs(), data)
        results.append(memory.measure_instructions(job))
    return results


def _runs() -> Path:
    return share.cache_dir() / "bench" / AREA / "runs"


def _measure_set(name: str, seeds: Sequence[int], data: Path) -> list[Result]:
    runs = _runs()
    jobs = {seed: text_job(name, seed, runs, data) for seed in seeds}

    def found(seed: int) -> Result:
        # All seeds that are missing train in one process, when the first of them is asked for.
        trained = run_text_jobs(list(jobs.values()), _say)
        quantize_text_runs([result.run for result in trained])
        chosen = next(r for r in trained if r.run == jobs[seed].run)
        return {"set": name, "seed": seed, **_facts(jobs[seed], chosen)}

    return [
        resumed(AREA, f"{name}-{seed}", _key(job), functools.partial(found, seed))
        for seed, job in jobs.items()
    ]


def _measure_other(name: str, other: str, seed: int, data: Path) -> Result:
    job = text_job(name, seed, _runs(), data, other=other)

    def found() -> Result:
        (trained,) = run_text_jobs([job], _say)
        facts: Result = {"compared": name, "model": other, "seed": seed}
        try:
            quantize_text_runs([trained.run])
            return {**facts, **_facts(job, trained)}
        except (QuantizationError, UnsupportedError) as exc:
            # The converter knows not all of what the others are made of.
            facts |= {"float": 100 * trained.test["accuracy"], "missing": str(exc)}
            return {**facts, "parameters": trained.parameters, "seconds": trained.seconds}

    return resumed(AREA, f"{name}-{other}-{seed}", _key(job), found)


def _key(job: TextJob) -> str:
    return result_key(job.hash(), *(path.read_bytes() for path in CODE))


def _say(event: Event) -> None:
    if event["event"] == "epoch":
        epoch = f"epoch {event['epoch']} of {event['epochs']}"
        print(f"{event['job']}: {epoch}, {event['score']:.3f}", file=sys.stderr, flush=True)


def _facts(job: TextJob, result: TextResult) -> dict[str, Any]:
    """Measure a trained and converted run."""
    source = (result.run / "model.tflite").read_bytes()
    tokenizer = Tokenizer.load(result.tokenizer)
    data = load_text(job.source)
    compiled = compile_tflite(source, name="model", fuse=True)
    runner = Runner(compiled.image)
    length = int(runner.input_shape[-1])
    answers = runner.run(tokenizer.encode_batch(data.test.texts, length))
    chosen = answers.reshape(len(data.test), -1).argmax(axis=1)
    return {
        "float": 100 * result.test["accuracy"],
        "int8": 100 * float(np.mean(chosen == data.test.labels)),
        "validation": 100 * result.validation["accuracy"],
        "parameters": result.parameters,
        "weight_bytes": compiled.weight_bytes,
        "arena_bytes": compiled.arena_bytes,
        "image_bytes": compiled.flash_bytes,
        "tokenizer_bytes": len(token_table(tokenizer)),
        "vocab": tokenizer.vocab,
        "length": length,
        "seconds": result.seconds,
        "cores": os.cpu_count(),
        "epochs": job.epochs,
        "sizes": dict(job.sizes),
        "curve": [round(100 * score, 2) for score in result.scores],
        "losses": [round(loss, 4) for loss in result.losses],
        "rows": [len(data.train), len(data.validation), len(data.test)],
    }


def runs_of(results: Sequence[Result], name: str) -> list[Result]:
    """Return the results of one set, a seed each."""
    return [each for each in results if each.get("set") == name]


def rows_of(results: Sequence[Result]) -> list[Row]:
    """Return the figures with their targets; a seed that is missing is not ok."""
    rows = []
    for name, chosen in SETS.items():
        runs = runs_of(results, name)
        if not runs:
            continue
        int8 = [each["int8"] for each in runs]
        label = f"{name}: int8 accuracy, mean of {len(runs)}"
        rows.append(row_of_least(label, statistics.mean(int8), "%", chosen.target))
        loss = statistics.mean(each["float"] - each["int8"] for each in runs)
        rows.append(row(f"{name}: points lost by int8", loss, "points", LOSS_TARGET, good=True))
        weights = max(each["weight_bytes"] for each in runs)
        rows.append(row(f"{name}: weights", weights, "bytes", memory.WEIGHT_TARGET, good=True))
        if name == "snips":
            seconds = max(each["seconds"] for each in runs)
            rows.append(row("snips: training", seconds, "s", SNIPS_TARGET_S, good=True))
    rows += memory.memory_rows([each for each in results if "total_bytes" in each])
    for facts in results:
        if "instructions" in facts:
            rows += memory.instruction_rows(facts)
    return rows


TITLES = (
    "set",
    "int8",
    "spread",
    "float",
    "target",
    "stretch",
    "TF-IDF",
    "paper",
    "weights B",
    "arena B",
    "tokenizer B",
    "train s",
)


def accuracy_text(results: Sequence[Result]) -> str:
    """Return the table: means over seeds, spread as the standard deviation."""
    lines = []
    for name, chosen in SETS.items():
        runs = runs_of(results, name)
        if not runs:
            continue
        int8 = [each["int8"] for each in runs]
        spread = statistics.stdev(int8) if len(int8) > 1 else math.nan
        sizes = [max(e[key] for e in runs) for key in ("weight_bytes", "arena_bytes")]
        lines.append(
            [
                name,
                f"{statistics.mean(int8):.2f}",
                "-" if math.isnan(spread) else f"{spread:.2f}",
                f"{statistics.mean(each['float'] for each in runs):.2f}",
                f"{chosen.target:.1f}",
                f"{chosen.stretch:.1f}",
                f"{chosen.lexical:.1f}",
                "-" if chosen.paper is None else f"{chosen.paper:.1f}",
                *(f"{size:,}" for size in sizes),
                f"{max(each['tokenizer_bytes'] for each in runs):,}",
                f"{statistics.mean(each['seconds'] for each in runs):.0f}",
            ]
        )
    return table(TITLES, lines)


def text_of(results: Sequence[Result]) -> str:
    """Return all tables that there are results for."""
    blocks = [accuracy_text(results)] if any("set" in each for each in results) else []
    blocks += [others_text(results)] if any("compared" in each for each in results) else []
    totals = [each for each in results if "total_bytes" in each]
    blocks += [memory.memory_text(totals)] if totals else []
    blocks += [memory.instruction_text(each) for each in results if "instructions" in each]
    return "\n\n".join(blocks)


def others_text(results: Sequence[Result]) -> str:
    """Return the table of other models, ours with the same seed first."""
    lines = []
    for name in COMPARED:
        ours = [each for each in runs_of(results, name) if each["seed"] == SEEDS[0]]
        others = [each for each in results if each.get("compared") == name]
        for facts in [*ours, *others]:
            lines.append(
                [
                    f"{name}: {facts.get('model', 'edgekit')}",
                    f"{facts['int8']:.2f}" if "int8" in facts else "-",
                    f"{facts['float']:.2f}",
                    *(count(facts.get(key)) for key in ("parameters", "weight_bytes")),
                    count(facts.get("arena_bytes")),
                    f"{facts['seconds']:.0f}" if "seconds" in facts else "-",
                ]
            )
    titles = ("set: model", "int8", "float", "parameters", "weights B", "arena B", "train s")
    return table(titles, lines)
