"""The file of saved arrays."""

import numpy as np
import pytest

from edgekit.errors import FormatError
from edgekit.models.saved import pack_arrays, unpack_arrays


def test_arrays_come_back_equal(tmp_path):
    path = tmp_path / "m.npz"
    arrays = {"w0": np.arange(6, dtype=np.float32).reshape(2, 3), "w1": np.float32([0.1])}
    path.write_bytes(pack_arrays({"family": "x"}, arrays))
    meta, found = unpack_arrays(path)
    assert meta == {"family": "x"}
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in arrays.items()
    }


def test_missing_cut_and_foreign_files_are_refused(tmp_path):
    whole = pack_arrays({}, {"w": np.zeros(100)})
    for name, data in (("cut", whole[:-30]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=name):
            unpack_arrays(tmp_path / name)
    with pytest.raises(FormatError, match="missing"):
        unpack_arrays(tmp_path / "missing")


def test_pickled_objects_are_not_loaded(tmp_path):
    """A model file from elsewhere must not be able to run code."""
    path = tmp_path / "evil.npz"
    with path.open("wb") as file:
        np.savez(file, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FormatError, match="evil"):
        unpack_arrays(path)
