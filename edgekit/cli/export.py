"""`edgekit export`: a model in the form that a target takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class Target(StrEnum):
    """What a model is exported to."""

    MCU = "mcu"
    C = "c"


class RoundingName(StrEnum):
    """How dense layers round."""

    LITERT = "litert"
    TFLM = "tflm"


def export(
    model: Path = typer.Argument(..., help="A .tflite or .ekm file."),
    to: Target = typer.Option(
        Target.MCU,
        "--to",
        help="mcu: a model image, .ekm, for edgekit's firmware. c: a C library for your own.",
    ),
    out: Path | None = typer.Option(
        None,
        "--out",
        help="mcu: folder for the image (build). c: the library's folder (build/NAME_c).",
        show_default=False,
    ),
    prefix: str | None = typer.Option(
        None, "--prefix", help="c: prefix of the C names; made from the model's name if missing."
    ),
    project: Path | None = typer.Option(
        None, "--project", help="Put into the image what this folder's edgekit.toml knows."
    ),
    rounding: RoundingName | None = typer.Option(
        None, "--rounding", help="Rounding of dense layers: as LiteRT (default) or as TFLM."
    ),
    board: str | None = typer.Option(
        None, "--board", help="Pack for the core of this board; default: for any core."
    ),
    fuse: bool = typer.Option(
        False, "--fuse", help="Use operators of our own where they replace chains of others."
    ),
    patches: int = typer.Option(
        1, "--patches", min=1, max=16, help="Run the first layers in so many stripes: less RAM."
    ),
    pairs: bool = typer.Option(
        False, "--pairs", help="Run depthwise with pointwise layers where that needs less RAM."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Compile a model into a model image, or into a C library.

    A release needs the input's table, labels, licences and the head of its project.

    Example: edgekit export model.tflite --project digits --to mcu --out build

    Example: edgekit export model.tflite --to c --out third_party/kws --prefix kws
    """
    from edgekit.boards import load_board
    from edgekit.cli.model import compile_for_project, load_model

    family = "portable" if board is None else load_board(board).chip.kernel_family
    if prefix is not None and to is not Target.C:
        raise typer.BadParameter("only with --to c", param_hint="--prefix")
    if project is None:
        chosen = (rounding or RoundingName.LITERT).value
        compiled = load_model(
            model, rounding=chosen, family=family, fuse=fuse, patches=patches, pairs=pairs
        )
    else:
        from dataclasses import replace

        from edgekit.config import load_config

        config = load_config(project)
        if rounding is not None:
            config = replace(config, export=replace(config.export, rounding=rounding.value))
        if fuse:
            config = replace(config, export=replace(config.export, fuse=True))
        if patches > 1:
            config = replace(config, export=replace(config.export, patches=patches))
        if pairs:
            config = replace(config, export=replace(config.export, pairs=True))
        compiled = compile_for_project(model, config, family=family)
    if to is Target.C:
        from edgekit.export.library import write_library

        folder = out or Path("build") / f"{model.stem}_c"
        library = write_library(compiled, out=folder, prefix=prefix)
        path = library.folder
        more = {"prefix": library.prefix, "files": list(library.files)}
    else:
        path = (out or Path("build")) / f"{model.stem}.ekm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, compiled.image)
        more = {}
    if as_json:
        import json

        facts = {
            "path": str(path),
            "to": to.value,
            "image_id": compiled.id.hex(),
            "image_bytes": len(compiled.image),
            "arena_bytes": compiled.arena_bytes,
            "macs": compiled.macs,
            "ops": list(compiled.ops),
            **more,
        }
        print(json.dumps(facts, indent=2))
        return
    print(f"{path}")
    print(f"id     {compiled.id.hex()}")
    print(f"image  {len(compiled.image):,} bytes, arena {compiled.arena_bytes:,} bytes")
    print(f"work   {compiled.macs:,} multiply-accumulates in {len(compiled.layers)} nodes")
    for note in compiled.notes:
        print(f"note   {note}")
    if to is Target.C:
        print(f"next   {path / 'README.md'} has the compiler line")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    import os
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    scratch = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        scratch.chmod(0o644)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
