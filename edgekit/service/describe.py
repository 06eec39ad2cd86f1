"""What the journal is told of boards and models: the bodies of their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.boards import Board
from edgekit.journal import Journal
from edgekit.ops import kernel_set_hash

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel


def board_body(board: Board, kernel_ops: tuple[str, ...]) -> dict[str, Any]:
    """Describe a board together with the kernels that its firmware has."""
    return {
        "name": board.name,
        "chip": board.chip.name,
        "core": board.core,
        "clock_hz": board.clock_hz,
        "ram_bytes": board.ram_bytes,
        "flash_bytes": board.flash_bytes,
        "slot_bytes": board.slot_bytes,
        "arena_bytes": board.arena_bytes,
        "has_fpu": board.chip.has_fpu,
        "support": board.support,
        "sensors": list(board.sensors),
        "kernel_set_hash": kernel_set_hash(kernel_ops).hex(),
        "kernel_ops": list(kernel_ops),
    }


def model_body(
    model: CompiledModel,
    *,
    device_class: str,
    accuracy: Mapping[str, float] | None = None,
    derived_from: str | None = None,
    run: str | None = None,
) -> dict[str, Any]:
    """Describe a compiled model.

    Args:
        accuracy: Shares of right answers by form: float, int8.
        derived_from: Image id in hex that its weights come from.
        run: Federated run that made it.
    """
    from edgekit.formats.image_reader import read_image

    image = read_image(model.image)
    meta = image.meta
    body: dict[str, Any] = {
        "name": meta.name,
        "version": meta.version,
        "image_id": model.id.hex(),
        "image_bytes": len(model.image),
        "arena_bytes": model.arena_bytes,
        "flash_bytes": model.flash_bytes,
        "macs": model.macs,
        "ops": list(model.ops),
        "task": meta.task,
        "labels": list(meta.labels),
        "license": meta.license,
        "data_license": meta.data_license,
        "quantization": "int8",
        "trainable": image.head is not None,
        "device_class": device_class,
    }
    if image.head is not None:
        body["head_features"] = image.head.features
        body["head_classes"] = image.head.classes
    if accuracy is not None:
        body["accuracy"] = dict(accuracy)
    if derived_from is not None:
        body["derived_from"] = derived_from
    if run is not None:
        body["run"] = run
    return body


def register(
    journal: Journal,
    model: CompiledModel,
    board: Board,
    kernel_ops: tuple[str, ...],
    *,
    accuracy: Mapping[str, float] | None = None,
) -> None:
    """Enter a board with its firmware and a model for it, unless the journal has them so."""
    described = board_body(board, kernel_ops)
    known = [event.body for event in journal.events(0, ("board.described",), subject=board.name)]
    if not known or known[-1] != described:
        journal.append("board.described", board.name, described)
    body = model_body(model, device_class=board.name, accuracy=accuracy)
    said = journal.events(0, ("model.registered",), subject=model.id.hex())
    if all(event.body != body for event in said):
        journal.append("model.registered", model.id.hex(), body)
