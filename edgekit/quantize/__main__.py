"""The conversion worker: `python -m edgekit.quantize`, driven by `edgekit.quantize.runs`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.models.worker import Emit, Event, serve_worker


def _work(request: Event, emit: Emit) -> None:
    emit({"event": "loading"})
    from edgekit.quantize.convert import convert_run

    for run in request["runs"]:
        emit({"event": "converting", "run": run})
        convert_run(Path(run), dataset_name=request["dataset"], samples=request["samples"])
        emit({"event": "converted", "run": run})


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
