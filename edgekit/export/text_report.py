"""The page of a text project: accuracies, curves, confusions, mistakes, memory, a board's run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.boards import load_board
from edgekit.config import Config
from edgekit.errors import StoreError
from edgekit.export import charts
from edgekit.export.compile import CompiledModel, compile_tflite
from edgekit.export.fit import check_fit, require_fit
from edgekit.export.memory_map import memory_map
from edgekit.export.report import (
    Accuracy,
    Card,
    Confusion,
    Memory,
    Report,
    Segment,
    SummaryRow,
    write_report,
)
from edgekit.export.text import TextProject, TextReport, answer_ids
from edgekit.export.text_image import compile_for_text
from edgekit.formats.image_reader import read_image
from edgekit.runtime import Runner
from edgekit.train.metrics import main_metric
from edgekit.train.text_jobs import TextResult, read_text_result

Array = NDArray[Any]
BOARD_ROWS = 100
"""Test rows that also run in the emulator."""
MOST_CLASSES = 40
"""A confusion matrix of more classes is a table of the pairs that are confused most."""
MISTAKES = 25
EXACT_DB = 120.0
"""Less noise than this is float32's own."""
PAIRS = 20


@dataclass(frozen=True, slots=True)
class BoardCheck:
    """Test rows that ran on an emulated board.

    Attributes:
        rows: How many.
        equal: Of them, those whose outputs are those of this machine in every byte.
        instructions: Mean per sentence, 0 if the board does not count.
    """

    board: str
    rows: int
    equal: int
    instructions: int


def write_text_report(
    config: Config,
    project: TextProject,
    source: bytes,
    measured: TextReport,
    *,
    page: Path | None,
    on: str,
) -> BoardCheck | None:
    """Write the page of a text project; run test rows on a board if one is named.

    Args:
        config: The project's file.
        project: Its data and run.
        source: The `.tflite` that was measured.
        measured: What was measured of it.
        page: Where the page goes; None for none.
        on: Name of an emulated board; empty for none.

    Raises:
        DeviceError: If the board does not finish.
    """
    check = run_on(on, config, project, source) if on else None
    if page is not None:
        write_report(make_text_report(config, project, source, measured, check), page)
    return check


def run_on(name: str, config: Config, project: TextProject, source: bytes) -> BoardCheck:
    """Run the first test rows on an emulated board and compare every byte with this machine's."""
    from edgekit.flash.bench import run_on_board

    board = load_board(name)
    compiled = compile_tflite(
        source, name=project.data.name, family=board.chip.kernel_family, fuse=config.export.fuse
    )
    require_fit(compiled, board)
    runner = Runner(compiled.image)
    length = int(np.prod(runner.input_shape))
    ids = project.tokenizer.encode_batch(project.data.test.texts[:BOARD_ROWS], length)
    there = run_on_board(board, compiled.image, ids)
    here = runner.run(ids)
    same = there.outputs.reshape(len(ids), -1) == here.reshape(len(ids), -1)
    count = there.instructions
    return BoardCheck(
        board=name,
        rows=len(ids),
        equal=int(same.all(axis=1).sum()),
        instructions=round(float(count.mean())) if len(count) else 0,
    )


def make_text_report(
    config: Config,
    project: TextProject,
    source: bytes,
    measured: TextReport,
    check: BoardCheck | None,
) -> Report:
    """Collect what the page shows."""
    result = read_text_result(project.run)
    if result is None:
        raise StoreError(f"{project.run}: has no result; run 'edgekit train' first")
    board = load_board(check.board if check is not None else config.board.name)
    compiled = compile_for_text(source, project, config, family=board.chip.kernel_family)
    metric = main_metric(measured.labels, config.text_train.metric)
    answers = answer_ids(compiled.image, project.tokenizer, project.data.test.texts)
    confusion = None
    if measured.confusion and len(measured.label_names) <= MOST_CLASSES:
        note = "int8, the whole test part, as on the board"
        confusion = Confusion(measured.label_names, measured.confusion, note)
    return Report(
        title=f"{config.project.name}, version {config.project.version}",
        subtitle=f"{config.family} with {result.parameters:,} parameters,"
        f" {project.tokenizer.vocab:,} tokens; board {board.name}",
        summary=_summary(config, measured, compiled, metric, check),
        accuracies=_accuracies(config, project, measured, metric, check),
        confusion=confusion,
        cards=(
            _curves(result),
            *_float_confusion(measured),
            *_classes(measured),
            *_mistakes(project, answers),
            *_layers(project),
        ),
        memory=_memory(compiled, board.name),
        notes=(
            f"{len(project.data.train):,} training, {len(project.data.validation):,} validation and"
            f" {len(project.data.test):,} test rows; trained in {result.seconds:.0f} s.",
            "Board accuracy is that of the C runtime on this machine, whose bytes the board's are.",
        ),
    )


def _summary(
    config: Config,
    measured: TextReport,
    compiled: CompiledModel,
    metric: str,
    check: BoardCheck | None,
) -> tuple[SummaryRow, ...]:
    rows = []
    for name, value in measured.int8_test.items():
        text = f"{value:.4f} (float {measured.float_test[name]:.4f})"
        rows.append(SummaryRow(f"{name} on the test part, int8", text))
    accepted = measured.int8_validation[metric]
    minimum = config.accept.min_accuracy
    rows.append(
        SummaryRow(
            f"{metric} on the validation part, int8",
            f"{accepted:.4f}",
            f"at least {minimum:.4f}",
            accepted >= minimum,
        )
    )
    total = compiled.arena_bytes + compiled.weight_bytes
    rows += [
        SummaryRow("weights", charts.kilo(compiled.weight_bytes)),
        SummaryRow("arena", charts.kilo(compiled.arena_bytes)),
        SummaryRow("weights and arena", charts.kilo(total)),
        SummaryRow("image with tokenizer", charts.kilo(len(compiled.image))),
        SummaryRow("multiply-accumulates", f"{compiled.macs:,}"),
    ]
    if check is not None:
        text = f"{check.equal} of {check.rows} equal in every byte"
        rows.append(
            SummaryRow(f"test rows on {check.board}", text, "all", check.equal == check.rows)
        )
        if check.instructions:
            rows.append(SummaryRow("instructions per sentence", f"{check.instructions:,}"))
    return tuple(rows)


