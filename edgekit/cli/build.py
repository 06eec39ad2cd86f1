"""`edgekit build`: the firmware of a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgekit.boards import Board


def build(
    board: str = typer.Option(..., "--board", help="Name of the board."),
    ops: str = typer.Option("all", "--ops", help="Kernel set: all, vision, ... or a model file."),
    out: Path | None = typer.Option(None, "--out", help="Folder; default build/firmware/BOARD."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Build the firmware of a board with a set of kernels.

    For an image with a head it says what a step of learning needs: --ops model.ekm.

    Example: edgekit build --board mps2_an386 --ops vision
    """
    from edgekit import share
    from edgekit.boards import load_board
    from edgekit.cli.check import learning_of, print_learning
    from edgekit.cli.model import load_model
    from edgekit.export.mcu import build_firmware, tokenizer_bytes
    from edgekit.formats.image_reader import read_image

    target = load_board(board)
    names = choose_ops(ops, target.chip.kernel_family)
    learning = None
    if Path(ops).suffix == ".ekm" and target.agent:
        learning = learning_of(read_image(load_model(Path(ops)).image), target)
    folder = out if out is not None else share.cache_dir() / "firmware" / board
    firmware = build_firmware(target, ops=names, out=folder)
    if as_json:
        import json

        facts = {
            "board": firmware.board,
            "agent": target.agent,
            "elf": str(firmware.elf),
            "version": firmware.version,
            "kernel_set_hash": firmware.kernel_set_hash.hex(),
            "ops": list(firmware.ops),
            "flash_bytes": firmware.flash_bytes,
            "flash_limit_bytes": target.firmware_bytes,
            "tokenizer_bytes": tokenizer_bytes(firmware),
            "ram_bytes": firmware.ram_bytes,
            "ram_limit_bytes": target.ram_bytes,
            "learning": learning,
            "sets": set_sizes(target),
        }
        print(json.dumps(facts, indent=2))
        return
    print(f"{firmware.elf}")
    if not target.agent:
        print("agent    none: this board runs models one by one, it joins no fleet")
    print(f"kernels  {len(firmware.ops)}, set {firmware.kernel_set_hash.hex()}")
    print(f"flash    {firmware.flash_bytes:>9,} of {target.firmware_bytes:,} bytes")
    if tokenizer_bytes(firmware):
        print(f"text     {tokenizer_bytes(firmware):>9,} bytes of flash for the tokenizer's code")
    print(f"RAM      {firmware.ram_bytes:>9,} of {target.ram_bytes:,} bytes")
    print_learning(learning, None)
    for name, size in set_sizes(target).items():
        print(f"set      {size:>9,} bytes of flash, predicted, with --ops {name}")


def set_sizes(board: Board) -> dict[str, int]:
    """Return the predicted flash of a board's firmware with each named kernel set."""
    from edgekit.export.costs import costs_of
    from edgekit.ops import KERNEL_SETS, kernel_set

    costs = costs_of(board.core)
    if costs is None or not (costs.base_flash_bytes if board.agent else costs.bench_flash_bytes):
        return {}
    return {
        name: costs.firmware_bytes(kernel_set(name, board.chip.kernel_family), agent=board.agent)
        for name in KERNEL_SETS
    }


def choose_ops(text: str, family: str) -> tuple[str, ...]:
    """Return the kernels of a named set for a family of cores, or those that a model file needs.

    Raises:
        ConfigError: If it is neither.
    """
    from edgekit.errors import ConfigError
    from edgekit.ops import KERNEL_SETS, kernel_set

    if text in KERNEL_SETS:
        return kernel_set(text, family)
    if Path(text).suffix in (".tflite", ".ekm"):
        from edgekit.cli.model import load_model

        return load_model(Path(text), family=family).ops
    known = ", ".join(sorted(KERNEL_SETS))
    raise ConfigError(f"kernel set '{text}' is not known; known are {known}, or name a model file")
