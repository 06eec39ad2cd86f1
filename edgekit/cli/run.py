"""`edgekit run`: a model on the host or on a board, on given or random inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgekit.export.compile import CompiledModel


TOKENS = 256
"""Random token ids are below it."""


def run(
    model: Path = typer.Argument(..., help="A .tflite or .ekm file."),
    on: str = typer.Option("host", "--on", help="host, or the name of an emulated board."),
    input_file: Path | None = typer.Option(None, "--input", help="Inputs, .npy [N, ...]."),
    texts: list[str] = typer.Option([], "--text", help="A text to classify; may be repeated."),
    text_file: Path | None = typer.Option(None, "--text-file", help="Texts, one per line."),
    output_file: Path | None = typer.Option(None, "--output", help="Where outputs go, .npy."),
    fuse: bool = typer.Option(
        False, "--fuse", help="Use operators of our own where they replace chains of others."
    ),
    patches: int = typer.Option(
        1, "--patches", min=1, max=16, help="Run the first layers in so many stripes: less RAM."
    ),
    pairs: bool = typer.Option(
        False, "--pairs", help="Run depthwise with pointwise layers where that needs less RAM."
    ),
    count: int = typer.Option(8, "--count", min=1, help="Random inputs without --input."),
    seed: int = typer.Option(0, "--seed", help="Seed of the random inputs."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Run a model and print its strongest outputs.

    Example: edgekit run model.tflite --on mps2_an386 --input x.npy --output y.npy

    Example: edgekit run model.ekm --on mps2_an386 --text "turn on the light"
    """
    from edgekit.boards import load_board
    from edgekit.cli.model import load_model
    from edgekit.errors import ConfigError

    family = load_board(on).chip.kernel_family
    compiled = load_model(model, family=family, fuse=fuse, patches=patches, pairs=pairs)
    if texts or text_file is not None:
        from edgekit.cli.run_text import read_texts, run_texts

        if input_file is not None or output_file is not None:
            raise ConfigError("--text and --text-file go with neither --input nor --output")
        run_texts(compiled, on, read_texts(texts, text_file), as_json=as_json)
        return
    inputs = read_inputs(compiled, input_file, count, seed)
    outputs, instructions = _run_on(compiled, on, inputs)
    if output_file is not None:
        _write_npy(output_file, outputs)
    labels = compiled.meta.labels
    flat = outputs.reshape(outputs.shape[0], -1)
    best = [int(row.argmax()) for row in flat]
    if as_json:
        import json

        facts = {
            "on": on,
            "inputs": len(best),
            "top": best,
            "labels": [labels[index] for index in best] if labels else None,
            "instructions": instructions,
            "output": None if output_file is None else str(output_file),
        }
        print(json.dumps(facts, indent=2))
        return
    for index, (row, top) in enumerate(zip(flat, best, strict=True)):
        name = f" {labels[top]}" if top < len(labels) else ""
        tail = f", {instructions[index]:,} instructions" if instructions else ""
        print(f"{index:>4}  output {top}{name} = {int(row[top])}{tail}")


def _run_on(
    compiled: CompiledModel, on: str, inputs: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], list[int]]:
    if on == "host":
        from edgekit.runtime import Runner

        return Runner(compiled.image).run(inputs), []
    from edgekit.boards import load_board
    from edgekit.export.fit import require_fit
    from edgekit.flash.bench import run_on_board

    board = load_board(on)
    require_fit(compiled, board)
    result = run_on_board(board, compiled.image, inputs)
    return result.outputs, [round(value) for value in result.instructions]


def read_inputs(
    compiled: CompiledModel, path: Path | None, count: int, seed: int
) -> npt.NDArray[Any]:
    """Read inputs from a file, or draw them.

    Raises:
        ConfigError: If the file is no .npy file of the model's input type and shape.
    """
    import numpy as np

    from edgekit.errors import ConfigError
    from edgekit.formats.image_reader import read_image

    graph = read_image(compiled.image).graph
    source = graph.tensors[graph.inputs[0]]
    single = source.shape[1:] if source.shape[:1] == (1,) else source.shape
    kind = np.dtype(source.dtype.value)
    if path is None:
        low, high = (
            (0, TOKENS) if kind == np.int32 else (np.iinfo(kind).min, np.iinfo(kind).max + 1)
        )
        return np.random.default_rng(seed).integers(low, high, (count, *single), kind)
    try:
        loaded = np.load(path, allow_pickle=False)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (ValueError, EOFError) as exc:
        raise ConfigError(f"{path}: not a .npy file of numbers") from exc
    if not isinstance(loaded, np.ndarray) or loaded.dtype != kind:
        held = getattr(loaded, "dtype", "an archive")
        raise ConfigError(f"{path}: holds {held}, expected {kind}")
    inputs: npt.NDArray[Any] = loaded[None] if loaded.shape == single else loaded
    if inputs.shape[1:] != single or inputs.shape[0] == 0:
        raise ConfigError(
            f"{path}: has shape {list(inputs.shape)}, expected [N, {', '.join(map(str, single))}]"
        )
    return inputs


def _write_npy(path: Path, outputs: npt.NDArray[Any]) -> None:
    import io

    import numpy as np

    from edgekit.cli.export import write_whole

    buffer = io.BytesIO()
    np.save(buffer, outputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())
