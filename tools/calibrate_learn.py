"""Measure what a step of learning costs on emulated boards, into edgekit/export/learn_costs.toml.

Prints how far the fitted coefficients are from the farthest measurement.

    python -m tools.calibrate_learn
"""

from __future__ import annotations

import sys

from edgekit.boards import load_board
from edgekit.data.files import write_atomic
from edgekit.export.learn_costs import METHODS, MOMENTUM, TABLE, shape_features
from edgekit.flash.learn_probe import CASES, HeadCase, run_learn_probe
from tools.calibrate import fit

BOARDS = ("mps2_an386", "mps3_an547", "mps2_an385", "mps2_an385_v6m", "rv32_virt")


def method_of(case: HeadCase) -> str:
    """Return the row of the table that a case belongs to."""
    return MOMENTUM if case.momentum else case.method


def main() -> int:
    """Measure every core and write the table."""
    lines = ["# What a step of learning costs: h k, k, h, 1. Written by tools.calibrate_learn."]
    for name in BOARDS:
        board = load_board(name)
        probe = run_learn_probe(board)
        lines += ["", f"[{board.core}]"]
        for method in (*METHODS, MOMENTUM):
            rows = [
                (shape_features(case.features, case.most_classes), count)
                for case, count in zip(CASES, probe.instructions, strict=True)
                if method_of(case) == method
            ]
            factors, error = fit(rows)
            print(f"{board.core} {method}: {len(rows)} cases, off by at most {error:.1%}")
            lines.append(f'"{method}" = [{", ".join(f"{each:.3f}" for each in factors)}]')
    write_atomic(TABLE, ("\n".join(lines) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
