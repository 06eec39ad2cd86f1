"""Whether a model fits a board, said before anything is built, with the numbers and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.boards import Board, boards, load_board
from edgekit.errors import CapacityError
from edgekit.export.costs import CoreCosts, costs_of, load_costs
from edgekit.export.remedies import BOARD_COST, Remedy, cheapest, for_arena, for_weights

if TYPE_CHECKING:
    from edgekit.export.compile import CompiledModel
    from edgekit.graph import Graph

# The core whose code sizes stand in for cores that were not measured.
REFERENCE_CORE = "cortex-m4"

_BENCH_STACK_OUTPUT_BYTES = 256


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer.

    Attributes:
        ram_needed: Arena, memory of the firmware, stack, and the feature cache if the model has a
            head that is trained on the device; without an agent also input and output.
        flash_needed: Firmware with its kernels, and the image.
        flash_bytes: What the board has for both.
        instructions: Predicted for one inference, None if the core was not measured.
        unsupported: Kernels that the firmware has not.
        reasons: Why it does not fit, one sentence each.
        remedies: The two cheapest ways to make it fit, one sentence each.
    """

    fits: bool
    board: str
    arena_bytes: int
    ram_needed: int
    ram_bytes: int
    firmware_bytes: int
    image_bytes: int
    flash_needed: int
    flash_bytes: int
    instructions: int | None
    unsupported: tuple[str, ...]
    reasons: tuple[str, ...]
    remedies: tuple[str, ...]


def check_fit(
    model: CompiledModel,
    board: Board,
    ops: tuple[str, ...] | None = None,
    *,
    agent: bool | None = None,
    look_around: bool = True,
) -> Fit:
    """Say whether model fits board with a firmware of these kernels.

    Args:
        ops: Kernels of the firmware; by default those that the model needs.
        agent: Whether it must fit beside the agent of a fleet; by default what the board runs.
        look_around: Also look for less RAM and for another board where it does not fit.
    """
    from edgekit.formats.image_reader import read_image

    image = read_image(model.image)
    kernels = tuple(ops) if ops is not None else tuple(model.ops)
    head = image.head is not None
    with_agent = board.agent if agent is None else agent
    measured = costs_of(board.core)
    costs = measured or load_costs()[REFERENCE_CORE]
    if not (costs.base_flash_bytes if with_agent else costs.bench_flash_bytes):
        costs = load_costs()[REFERENCE_CORE]
    firmware_bytes = costs.firmware_bytes(kernels, agent=with_agent)
    static_bytes = costs.static_ram_bytes if with_agent else costs.bench_ram_bytes
    fixed = static_bytes + board.stack_bytes + (board.feature_cache_bytes if head else 0)
    unsupported = tuple(op for op in model.ops if op not in kernels)
    reasons: list[str] = []
    parts: list[list[Remedy]] = []
    if unsupported:
        missing = ", ".join(unsupported)
        reasons.append(f"the firmware has no kernel for {missing}")
        parts.append([Remedy(f"build it with --ops that include {missing}", 0.0, "kernels")])
    arena = model.arena_bytes if with_agent else _bench_arena(model, image.graph)
    room = _ram_left(model, board, arena, fixed, reasons)
    if room is not None:
        beside = arena - model.arena_bytes
        parts.append(for_arena(model, image.graph, room, beside) if look_around else [])
    _check_flash(model, image.graph, board, firmware_bytes, reasons, parts)
    ways: tuple[Remedy, ...] = ()
    if reasons:
        others = [] if unsupported or not look_around else _other_boards(model, board, agent)
        ways = cheapest(parts, others) or (_larger_board(board, arena + fixed, fixed),)
    return Fit(
        fits=not reasons,
        board=board.name,
        arena_bytes=model.arena_bytes,
        ram_needed=arena + fixed,
        ram_bytes=board.ram_bytes,
        firmware_bytes=firmware_bytes,
        image_bytes=len(model.image),
        flash_needed=firmware_bytes + len(model.image),
        flash_bytes=board.firmware_bytes + board.slot_bytes,
        instructions=_instructions(model, measured),
        unsupported=unsupported,
        reasons=tuple(reasons),
        remedies=tuple(way.text for way in ways),
    )


def _instructions(model: CompiledModel, costs: CoreCosts | None) -> int | None:
    from edgekit.formats.image_reader import read_image

    image = read_image(model.image)
    return None if costs is None else costs.instructions(image.graph, image.plan.offsets)


