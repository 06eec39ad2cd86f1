"""The host library beside LiteRT on one thread, and how long a compilation takes.

Times of one machine mean little elsewhere, ratios more: each engine takes its turn, over and over,
and the median of the ratios of neighbours counts. Turns are short, so that few are interrupted.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgekit.errors import ConfigError
from edgekit.export.compile import compile_tflite
from edgekit.quantize.interpreter import Int8Array, LiteModel
from edgekit.runtime import Runner
from tools.bench.models import HOST_NETWORKS, network_files
from tools.bench.rows import Result, Row, count, row, table

AREA = "host"
PAIRS = 401
TURN_S = 0.002
COMPILED = "cnn_1mb"
COMPILATIONS = 5

TARGETS = {"cnn_350k": 2.0, "vit_18k": 1.0}
"""Time of edgekit over time of LiteRT with XNNPACK."""
COMPILE_TARGET_S = 1.0


@dataclass(frozen=True, slots=True)
class Turns:
    """Microseconds of one inference in the fastest turn, and the median of neighbours' ratios."""

    ours_us: float
    theirs_us: float
    ratio: float


def measure(only: str = "", seed: int = 0) -> list[Result]:
    """Measure every network, or one.

    Raises:
        ConfigError: If there is no such network.
        ToolError: If a network cannot be built.
    """
    files = network_files(seed, HOST_NETWORKS)
    results: list[Result] = []
    for name in HOST_NETWORKS:
        if only and only != name:
            continue
        print(f"{name} on this machine", file=sys.stderr, flush=True)
        source = files[name].read_bytes()
        if name == COMPILED:
            results.append({"model": name, "bytes": len(source), "seconds": compile_s(source)})
            continue
        model = LiteModel(source)
        inputs = np.random.default_rng(seed).integers(-128, 128, (4, *model.shape), np.int8)
        runner = Runner(compile_tflite(source, name=name).image)
        wrong = np.any((runner.run(inputs) != model.run(inputs)).reshape(4, -1), axis=1)
        turns = take_turns(_ours(runner, inputs[:1]), _theirs(source, inputs[:1]))
        results.append(
            {
                "model": name,
                "ours_us": turns.ours_us,
                "theirs_us": turns.theirs_us,
                "ratio": turns.ratio,
                "wrong": int(wrong.sum()),
            }
        )
    if not results:
        raise ConfigError(f"'{only}' is no model; there are {', '.join(HOST_NETWORKS)}")
    return results


def compile_s(source: bytes) -> float:
    """Return the median seconds from the bytes of a .tflite to those of an image."""
    seconds = []
    for _ in range(COMPILATIONS):
        begin = time.perf_counter()
        compile_tflite(source, name="model")
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def take_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> Turns:
    """Time two functions in turns of the same length."""
    repeats = [max(1, int(TURN_S / _seconds(each, 3))) for each in (ours, theirs)]
    pairs = []
    for _ in range(PAIRS):
        pair = [_seconds(each, times) for each, times in zip((ours, theirs), repeats, strict=True)]
        pairs.append(pair)
    return Turns(
        ours_us=1e6 * min(pair[0] for pair in pairs),
        theirs_us=1e6 * min(pair[1] for pair in pairs),
        ratio=statistics.median(pair[0] / pair[1] for pair in pairs),
    )


def _seconds(function: Callable[[], object], times: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - begin) / times


def _ours(runner: Runner, x: Int8Array) -> Callable[[], object]:
    return lambda: runner.run(x)


def _theirs(source: bytes, x: Int8Array) -> Callable[[], object]:
    """Return one inference of LiteRT as it comes, XNNPACK included, on one thread."""
    module = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(model_content=source, num_threads=1)
    interpreter.allocate_tensors()
    into = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]

    def run() -> object:
        interpreter.set_tensor(into, x)
        interpreter.invoke()
        return interpreter.get_tensor(out)

    return run


def rows_of(results: list[Result]) -> list[Row]:
    """Return the figures of what was measured, with their targets."""
    rows = []
    for facts in results:
        name = facts["model"]
        if "seconds" in facts:
            figure = f"{name}: .tflite of {facts['bytes']:,} bytes to .ekm"
            rows.append(row(figure, facts["seconds"], "s", COMPILE_TARGET_S, good=True))
            continue
        good = facts["wrong"] == 0
        figure = f"{name}: time of one inference over LiteRT's, one thread"
        rows.append(row(figure, facts["ratio"], "1", TARGETS[name], good=good))
        rows.append(row(f"{name}: wrong answers", facts["wrong"], "inputs", 0, good=good))
    return rows


TITLES = ("model", "edgekit us", "LiteRT us", "ratio", "target", "wrong", "compile s", "target")


def text_of(results: list[Result]) -> str:
    """Return the table."""
    lines = []
    for facts in results:
        if "seconds" in facts:
            times = [f"{facts['seconds']:.2f}", f"{COMPILE_TARGET_S:.2f}"]
            lines.append([facts["model"], "-", "-", "-", "-", "-", *times])
            continue
        cells = [f"{facts[key]:,.1f}" for key in ("ours_us", "theirs_us")]
        cells += [f"{facts['ratio']:.2f}", f"{TARGETS[facts['model']]:.2f}"]
        lines.append([facts["model"], *cells, count(facts["wrong"]), "-", "-"])
    return table(TITLES, lines)
