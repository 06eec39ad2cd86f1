"""A head that learns by itself from the machine's samples, by the C code of the boards.

Twin: firmware/agent/ek_agent_online.c
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgekit.agent.learned import Learned
from edgekit.errors import LinkError, RefusedError, StoreError
from edgekit.link.messages import Learning, Log, LogLevel
from edgekit.link.status import Status, refuse
from edgekit.runtime import Runner
from edgekit.runtime.learn_numbers import FLOAT32
from edgekit.runtime.moments import Moments
from edgekit.runtime.online import METHODS, OnlineHead
from edgekit.runtime.online_twin import TwinGuard, Verdict

if TYPE_CHECKING:
    from edgekit.formats.image import Head

CLIP = 10.0
CWR_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The samples of a machine, which it goes through again and again.

    Attributes:
        inputs: `[N, ...]`, as the model reads them.
        features: int8 `[N, h]`, what the head reads of them.
        labels: `[N]`.
    """

    inputs: npt.NDArray[np.generic]
    features: npt.NDArray[np.int8]
    labels: npt.NDArray[np.uint16]


class Practice:
    """A head in memory, from its beginning to `close`.

    Attributes:
        said: What is to be told the server, oldest first.

    Raises:
        LinkError: If the wish is out of range, or the model's input cannot be standardized.
        StoreError: If its files cannot be read.
    """

    def __init__(self, runner: Runner, stream: Stream, wish: Learning, learned: Learned) -> None:
        self._runner, self._stream, self.wish, self._learned = runner, stream, wish, learned
        self._next = 0
        self._guard = TwinGuard(FLOAT32)
        self.said: list[Log] = []
        self._start()
        self._say("learning on", LogLevel.INFO)

    def step(self) -> None:
        """Learn one sample; what is refused changes nothing.

        Raises:
            LinkError: If an input cannot be standardized.
        """
        features, label = self._sample()
        try:
            loss = self._head.learn(features, [label])[0]
        except (LinkError, RefusedError):
            return  # a label beyond the rows, or a step that is not finite
        verdict = self._guard.see(np.asarray(loss))
        if verdict is Verdict.STORE and self._store():
            self._say("head stored", LogLevel.INFO)
        elif verdict is Verdict.GO_BACK:
            self._say("head goes back", LogLevel.INFO)
            self._start()

    def close(self, *, keep: bool = True) -> None:
        """Store the head, if it is to be kept, and end."""
        if keep:
            self._store()
        self._say("learning off", LogLevel.INFO)

    def _start(self) -> None:
        """Begin with what it had learnt when it was stored last, else without."""
        self._begin_anew()
        data = self._learned.checkpoint(self._runner.image.id)
        if data is None:
            return
        own = len(data) - (0 if self._moments is None else len(self._moments.checkpoint()))
        try:
            self._head.restore(data[: max(own, 0)])
            if self._moments is not None:
                self._moments.restore(data[own:])
        except (ValueError, LinkError):
            self._begin_anew()

    def _begin_anew(self) -> None:
        own, wish = self._own, self.wish
        trained = self._learned.head(self._runner.image.id)
        if trained is not None and trained.weights.shape != own.weights.shape:
            trained = None
        self._head = OnlineHead(
            own.weights if trained is None else trained.weights,
            own.bias if trained is None else trained.bias,
            scale=own.scale,
            zero_point=own.zero_point,
            method=next(name for name, number in METHODS.items() if number == wish.method),
            most_classes=own.max_classes,
            rate=wish.rate,
            momentum=wish.momentum,
            clip=CLIP,
            batch=CWR_BATCH,
        )
        self._moments = self._new_moments() if wish.standardize else None

    @property
    def _own(self) -> Head:
        head = self._runner.image.head
        if head is None:
            raise refuse(Status.STATE, f"model '{self._runner.image.meta.name}' has no head")
        return head

    def _new_moments(self) -> Moments:
        graph = self._runner.image.graph
        quant = graph.tensor(graph.inputs[0]).quant
        if quant is None or self._runner.input_dtype != np.int8:
            raise refuse(
                Status.SHAPE, f"input of model '{self._runner.image.meta.name}' is no int8"
            )
        return Moments(
            math.prod(self._stream.inputs.shape[1:]),
            scale=quant.scales[0],
            zero_point=quant.zero_points[0],
            warm_up=self.wish.warm_up,
            window=self.wish.window,
        )

    def _sample(self) -> tuple[npt.NDArray[np.int8], int]:
        at, stream = self._next, self._stream
        self._next = (at + 1) % len(stream.labels)
        features = stream.features[at : at + 1]
        if self._moments is not None:
            row = stream.inputs[at].astype(np.int8).reshape(1, -1)
            features = self._runner.features(self._moments.standardize(row))
        return features, int(stream.labels[at])

    def _store(self) -> bool:
        data = self._head.checkpoint()
        if self._moments is not None:
            data += self._moments.checkpoint()
        try:
            self._learned.keep_checkpoint(self._runner.image.id, data)
        except StoreError:
            self.said.append(Log(LogLevel.WARNING, f"head not stored: {Status.FLASH.text}"))
            return False
        return True

    def _say(self, what: str, level: LogLevel) -> None:
        self.said.append(Log(level, f"{what}, steps {self._head.steps}"))
