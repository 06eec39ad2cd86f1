"""`edgekit check`: whether a model fits a board, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edgekit.boards import Board
    from edgekit.errors import UnsupportedError
    from edgekit.export.compile import CompiledModel
    from edgekit.export.fusion import FusionReport, Variant
    from edgekit.formats.image import Image

PAPER_TOTAL_BYTES = 781_056
"""Weights and activations of the 8-bit EmbBERT at 256 tokens.

Source: EmbBERT (arXiv 2502.10001) and the authors' code."""


def check(
    model: Path = typer.Argument(..., help="A .tflite or .ekm file."),
    board: str = typer.Option(..., "--board", help="Name of the board."),
    ops: str | None = typer.Option(None, "--ops", help="Kernel set; default what the model needs."),
    fuse: bool = typer.Option(
        False, "--fuse", help="Use operators of our own where they replace chains of others."
    ),
    patches: int = typer.Option(
        1, "--patches", min=1, max=16, help="Run the first layers in so many stripes: less RAM."
    ),
    pairs: bool = typer.Option(
        False, "--pairs", help="Run depthwise with pointwise layers where that needs less RAM."
    ),
    learn: bool = typer.Option(
        False, "--learn", help="With the last dense layer trainable: what learning needs."
    ),
    input_file: Path | None = typer.Option(
        None, "--input", help="Inputs to measure fusion on, .npy [N, ...]; default random ones."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the answer as JSON."),
    plot: Path | None = typer.Option(
        None, "--plot", help="Draw what lies where in the arena: a .svg or .png file."
    ),
) -> None:
    """Say whether a model fits a board, and why not.

    Exits 1 if it does not fit.

    With --learn, or for an image with a head, also what a step of learning costs on the board.

    Example: edgekit check model.tflite --board mps2_an386 --learn
    """
    import json
    from dataclasses import asdict

    from edgekit.boards import load_board
    from edgekit.cli.build import choose_ops
    from edgekit.cli.model import load_model
    from edgekit.errors import UnsupportedError
    from edgekit.export.fit import check_fit
    from edgekit.export.memory_map import arena_facts, draw_memory_map
    from edgekit.formats.image_reader import read_image

    target = load_board(board)
    kernels = None if ops is None else choose_ops(ops, target.chip.kernel_family)
    try:
        family = target.chip.kernel_family
        compiled = load_model(
            model, family=family, fuse=fuse, patches=patches, pairs=pairs, head=learn
        )
    except UnsupportedError as exc:
        if not as_json:
            if not fuse and _fusion(model, target, input_file) is not None:
                print(f"help:  with --fuse {model.name} can be compiled")
            raise
        print(json.dumps(_unsupported(exc), indent=2))
        raise typer.Exit(1) from exc
    fit = check_fit(compiled, target, kernels)
    if plot is not None:
        draw_memory_map(compiled, plot)
    fusion = _fusion(model, target, input_file)
    image = read_image(compiled.image)
    features, learning = image.features, learning_of(image, target)
    table_bytes = len(features.table) if features.kind == "bpe" else 0
    if as_json:
        facts = {
            "fits": fit.fits,
            "board": fit.board,
            "agent": target.agent,
            "arena_bytes": fit.arena_bytes,
            **arena_facts(compiled),
            "ram_needed": fit.ram_needed,
            "ram_bytes": fit.ram_bytes,
            "flash_bytes": fit.flash_needed,
            "flash_limit_bytes": fit.flash_bytes,
            "image_bytes": fit.image_bytes,
            "weight_bytes": compiled.weight_bytes,
            "memory_bytes": compiled.weight_bytes + fit.arena_bytes,
            "tokenizer_table_bytes": table_bytes,
            "instructions": fit.instructions,
            "learning": learning,
            "macs": compiled.macs,
            "nominal_macs": compiled.nominal_macs,
            "unsupported": list(fit.unsupported),
            "reasons": list(fit.reasons),
            "remedies": list(fit.remedies),
            "notes": list(compiled.notes),
            "fused": fuse,
            "patches": patches,
            "pairs": pairs,
            "fusion": None if fusion is None else asdict(fusion),
        }
        print(json.dumps(facts, indent=2))
    else:
        verdict = "fits" if fit.fits else "does not fit"
        print(f"{model.name} {verdict} board {fit.board}")
        print(f"RAM    {fit.ram_needed:>9,} of {fit.ram_bytes:,} bytes, arena {fit.arena_bytes:,}")
        print(
            f"flash  {fit.flash_needed:>9,} of {fit.flash_bytes:,} bytes,"
            f" model {fit.image_bytes:,}, firmware about {fit.firmware_bytes:,}"
        )
        print(
            f"memory {compiled.weight_bytes + fit.arena_bytes:>9,} bytes:"
            f" weights {compiled.weight_bytes:,} and arena {fit.arena_bytes:,}{_peer(compiled)}"
        )
        if table_bytes:
            print(f"text   {table_bytes:>9,} bytes of the model are its tokenizer's table")
        peak = max(compiled.layers, key=lambda layer: layer.arena_bytes, default=None)
        if peak is not None:
            print(
                f"arena  {fit.arena_bytes:>9,} bytes; layer '{peak.name}' alone needs"
                f" {peak.arena_bytes:,}"
            )
        if not target.agent:
            print("agent  none: this board runs models one by one, it joins no fleet")
        if fit.instructions is not None:
            print(f"about  {fit.instructions:,} instructions per inference{_longest(compiled)}")
        print_learning(learning, fit.instructions)
        print(f"macs   {compiled.macs:>9,}{_left_out(compiled)}")
        for note in compiled.notes:
            print(f"note:  {note}")
        if fusion is not None:
            _print_fusion(fusion)
        for reason in fit.reasons:
            print(f"why:   {reason}")
        for remedy in fit.remedies:
            print(f"help:  {remedy}")
    if not fit.fits:
        raise typer.Exit(1)


def learning_of(image: Image, board: Board) -> dict[str, Any] | None:
    """Return what learning on the device needs: shape, and of each method memory and a step."""
    from dataclasses import asdict

    from edgekit.export.learn_costs import learn_steps, statistics_bytes

    head = image.head
    if head is None:
        return None
    return {
        "features": head.features,
        "classes": head.classes,
        "max_classes": head.max_classes,
        "steps": [asdict(step) for step in learn_steps(head, board)],
        "statistics_bytes": statistics_bytes(image.graph),
    }


def print_learning(learning: dict[str, Any] | None, inference: int | None) -> None:
    """Print a line per method that the head can learn by."""
    if learning is None:
        return
    shape = f"{learning['features']} -> {learning['max_classes']}"
    for step in learning["steps"]:
        line = f"learn  {step['ram_bytes']:>9,} bytes of RAM, head {shape} by {step['method']}"
        if step["instructions"] is not None:
            line += f", about {step['instructions']:,} instructions a step"
            if inference:
                line += f", {step['instructions'] / inference:.1%} of the inference"
        print(line)
    if learning["statistics_bytes"] is not None:
        print(f"learn  {learning['statistics_bytes']:>9,} bytes more where inputs are standardized")


def _peer(compiled: CompiledModel) -> str:
    """Say what the best published model of its kind counts."""
    from edgekit.ops import takes_ids

    if not takes_ids(compiled.ops):
        return ""
    return f"; the paper on EmbBERT-Q counts {PAPER_TOTAL_BYTES:,}"


def _longest(compiled: CompiledModel) -> str:
    """Say for which sentence the instructions are predicted, where they depend on it."""
    if "text_embed" not in compiled.ops:
        return ""
    return "; of a sentence as long as the model reads, a shorter one takes fewer"


def _left_out(compiled: CompiledModel) -> str:
    if compiled.nominal_macs is None or compiled.nominal_macs == compiled.macs:
        return ""
    if compiled.macs > compiled.nominal_macs:
        return f" instead of {compiled.nominal_macs:,}: patches compute some rows twice"
    return f" of {compiled.nominal_macs:,} in the file: the rest is constant or read by nobody"


def _fusion(model: Path, board: Board, input_file: Path | None) -> FusionReport | None:
    """Compare a `.tflite` with and without fusion; None if there is nothing to compare."""
    from edgekit.cli.run import read_inputs
    from edgekit.errors import UnsupportedError
    from edgekit.export.compile import compile_tflite
    from edgekit.export.fusion import compare_fusion

    if model.suffix != ".tflite":
        return None
    try:
        data, inputs = model.read_bytes(), None
        if input_file is not None:
            compiled = compile_tflite(data, name=model.stem, fuse=True)
            inputs = read_inputs(compiled, input_file, 1, 0)
        return compare_fusion(data, name=model.stem, board=board, inputs=inputs)
    except UnsupportedError:
        return None


def _print_fusion(fusion: FusionReport) -> None:
    found = ", ".join(f"{count} {name}" for name, count in fusion.patterns.items())
    print(f"fusion {found} can stand for {fusion.operators} operators (--fuse)")
    print("  SQNR is against the same model in float")
    for title, variant in (("without", fusion.exact), ("with", fusion.fused)):
        print(f"  {title:<8} {fusion.reason if variant is None else _variant_text(variant)}")


def _variant_text(variant: Variant) -> str:
    parts = [f"arena {variant.arena_bytes:,}", f"model {variant.image_bytes:,} bytes"]
    if variant.sqnr_db is not None:
        parts.insert(0, f"SQNR {variant.sqnr_db:.1f} dB")
    if variant.instructions is not None:
        parts.append(f"about {variant.instructions:,} instructions")
    return ", ".join(parts)


def _unsupported(error: UnsupportedError) -> dict[str, object]:
    return {
        "fits": False,
        "arena_bytes": None,
        "flash_bytes": None,
        "instructions": None,
        "unsupported": [
            {"node": node, "op": op} for node, op in ((error.node, error.op), *error.others)
        ],
        "reasons": [str(error)],
        "remedies": [],
        "notes": [],
    }
