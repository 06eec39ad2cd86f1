"""Test files have names of their own: pytest imports them without their folders."""

from collections import Counter
from pathlib import Path


def test_no_two_test_files_share_a_name() -> None:
    tests = Path(__file__).resolve().parents[1]
    names = Counter(path.name for path in tests.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