def _bench_arena(model: CompiledModel, graph: Graph) -> int:
    """Return the arena with the input and a large output behind it.

    Twin: firmware/agent/ek_bench.c, find_places
    """
    input_bytes, output_bytes = (
        graph.tensors[index].elements for index in (graph.inputs[0], graph.outputs[0])
    )
    large = output_bytes if output_bytes > _BENCH_STACK_OUTPUT_BYTES else 0
    return -(-model.arena_bytes // 16) * 16 + -(-input_bytes // 16) * 16 + large


def _larger_board(board: Board, needed: int, fixed: int) -> Remedy:
    text = f"take a board with more than {needed:,} bytes of RAM"
    if board.ram_bytes <= fixed:
        text += f": the firmware alone needs {fixed:,}"
    return Remedy(text, BOARD_COST, "board")


def _other_boards(model: CompiledModel, board: Board, agent: bool | None) -> list[Remedy]:
    """Return the boards that the model fits as it is, the one with the least RAM first.

    An image is packed for a family of cores: only boards of its own are asked.
    """
    found = []
    family = model.meta.kernel_family
    for other in map(load_board, boards()):
        if other.name == board.name or other.core == "host" or other.support == "data":
            continue
        if family not in ("portable", other.chip.kernel_family) or other.agent < board.agent:
            continue
        if check_fit(model, other, agent=agent, look_around=False).fits:
            found.append(other)
    found.sort(key=lambda other: (other.ram_bytes, other.flash_bytes, other.name))
    return [
        Remedy(
            f"take board '{other.name}', with {other.ram_bytes:,} bytes of RAM and"
            f" {other.flash_bytes:,} of flash",
            BOARD_COST,
            "board",
        )
        for other in found
    ]


def _ram_left(
    model: CompiledModel, board: Board, arena: int, fixed: int, reasons: list[str]
) -> int | None:
    """Return the bytes that the model's arena may have, None if it fits as it is."""
    needed = arena + fixed
    beside = arena - model.arena_bytes
    if needed > board.ram_bytes:
        reasons.append(
            f"it needs {needed:,} bytes of RAM ({arena:,} for the arena, {fixed:,} for"
            f" firmware and stack), board '{board.name}' has {board.ram_bytes:,}"
        )
        return board.ram_bytes - fixed - beside
    if board.arena_bytes and arena > board.arena_bytes:
        reasons.append(
            f"its arena needs {arena:,} bytes, board '{board.name}' sets"
            f" {board.arena_bytes:,} aside"
        )
        return board.arena_bytes - beside
    return None


def _check_flash(
    model: CompiledModel,
    graph: Graph,
    board: Board,
    firmware_bytes: int,
    reasons: list[str],
    parts: list[list[Remedy]],
) -> None:
    size = len(model.image)
    if board.layout is None:
        if firmware_bytes + size > board.flash_bytes:
            reasons.append(
                f"it needs {firmware_bytes + size:,} bytes of flash ({size:,} for the model,"
                f" {firmware_bytes:,} for the firmware), board '{board.name}' has"
                f" {board.flash_bytes:,}"
            )
            parts.append(for_weights(model, graph, board.flash_bytes - firmware_bytes))
        return
    if size > board.slot_bytes:
        reasons.append(
            f"its image has {size:,} bytes, a model slot of board '{board.name}' has"
            f" {board.slot_bytes:,}"
        )
        parts.append(for_weights(model, graph, board.slot_bytes))
    if firmware_bytes > board.firmware_bytes:
        reasons.append(
            f"the firmware needs {firmware_bytes:,} bytes of flash, board '{board.name}' has"
            f" {board.firmware_bytes:,} for it"
        )
        text = "build it with fewer kernels: --ops MODEL takes only those of the model"
        parts.append([Remedy(text, 0.0, "kernels")])


def require_fit(model: CompiledModel, board: Board, ops: tuple[str, ...] | None = None) -> Fit:
    """Return the fit, or refuse.

    Raises:
        CapacityError: If model does not fit; the message is the first reason.
    """
    fit = check_fit(model, board, ops)
    if not fit.fits:
        ram = fit.ram_needed > fit.ram_bytes
        raise CapacityError(
            f"model '{model.meta.name}' does not fit board '{board.name}': {fit.reasons[0]}",
            needed_bytes=fit.ram_needed if ram else fit.flash_needed,
            free_bytes=fit.ram_bytes if ram else fit.flash_bytes,
        )
    return fit
