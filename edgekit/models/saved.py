"""The file of a trained model: family, sizes and weights, without any framework's own format."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.files import write_atomic
from edgekit.errors import FormatError
from edgekit.models import find_family, make_config

Arrays = dict[str, np.ndarray[Any, Any]]


def pack_arrays(meta: dict[str, Any], arrays: Arrays) -> bytes:
    """Pack named arrays and a JSON-able description into one .npz file."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, meta=text, **arrays)
    return buffer.getvalue()


def unpack_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Read what `pack_arrays` packed.

    Raises:
        FormatError: If the file is missing, damaged or of another kind.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise FormatError(f"{path}: is not a file of saved arrays: {exc}") from exc
    if not isinstance(meta, dict):
        raise FormatError(f"{path}: its description is not an object")
    return meta, arrays


def save_model(path: Path, model: Any, *, family: str, sizes: dict[str, int]) -> None:
    """Write a Keras model's weights with what is needed to build it again."""
    arrays = {f"w{i:03d}": np.asarray(value) for i, value in enumerate(model.get_weights())}
    write_atomic(path, pack_arrays({"family": family, "sizes": sizes}, arrays))


def load_model(path: Path) -> Any:
    """Build the Keras model of a file; needs the training framework.

    Raises:
        FormatError: If the file is damaged or its weights do not fit its sizes.
    """
    meta, arrays = unpack_arrays(path)
    family, sizes = meta.get("family"), meta.get("sizes")
    if not isinstance(family, str) or not isinstance(sizes, dict):
        raise FormatError(f"{path}: names no model family and sizes")
    model = find_family(family).build(make_config(family, sizes), seed=0)
    wanted = model.get_weights()
    found = [arrays[name] for name in sorted(arrays)]
    if [w.shape for w in wanted] != [w.shape for w in found]:
        raise FormatError(f"{path}: its weights do not fit a {family} of its sizes")
    if not all(np.isfinite(w).all() for w in found):
        raise FormatError(f"{path}: a weight is not finite")
    model.set_weights(found)
    return model
