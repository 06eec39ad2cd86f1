"""The training worker: `python -m edgekit.train`, driven by `edgekit.train.launch`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from edgekit.models.framework import import_framework
from edgekit.models.worker import Emit, Event, serve_worker


def _work(request: Event, emit: Emit) -> None:
    emit({"event": "loading"})
    import_framework()
    from edgekit.train.loop import set_up

    set_up()
    train = _trainer(request.get("kind", "image"))
    for facts in request["jobs"]:
        result = train(facts, emit)
        emit({"event": "finished", "job": result.name, "result": result.to_json()})


def _trainer(kind: str) -> Callable[[dict[str, Any], Emit], Any]:
    if kind == "text":
        from edgekit.train.text_jobs import TextJob
        from edgekit.train.text_loop import train_text

        return lambda facts, emit: train_text(TextJob.from_json(facts), emit)
    if kind == "pretrain":
        from edgekit.train.pretrain_jobs import PretrainJob
        from edgekit.train.pretrain_loop import pretrain

        return lambda facts, emit: pretrain(PretrainJob.from_json(facts), emit)
    from edgekit.train.jobs import TrainJob
    from edgekit.train.loop import train

    return lambda facts, emit: train(TrainJob.from_json(facts), emit)


if __name__ == "__main__":
    sys.exit(serve_worker(_work))
