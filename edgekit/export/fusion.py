"""What fusion changes in a model: nearness to the float model, memory and instructions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.boards import Board
from edgekit.errors import UnsupportedError
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.fit import check_fit
from edgekit.formats.tflite import read_tflite
from edgekit.graph import DType, Graph
from edgekit.ops.real import real_of
from edgekit.passes.borders import strip_borders
from edgekit.passes.evaluate import run_real
from edgekit.passes.fuse import fuse
from edgekit.passes.islands import move_bytes
from edgekit.runtime import Runner

SAMPLES = 24
SEED = 11
SPREAD = 28.0
"""Standard deviation of random int8 inputs: nearly all lie inside the range."""
TOKENS = 256
"""Token ids of random inputs stay below it: any vocabulary has so many."""

Inputs = NDArray[np.int8] | NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model compiled with or without fusion.

    Attributes:
        arena_bytes: Working memory.
        image_bytes: Of the model image.
        instructions: Predicted for one inference, None if the board was not measured.
        sqnr_db: Power of the float model's output over that of the difference from it, in
            decibels; None if the float model cannot be computed here.
    """

    arena_bytes: int
    image_bytes: int
    instructions: int | None
    sqnr_db: float | None


@dataclass(frozen=True, slots=True)
class FusionReport:
    """Both variants of a model.

    Attributes:
        patterns: How often each pattern was found.
        operators: Source operators that they replace.
        exact: Without fusion; None if an operator has no kernel, `reason` says which.
        fused: With fusion.
    """

    patterns: dict[str, int]
    operators: int
    exact: Variant | None
    fused: Variant
    reason: str


def compare_fusion(
    source: bytes, *, name: str, board: Board, inputs: Inputs | None = None
) -> FusionReport | None:
    """Compile a `.tflite` with and without fusion and compare both with the float model.

    Args:
        source: The file.
        name: Of the model.
        board: What it is compiled and predicted for.
        inputs: [N, ...] as the model reads them; by default a few random ones.

    Returns:
        None if there is nothing to fuse.

    Raises:
        FormatError: If the file is malformed.
        UnsupportedError: If it needs what edgekit does not have, even when fused.
    """
    graph = move_bytes(strip_borders(read_tflite(source, name=name)).graph)
    _, fusions = fuse(graph)
    if not fusions:
        return None
    family = board.chip.kernel_family
    fused = compile_tflite(source, name=name, family=family, fuse=True)
    x = _random_inputs(graph) if inputs is None else inputs
    try:
        wanted = _float_outputs(graph, x)
    except UnsupportedError:
        wanted = None
    exact, reason = None, ""
    try:
        plain = compile_tflite(source, name=name, family=family)
        exact = _variant(plain, board, graph, x, wanted)
    except UnsupportedError as exc:
        reason = str(exc)
    return FusionReport(
        patterns=dict(sorted(Counter(fusion.op for fusion in fusions).items())),
        operators=sum(len(fusion.replaced) for fusion in fusions),
        exact=exact,
        fused=_variant(fused, board, graph, x, wanted),
        reason=reason,
    )


def _random_inputs(graph: Graph) -> Inputs:
    """Draw inputs that lie in the middle of their range, as those of a calibrated model do."""
    tensor = graph.tensor(graph.inputs[0])
    rng = np.random.default_rng(SEED)
    shape = (SAMPLES, *tensor.shape)
    if tensor.dtype is DType.INT8:
        zero = 0 if tensor.quant is None else tensor.quant.zero_point
        centre = zero if abs(zero) <= 64 else 0
        drawn = np.rint(rng.normal(centre, SPREAD, shape))
        return np.clip(drawn, -128, 127).astype(np.int8)
    return rng.integers(0, TOKENS, shape, np.int32)


def _float_outputs(graph: Graph, x: Inputs) -> NDArray[np.float64]:
    tensor = graph.tensor(graph.inputs[0])
    rows = [run_real(graph, real_of(tensor, row.reshape(tensor.shape))) for row in x]
    return np.array(rows, np.float64).reshape(len(rows), -1)


def _variant(
    model: CompiledModel,
    board: Board,
    graph: Graph,
    x: Inputs,
    wanted: NDArray[np.float64] | None,
) -> Variant:
    sqnr_db = None
    y = graph.tensor(graph.outputs[0])
    if wanted is not None and y.dtype is DType.INT8:
        got = real_of(y, Runner(model.image).run(x)).reshape(len(x), -1)
        sqnr_db = _decibels(wanted, got)
    return Variant(
        arena_bytes=model.arena_bytes,
        image_bytes=len(model.image),
        instructions=check_fit(model, board).instructions,
        sqnr_db=sqnr_db,
    )


def _decibels(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    noise = float(np.square(wanted - got).sum())
    power = float(np.square(wanted).sum())
    return 10 * math.log10(max(power, 1e-30) / max(noise, 1e-30))
