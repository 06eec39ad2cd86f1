"""The files that benches measure: built once, kept under `build/bench/models`.

python -m tools.bench.models [--seed N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgekit import share
from edgekit.data.files import write_atomic
from edgekit.errors import EdgekitError
from edgekit.models.worker import Event, run_worker

NETWORKS = ("ad", "kws", "ic", "vww")
"""On boards. Twin: NETWORKS of `tools.bench.keras_models`, which imports the framework."""
HOST_NETWORKS = ("cnn_350k", "vit_18k", "cnn_1mb")
"""On this machine: a CNN of 350,000 parameters, a transformer of 18,000, a file of 1 MB."""
PUBLIC = {"kws_public": "kws_dscnn_int8.tflite"}
"""Files of others, in the folder of foreign models."""

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
# What a network's file depends on.
_SOURCES = (_HERE / "keras_models.py", _ROOT / "edgekit" / "quantize" / "convert.py")


def network_files(seed: int = 0, names: Sequence[str] = NETWORKS) -> dict[str, Path]:
    """Return networks by name; builds those that are missing or out of date.

    Raises:
        ToolError: If the training framework is missing or died.
    """
    folder = share.cache_dir() / "bench" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = f"-{seed}" if seed else ""
    files = {name: folder / f"{name}{suffix}.tflite" for name in names}
    digest = hashlib.blake2b(digest_size=16)
    for source in _SOURCES:
        digest.update(source.read_bytes())
    key = digest.hexdigest()
    missing = {name: path for name, path in files.items() if _note(path, key) != _noted(path)}
    if missing:
        request = {"seed": seed, "files": {name: str(path) for name, path in missing.items()}}
        run_worker("tools.bench.keras_models", request, _say)
        for path in missing.values():
            write_atomic(path.with_suffix(".json"), json.dumps(_note(path, key)).encode())
    return files


def _note(path: Path, sources: str) -> dict[str, str]:
    """Return what is kept beside a file: what it was made from, and its own hash."""
    data = path.read_bytes() if path.is_file() else b""
    return {"sources": sources, "file": hashlib.blake2b(data, digest_size=16).hexdigest()}


def _noted(path: Path) -> object:
    note = path.with_suffix(".json")
    return json.loads(note.read_text(encoding="utf-8")) if note.is_file() else None


def public_files() -> dict[str, Path]:
    """Return the files of others that are here, by name.

    `EDGEKIT_MODELS` names their folder; without it that is `../shared/models`.
    """
    given = os.environ.get("EDGEKIT_MODELS", "")
    folder = Path(given) if given else _ROOT.parent / "shared" / "models"
    found = {name: folder / file for name, file in PUBLIC.items()}
    return {name: path for name, path in found.items() if path.is_file()}


def _say(event: Event) -> None:
    print(f"building {event['model']}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Build what is missing and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.models", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    try:
        files = network_files(chosen.seed, (*NETWORKS, *HOST_NETWORKS)) | public_files()
    except EdgekitError as exc:
        print(f"tools.bench.models: {exc}", file=sys.stderr)
        return 1
    for name, path in files.items():
        print(f"{name:10} {path.stat().st_size:9,} bytes  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
