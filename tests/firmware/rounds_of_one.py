"""Rounds of a federated run with one device, beside what the exact simulation of it sends."""

from __future__ import annotations

import numpy as np
from lone_server import DEVICE, LoneServer
from tiny_model import TABLE

from edgekit.federated.codecs import HeadWeights
from edgekit.federated.payload import codec_number, kept
from edgekit.federated.plan import RunPlan
from edgekit.federated.settings import SPARSE, Settings
from edgekit.federated.simulate import Client, Coder, train
from edgekit.link.messages import FederatedState, FederatedTask
from edgekit.runtime import Runner

RUN = 78


def plan_of_one(strategy: str, settings: Settings) -> RunPlan:
    """A run of two epochs a round."""
    return RunPlan(
        run=RUN,
        base_image="",
        strategy=strategy,
        rounds=9,
        devices=(DEVICE,),
        epochs=2,
        rate=0.02,
        decay=1e-3,
        deadline_s=60.0,
        settings=settings,
    )


class RoundsOfOne:
    """Asks the device for rounds, each from the head that the one before gave."""

    def __init__(
        self, server: LoneServer, plan: RunPlan, image: bytes, raw: np.ndarray, labels: np.ndarray
    ) -> None:
        self._server, self._plan = server, plan
        runner = Runner(image)
        head = runner.image.head
        assert head is not None
        self.head = HeadWeights(head.weights, head.bias)
        self._client = Client(runner.features(TABLE[raw]), labels, head.scale, head.zero_point)
        self._coder = Coder(plan)

    def task(self, round_: int) -> FederatedTask:
        """What the server's driver would ask for."""
        settings, data = self._plan.settings, self.head.encode()
        size = self.head.classes * (self.head.features + 1) - settings.local
        return FederatedTask(
            run=RUN,
            round=round_,
            base_head_hash=self.head.hash,
            head_object=self._server.offer(data),
            head_bytes=len(data),
            epochs=self._plan.epochs,
            rate=self._plan.rate,
            decay=self._plan.decay,
            deadline_s=120,
            codec=codec_number(settings.codec),
            entries=kept(size, settings.share) if settings.codec in SPARSE else 0,
            mu=self._plan.mu,
            local=settings.local,
            feedback=int(settings.feedback),
        )

    def expected(self, round_: int) -> bytes:
        """The update of the simulation; called once a round, in order."""
        return self._coder.encode(DEVICE, train(self._client, self._plan, round_, self.head))

    def update(self, round_: int) -> bytes:
        """The update of the device."""
        server = self._server
        server.desire(task=self.task(round_))
        server.wait(
            lambda: (
                server.reported is not None
                and server.reported.federated.run == RUN
                and server.reported.federated.round == round_
                and server.reported.federated.state
                in (FederatedState.READY, FederatedState.REFUSED)
            ),
            60.0,
        )
        assert server.reported is not None
        report = server.reported.federated
        assert report.update_hash is not None, report
        return server.pull(report.update_object, report.update_bytes, report.update_hash)
