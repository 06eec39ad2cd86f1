"""The conversion worker: `python -m edgekit.quantize`, driven by `edgekit.quantize.runs`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.models.framework import import_framework
from edgekit.models.worker import Emit, Event, serve_worker


def _work(request: Event, emit: Emit) -> None:
    emit({"event": "loading"})
    import_framework()
    for run in request["runs"]:
        emit({"event": "converting", "run": run})
        _convert(Path(run), request)
        emit({"event": "converted", "run": run})


def _convert(run: Path, request: Event) -> None:
    if request.get("kind") == "text":
        from edgekit.quantize.text_convert import convert_text_run

        convert_text_run(run, samples=request["samples"], length=request["length"])
        return
    from edgekit.quantize.convert import convert_run

    convert_run(run, dataset_name=request["dataset"], samples=request["samples"])


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
