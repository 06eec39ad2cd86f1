"""Boards whose tools are not part of `make setup`."""

from __future__ import annotations

import pytest

from edgekit.boards import Board, load_board
from edgekit.errors import ToolError
from edgekit.export.toolchain import TOOLCHAINS, find_compiler
from edgekit.flash.qemu import find_qemu


def board_or_skip(name: str) -> Board:
    """Load a board; one whose compiler or emulator is not part of `make setup` may be missing."""
    board = load_board(name)
    if board.core == "rv32imac":
        try:
            find_compiler(TOOLCHAINS[board.core])
            find_qemu(board)
        except ToolError as exc:
            pytest.skip(str(exc))
    return board
