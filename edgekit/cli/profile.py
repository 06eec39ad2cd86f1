"""`edgekit profile`: what a model costs on a board, measured layer by layer."""

from __future__ import annotations

from pathlib import Path

import typer

SENTENCE = "please turn on the light in the kitchen and switch off the radio in the hall"
"""Sixteen words: what a model that takes text is measured with, unless --text names another."""


def profile(
    model: Path = typer.Argument(..., help="A .tflite or .ekm file."),
    board: str = typer.Option(..., "--board", help="Name of an emulated board."),
    fuse: bool = typer.Option(
        False, "--fuse", help="Use operators of our own where they replace chains of others."
    ),
    patches: int = typer.Option(
        1, "--patches", min=1, max=16, help="Run the first layers in so many stripes: less RAM."
    ),
    pairs: bool = typer.Option(
        False, "--pairs", help="Run depthwise with pointwise layers where that needs less RAM."
    ),
    seed: int = typer.Option(0, "--seed", help="Seed of the random input."),
    text: str = typer.Option(
        SENTENCE, "--text", help="What a model that takes text reads; default sixteen words."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
    plot: Path | None = typer.Option(
        None, "--plot", help="Draw instructions and the arena by layer: a .svg or .png file."
    ),
) -> None:
    """Count the instructions of every layer on an emulated board.

    Of a model that takes text, the tokenizer is counted apart.

    Prints per layer its instructions, bytes read (weights included) and written, and bytes of the
    arena in use.

    Example: edgekit profile model.tflite --board mps2_an386 --plot model.svg
    """
    from edgekit.boards import load_board
    from edgekit.cli.model import load_model
    from edgekit.cli.run import read_inputs
    from edgekit.errors import ConfigError
    from edgekit.export.fit import require_fit
    from edgekit.export.memory_map import arena_facts, draw_memory_map
    from edgekit.flash.bench import cached_firmware, run_on_board, run_texts_on_board
    from edgekit.formats.image_reader import read_image

    target = load_board(board)
    family = target.chip.kernel_family
    compiled = load_model(model, family=family, fuse=fuse, patches=patches, pairs=pairs)
    if target.emulator is None:
        raise ConfigError(f"board '{board}' counts no instructions; take an emulated board")
    predicted = require_fit(compiled, target).instructions
    firmware = cached_firmware(target, compiled.ops)
    if read_image(compiled.image).features.kind == "bpe":
        result = run_texts_on_board(target, compiled.image, [text], firmware=firmware)
    else:
        inputs = read_inputs(compiled, None, 1, seed)
        result = run_on_board(target, compiled.image, inputs, firmware=firmware)
    text_counts = [round(float(count)) for count in result.text_instructions]
    instructions = round(float(result.instructions[0]))
    rows = [
        {
            "name": layer.name,
            "op": layer.op,
            "macs": layer.macs,
            "instructions": round(count),
            "read_bytes": layer.read_bytes,
            "written_bytes": layer.written_bytes,
            "arena_bytes": layer.arena_bytes,
        }
        for layer, count in zip(compiled.layers, result.layers, strict=True)
    ]
    if plot is not None:
        draw_memory_map(compiled, plot, [float(count) for count in result.layers])
    if as_json:
        import json

        facts = {
            "instructions": instructions,
            "predicted_instructions": predicted,
            "text_instructions": text_counts[0] if text_counts else None,
            "tokens": int((result.ids[0] != 0).sum()) if text_counts else None,
            "arena_bytes": compiled.arena_bytes,
            **arena_facts(compiled),
            "stack_bytes": result.stack_bytes,
            "flash_bytes": firmware.flash_bytes + len(compiled.image),
            "check_loop": {
                "expected": result.check_loop.expected,
                "measured": result.check_loop.measured,
            },
            "layers": rows,
        }
        print(json.dumps(facts, indent=2))
        return
    total = max(1, sum(round(count) for count in result.layers))
    print("instructions   share  per MAC     read  written    arena  layer")
    for layer, count in zip(compiled.layers, result.layers, strict=True):
        each = f"{count / layer.macs:.2f}" if layer.macs else "-"
        print(
            f"{round(count):>12,}  {100 * count / total:5.1f}%  {each:>7}  {layer.read_bytes:>7,}"
            f"  {layer.written_bytes:>7,}  {layer.arena_bytes:>7,}  {layer.name} ({layer.op})"
        )
    guess = "" if predicted is None else f" (predicted {predicted:,})"
    print(f"{instructions:>12,}  instructions per inference{guess}")
    for count in text_counts:
        print(
            f"{count:>12,}  instructions beside it for the ids of the text: {len(text.split())}"
            f" words, {int((result.ids[0] != 0).sum())} tokens"
        )
    loop = result.check_loop
    print(f"{loop.measured:>12,.0f}  instructions of the check loop, which has {loop.expected:,}")
    print(f"{compiled.arena_bytes:>12,}  bytes of arena")
    print(f"{result.stack_bytes:>12,}  bytes of stack")
    print(f"{firmware.flash_bytes + len(compiled.image):>12,}  bytes of flash")
