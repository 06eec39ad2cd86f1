"""Pictures of what the registry says: a thing with its neighbours, and who fits how well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import ToolError
from edgekit.registry.match import Match
from edgekit.registry.tree import Branch

SUFFIXES = (".png", ".svg", ".pdf")
_MOST_BARS = 40
_NO, _YES, _EDGE = "#b5473c", "#2f7d5b", "#8a94a0"


def plot_tree(branch: Branch, path: Path) -> None:
    """Draw a thing in the middle, what it points to on the right, what points to it on the left.

    Raises:
        ToolError: If there is no matplotlib, or the file's suffix is none of a picture.
    """
    figure, axes = _canvas(path, 9.0, max(3.0, 0.32 * _rows(branch)))
    sides: dict[bool, list[tuple[str, Branch]]] = {False: [], True: []}
    for name, children in branch.branches.items():
        sides[name.startswith("is ")] += [(name, child) for child in children]
    for left, links in sides.items():
        x = 0.16 if left else 0.84
        for number, (name, child) in enumerate(links):
            y = 0.92 - 0.84 * (number + 0.5) / len(links)
            axes.plot([0.5, x], [0.5, y], color=_EDGE, linewidth=0.8, zorder=1)
            axes.text((0.5 + x) / 2, (0.5 + y) / 2, name, fontsize=6, ha="center",
                      color="#555", zorder=3)  # fmt: skip
            _box(axes, x, y, child.title, 7)
    _box(axes, 0.5, 0.5, branch.title, 9)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.axis("off")
    _save(figure, path)


def plot_matches(matches: Sequence[Match], path: Path, title: str) -> None:
    """Draw how much of its scarcest memory each candidate leaves or lacks; green fits.

    Raises:
        ToolError: If there is no matplotlib, or the file's suffix is none of a picture.
    """
    shown = list(matches[:_MOST_BARS])
    figure, axes = _canvas(path, 8.0, 1.2 + 0.28 * max(1, len(shown)))
    for number, match in enumerate(shown):
        left = min(match.headroom.values(), default=0)
        why = "" if match.fits else match.reasons[0].code
        axes.barh(number, left / 1000, color=_YES if match.fits else _NO)
        axes.text(
            0, number, f" {why} ", va="center", ha="right" if left >= 0 else "left", fontsize=7
        )
    axes.set_yticks(range(len(shown)), [match.name for match in shown], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="#333", linewidth=0.8)
    axes.set_xlabel("head-room of the scarcest memory, kB (1000 bytes)")
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def plot_rows(names: Sequence[str], rows: Sequence[Sequence[str]], path: Path, title: str) -> None:
    """Draw the last column that holds numbers as bars, named by the first column.

    Raises:
        ToolError: If no column holds numbers; else as for `plot_matches`.
    """
    column = _numbers(names, rows)
    if column is None:
        raise ToolError("nothing to draw: no column of the result holds numbers")
    shown = [(row[0] if len(row) > 1 else str(n), float(row[column])) for n, row in enumerate(rows)]
    shown = shown[:_MOST_BARS]
    figure, axes = _canvas(path, 8.0, 1.2 + 0.28 * max(1, len(shown)))
    axes.barh(range(len(shown)), [value for _, value in shown], color=_YES)
    axes.set_yticks(range(len(shown)), [label[-32:] for label, _ in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(names[column])
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def _numbers(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    for column in reversed(range(len(names))):
        try:
            values = [float(row[column]) for row in rows]
        except ValueError:
            continue
        if values and all(map(math.isfinite, values)):
            return column
    return None


def _rows(branch: Branch) -> int:
    return 2 + max((len(children) for children in branch.branches.values()), default=0) * 2


def _box(axes: Any, x: float, y: float, text: str, size: int) -> None:
    shape = {"boxstyle": "round,pad=0.4", "facecolor": "#eef2f5", "edgecolor": _EDGE}
    cut = text if len(text) <= 34 else text[:33] + "…"
    axes.text(x, y, cut, fontsize=size, ha="center", va="center", bbox=shape, zorder=4)


def _canvas(path: Path, width: float, height: float) -> tuple[Any, Any]:
    if path.suffix.lower() not in SUFFIXES:
        raise ToolError(f"{path.name}: a picture is one of {', '.join(SUFFIXES)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ToolError("matplotlib is missing; install it: pip install edgekit[plot]") from exc
    figure = Figure(figsize=(width, min(height, 24.0)), dpi=150)
    return figure, figure.add_subplot()


def _save(figure: Any, path: Path) -> None:
    import io

    from edgekit.data.files import write_atomic

    data = io.BytesIO()
    figure.savefig(data, format=path.suffix[1:].lower(), bbox_inches="tight")
    write_atomic(path, data.getvalue())
