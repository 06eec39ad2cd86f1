"""What a step of learning costs on a core: memory exactly, instructions from measured shapes.

Coefficients are in `learn_costs.toml`; `python -m tools.calibrate_learn` writes it anew.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgekit.boards import Board
from edgekit.export.costs import ALIKE
from edgekit.formats.image import Head
from edgekit.graph import DType, Graph

TABLE = Path(__file__).resolve().parent / "learn_costs.toml"

METHODS = ("ol", "lwf", "cwr")
MOMENTUM = "ol with momentum"
_KEEPS_ROWS = ("lwf", "cwr")


@dataclass(frozen=True, slots=True)
class LearnStep:
    """What learning by one method needs on a board.

    Attributes:
        method: ol, lwf, cwr, or ol with momentum.
        ram_bytes: Rows, their copies, labels and scratch.
        instructions: Of one step with all K_max rows in use, beside the inference that it needs;
            None if the core was not measured.
    """

    method: str
    ram_bytes: int
    instructions: int | None


def learn_steps(head: Head, board: Board) -> tuple[LearnStep, ...]:
    """Return the cost of a step by each method."""
    return tuple(
        LearnStep(
            method,
            online_bytes(head.features, head.max_classes, method),
            step_instructions(board.core, head.features, head.max_classes, method),
        )
        for method in (*METHODS, MOMENTUM)
    )


def online_bytes(features: int, most_classes: int, method: str) -> int:
    """Return the memory of a head. Twin: firmware/learn/ek_online.c, ek_online_bytes."""
    head = most_classes * (features + 1)
    copies = 1 + (method == MOMENTUM) + (method in _KEEPS_ROWS)
    scratch = features + 2 * most_classes + (most_classes if method == "lwf" else 0)
    return 4 * (scratch + 2 + 2 * most_classes + copies * head)


def statistics_bytes(graph: Graph) -> int | None:
    """Return the memory of mean and variance of a model's inputs, None if they are no int8.

    Twin: firmware/agent/ek_agent_online.c, start_moments
    """
    tensor = graph.tensor(graph.inputs[0])
    return 8 * math.prod(tensor.shape) + 4 if tensor.dtype is DType.INT8 else None


def shape_features(features: int, classes: int) -> tuple[float, ...]:
    """Return what the instructions of a step are a scalar product of."""
    return (float(features * classes), float(classes), float(features), 1.0)


def step_instructions(core: str, features: int, classes: int, method: str) -> int | None:
    """Return the predicted instructions of a step, None for a core that was not measured."""
    row = _table().get(ALIKE.get(core, core), {}).get(method)
    if row is None:
        return None
    values = shape_features(features, classes)
    return round(sum(c * v for c, v in zip(row, values, strict=True)))


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, list[float]]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
