"""The page of operators is what the tables say."""

from __future__ import annotations

from edgekit.ops import FUSED, LOWERINGS, MERGED, OPS
from edgekit.ops.wide_rules import WIDE_LOWERINGS
from tools.operators import PAGE, page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run 'python -m tools.operators'"


def test_every_kernel_is_emitted_by_some_operator() -> None:
    emitted = {
        kernel
        for table in (LOWERINGS, FUSED, WIDE_LOWERINGS)
        for source in table.values()
        for kernel in source.kernels
    }
    assert emitted | set(MERGED) == {kernel.name for kernel in OPS if not kernel.packs}
