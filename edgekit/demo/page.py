"""The demo's report: what the steps found, in the form that `export/report.py` draws."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.boards import load_board
from edgekit.data.dataset import Dataset
from edgekit.demo.board import Proof
from edgekit.demo.learning import Learned
from edgekit.demo.models import DemoModel
from edgekit.demo.world import BOARD
from edgekit.export.compile import CompiledModel
from edgekit.export.mcu import Firmware
from edgekit.export.memory_map import memory_map
from edgekit.export.report import (
    Accuracy,
    Confusion,
    Federated,
    LayerRow,
    Memory,
    Report,
    RoundRow,
    Segment,
    SummaryRow,
    TimelineEvent,
)
from edgekit.formats.image_reader import read_image
from edgekit.journal import Event
from edgekit.link.status import Status

TARGET_FEDERATED = 0.85


def make_report(
    *,
    data: Dataset,
    model: DemoModel,
    compiled: CompiledModel,
    proof: Proof,
    firmware: Firmware,
    learned: Learned,
    events: Iterable[Event],
    summary: list[tuple[str, str, str]],
) -> Report:
    """Put the page together."""
    return Report(
        title="edgekit demo",
        subtitle=f"handwritten digits, a vision transformer of {model.trained.parameters:,}"
        f" parameters on {BOARD}",
        summary=tuple(
            SummaryRow(name, found, asked, ok=True if asked else None)
            for name, found, asked in summary
        ),
        accuracies=_accuracies(model, proof, len(data.test)),
        confusion=Confusion(
            labels=data.label_names,
            counts=model.quantized.report.confusion,
            note=f"int8 {model.name} on the {len(data.test)} test images",
        ),
        memory=_memory(compiled, firmware),
        layers=tuple(
            LayerRow(layer.name, layer.op, round(count), layer.macs)
            for layer, count in zip(compiled.layers, proof.board.layers, strict=True)
        ),
        timeline=tuple(_timeline(events)),
        federated=Federated(
            before=learned.before,
            rounds=tuple(
                RoundRow(row.round, row.accuracy or 0.0, row.accepted, len(row.rejected))
                for row in learned.together.table
            ),
            best_single=learned.best_alone[1],
            target=TARGET_FEDERATED,
            note=f"{len(learned.alone)} devices, {learned.together.plan.strategy}, best single"
            f" device {learned.best_alone[0]} after as many rounds alone",
        ),
    )


def _accuracies(model: DemoModel, proof: Proof, samples: int) -> tuple[Accuracy, ...]:
    report = model.quantized.report
    return (
        Accuracy("float", report.float_accuracy, samples, "Keras", minimum=0.96),
        Accuracy("int8", report.int8_accuracy, samples, "LiteRT reference kernels", minimum=0.95),
        Accuracy(
            "board",
            proof.host_accuracy,
            samples,
            f"host C on all; every byte equal on {proof.images} images in the emulator",
            minimum=0.95,
        ),
    )


def _memory(compiled: CompiledModel, firmware: Firmware) -> Memory:
    board = load_board(firmware.board)
    assert board.layout is not None
    arena = board.arena_bytes
    return Memory(
        board=board.name,
        flash=(
            Segment("firmware", firmware.flash_bytes),
            Segment("identity and state", board.layout.provision.bytes + board.layout.state.bytes),
            Segment("learned heads", board.layout.learn.bytes),
            Segment("model slot A", board.layout.slot_a.bytes),
            Segment("model slot B", board.layout.slot_b.bytes),
        ),
        flash_limit=board.flash_bytes,
        ram=(
            Segment("arena of the model", compiled.arena_bytes),
            Segment("arena set aside", arena - compiled.arena_bytes),
            Segment("feature cache", board.feature_cache_bytes),
            Segment("static data", firmware.static_bytes),
            Segment("stack", board.stack_bytes),
        ),
        ram_limit=board.ram_bytes,
        arena_bytes=compiled.arena_bytes,
        tensors=memory_map(read_image(compiled.image)),
    )


def _timeline(events: Iterable[Event]) -> Iterable[TimelineEvent]:
    begin: int | None = None
    for event in events:
        told = _tell(event)
        if told is None:
            continue
        begin = event.time_ms if begin is None else begin
        lane, text, ok = told
        yield TimelineEvent((event.time_ms - begin) / 1000, lane, text, ok)


def _tell(event: Event) -> tuple[str, str, bool | None] | None:
    body = event.body
    match event.kind:
        case "device.claimed":
            return body["device"], "claimed", True
        case "release.published":
            return "server", f"{body['name']} {body['version']} for {body['device_class']}", None
        case "release.refused":
            return "server", f"{body['name']} {body['version']} refused: {body['reason']}", False
        case "rollout.device":
            good = body["result"] == "installed"
            status = "" if good else f" ({Status(body['status']).name.lower()})"
            return body["device"], f"{body['rollout']}: {body['result']}{status}", good
        case "rollout.halted":
            return "server", f"rollout {body['rollout']} halted", False
        case "rollout.finished":
            return "server", f"rollout {body['rollout']} finished", True
        case "federated.round_closed" if body["run"] == 1:
            return "server", f"round {body['round']}: {body['accepted']} updates", True
        case _:
            return None
