"""The demo, step by step: from handwritten digits to a head that five devices learned together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit import share
from edgekit.boards import load_board
from edgekit.config import Config
from edgekit.data import load_dataset
from edgekit.data.dataset import Dataset
from edgekit.demo import board as bench
from edgekit.demo.console import Step, Teller
from edgekit.demo.learning import Learned, learn, model_inputs
from edgekit.demo.models import (
    BASE,
    SHUFFLED,
    UNSEEN,
    V1,
    V2,
    DemoModel,
    quantize_models,
    train_models,
)
from edgekit.demo.page import make_report
from edgekit.demo.samples import sample_file, write_samples
from edgekit.demo.world import BOARD, BOARD_DEVICE, VIRTUAL_DEVICES, World
from edgekit.errors import DeviceError, RefusedError
from edgekit.export.compile import CompiledModel, replace_head
from edgekit.export.fit import Fit, check_fit
from edgekit.export.mcu import Firmware, build_firmware
from edgekit.export.project import compile_for_dataset
from edgekit.export.report import write_report
from edgekit.fleet.releases import Acceptance
from edgekit.fleet.rollouts import Phase, Result
from edgekit.formats.image import image_id, write_image
from edgekit.formats.image_reader import read_image
from edgekit.link.status import Status
from edgekit.ops import kernel_set
from edgekit.registry.fleet import placements
from edgekit.registry.load import load_document
from edgekit.registry.match import boards_for_model
from edgekit.registry.shacl import Report as ShaclReport
from edgekit.registry.store import Store
from edgekit.registry.sync import open_writer
from edgekit.runtime import Runner

STEPS = 17
BOARD_IMAGES = 100
SMALL_BOARD = "microbit_v1"
HOST = "host"
MODEL = "digits"
LICENSE = "Apache-2.0"
Row = tuple[str, str, str]


@dataclass(slots=True)
class Found:
    """What the steps found, for the table and the page."""

    models: dict[str, DemoModel]
    compiled: dict[str, CompiledModel]
    firmware: dict[str, Firmware]
    proof: bench.Proof
    rows: list[Row]


def run_demo(folder: Path, teller: Teller) -> list[Row]:
    """Run everything and return what was found: (what, found, asked for).

    Args:
        folder: Where models, fleet and `report.html` go; trained models in it are used again.

    Raises:
        EdgekitError: If a step fails, or finds less than it promises.
    """
    data = load_dataset("digits")
    models = _train(folder / "runs", teller)
    compiled = _compile(models, data, teller)
    firmware = _build(folder / "firmware", teller)
    found = Found(
        models, compiled, firmware, *_on_board(models, compiled, data, firmware, folder, teller)
    )
    with teller.step("Deal the samples to five devices") as step:
        write_samples(folder / "samples")
        step.detail = "uneven by class, written by another process"
    with World(folder / "fleet", firmware) as world:
        _join(world, folder, teller)
        _update(world, found, data, teller)
        learned = _learn(world, found, data, folder, teller)
        events = list(world.fleet.server.journal.events())
        with teller.step("Stop everything") as step:
            world.close()
            step.detail = "no process, port or temporary file is left"
    with teller.step("Write the report") as step:
        page = folder / "report.html"
        report = make_report(
            data=data,
            model=models[V1],
            compiled=compiled[V1],
            proof=found.proof,
            firmware=firmware[BOARD],
            learned=learned,
            events=events,
            summary=found.rows,
        )
        write_report(report, page)
        step.detail = str(page)
    return found.rows


def _train(folder: Path, teller: Teller) -> dict[str, DemoModel]:
    with teller.step("Train a vision transformer, 4 ways") as step:
        trained = train_models(folder, step)
        first = trained[V1]
        reused = " (kept from an earlier run)" if all(r.reused for r in trained.values()) else ""
        step.detail = f"{first.parameters:,} parameters, float {first.accuracy:.1%}{reused}"
    with teller.step("Convert to int8") as step:
        models = quantize_models(trained, step)
        report = models[V1].quantized.report
        step.detail = f"int8 {report.int8_accuracy:.1%}, {report.worse} images worse"
        _promise("float accuracy", report.float_accuracy >= 0.96, f"{report.float_accuracy:.4f}")
        _promise("int8 accuracy", report.int8_accuracy >= 0.95, f"{report.int8_accuracy:.4f}")
        _promise("images worse than float", report.worse <= 8, str(report.worse))
    return models


def _compile(
    models: dict[str, DemoModel], data: Dataset, teller: Teller
) -> dict[str, CompiledModel]:
    with teller.step("Compile to model images") as step:
        versions = {V1: "1", V2: "2", SHUFFLED: "4", BASE: "5"}
        # Packed for the board; virtual devices run the same bytes.
        family = load_board(BOARD).chip.kernel_family
        compiled = {
            name: compile_for_dataset(
                models[name].tflite,
                data,
                name=MODEL,
                version=version,
                license=LICENSE,
                family=family,
            )
            for name, version in versions.items()
        }
        first = compiled[V1]
        step.detail = f"{len(first.image):,} bytes, arena {first.arena_bytes:,}, {first.macs:,} MAC"
    fits = [check_fit(first, load_board(name), agent=True) for name in (BOARD, SMALL_BOARD)]
    for fit in fits:
        teller.note(_fit_line(fit))
    _promise(f"fits {BOARD}", fits[0].fits, "; ".join(fits[0].reasons))
    _promise(f"does not fit {SMALL_BOARD}", not fits[1].fits, "it does")
    return compiled


def _fit_line(fit: Fit) -> str:
    if fit.fits:
        return (
            f"fits {fit.board} beside the agent: RAM {fit.ram_needed:,} of {fit.ram_bytes:,}, flash"
            f" {fit.flash_needed:,} of {fit.flash_bytes:,} bytes"
        )
    return f"does not fit {fit.board} beside the agent: {'; '.join(fit.reasons)}"


def _build(folder: Path, teller: Teller) -> dict[str, Firmware]:
    with teller.step("Build the firmware") as step:
        firmware = {}
        for name in (BOARD, HOST):
            board = load_board(name)
            ops = kernel_set("all", board.chip.kernel_family)
            firmware[name] = build_firmware(board, ops=ops, out=folder / name)
        step.detail = f"{firmware[BOARD].flash_bytes:,} bytes of flash with all kernels"
    return firmware


def _on_board(
    models: dict[str, DemoModel],
    compiled: dict[str, CompiledModel],
    data: Dataset,
    firmware: dict[str, Firmware],
    folder: Path,
    teller: Teller,
) -> tuple[bench.Proof, list[Row]]:
    with teller.step(f"Run {BOARD_IMAGES} images on the board") as step:
        proof = bench.prove(
            models[V1],
            compiled[V1],
            data,
            firmware[BOARD],
            images=BOARD_IMAGES,
            work=folder / "bench",
        )
        count = float(np.mean(proof.board.instructions))
        step.detail = f"every output byte equals LiteRT; {count:,.0f} instructions per inference"
    report = models[V1].quantized.report
    loop = proof.board.check_loop
    _promise("check loop", loop.measured == loop.expected, f"{loop.measured}, not {loop.expected}")
    return proof, [
        ("float accuracy", f"{report.float_accuracy:.2%}", ">= 96 %"),
        ("int8 accuracy", f"{report.int8_accuracy:.2%}", ">= 95 %"),
        ("images worse than float", str(report.worse), "<= 8"),
        ("accuracy of host C", f"{proof.host_accuracy:.2%}", "equals int8"),
        ("outputs equal on the board", f"{proof.images} of {proof.images} images", "all"),
        ("instructions per inference", f"{count:,.0f}", ""),
        ("check loop", f"{loop.measured:,.0f}", f"{loop.expected:,}"),
    ]


def _join(world: World, folder: Path, teller: Teller) -> None:
    with teller.step("Claim the board over MQTT") as step:
        world.describe_board(BOARD)
        world.describe_board(HOST)
        world.enrol(BOARD_DEVICE, BOARD, sample_file(folder / "samples", BOARD_DEVICE))
        world.wait_online(BOARD_DEVICE, step=step)
        step.detail = f"{BOARD_DEVICE} joined broker port {world.fleet.broker.address.port}"


def _update(world: World, found: Found, data: Dataset, teller: Teller) -> None:
    compiled, models = found.compiled, found.models
    gate = Acceptance(data.acceptance.raw, data.acceptance.labels, Config().accept.min_accuracy)
    for name, version in ((V1, "1"), (V2, "2")):
        with teller.step(f"Roll out version {version}") as step:
            report = models[name].quantized.report
            accuracy = {"float": report.float_accuracy, "int8": report.int8_accuracy}
            world.register(compiled[name], BOARD, accuracy=accuracy)
            release = world.publish(compiled[name], BOARD, acceptance=gate)
            _installed(
                world, release.image_id, world.roll_out(release, (BOARD_DEVICE,), step).phase
            )
            step.detail = f"signed, pulled, golden vectors held; accepted at {release.accuracy:.1%}"
    with teller.step("Ask the registry") as step:
        step.detail = _ask_registry(world, teller)
    with teller.step("Version 3, wrong golden outputs") as step:
        wrong = with_wrong_golden(compiled[V2], version="3")
        release = world.publish(wrong, BOARD, acceptance=gate, unsafe_skip_golden=True)
        state = world.roll_out(release, (BOARD_DEVICE,), step)
        device = state.devices[BOARD_DEVICE]
        _promise("rollout halted", state.phase is Phase.HALTED, state.phase.value)
        refused = device.result is Result.REFUSED and device.status is Status.GOLDEN
        _promise("device refused version 3", refused, f"{device.result} {device.status}")
        _runs(world, BOARD_DEVICE, compiled[V2])
        step.detail = "refused by the device, rollout halted, version 2 still runs"
    with teller.step("Version 4, trained on shuffled labels") as step:
        try:
            world.publish(compiled[SHUFFLED], BOARD, acceptance=gate)
        except RefusedError as exc:
            _promise("refused for its accuracy", "acceptance set" in str(exc), str(exc))
            step.detail = f"refused by publish: {exc}"
        else:
            _promise("version 4 is refused", False, "it was published")
    found.rows += [
        ("version 2 on the board", "active", "active"),
        ("version 3 (wrong golden)", "refused by the device, rollout halted", "refused"),
        ("version 4 (shuffled labels)", "refused by the acceptance set", "refused"),
    ]


def _ask_registry(world: World, teller: Teller) -> str:
    examples = share.ontologies() / "examples"
    with open_writer(world.root) as store:
        taken, _ = _load(store, world, examples / "board-valid.ttl")
        try:
            _load(store, world, examples / "board-invalid.ttl")
        except RefusedError as exc:
            refused = str(exc).splitlines()[-1].strip()
        else:
            raise DeviceError("a board without its facts passed SHACL")
        boards = boards_for_model(store, f"{MODEL}:2")
        running = placements(store)
        triples = len(store)
    teller.note(f"foreign board: {taken.triples} triples pass SHACL; another is refused: {refused}")
    for match in boards:
        verdict = "fits" if match.fits else "; ".join(str(reason) for reason in match.reasons)
        teller.note(f"{MODEL} 2 on {match.name}: {verdict}")
    for place in running:
        teller.note(f"{place.device} runs {place.name or 'no model'}")
    fitting = {match.name for match in boards if match.fits}
    _promise(f"{MODEL} 2 fits {BOARD} in the registry", BOARD in fitting, str(sorted(fitting)))
    return f"{triples} triples; {MODEL} 2 fits {', '.join(sorted(fitting))}"


def _load(store: Store, world: World, path: Path) -> tuple[ShaclReport, str]:
    journal = world.fleet.server.journal
    return load_document(
        store, journal, path.read_bytes(), "text/turtle", name=path.stem, source=path.name
    )


def _learn(world: World, found: Found, data: Dataset, folder: Path, teller: Teller) -> Learned:
    base, devices = found.compiled[BASE], (BOARD_DEVICE, *VIRTUAL_DEVICES)
    with teller.step("Four virtual devices, base model on all") as step:
        for name in VIRTUAL_DEVICES:
            world.enrol(name, HOST, sample_file(folder / "samples", name))
        world.wait_online(*VIRTUAL_DEVICES, step=step)
        report = found.models[BASE].quantized.report
        accuracy = {"float": report.float_accuracy, "int8": report.int8_accuracy}
        _everywhere(world, base, step, accuracy=accuracy)
        step.detail = f"trained without {', '.join(map(str, UNSEEN))}"
    with teller.step("Learn together on the devices") as step:
        learned = learn(world, base.image, data.test, devices, step)
        name, alone = learned.best_alone
        step.detail = (
            f"{learned.before:.1%} before, {learned.after:.1%} after"
            f" {len(learned.together.table)} rounds; best alone {alone:.1%} ({name})"
        )
    for row in learned.together.table:
        teller.note(
            f"round {row.round}: {row.accepted} updates, accuracy {row.accuracy or 0:.1%},"
            f" {row.seconds:.1f} s"
        )
    _promise("before learning", learned.before <= 0.72, f"{learned.before:.4f}")
    _promise("after learning", learned.after >= 0.85, f"{learned.after:.4f}")
    with teller.step("Publish the global head everywhere") as step:
        runner = Runner(base.image)
        head = learned.together.head
        final = replace_head(
            base.image,
            version="6",
            weights=head.weights,
            bias=head.bias,
            calibration=runner.features(model_inputs(base.image, data.acceptance)),
        )
        test = data.test.raw.reshape(len(data.test), -1)
        answers = Runner(final.image).run_raw(test).reshape(len(data.test), -1).argmax(axis=1)
        reached = float(np.mean(answers == data.test.labels))
        gate = Acceptance(data.acceptance.raw, data.acceptance.labels, 0.85)
        _everywhere(
            world,
            final,
            step,
            accuracy={"int8": reached},
            gate=gate,
            derived_from=base.id.hex(),
        )
        step.detail = (
            f"int8 head {reached:.1%} on the test images, active on {len(devices)} devices"
        )
    name, alone = learned.best_alone
    found.rows += [
        ("before learning (no 7, 8, 9)", f"{learned.before:.2%}", "<= 72 %"),
        (f"after {len(learned.together.table)} rounds", f"{learned.after:.2%}", ">= 85 %"),
        ("best single device", f"{alone:.2%} ({name})", "less"),
        ("global head as int8", f"{reached:.2%}", ""),
    ]
    return learned


def _everywhere(
    world: World,
    model: CompiledModel,
    step: Step,
    *,
    accuracy: dict[str, float],
    gate: Acceptance | None = None,
    derived_from: str | None = None,
) -> None:
    """Publish a model for both device classes and roll it out to all devices."""
    for board, devices in ((BOARD, (BOARD_DEVICE,)), (HOST, VIRTUAL_DEVICES)):
        world.register(model, board, derived_from=derived_from, accuracy=accuracy)
        release = world.publish(model, board, acceptance=gate)
        _installed(world, release.image_id, world.roll_out(release, devices, step).phase)
        for device in devices:
            _runs(world, device, model)


def with_wrong_golden(model: CompiledModel, *, version: str) -> CompiledModel:
    """Return a model whose golden vectors expect other outputs than it has."""
    content = read_image(model.image)
    meta = replace(content.meta, version=version)
    golden = tuple(
        replace(vector, output=bytes(byte ^ 1 for byte in vector.output))
        for vector in content.golden
    )
    image = write_image(
        meta=meta,
        graph=content.graph,
        plan=content.plan,
        features=content.features,
        head=content.head,
        golden=golden,
    )
    return replace(model, image=image, id=image_id(image), meta=meta, flash_bytes=len(image))


def _installed(world: World, image_id: str, phase: Phase) -> None:
    _promise(f"rollout of {image_id[:12]}", phase is Phase.FINISHED, phase.value)


def _runs(world: World, device: str, model: CompiledModel) -> None:
    reported = world.view(device).reported
    active = reported.active_image if reported is not None else None
    _promise(f"{device} runs {model.id.hex()[:12]}", active == model.id, str(active))


def _promise(what: str, holds: bool, found: str) -> None:
    if not holds:
        raise DeviceError(f"{what}: found {found}")
