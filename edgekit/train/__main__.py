"""The training worker: `python -m edgekit.train`, driven by `edgekit.train.launch`."""

from __future__ import annotations

import sys

from edgekit.models.worker import Emit, Event, serve_worker
from edgekit.train.jobs import TrainJob


def _work(request: Event, emit: Emit) -> None:
    emit({"event": "loading"})
    from edgekit.train.loop import set_up, train

    set_up()
    for facts in request["jobs"]:
        result = train(TrainJob.from_json(facts), emit)
        emit({"event": "finished", "job": result.name, "result": result.to_json()})


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
