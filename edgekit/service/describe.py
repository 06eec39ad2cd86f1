"""What the journal is told of boards and models: the bodies of their events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit import __version__
from edgekit.boards import Board
from edgekit.journal import Journal
from edgekit.ops import kernel_set_hash

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel
    from edgekit.formats.image import Image

RUNTIME = "edgekit"
# The first version whose firmware reads version 1 of the container.
OLDEST_RUNTIME = "0.1.0"
# Source: Arm Architecture Reference Manuals; RISC-V unprivileged specification, chapter 27.
ISA = {
    "cortex-m0": "armv6-m",
    "cortex-m3": "armv7-m",
    "cortex-m4": "armv7e-m",
    "cortex-m7": "armv7e-m",
    "cortex-m55": "armv8.1-m",
    "rv32imac": "rv32imac",
}


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
        **_more_of_board(board),
        "runtime": RUNTIME,
        "runtime_version": __version__,
    }


def data_board_body(board: Board) -> dict[str, Any]:
    """Describe a board that there is no firmware for: what the data sheet says."""
    body = board_body(board, ())
    for key in ("kernel_set_hash", "kernel_ops", "runtime", "runtime_version"):
        del body[key]
    return body


def _more_of_board(board: Board) -> dict[str, Any]:
    return {
        "isa": ISA.get(board.core),
        "has_dsp": board.chip.has_dsp,
        "kernel_family": board.chip.kernel_family,
        "sensor_rates": dict(board.sensor_rates_hz),
        "connectivity": list(board.connectivity),
    }


def model_body(
    model: CompiledModel,
    *,
    device_class: str,
    accuracy: Mapping[str, float] | None = None,
    derived_from: str | None = None,
    run: str | None = None,
    sensors: Sequence[str] = (),
    rate_hz: float | None = None,
) -> dict[str, Any]:
    """Describe a compiled model.

    Args:
        accuracy: Shares of right answers by form: float, int8.
        derived_from: Image id in hex that its weights come from.
        run: Federated run that made it.
        sensors: Kinds that its input comes from, all of them.
        rate_hz: Samples a second that it expects of them.
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
        **_more_of_model(image),
    }
    if sensors:
        body["sensors"] = list(sensors)
    if rate_hz is not None:
        body["input_rate_hz"] = rate_hz
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


def _more_of_model(image: Image) -> dict[str, Any]:
    from edgekit.export.compile import layer_costs
    from edgekit.passes.storage import live_bytes

    graph = image.graph
    costs = layer_costs(graph, live_bytes(graph))
    source, result = graph.tensor(graph.inputs[0]), graph.tensor(graph.outputs[0])
    constants = [tensor.data for tensor in graph.tensors if tensor.data is not None]
    digest = hashlib.sha256()
    for data in constants:
        digest.update(data.tobytes())
    layers = []
    for node, cost in zip(graph.nodes, costs, strict=True):
        weights = [graph.tensor(i) for i in node.inputs if i >= 0]
        layers.append(
            {
                "name": cost.name,
                "op": cost.op,
                "macs": cost.macs,
                "shape": list(graph.tensor(node.outputs[0]).shape),
                "weight_bytes": sum(t.nbytes for t in weights if t.data is not None),
            }
        )
    return {
        "layers": layers,
        "input_shape": list(source.shape),
        "input_type": source.dtype.value,
        "output_shape": list(result.shape),
        "weight_bytes": sum(data.nbytes for data in constants),
        "weights_sha256": digest.hexdigest(),
        "kernel_family": image.meta.kernel_family,
        "fused": image.meta.fused,
        "min_runtime": OLDEST_RUNTIME,
    }


_MADE_FROM = ("derived_from", "run")


def register(
    journal: Journal,
    model: CompiledModel,
    board: Board,
    kernel_ops: tuple[str, ...],
    *,
    accuracy: Mapping[str, float] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Enter a board with its firmware and a model for it, unless the journal has them so.

    Args:
        training: Body of the event of the run that the model came from.
    """
    described = board_body(board, kernel_ops)
    known = [event.body for event in journal.events(0, ("board.described",), subject=board.name)]
    if not known or known[-1] != described:
        journal.append("board.described", board.name, described)
    body = model_body(model, device_class=board.name, accuracy=accuracy)
    said = list(journal.events(0, ("model.registered",), subject=model.id.hex()))
    for event in said:  # what it was made from stays true
        body |= {name: event.body[name] for name in _MADE_FROM if name in event.body}
    if training is not None:
        body |= {"training": training["run"], "dataset": training["datasets"][0]}
    if all(event.body != body for event in said):
        journal.append("model.registered", model.id.hex(), body)
