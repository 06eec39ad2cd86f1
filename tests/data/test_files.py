"""Files that are whole or not there."""

import pytest

from edgekit.data.files import write_atomic
from edgekit.errors import StoreError


def test_write_makes_folders_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "a" / "b.bin"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["b.bin"]


def test_write_below_a_file_says_which_path(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"x\.bin: cannot be written"):
        write_atomic(tmp_path / "file" / "x.bin", b"")


def test_write_that_fails_at_the_end_leaves_no_temporary_file(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").write_bytes(b"")
    with pytest.raises(StoreError, match="taken"):
        write_atomic(tmp_path / "taken", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
