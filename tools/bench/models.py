"""The files that benches measure: built once, kept under `build/bench/models`.

python -m tools.bench.models [--seed N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

from edgekit import share
from edgekit.data.files import write_atomic
from edgekit.errors import EdgekitError
from edgekit.models.worker import Event, run_worker

NETWORKS = ("ad", "kws", "ic", "vww")
"""Twin: NETWORKS of `tools.bench.keras_models`, which imports the training framework."""
PUBLIC = {"kws_public": "kws_dscnn_int8.tflite"}
"""Files of others, in the folder of foreign models."""

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
# What a network's file depends on.
_SOURCES = (_HERE / "keras_models.py", _ROOT / "edgekit" / "quantize" / "convert.py")


def network_files(seed: int = 0) -> dict[str, Path]:
    """Return the reference networks by name; builds those that are missing or out of date.

    Raises:
        ToolError: If the training framework is missing or died.
    """
    folder = share.cache_dir() / "bench" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = f"-{seed}" if seed else ""
    files = {name: folder / f"{name}{suffix}.tflite" for name in NETWORKS}
    digest = hashlib.blake2b(digest_size=16)
    for source in _SOURCES:
        digest.update(source.read_bytes())
    note = folder / f"built{suffix}.json"
    known = json.loads(note.read_text()) if note.is_file() else {}
    hashes = {name: _hash(path) for name, path in files.items() if path.is_file()}
    if known == {"sources": digest.hexdigest(), "files": hashes} and len(hashes) == len(files):
        return files
    request = {"seed": seed, "files": {name: str(path) for name, path in files.items()}}
    run_worker("tools.bench.keras_models", request, _say)
    built = {name: _hash(path) for name, path in files.items()}
    facts = {"sources": digest.hexdigest(), "files": built}
    write_atomic(note, json.dumps(facts, indent=1).encode())
    return files


def public_files() -> dict[str, Path]:
    """Return the files of others that are here, by name.

    `EDGEKIT_MODELS` names their folder; without it that is `../shared/models`.
    """
    given = os.environ.get("EDGEKIT_MODELS", "")
    folder = Path(given) if given else _ROOT.parent / "shared" / "models"
    found = {name: folder / file for name, file in PUBLIC.items()}
    return {name: path for name, path in found.items() if path.is_file()}


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _say(event: Event) -> None:
    print(f"building {event['model']}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Build what is missing and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.models", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    try:
        files = {**network_files(chosen.seed), **public_files()}
    except EdgekitError as exc:
        print(f"tools.bench.models: {exc}", file=sys.stderr)
        return 1
    for name, path in files.items():
        print(f"{name:10} {path.stat().st_size:9,} bytes  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