def _accuracies(
    config: Config,
    project: TextProject,
    measured: TextReport,
    metric: str,
    check: BoardCheck | None,
) -> tuple[Accuracy, ...]:
    count = len(project.data.test)
    board = "C runtime on all"
    if check is not None:
        board += f", {check.equal} of {check.rows} equal in the emulator"
    forms = (
        ("float", measured.float_test[metric], "Keras"),
        ("int8", measured.int8_test[metric], "the .tflite"),
        ("board", measured.int8_test[metric], board),
    )
    return tuple(
        Accuracy(name, max(0.0, value), count, f"{metric}, {note}") for name, value, note in forms
    )


def _curves(result: TextResult) -> Card:
    picture = charts.learning_curves(result.losses, result.scores, metric=result.metric)
    note = f"training loss, and {result.metric} on the validation part after each epoch;"
    return Card("Learning curves", f"{note} weights of epoch {result.best_epoch}", picture)


def _float_confusion(measured: TextReport) -> tuple[Card, ...]:
    names = measured.label_names
    if not measured.confusion:
        return ()
    if len(names) <= MOST_CLASSES:
        picture = charts.heat_map(names, measured.float_confusion)
        return (Card("Confusion matrix, float", "Keras, the whole test part", picture),)
    pairs = [
        (count, names[i], names[j])
        for i, row in enumerate(measured.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    rows = tuple((a, b, str(n)) for n, a, b in sorted(pairs, key=lambda p: (-p[0], p))[:PAIRS])
    head = ("True class", "Answer", "Rows")
    return (Card("Confused most", "int8, the whole test part", head=head, rows=rows, numbers=1),)


def _classes(measured: TextReport) -> tuple[Card, ...]:
    if not measured.confusion:
        return ()
    table = np.array(measured.confusion, dtype=np.float64)
    hits, true, found = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = (hits / found, hits / true, 2 * hits / (true + found))
    rows = tuple(
        (name, f"{int(true[i]):,}", *(f"{np.nan_to_num(c[i]):.1%}" for c in columns))
        for i, name in enumerate(measured.label_names)
    )
    head = ("Class", "Rows", "Precision", "Recall", "F1")
    return (Card("Classes", "int8, the whole test part", head=head, rows=rows, numbers=4),)


def _mistakes(project: TextProject, answers: Array) -> tuple[Card, ...]:
    kind = project.data.labels
    if kind == "single":
        return (_confident_mistakes(project, answers),)
    return (_farthest_answers(project, answers),) if kind == "number" else ()


def _farthest_answers(project: TextProject, answers: Array) -> Card:
    test = project.data.test
    worst = np.argsort(-np.abs(answers[:, 0] - test.labels), kind="stable")[:MISTAKES].tolist()
    rows = tuple((test.texts[i], f"{test.labels[i]:.3g}", f"{answers[i, 0]:.3g}") for i in worst)
    head = ("Text", "True value", "Answer")
    return Card("Farthest answers", "int8", head=head, rows=rows, numbers=2)


def _confident_mistakes(project: TextProject, answers: Array) -> Card:
    test, names = project.data.test, project.data.label_names
    powers = np.exp(answers - answers.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    best = shares.argmax(axis=1)
    wrong = np.flatnonzero(best != test.labels)
    order = wrong[np.argsort(-shares[wrong, best[wrong]], kind="stable")][:MISTAKES].tolist()
    rows = tuple(
        (
            test.texts[i],
            names[int(test.labels[i])],
            names[int(best[i])],
            f"{shares[i, best[i]]:.1%}",
        )
        for i in order
    )
    head = ("Text", "True class", "Answer", "Probability")
    note = f"int8; {len(wrong):,} of {len(test):,} test rows are wrong, the surest first"
    return Card("Most confident mistakes", note, head=head, rows=rows, numbers=1)


def _layers(project: TextProject) -> tuple[Card, ...]:
    path = project.run / "sqnr.json"
    if not path.is_file():
        return ()
    layers = json.loads(path.read_text("utf-8"))
    rows = tuple(
        (name, f"{db:.1f} dB" if db < EXACT_DB else "exact")
        for name, db in ((layer["name"], float(layer["decibels"])) for layer in layers)
    )
    note = "int8 against float, calibration sentences; noise of earlier layers is in it"
    head = ("Activation", "SQNR")
    return (Card("Signal to quantization noise", note, head=head, rows=rows, numbers=1),)


def _memory(compiled: CompiledModel, name: str) -> Memory:
    board = load_board(name)
    found = check_fit(compiled, board, look_around=False)
    return Memory(
        board=name,
        flash=(
            Segment("firmware", found.firmware_bytes),
            Segment("model with tokenizer", len(compiled.image)),
        ),
        flash_limit=board.flash_bytes,
        ram=(
            Segment("arena of the model", compiled.arena_bytes),
            Segment("firmware and stack", max(0, found.ram_needed - compiled.arena_bytes)),
        ),
        ram_limit=board.ram_bytes,
        arena_bytes=compiled.arena_bytes,
        tensors=memory_map(read_image(compiled.image)),
    )
